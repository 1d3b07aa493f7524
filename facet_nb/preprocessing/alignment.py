"""Align triggers with the artifact on a reference channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, Severity, make_finding
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.templates.averaging import take_epochs
from facet_nb.kernels.triggers.alignment import best_lags, refine_lags
from facet_nb.kernels.triggers.pace import Pace, keep_pace
from facet_nb.kernels.triggers.spacing import artifact_length

#: Share of triggers at the limit of a search from which the limit is too narrow, and how much
#: wider the proposal is: two markers that jitter by n samples are up to 2 n samples apart.
_AT_EDGE, _WIDER = 0.02, 4.0

#: Most samples by which a trigger may be moved: tens of seconds at any rate of EEG.
_WIDEST = 1_000_000


@register_processor
class TriggerAligner(ArrayProcessor):
    """Align triggers by cross-correlation with one artifact of the reference channel.

    Runs once, on the reference channel; the samples do not change. Positions are whole samples at
    the current sampling rate: run it after ``UpSample`` for a finer alignment.

    Parameters
    ----------
    ref_trigger_index : int
        The trigger whose artifact is the template.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.
    search_window : int | None
        Largest shift, in samples; by default three samples at the original sampling rate.
    save_to_annotations : bool
        Accepted for compatibility; triggers are stored in the metadata only.
    upsample_for_alignment : bool
        Accepted for compatibility; alignment is to whole samples at the current rate.
    """

    loads_scipy_signal = False
    name = "trigger_aligner"
    description = "Align triggers with one artifact"
    requires_triggers = True
    modifies_raw = False
    run_once = True
    needs = "reference"

    def __init__(
        self,
        ref_trigger_index: int = 0,
        ref_channel: int | str | None = None,
        search_window: int | None = None,
        save_to_annotations: bool = False,
        upsample_for_alignment: bool = True,
    ) -> None:
        self.ref_trigger_index = ref_trigger_index
        self.ref_channel = ref_channel
        self.search_window = search_window
        self.save_to_annotations = save_to_annotations
        self.upsample_for_alignment = upsample_for_alignment

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        _check_window(self.search_window)

    def prepare(self, view: View) -> Prepared:
        """Align all triggers with the template."""
        self.check_parameters(view.sfreq)
        metadata = view.metadata
        triggers = np.asarray(metadata.triggers, dtype=np.int64)
        pace, triggers = _keep_pace(view, triggers)
        starts = pace.starts
        template = take_template(view, starts, self.ref_trigger_index)
        window = self.search_window
        max_lag = 3 * metadata.upsampling_factor if window is None else int(window)
        assert view.reference is not None
        lags = best_lags(view.reference, starts, template, max_lag)
        lags[self.ref_trigger_index] = 0
        aligned = triggers + lags
        changes: dict[str, Any] = {"triggers": aligned}
        if len(aligned) > 1:
            changes["artifact_length"] = artifact_length(aligned)
        notes = {"ref_channel": view.reference_name, "largest_move": int(np.abs(lags).max())}
        found = _check_edge(view, pace, lags, max_lag)
        return Prepared(metadata=changes, notes=notes, findings=found)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes: a few epochs."""
        return 1 << 20


@register_processor
class SliceAligner(TriggerAligner):
    """Align slice triggers on upsampled data.

    Parameters
    ----------
    ref_trigger_index, ref_channel, search_window, save_to_annotations
        As in :class:`TriggerAligner`.
    """

    name = "slice_aligner"
    description = "Align slice triggers"

    def __init__(
        self,
        ref_trigger_index: int = 0,
        ref_channel: int | str | None = None,
        search_window: int | None = None,
        save_to_annotations: bool = False,
    ) -> None:
        super().__init__(ref_trigger_index, ref_channel, search_window, save_to_annotations, False)


@register_processor
class SubsampleAligner(ArrayProcessor):
    """Find the position of each artifact between samples, and move triggers to the nearest sample.

    The maximum of the correlation is interpolated with a parabola. The shifts are stored in
    ``metadata.custom["subsample_alignment"]["shifts"]``, in samples at the current rate.

    Parameters
    ----------
    ref_trigger_index : int
        The trigger whose artifact is the template.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.
    search_window : int | None
        Largest shift, in samples; by default two samples at the original sampling rate.
    apply_to_raw : bool
        Not supported: shifting epochs of the recording causes jumps at their borders.
    """

    loads_scipy_signal = False
    name = "subsample_aligner"
    description = "Find artifact positions between samples"
    requires_triggers = True
    modifies_raw = False
    run_once = True
    needs = "reference"

    def __init__(
        self,
        ref_trigger_index: int = 0,
        ref_channel: int | str | None = None,
        search_window: int | None = None,
        apply_to_raw: bool = False,
    ) -> None:
        self.ref_trigger_index = ref_trigger_index
        self.ref_channel = ref_channel
        self.search_window = search_window
        self.apply_to_raw = apply_to_raw

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        _check_window(self.search_window)

    def prepare(self, view: View) -> Prepared:
        """Find the shifts."""
        self.check_parameters(view.sfreq)
        if self.apply_to_raw:
            raise ValidationError(
                "subsample_aligner: apply_to_raw=True is not supported, since it causes jumps at "
                "the borders of epochs. AASCorrection uses the aligned triggers by itself."
            )
        metadata = view.metadata
        triggers = np.asarray(metadata.triggers, dtype=np.int64)
        pace, triggers = _keep_pace(view, triggers)
        starts = pace.starts
        template = take_template(view, starts, self.ref_trigger_index)
        window = self.search_window
        max_lag = 2 * metadata.upsampling_factor if window is None else int(window)
        max_lag = max(1, max_lag)
        assert view.reference is not None
        shifts = refine_lags(view.reference, starts, template, max_lag)
        custom = dict(metadata.custom)
        custom["subsample_alignment"] = {
            "shifts": shifts.tolist(),
            "ref_trigger_index": self.ref_trigger_index,
            "search_window": max_lag,
        }
        moved = triggers + np.rint(shifts).astype(np.int64)
        notes = {"ref_channel": view.reference_name}
        found = _check_edge(view, pace, shifts, max_lag)
        changes = {"triggers": moved, "custom": custom}
        return Prepared(metadata=changes, notes=notes, findings=found)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes: a few epochs."""
        return 1 << 20


def _check_window(search_window: int | None) -> None:
    if search_window is not None and not 0 <= search_window <= _WIDEST:
        raise ValidationError(
            f"search_window={search_window!r} must be from 0 to {_WIDEST} samples."
        )


def _keep_pace(view: View, triggers: np.ndarray) -> tuple[Pace, np.ndarray]:
    """Return how artifacts keep the time of their markers, and triggers that are taken to it."""
    assert view.reference is not None
    pace = keep_pace(view.reference, triggers + view.offset, view.sfreq)
    return pace, pace.starts - view.offset


def _check_edge(view: View, pace: Pace, lags: np.ndarray, max_lag: int) -> tuple[Finding, ...]:
    """Return findings about triggers of another clock, or moved to the edge of the search."""
    drift: tuple[Finding, ...] = ()
    if pace.is_mended:
        detail, figures = pace.describe(view.sfreq)
        severity: Severity = "warning" if pace.blurs else "note"
        drift = (make_finding("triggers_drift", detail, severity=severity, **figures),)
    at_edge = np.abs(lags) >= max_lag
    n = int(np.count_nonzero(at_edge))
    if max_lag < 1 or n < max(2, _AT_EDGE * len(lags)):
        return drift
    wide = int(np.ceil(_WIDER * max_lag))
    times_s = (pace.starts - view.offset) / view.sfreq
    finding = make_finding(
        "alignment_at_edge",
        f"{n} of {len(lags)} triggers were moved by {max_lag} samples, the limit of the search: "
        "their artifacts may be farther away.",
        remedy=f"Use search_window={wide} (in samples at this rate), or check the markers.",
        span_s=[(t, t) for t in times_s[at_edge]] if n <= len(lags) // 4 else (),
        n=n,
        search_window=max_lag,
    )
    return finding, *drift


def take_template(view: View, starts: np.ndarray, index: int) -> np.ndarray:
    """Return the artifact of one trigger on the reference channel, shape (n_samples,), in V.

    Raises
    ------
    ValidationError
        If the trigger does not exist, its artifact is incomplete, or the channel is flat there.
    """
    if not -len(starts) <= index < len(starts):
        raise ValidationError(
            f"ref_trigger_index={index} is out of range: there are {len(starts)} triggers."
        )
    length = view.metadata.artifact_length
    if length is None or length < 1:
        raise ValidationError(
            "the artifact length is not known. Run TriggerDetector first, or set it with "
            "context.with_trigger_samples(samples, artifact_length=…)."
        )
    start = int(starts[index])
    if start < 0 or start + length > view.n_times:
        raise ValidationError(
            f"the artifact of trigger {index} reaches beyond the recording: choose another with "
            "ref_trigger_index=…."
        )
    assert view.reference is not None
    template = take_epochs(view.reference, starts[[index]], int(length))[0]
    if not np.ptp(template) > 0:
        raise ValidationError(
            f"the reference channel {view.reference_name} is flat at trigger {index}: choose "
            "another with ref_channel=…, or add it to raw.info['bads']."
        )
    return template
