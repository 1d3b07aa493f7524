"""The recording before the correction: the same channels over the same time."""

from __future__ import annotations

from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.evaluation.base import Span


def get_original(context: ProcessingContext, step: str) -> Any:
    """Return the recording before any processing.

    Raises
    ------
    ValidationError
        If the context has none.
    """
    original = context.get_raw_original()
    if original is None:
        raise ValidationError(
            f"{step}: the context holds no original recording. Give it with "
            "ProcessingContext(raw, raw_original=…)."
        )
    return original


def match_names(names: list[str], original: Any, step: str) -> tuple[list[int], list[int]]:
    """Return which of `names` the original has, and their rows there.

    Raises
    ------
    ValidationError
        If it has none of them.
    """
    shared = [i for i, name in enumerate(names) if name in original.ch_names]
    if not shared:
        raise ValidationError(
            f"{step}: no channel of the recording is in the original "
            f"({', '.join(original.ch_names[:6])}, …): they are matched by name. Give the "
            "original with ProcessingContext(raw, raw_original=…)."
        )
    return shared, [original.ch_names.index(names[i]) for i in shared]


def common_spans(
    raw: Any, original: Any, span: Span, step: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the samples of the acquisition in the original and in the recording.

    Both count time from sample 0 of the recorder (``first_samp``), so that recordings that were cut
    or resampled are compared over the same time.
    """
    rate = float(original.info["sfreq"])
    begin_s = (raw.first_samp + span.start) / span.sfreq
    end_s = (raw.first_samp + span.stop) / span.sfreq
    first, last = (round(t * rate) - original.first_samp for t in (begin_s, end_s))
    start, stop = max(0, first), min(original.n_times, last)
    if stop <= start:
        raise ValidationError(
            f"{step}: the original recording does not cover the acquisition ({begin_s:.3f} to "
            f"{end_s:.3f} s from sample 0 of the recorder; first_samp tells where it begins)."
        )
    # What the original lacks is left out of both.
    late = round((start - first) * span.sfreq / rate)
    early = round((last - stop) * span.sfreq / rate)
    return (start, stop), (span.start + late, span.stop - early)
