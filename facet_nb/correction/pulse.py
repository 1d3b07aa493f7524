"""Correction of the pulse artifact (ballistocardiogram)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, FindingError, make_finding
from facet_nb.core.processor import Prepared, View
from facet_nb.core.recording import DATA_TYPES
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection
from facet_nb.kernels.filters.iir import filter_sos
from facet_nb.kernels.means import average_blocks
from facet_nb.kernels.pulse import beat_amplitudes
from facet_nb.kernels.pulse.beat_average import subtract_beats
from facet_nb.kernels.pulse.beats import Beats, fit_waves, render
from facet_nb.kernels.pulse.support import measure_support
from facet_nb.kernels.templates.averaging import take_epochs
from facet_nb.kernels.triggers.evidence import measure_recurrence

logger = logging.getLogger("facet_nb")

METHODS = ("obs", "mean", "median", "gmean")
#: Shortest interval between heartbeats, in s; faster triggers are those of slices.
_SHORTEST_S = 0.19
_FEWEST = 8
#: The waves of a beat start this long before its R peak and end 1.1 intervals, but at least 0.8 s,
#: after it: longer than the artifact (Debener et al. 2008, doi:10.1016/j.ijpsycho.2007.05.015).
_BEFORE_S, _AFTER, _AFTER_S = 0.1, 1.1, 0.8
#: Edge of the high-pass filter before the fit, relative to the heart rate: the artifact repeats
#: with the beats.
_EDGE = 0.4
#: Sizes and delays are used if their variance exceeds that due to EEG by this factor. In simulated
#: recordings of 1 to 32 channels and one to two minutes, and in a simulation at 500 Hz, the factor
#: was 0.6 to 1.5 without artifact, and 1.9 to 50 with it (1.55 in one minute of a single channel).
_EVIDENCE = 1.6
#: A signal of respiration is averaged over this time, in s.
_BREATH_S = 0.2
#: A covariate is used if the power of its wave exceeds that of EEG by this factor. In simulated
#: recordings it was 0.8 to 2.1 without such a change of shape, and 15 to 30 with one.
_COVARIATE = 3.0
#: Samples whose residual power (over 0.5 s, all channels) exceeds twice its median get less weight.
_SPAN_S, _UNUSUAL = 0.5, 2.0
#: Missed beats are searched for in intervals longer than this many medians and at both ends, up to
#: this distance (in intervals) from evenly spaced positions; they have at least this size, relative
#: to the mean artifact.
_LONG, _REACH, _LEAST_SIZE = 1.5, 0.25, 0.5
#: Number of beats to search for at either end: missed there, or outside and extending into it.
_MOST_OUTER = 2
#: Number of channels in which the gradient artifact is looked for.
_MOST_CHECKED = 8
#: Half width of an average template, in intervals between beats.
_HALF_WIDTH = 0.75
#: Share of beats below which they are told to be wrong (``docs/quality.md``).
SUPPORTED = 0.75
#: Recurrence with the scanner's triggers from which its artifact is there: 30 at least in an
#: uncorrected recording, up to 15 in corrected ones.
_GRADIENT = 30.0


@dataclass(frozen=True)
class WavePlan:
    """Decisions that all channels share with ``method="obs"``."""

    beats: Beats
    sos: np.ndarray
    padlen: int
    weights: np.ndarray | None


@dataclass(frozen=True)
class NeighbourPlan:
    """Decisions that all channels share with averages: centres and extent of the artifacts."""

    peaks: np.ndarray
    half: int
    write: int


@register_processor
class PulseCorrection(ChannelCorrection):
    r"""Subtract the pulse artifact (ballistocardiogram); the triggers are the heartbeats.

    Put ``QRSTriggerDetector`` before it, after the correction of the gradient artifact. ECG
    channels are unchanged.

    With ``method="obs"``, the artifact of each beat is a sum of few waveforms. Their shapes are
    specific to the channel, their amplitudes to the beat. As in optimal basis sets [1]_, the first
    waveform is the mean artifact and the others are its main variations. In contrast to optimal
    basis sets, amplitudes are not fitted to each beat of each channel, which would treat EEG as
    artifact; they are estimated once from all channels: the size of the artifact of a beat, and its
    delay after the R peak. The waveforms of consecutive beats may overlap. One least-squares fit
    over the whole recording yields their shapes, and at each frequency only the part that exceeds
    the EEG is kept. Size and delay are omitted if they vary no more than EEG would make them
    appear, and periods with movement get less weight. Waves for the preceding interval and for
    breath are added where their power exceeds that of EEG three times. Beats that the detector
    missed, in long intervals and at both ends, are found by their artifact.

    Parameters
    ----------
    method : {"obs", "mean", "median", "gmean"}
        ``"obs"``: waveforms shared by all beats. Otherwise a template for each beat from its
        neighbours, scaled to the beat: their mean [2]_, median or Gaussian-weighted mean [1]_.
    delay_s : float
        Delay of the centre of the artifact after the R peak, in s, for averages; ``"obs"``
        estimates it.
    n_side : int
        Number of neighbours on either side that enter an average.
    drift_s : float
        Time scale of slow changes of the artifact's shape, in s, for ``"obs"``: one more waveform
        for each such period.
    picks : str | list | None
        Channel names, positions or types to correct; None for all data channels. Amplitudes are
        estimated from all channels in any case.
    check_gradient : bool
        Refuse a recording that still holds the gradient artifact: in at least half of the
        channels, what lies from 20 to 70 Hz is louder than what lies below, and repeats itself.
    covariates : bool
        Whether the shape of the artifact may change with the preceding interval and, if there is a
        channel of type or name RESP, with breath, for ``"obs"``: one more wave for each one with
        which it does.

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
    needs = "all"
    types = tuple(kind for kind in DATA_TYPES if kind != "ecg")
    memory_copies = 8  # of the channel, its epochs and fits

    def __init__(
        self,
        method: str = "obs",
        delay_s: float = 0.21,
        n_side: int = 10,
        drift_s: float = 120.0,
        picks: str | Sequence[str] | Sequence[int] | None = None,
        check_gradient: bool = True,
        covariates: bool = True,
    ) -> None:
        self.method = method
        self.delay_s = delay_s
        self.n_side = n_side
        self.drift_s = drift_s
        self.picks = picks
        self.check_gradient = check_gradient
        self.covariates = covariates

    def prepare(self, view: View) -> Prepared:
        """Determine the beats, their sizes and their delays from all channels."""
        self._check()
        peaks = np.unique(np.asarray(view.metadata.triggers, dtype=np.int64))
        interval = _check_beats(peaks, view.sfreq)
        if self.check_gradient:
            _check_gradient(view)
        notes: dict[str, Any] = {
            "n_beats": len(peaks),
            "beats_per_min": round(60.0 * view.sfreq / interval, 1),
        }
        notes["beats_supported"] = measure_support(_list_eeg(view), peaks, view.sfreq)
        if self.method == "obs":
            plan, found = self._measure(view, peaks, interval)
            _note_long(found, plan.beats.starts, interval)
            told = _tell_beats(view, notes | found, peaks)
            return Prepared(plan, notes=notes | found, findings=told)
        _note_long(notes, peaks, interval)
        told = _tell_beats(view, notes, peaks)
        centres = peaks + round(self.delay_s * view.sfreq)
        half = round(_HALF_WIDTH * interval)
        averages = NeighbourPlan(centres, half, round(0.5 * interval))
        return Prepared(averages, notes=notes, findings=told)

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self._check()

    def _check(self) -> None:
        if self.method not in METHODS:
            raise ValidationError(f"method={self.method!r}: use one of {', '.join(METHODS)}.")
        if not self.n_side >= 1:
            raise ValidationError(f"n_side={self.n_side} must be 1 or more beats.")
        if not self.drift_s >= _SHORTEST_S:
            raise ValidationError(
                f"drift_s={self.drift_s} must be above 0 s, by at least the interval of two beats, "
                f"{_SHORTEST_S} s."
            )
        if not -0.5 <= self.delay_s <= 1.0:
            raise ValidationError(f"delay_s={self.delay_s} must be from -0.5 to 1 s.")

    def _measure(
        self, view: View, peaks: np.ndarray, interval: float
    ) -> tuple[WavePlan, dict[str, Any]]:
        """Return the positions and amplitudes of waveforms, estimated from all channels."""
        # scipy.signal takes half a second to import: only this step needs it.
        from scipy.signal import butter

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
        # Amplitudes are estimated twice: the first estimate yields the weights of the second.
        found = beat_amplitudes.measure_beats(_high(view, plan), start, sfreq)
        scores = beat_amplitudes.choose_scores(slow, found, _EVIDENCE)
        plan = replace(plan, beats=replace(start, scores=scores))
        weights = _weigh_samples(_high(view, plan), plan.beats, sfreq)
        found = beat_amplitudes.measure_beats(_high(view, plan), start, sfreq, weights)
        scores = beat_amplitudes.choose_scores(slow, found, _EVIDENCE)
        plan = replace(plan, beats=replace(start, scores=scores), weights=weights)
        plan, covariates = self._add_covariates(view, plan, before)
        return plan, {
            "n_overlooked": len(overlooked),
            "n_waves": plan.beats.scores.shape[1],
            "covariates": covariates,
            "size_sd": round(beat_amplitudes.spread_of(found.sizes), 3),
            "delay_sd_ms": round(1e3 * beat_amplitudes.spread_of(found.delays) / sfreq, 1),
            "size_evidence": round(found.size_evidence, 2),
            "delay_evidence": round(found.delay_evidence, 2),
        }

    def _add_covariates(
        self, view: View, plan: WavePlan, before: int
    ) -> tuple[WavePlan, dict[str, float]]:
        """Return the plan with waves for those covariates with which shapes change, and evidence.

        The covariates are the preceding interval and, if there is a channel of respiration, breath.
        """
        names, columns = _list_covariates(view, plan.beats.starts + before)
        if not self.covariates or not names:
            return plan, {}
        beats = plan.beats
        evidence = beat_amplitudes.measure_covariates(
            _high(view, plan), beats, columns, plan.weights
        )
        told = {name: round(float(value), 2) for name, value in zip(names, evidence, strict=True)}
        kept = columns[:, evidence > _COVARIATE]
        if kept.shape[1]:
            scores = np.linalg.qr(np.concatenate([beats.scores, kept], axis=1))[0]
            plan = replace(plan, beats=replace(beats, scores=scores))
        return plan, told

    def _begin(self, starts: np.ndarray, n_samples: int, sfreq: float) -> Beats:
        """Return beats with the mean and slow changes as their only waveforms."""
        n_slow = 1 + int((starts[-1] - starts[0]) / sfreq / self.drift_s)
        if 2 * n_slow > len(starts):
            raise ValidationError(
                f"pulse_correction: drift_s={self.drift_s} gives {n_slow} waveforms for "
                f"{len(starts)} beats, which fit any signal: raise drift_s."
            )
        return Beats(
            starts, n_samples, np.linalg.qr(beat_amplitudes.list_slow(len(starts), n_slow))[0]
        )

    def correct_channel(
        self, x: np.ndarray, plan: WavePlan | NeighbourPlan, out: np.ndarray
    ) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        if isinstance(plan, WavePlan):
            np.subtract(x, _render_artifact(x, plan), out=out)
        else:
            subtract_beats(x, plan.peaks, plan.half, plan.write, self.method, self.n_side, out=out)


def _check_gradient(view: View) -> None:
    """Raise :class:`FindingError` if most channels still hold the gradient artifact."""
    from facet_nb.kernels.pulse.gradient_rest import has_gradient

    assert view.data is not None
    names, rows = np.array(view.ch_names), np.arange(len(view.data))
    rows = rows[:: max(1, len(rows) // _MOST_CHECKED)]
    found = np.array([has_gradient(view.data[row], view.sfreq) for row in rows], dtype=bool)
    if found.mean() > 0.5:
        raise FindingError(
            make_finding(
                "gradient_left",
                f"pulse_correction: {found.sum()} of {len(rows)} channels that were looked at "
                "hold the gradient artifact.",
                channels=names[rows[found]],
            )
        )


def _check_beats(peaks: np.ndarray, sfreq: float) -> float:
    """Return the median interval of the beats, in samples."""
    interval = float(np.median(np.diff(peaks))) if len(peaks) > 1 else 0.0
    if len(peaks) < _FEWEST:
        raise ValidationError(
            f"pulse_correction: {len(peaks)} heartbeats are too few (at least {_FEWEST}). Put "
            "QRSTriggerDetector before it."
        )
    if interval < _SHORTEST_S * sfreq:
        raise ValidationError(
            f"pulse_correction: the triggers are {interval / sfreq:.3g} s apart, too close for "
            "heartbeats (are they slice triggers?). Put QRSTriggerDetector before it."
        )
    return interval


def _note_long(notes: dict[str, Any], peaks: np.ndarray, interval: float) -> None:
    """Add the number of intervals with possibly missed beats to `notes`, and warn about them."""
    notes["long_intervals"] = int(np.sum(np.diff(peaks) > _LONG * interval))
    if notes["long_intervals"]:
        logger.warning(
            "PulseCorrection: %d intervals between beats are longer than 1.5 times the median: the "
            "artifact of missed beats remains.",
            notes["long_intervals"],
        )


def _tell_beats(view: View, notes: Mapping[str, Any], peaks: np.ndarray) -> tuple[Finding, ...]:
    """Return findings about beats, and about an artifact of the scanner that is still there."""
    found, share = [], float(notes["beats_supported"])
    if share < SUPPORTED:
        detail = (
            f"The EEG shows the artifact of a beat after {100 * share:.0f} % of {len(peaks)} beats."
        )
        found.append(make_finding("beats_unsupported", detail, share=share, n=len(peaks)))
    if n := int(notes.get("n_overlooked", 0)):
        detail = f"{n} beats were added where the EEG shows their artifact."
        found.append(make_finding("beats_overlooked", detail, n=n))
    if n := int(notes["long_intervals"]):
        detail = f"{n} intervals are longer than {_LONG:g} times the median."
        found.append(make_finding("beats_overlooked", detail, severity="warning", n=n))
    times_s = view.metadata.custom.get("scanner_times_s") or ()
    start_s = view.metadata.custom.get("scanner_start_s", 0.0)
    triggers = np.rint((np.asarray(times_s) - start_s) * view.sfreq).astype(np.int64)
    if len(triggers) > 3:
        length = int(np.median(np.diff(triggers)))
        x = next(_list_eeg(view), None)
        strength = 0.0 if x is None else measure_recurrence(x, triggers, length)
        if strength > _GRADIENT:
            detail = "The signal recurs with the scanner's triggers."
            found.append(
                make_finding("gradient_left", detail, severity="warning", strength=strength)
            )
    return tuple(found)


def _list_candidates(peaks: np.ndarray, interval: float, ends: tuple[int, int]) -> np.ndarray:
    """Return evenly spaced positions of possible beats in long intervals and at both ends."""
    places = []
    for before, after in pairwise(peaks.tolist()):
        n = round((after - before) / interval)
        if after - before > _LONG * interval:
            places += np.linspace(before, after, max(n, 2) + 1)[1:-1].tolist()
    places += np.arange(peaks[0] - interval, ends[0], -interval)[:_MOST_OUTER].tolist()
    places += np.arange(peaks[-1] + interval, ends[1], interval)[:_MOST_OUTER].tolist()
    return np.rint(sorted(places)).astype(np.int64)


def _list_covariates(view: View, peaks: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return names and values (n_beats, n_covariates) of what shapes may change with."""
    gaps = np.diff(peaks).astype(float)
    gaps /= np.median(gaps)
    # The first interval is unknown, and long ones are missed beats rather than pauses of the heart.
    names, columns = ["interval"], [np.append(0.0, np.clip(gaps, 0.5, _LONG) - 1.0)]
    rows = [i for i, kind in enumerate(view.all_types) if kind == "resp"]
    if rows and view.all_data is not None:
        width = max(1, round(_BREATH_S * view.sfreq))
        x = average_blocks(np.asarray(view.all_data[rows[0]], dtype=float), width)
        at = (np.arange(len(x)) + 0.5) * width
        names += ["breath", "breath_slope"]
        columns += [np.interp(peaks, at, part) for part in (x, np.gradient(x))]
    values = np.column_stack(columns)
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    known = spread > 1e-9 * np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    kept = [name for name, one in zip(names, known, strict=True) if one]
    return kept, values[:, known] / spread[known]


def _list_eeg(view: View) -> Iterator[np.ndarray]:
    """Yield the channels from which the artifact is estimated."""
    assert view.data is not None
    types = view.ch_types or ("eeg",) * len(view.data)
    for row, kind in zip(view.data, types, strict=True):
        if kind in PulseCorrection.types:
            yield row


def _high(view: View, plan: WavePlan) -> Iterator[np.ndarray]:
    """Yield the high-passed channels from which the artifact is estimated."""
    for row in _list_eeg(view):
        yield filter_sos(row[np.newaxis], plan.sos, padlen=plan.padlen)[0]


def _weigh_samples(channels: Iterator[np.ndarray], beats: Beats, sfreq: float) -> np.ndarray:
    """Return the weight of each sample: lower where the residual of all channels is unusual."""
    from scipy.ndimage import uniform_filter1d

    power, n = 0.0, 0
    for x in channels:
        residual = x - render(fit_waves(x, beats), beats, len(x))
        noise = float(np.var(residual))
        if noise > 0:
            power, n = power + residual * residual / noise, n + 1
    if not n:
        raise ValidationError(
            "pulse_correction: all channels are flat, so that no artifact can be fitted."
        )
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
