"""The recording before the correction: the same channels over the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.evaluation.base import Span

if TYPE_CHECKING:
    import mne


def get_original(context: ProcessingContext, step: str) -> mne.io.BaseRaw:
    """Return the recording before any processing.

    Raises
    ------
    ValidationError
        If the context has none.
    """
    original = context.get_raw_original()
    if original is None:
        raise ValidationError(
            f"{step}: the context has no original recording. Set it with "
            "ProcessingContext(raw, raw_original=…)."
        )
    return original


def match_names(
    names: list[str], original: mne.io.BaseRaw, step: str
) -> tuple[list[int], list[int]]:
    """Return the positions in `names` of channels that the original has, and their rows there.

    Raises
    ------
    ValidationError
        If it has none of them.
    """
    shared = [i for i, name in enumerate(names) if name in original.ch_names]
    if not shared:
        raise ValidationError(
            f"{step}: no channel of the recording is in the original "
            f"({', '.join(original.ch_names[:6])}, …): they are matched by name. Set the "
            "original with ProcessingContext(raw, raw_original=…)."
        )
    return shared, [original.ch_names.index(names[i]) for i in shared]


def project_span(
    raw: mne.io.BaseRaw, original: mne.io.BaseRaw, span: Span
) -> tuple[int, int, float, float]:
    """Return a span of the recording in samples of the original, and its ends in s.

    Both recordings count time from sample 0 of the recorder (``first_samp``), so that recordings
    that were cropped or resampled are compared over the same time. The samples may lie outside the
    original.
    """
    rate, first = float(original.info["sfreq"]), int(original.first_samp)
    begin_s, end_s = ((raw.first_samp + at) / span.sfreq for at in (span.start, span.stop))
    return round(begin_s * rate) - first, round(end_s * rate) - first, begin_s, end_s


def common_spans(
    raw: mne.io.BaseRaw, original: mne.io.BaseRaw, span: Span, step: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the samples of the acquisition in the original and in the recording.

    Raises
    ------
    ValidationError
        If the original does not cover any of it.
    """
    first, last, begin_s, end_s = project_span(raw, original, span)
    start, stop = max(0, first), min(original.n_times, last)
    if stop <= start:
        raise ValidationError(
            f"{step}: the original recording does not cover the acquisition ({begin_s:.3f} to "
            f"{end_s:.3f} s from sample 0 of the recorder; first_samp is where it starts)."
        )
    # What is missing in the original is excluded from both.
    late, early = (
        round(n * span.sfreq / original.info["sfreq"]) for n in (start - first, last - stop)
    )
    return (start, stop), (span.start + late, span.stop - early)
