"""Correction of the pulse artifact (ballistocardiogram)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.recording import DATA_TYPES
from facet_nb.core.registry import register_processor
from facet_nb.kernels.filters.iir import filter_sos
from facet_nb.kernels.pulse import beat_amplitudes
from facet_nb.kernels.pulse.beat_average import subtract_beats
from facet_nb.kernels.pulse.beats import Beats, fit_waves, render
from facet_nb.kernels.templates.averaging import take_epochs

logger = logging.getLogger("facet_nb")

METHODS = ("obs", "mean", "median", "gmean")
#: Triggers that come faster are those of slices.
_SHORTEST_S = 0.19
_FEWEST = 8
#: The waves of a beat begin this long before its R peak, and last as long as 1.1 intervals after
#: it, at least 0.8 s: longer than the artifact (Debener et al. 2008,
#: doi:10.1016/j.ijpsycho.2007.05.015).
_BEFORE_S, _AFTER, _AFTER_S = 0.1, 1.1, 0.8
#: Edge of the high-pass before the fit, in beats per second: the artifact repeats with the beats.
_EDGE = 0.4
#: Variance of sizes and delays, relative to that of EEG, from which they count. Over simulated
#: hearts of 1 to 32 channels, one and two minutes, and the 500 Hz twin it was 0.6 to 1.5 in EEG
#: without artifact, and 1.9 to 50 with it (1.55 in one minute of a single channel).
_EVIDENCE = 1.6
#: Spans whose residual power (over 0.5 s, all channels) exceeds twice the usual count less.
_SPAN_S, _UNUSUAL = 0.5, 2.0
#: Beats that were overlooked are looked for in intervals longer than this many medians and at both
#: ends, this far from their even place; they have at least this size, relative to the mean one.
_LONG, _REACH, _LEAST_SIZE = 1.5, 0.25, 0.5
#: Beats that a detector overlooks at either end, or that lie outside and reach in.
_MOST_OUTER = 2
#: PAS's half width of a template, in intervals between beats.
_HALF_WIDTH = 0.75


@dataclass(frozen=True)
class WavePlan:
    """What all channels share of ``method="obs"``."""

    beats: Beats
    sos: np.ndarray
    padlen: int
    weights: np.ndarray | None


@dataclass(frozen=True)
class NeighbourPlan:
    """What all channels share of the averages: middles and extent of the artifacts."""

    peaks: np.ndarray
    half: int
    write: int


@register_processor
class PulseCorrection(ArrayProcessor):
    r"""Subtract the pulse artifact (ballistocardiogram); triggers are the heartbeats.

    Put ``QRSTriggerDetector`` before it, behind the correction of the gradient artifact. ECG
    channels stay as they are.

    With ``method="obs"`` the artifact of each beat is a sum of few waves: their shapes belong to
    each channel, their amounts to the beat. As in optimal basis sets [1]_ the first is the mean
    and the others are its main variations; unlike there, the amounts are not fitted to each beat
    of each channel, where EEG passes for artifact, but found once from all channels together: the
    size of a beat's artifact and its delay after the R peak. Beats' waves may overlap; their
    shapes follow from one least-squares fit over the whole recording, and each frequency keeps
    only what exceeds EEG. Size and delay are left out where they vary no more than EEG makes
    them, and spans with movements count less. Beats that the detector overlooked, in long intervals
    and at both ends, are found by the artifact that they left.

    Parameters
    ----------
    method : {"obs", "mean", "median", "gmean"}
        Waves shared by all beats; or a template for each beat from its neighbours, scaled to it:
        their mean, median or Gaussian-weighted mean [1]_.
    delay_s : float
        Middle of the artifact after the R peak, in s, for the averages; ``"obs"`` measures it.
    n_side : int
        Neighbours on either side that make an average.
    drift_s : float
        Time in which the artifact's shape may change slowly, in s, for ``"obs"``: one more wave
        for each such time.

    References
    ----------
    .. [1] Niazy, R. K., et al. (2005). Removal of FMRI environment artifacts from EEG data using
       optimal basis sets. NeuroImage, 28(3), 720-737. doi:10.1016/j.neuroimage.2005.06.067
    .. [2] Allen, P. J., et al. (1998). Identification of EEG events in the MR scanner: the problem
       of pulse artifact and a method for its subtraction. NeuroImage, 8(3), 229-239.
       doi:10.1006/nimg.1998.0361
    """

    name = "pulse_correction"
    description = "Subtract the pulse artifact"
    requires_triggers = True
    needs = "all"
    subtracts = True
    types = tuple(kind for kind in DATA_TYPES if kind != "ecg")

    def __init__(
        self,
        method: str = "obs",
        delay_s: float = 0.21,
        n_side: int = 10,
        drift_s: float = 120.0,
    ) -> None:
        self.method = method
        self.delay_s = delay_s
        self.n_side = n_side
        self.drift_s = drift_s

    def prepare(self, view: View) -> Prepared:
        """Decide what all channels share: the beats, their sizes and delays."""
        self._check()
        peaks = np.unique(np.asarray(view.metadata.triggers, dtype=np.int64))
        interval = _check_beats(peaks, view.sfreq)
        notes: dict[str, Any] = {
            "n_beats": len(peaks),
            "beats_per_min": round(60.0 * view.sfreq / interval, 1),
        }
        if self.method == "obs":
            plan, found = self._measure(view, peaks, interval)
            _tell_long(found, plan.beats.starts, interval)
            return Prepared(plan, notes=notes | found)
        _tell_long(notes, peaks, interval)
        middles = peaks + round(self.delay_s * view.sfreq)
        half = round(_HALF_WIDTH * interval)
        return Prepared(NeighbourPlan(middles, half, round(0.5 * interval)), notes=notes)

    def _check(self) -> None:
        if self.method not in METHODS:
            raise ValidationError(f"method={self.method!r}: use one of {', '.join(METHODS)}.")
        if self.n_side < 1:
            raise ValidationError(f"n_side={self.n_side} must be 1 or more beats.")
        if not self.drift_s > 0:
            raise ValidationError(f"drift_s={self.drift_s} must be above 0 s.")
        if not -0.5 <= self.delay_s <= 1.0:
            raise ValidationError(f"delay_s={self.delay_s} must be from -0.5 to 1 s.")

    def _measure(
        self, view: View, peaks: np.ndarray, interval: float
    ) -> tuple[WavePlan, dict[str, Any]]:
        """Return waves' places and scores, found from all channels."""
        sfreq = view.sfreq
        before = round(_BEFORE_S * sfreq)
        after = round(max(_AFTER * interval, _AFTER_S * sfreq))
        sos = butter(2, _EDGE * sfreq / interval, "highpass", fs=sfreq, output="sos")
        padlen = min(round(3.0 * interval / _EDGE), view.n_times - 1)
        plan = WavePlan(self._begin(peaks - before, before + after, sfreq), sos, padlen, None)
        ends = (-after, view.n_times + before)
        overlooked = beat_amplitudes.find_overlooked(
            _high(view, plan),
            plan.beats,
            _list_candidates(peaks, interval, ends) - before,
            round(_REACH * interval),
            _LEAST_SIZE,
        )
        start = self._begin(np.union1d(peaks - before, overlooked), before + after, sfreq)
        slow, plan = start.scores, replace(plan, beats=start)
        found = beat_amplitudes.measure_beats(_high(view, plan), start, sfreq)
        scores = beat_amplitudes.choose_scores(slow, found, _EVIDENCE)
        plan = replace(plan, beats=replace(start, scores=scores))
        weights = _weigh_samples(_high(view, plan), plan.beats, sfreq)
        found = beat_amplitudes.measure_beats(_high(view, plan), start, sfreq, weights)
        scores = beat_amplitudes.choose_scores(slow, found, _EVIDENCE)
        plan = replace(plan, beats=replace(start, scores=scores), weights=weights)
        return plan, {
            "n_overlooked": len(overlooked),
            "n_waves": scores.shape[1],
            "size_sd": round(beat_amplitudes.spread_of(found.sizes), 3),
            "delay_sd_ms": round(1e3 * beat_amplitudes.spread_of(found.delays) / sfreq, 1),
            "size_evidence": round(found.size_evidence, 2),
            "delay_evidence": round(found.delay_evidence, 2),
        }

    def _begin(self, starts: np.ndarray, n_samples: int, sfreq: float) -> Beats:
        """Return beats with slow waves only."""
        n_slow = 1 + int((starts[-1] - starts[0]) / sfreq / self.drift_s)
        return Beats(
            starts, n_samples, np.linalg.qr(beat_amplitudes.list_slow(len(starts), n_slow))[0]
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: WavePlan | NeighbourPlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            if isinstance(plan, WavePlan):
                np.subtract(row, _render_artifact(row, plan), out=target)
            else:
                subtract_beats(
                    row, plan.peaks, plan.half, plan.write, self.method, self.n_side, out=target
                )
        return out

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * 8


def _check_beats(peaks: np.ndarray, sfreq: float) -> float:
    """Return the median interval of the beats, in samples."""
    interval = float(np.median(np.diff(peaks))) if len(peaks) > 1 else 0.0
    if len(peaks) < _FEWEST:
        raise ValidationError(
            f"pulse_correction: {len(peaks)} heartbeats are too few ({_FEWEST} at least). Put "
            "QRSTriggerDetector before it."
        )
    if interval < _SHORTEST_S * sfreq:
        raise ValidationError(
            f"pulse_correction: the triggers are {interval / sfreq:.3g} s apart, which no heart "
            "is: put QRSTriggerDetector before it (triggers of slices are no heartbeats)."
        )
    return interval


def _tell_long(notes: dict[str, Any], peaks: np.ndarray, interval: float) -> None:
    """Note intervals in which beats may have been overlooked, and say so."""
    notes["long_intervals"] = int(np.sum(np.diff(peaks) > _LONG * interval))
    if notes["long_intervals"]:
        logger.warning(
            "PulseCorrection: %d intervals between beats are longer than 1.5 medians: the "
            "artifact of beats that were overlooked stays.",
            notes["long_intervals"],
        )


def _list_candidates(peaks: np.ndarray, interval: float, ends: tuple[int, int]) -> np.ndarray:
    """Return even places of beats in long intervals, and between both ends and the others."""
    places = []
    for before, after in pairwise(peaks.tolist()):
        n = round((after - before) / interval)
        if after - before > _LONG * interval:
            places += np.linspace(before, after, max(n, 2) + 1)[1:-1].tolist()
    places += np.arange(peaks[0] - interval, ends[0], -interval)[:_MOST_OUTER].tolist()
    places += np.arange(peaks[-1] + interval, ends[1], interval)[:_MOST_OUTER].tolist()
    return np.rint(sorted(places)).astype(np.int64)


def _high(view: View, plan: WavePlan) -> Iterator[np.ndarray]:
    """Yield the high-passed channels that the artifact is looked for in."""
    assert view.data is not None
    types = view.ch_types or ("eeg",) * len(view.data)
    for row, kind in zip(view.data, types, strict=True):
        if kind in PulseCorrection.types:
            yield filter_sos(row[np.newaxis], plan.sos, padlen=plan.padlen)[0]


def _weigh_samples(channels: Iterator[np.ndarray], beats: Beats, sfreq: float) -> np.ndarray:
    """Return the weight of each sample: less where the residual of all channels is unusual."""
    power, n = 0.0, 0
    for x in channels:
        residual = x - render(fit_waves(x, beats), beats, len(x))
        noise = float(np.var(residual))
        if noise > 0:
            power, n = power + residual * residual / noise, n + 1
    if not n:
        raise ValidationError("pulse_correction: all channels are flat; there is nothing to fit.")
    power = uniform_filter1d(power, max(1, round(_SPAN_S * sfreq)))
    usual = float(np.median(power))
    return np.minimum(1.0, _UNUSUAL * usual / np.maximum(power, np.finfo(float).tiny))


def _render_artifact(row: np.ndarray, plan: WavePlan) -> np.ndarray:
    """Return the artifact of one channel, shape (n_times,), in V."""
    beats = plan.beats
    high = filter_sos(row[np.newaxis], plan.sos, padlen=plan.padlen)[0]
    waves = fit_waves(high, beats, weights=plan.weights)
    high -= render(waves, beats, len(row))
    residual = take_epochs(high, beats.starts, beats.n_samples)
    del high
    waves = beat_amplitudes.shrink_waves(waves, residual)
    del residual
    return render(waves, beats, len(row))
