"""Our own correction of the gradient artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.templates import check_reference
from facet_nb.kernels.lowrank import lowrank
from facet_nb.kernels.lowrank.amplitudes import MAX_COURSES
from facet_nb.kernels.lowrank.highband import average_high, measure_rest
from facet_nb.kernels.streams import WaveformStream
from facet_nb.kernels.templates import subsample
from facet_nb.kernels.triggers.clock import ClockFit, fit_clock
from facet_nb.kernels.triggers.repeats import find_repeats

#: Largest move that is looked for where markers jitter, in samples and in parts of an artifact.
_MAX_JITTER = 8
_MAX_JITTER_OF_LENGTH = 0.05
#: Times found in the signal count if what they leave has less than this part of the energy.
_BETTER = 0.8
#: Memory is told for artifacts of this length, in s: shorter ones are mostly surroundings.
_SHORT_S = 0.1
#: An artifact length below this part of the period is meant: artifacts that end before the next.
_SHORTER = 0.95


@dataclass(frozen=True)
class GradientPlan:
    """What all channels share: where artifacts are, and the sampling rate, in Hz."""

    layout: subsample.Layout
    sfreq: float


@register_processor
class GradientCorrection(ArrayProcessor):
    r"""Subtract the gradient artifact: few waveforms with a course each, between samples.

    Times come from the clock model (:class:`facet_nb.ClockModel`), epochs are moved to them in the
    Fourier domain at the native rate. The artifact of a channel is

    .. math:: A_k(f) = \sum_r u_r(k) \, c_r(f) ,

    the mean artifact and the ways in which it changes with motion, drift, slice and place between
    samples. How it changes from epoch to epoch, `u`, is learned above 70 Hz, where the artifact
    outweighs EEG; the waveforms `c` follow by regression over all epochs of ten minutes, and are
    shrunk at each frequency where they are not above what EEG alone would give. So the template
    follows motion and drift, and takes next to no EEG with it.

    Where only volumes are marked, slices are looked for in the mean volume of the reference
    channel, and corrected as such.

    Parameters
    ----------
    slices : "auto" | int | None
        Artifacts from one marker to the next that are alike: ``"auto"`` looks for them, a number
        (slices of a volume, or with multiband the groups of slices) divides the period evenly, and
        None or 1 takes each marker for one artifact.
    max_courses : int
        Most ways in which the artifact changes; 0 subtracts a mean of all epochs.
    shrinkage : float
        Noise power that a waveform must exceed at a frequency to be subtracted there (3: noise
        alone does so at 5 % of the frequencies); 0 subtracts everywhere.
    block_s : float
        Longest time that shares waveforms, in s.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.

    Notes
    -----
    The method, its equations, ablations and limits: see *Gradient correction* in the documentation.
    Use it before filters, on the recording as it is: it needs neither upsampling nor alignment. The
    history says what the clock model and the search for slices found.
    """

    name = "gradient_correction"
    description = "Subtract the gradient artifact by waveforms and courses, between samples"
    requires_triggers = True
    needs = "reference"
    subtracts = True

    def __init__(
        self,
        slices: int | str | None = "auto",
        max_courses: int = MAX_COURSES,
        shrinkage: float = lowrank.SHRINKAGE,
        block_s: float = 600.0,
        ref_channel: int | str | None = None,
    ) -> None:
        self.slices = slices
        self.max_courses = max_courses
        self.shrinkage = shrinkage
        self.block_s = block_s
        self.ref_channel = ref_channel

    def prepare(self, view: View) -> Prepared:
        """Place artifacts between samples, and find slices within volumes."""
        self._check()
        x = view.reference
        assert x is not None
        clock = fit_clock(_list_markers(view.metadata))
        offset = view.metadata.artifact_to_trigger_offset * view.sfreq
        n_samples = _find_length(clock, view.metadata)
        times, source = _place(x, clock, offset, n_samples)
        layout = subsample.Layout.of(times, n_samples, view.n_times)
        check_reference(x, view.reference_name, layout.usable, n_samples)
        n_slices, distance = self._divide(x, layout, clock.period, view.sfreq)
        if n_slices > 1:
            times = np.add.outer(times, distance * np.arange(n_slices)).ravel()
            n_samples = int(np.ceil(distance - 1e-6))
            inside = (times > -n_samples) & (times < view.n_times)
            layout = subsample.Layout.of(times[inside], n_samples, view.n_times)
        blocks = lowrank.list_blocks(layout, view.sfreq, self.block_s)
        notes: dict[str, Any] = {
            "ref_channel": view.reference_name,
            "clock": clock.report(),
            "times": source,
            "slices_found": n_slices,
            "slice_samples": distance,
            "n_artifacts": len(layout.first),
            "n_blocks": len(blocks),
        }
        return Prepared(GradientPlan(layout, view.sfreq), notes=notes)

    def _check(self) -> None:
        if self.max_courses < 0:
            raise ValidationError(f"max_courses={self.max_courses} must be 0 or more.")
        if self.shrinkage < 0:
            raise ValidationError(f"shrinkage={self.shrinkage} must be 0 or more.")
        if not self.block_s > 0:
            raise ValidationError(f"block_s={self.block_s} must be above 0 s.")
        number = 1 if self.slices is None or self.slices == "auto" else self.slices
        if isinstance(number, (str, bool)) or int(number) < 1:
            raise ValidationError(f"slices={self.slices!r}: use 'auto', None, or a number above 0.")

    def _divide(
        self, x: np.ndarray, layout: subsample.Layout, period: float, sfreq: float
    ) -> tuple[int, float]:
        """Return the number of slices from one marker to the next, and their distance."""
        if self.slices is None:
            return 1, period
        if self.slices != "auto":
            return int(self.slices), period / int(self.slices)
        return find_repeats(average_high(x, layout), period, sfreq)

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: GradientPlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            lowrank.correct(
                row,
                plan.layout,
                plan.sfreq,
                block_s=self.block_s,
                shrinkage=self.shrinkage,
                max_courses=self.max_courses,
                out=target,
            )
        return out

    def why_not_chunked(self) -> str | None:
        """Return why the correction cannot run in chunks; None if it can."""
        own = type(self).compute is not GradientCorrection.compute
        return "computes in a way of its own" if own else None

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel, block by block; see :class:`ArrayProcessor`."""
        plan: GradientPlan = prepared.payload
        return WaveformStream.make(
            plan.layout, plan.sfreq, self.block_s, self.shrinkage, self.max_courses
        )

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: a block twice, and what fits it."""
        block = int(1.1 * self.block_s * sfreq) + chunk
        return self.memory((1, block), sfreq) + 8 * 3 * block

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        block = min(shape[1], int(1.1 * self.block_s * sfreq))
        around = 1.0 + 2 * subsample.HALO / (_SHORT_S * sfreq)
        return int(8 * (shape[1] + (1.0 + 3.6 * around) * block)) + (3 << 20)


def _list_markers(metadata: ProcessingMetadata) -> np.ndarray:
    """Return the triggers, or raise if there are too few."""
    markers = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
    if len(markers) < 2:
        raise ValidationError(
            f"GradientCorrection: {len(markers)} trigger; a template needs two artifacts at least. "
            "Check the regex of TriggerDetector."
        )
    return markers


def _find_length(clock: ClockFit, metadata: ProcessingMetadata) -> int:
    """Return the length of an artifact, in samples: up to the next one, unless told shorter."""
    whole = int(np.ceil(clock.period - 1e-6))
    told = metadata.artifact_length
    return int(told) if told is not None and 0 < told < _SHORTER * whole else whole


def _place(x: np.ndarray, clock: ClockFit, offset: float, n_samples: int) -> tuple[np.ndarray, str]:
    """Return when artifacts begin, in samples, and where that is known from.

    Where the clock model does not trust its fit, the reference channel decides between the fit,
    the markers, and what it shows itself.
    """
    if clock.trusted:
        return np.sort(np.concatenate([clock.times, clock.missing])) + offset, "clock"
    markers = clock.fitted + clock.residuals + offset
    reach = max(1, min(_MAX_JITTER, int(_MAX_JITTER_OF_LENGTH * n_samples)))
    tried = {"clock": clock.fitted + offset, "markers": markers}
    for source, times in list(tried.items()):
        whole = np.rint(times).astype(np.int64)
        seen = subsample.find_onsets(x, whole, n_samples, max_lag=reach)
        tried[f"signal, from the {source}"] = seen
    left = {
        source: measure_rest(x, subsample.Layout.of(times, n_samples, len(x)))
        for source, times in tried.items()
    }
    simple = min(("clock", "markers"), key=left.__getitem__)
    best = min(left, key=left.__getitem__)
    source = best if left[best] < _BETTER * left[simple] else simple
    return tried[source], source
