"""Heartbeats found by their artifact in the EEG, without an ECG or beside a noisy one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.linalg import eigh
from scipy.signal import butter, find_peaks, sosfiltfilt

from facet_nb.kernels import fft
from facet_nb.kernels.templates.averaging import take_epochs

#: Band in which the pulse artifact exceeds the EEG, in Hz.
_BAND_HZ = (1.0, 10.0)
#: Spatial components that are searched: the artifact is among the strongest.
_N_COMPONENTS = 8
#: Shortest and longest interval between beats, in s: 40 to 150 beats a minute.
_INTERVALS_S = (0.4, 1.5)
#: Length of the template, relative to the interval.
_LENGTH = 0.7
#: Number of first guesses, and of rounds in which each one finds beats and averages them.
_N_GUESSES, _N_ROUNDS = 8, 5
#: Cost of an interval: this times the squared logarithm of its ratio to the usual interval; an
#: interval over beats that are left out costs more for each.
_IRREGULAR, _LEFT_OUT = 5.0, 0.3
#: Beats left out in a row at most.
_MOST_LEFT_OUT = 3
#: Number of intervals whose median is the usual interval at a place.
_N_USUAL = 15
#: First guesses are tried on this much of the recording, from its middle, in s.
_TRIED_S = 150.0
#: Shortest recording, in s: trains of few beats resemble their own mean by chance.
_SHORTEST_S = 30.0
#: Least evidence of a pulse artifact. In simulated EEG without one it was 1.5 to 1.75, in white
#: noise up to 2.9, with artifact 3.4 to 7.4 (eight channels or more, 180 s).
LEAST_EVIDENCE = 3.0
#: Intervals of a heart vary by more than this, relative to the median.
_LEAST_VARIATION = 0.005
#: A beat of the ECG is supported by one of the EEG within this time, in s.
_TOLERANCE_S = 0.06
#: An ECG with a smaller share of supported beats is noisy: its other beats are not exact either.
_LEAST_SUPPORT = 0.9
#: In other ECGs, a beat is false if its artifact is smaller than this, relative to the mean, and a
#: beat is added if it is larger than this.
_FALSE, _ADDED = 0.25, 0.5
#: Added beats are at least this far from others, in intervals.
_APART = 0.4
#: The artifact is centred this long after the R peak (Debener et al. 2008), in s.
DELAY_S = 0.21


@dataclass(frozen=True)
class EEGBeats:
    """Heartbeats found in the EEG.

    Attributes
    ----------
    places : ndarray, shape (n_beats,)
        Times of the beats, in samples: the middle of the template.
    sizes : ndarray, shape (n_beats,)
        Size of the artifact of each beat, relative to the mean artifact.
    match : ndarray, shape (n_times,)
        Size of the artifact, if a beat were centred on the sample.
    template : ndarray, shape (n_components, n_samples)
        The mean artifact in whitened spatial components.
    evidence : float
        Median size at the beats, relative to the standard deviation of `match` (from its median
        deviation): how far beats stand out from all else that resembles them.
    """

    places: np.ndarray
    sizes: np.ndarray
    match: np.ndarray
    template: np.ndarray
    evidence: float


def whiten(x: np.ndarray, sfreq: float) -> np.ndarray:
    """Return the strongest spatial components of EEG in the band of the pulse artifact.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        EEG, in V, of which none is flat.
    sfreq : float
        Sampling rate, in Hz; above 25 Hz.

    Returns
    -------
    ndarray, shape (n_components, n_times)
        Components of unit variance. A matched filter over them weights channels as one with the
        covariance of the noise does.
    """
    sos = butter(2, _BAND_HZ, "bandpass", fs=sfreq, output="sos")
    band = sosfiltfilt(sos, x, axis=1)
    # Each channel counts alike, whatever its impedance or amplifier.
    band /= np.maximum(np.median(np.abs(band), axis=1, keepdims=True), np.finfo(float).tiny)
    band = np.clip(band, -10.0, 10.0)
    values, vectors = eigh(band @ band.T / band.shape[1])
    kept = values > 1e-3 * values[-1]
    kept[:-_N_COMPONENTS] = False
    return (vectors[:, kept] / np.sqrt(values[kept])).T @ band


def find_eeg_beats(
    components: np.ndarray, sfreq: float, guesses: Sequence[np.ndarray] = ()
) -> EEGBeats | None:
    """Return the train of beats whose mean artifact explains most of the EEG.

    Parameters
    ----------
    components : ndarray, shape (n_components, n_times)
        Result of :func:`whiten`.
    sfreq : float
        Sampling rate, in Hz.
    guesses : sequence of ndarray
        Beats from elsewhere, in samples, e.g. of an ECG: first guesses among others.

    Returns
    -------
    EEGBeats | None
        The beats; None if the recording is shorter than 30 s.

    Notes
    -----
    Beats and mean artifact are found in turns, from several first guesses: a matched filter with
    the mean artifact gives candidates, among which dynamic programming chooses the train with the
    largest artifacts and the most regular intervals (as beat trackers of music do: Ellis 2007,
    doi:10.1080/09298210701653344).
    """
    n_times = components.shape[1]
    if n_times < _SHORTEST_S * sfreq:
        return None
    n_tried = min(n_times, round(_TRIED_S * sfreq))
    first = (n_times - n_tried) // 2
    tried = components[:, first : first + n_tried]
    given = [b[(b >= first) & (b < first + n_tried)] - first for b in guesses]
    found = (_refine(tried, *guess) for guess in _guess(tried, sfreq, given))
    alive = (f for f in found if f is not None and _has_heart_rate(f.places))
    best = max(alive, key=lambda f: f.evidence, default=None)
    if best is None or n_tried == n_times:
        return best
    return _refine(components, best.template, float(np.median(np.diff(best.places))))


def _has_heart_rate(places: np.ndarray) -> bool:
    """Return whether intervals vary as those of a heart do; volumes of a scanner do not."""
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    return 1.4826 * float(np.median(np.abs(gaps - usual))) > _LEAST_VARIATION * usual


def _guess(
    components: np.ndarray, sfreq: float, guesses: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield first templates and intervals: of given beats, and of the loudest places."""
    low, high = (round(limit * sfreq) for limit in _INTERVALS_S)
    for beats in guesses:
        if len(beats) > 1:
            interval = float(np.clip(np.median(np.diff(beats)), low, high))
            n_samples = round(_LENGTH * interval)
            middle = np.rint(beats).astype(np.int64) + round(0.21 * sfreq)
            epochs = [take_epochs(x, middle - n_samples // 2, n_samples) for x in components]
            yield np.mean(epochs, axis=1), interval
    power = np.convolve((components**2).sum(axis=0), np.ones(round(0.2 * sfreq)), "same")
    edge = high // 2
    for part in np.array_split(np.arange(edge, len(power) - edge), _N_GUESSES):
        # A movement is louder than any beat: the loudest of a usual stretch.
        usual = part[power[part] <= np.quantile(power[part], 0.98)]
        middle = int(usual[np.argmax(power[usual])])
        half = round(0.3 * sfreq)
        template = components[:, middle - half : middle + half]
        match = _match(components, template)
        interval = _find_interval(match, low, high)
        yield template, interval


def _match(components: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the size of the template at each sample that it may be centred on."""
    n_times, n_samples = components.shape[1], template.shape[1]
    n_fft = fft.next_fast_len(n_times + n_samples, real=True)
    spectrum = np.zeros(n_fft // 2 + 1, dtype=complex)
    for x, shape in zip(components, template, strict=True):
        spectrum += fft.rfft(x, n_fft) * np.conj(fft.rfft(shape, n_fft))
    seen = np.roll(fft.irfft(spectrum, n_fft), n_samples // 2)[:n_times]
    return seen / max(float(np.vdot(template, template)), np.finfo(float).tiny)


def _find_interval(match: np.ndarray, low: int, high: int) -> float:
    """Return the interval at which the match repeats, in samples."""
    x = np.clip(match, 0.0, np.quantile(match, 0.995))
    x = x - x.mean()
    n_fft = fft.next_fast_len(len(x) + high + 1, real=True)
    repeat = fft.irfft(np.abs(fft.rfft(x, n_fft)) ** 2, n_fft)[: high + 1]
    return float(low + np.argmax(repeat[low:]))


def _refine(components: np.ndarray, template: np.ndarray, interval: float) -> EEGBeats | None:
    """Return the beats after several rounds of search and average."""
    n_times = components.shape[1]
    usual = np.full(n_times, interval)
    for _ in range(_N_ROUNDS):
        match = _match(components, template)
        places = _choose_train(match, usual)
        if len(places) < 8:
            return None
        gaps = np.diff(places)
        usual = np.interp(np.arange(n_times), places[:-1] + gaps / 2.0, _find_usual(gaps))
        n_samples = round(_LENGTH * float(np.median(gaps)))
        starts = np.rint(places).astype(np.int64) - n_samples // 2
        epochs = np.stack([take_epochs(x, starts, n_samples) for x in components])
        template = epochs.mean(axis=1)
    match = _match(components, template)
    places = _choose_train(match, usual)
    if len(places) < 8:
        return None
    sizes = np.interp(places, np.arange(n_times), match)
    noise = max(1.4826 * float(np.median(np.abs(match))), 1e-12)
    return EEGBeats(places, sizes, match, template, float(np.median(sizes)) / noise)


def _find_usual(gaps: np.ndarray) -> np.ndarray:
    """Return the median of the intervals around each one, of fewer at both ends."""
    half, n = _N_USUAL // 2, len(gaps)
    usual = np.empty(n)
    if n > 2 * half:
        usual[half : n - half] = np.median(sliding_window_view(gaps, 2 * half + 1), axis=1)
    for i in {*range(min(half, n)), *range(max(n - half, 0), n)}:
        usual[i] = np.median(gaps[max(0, i - half) : i + half + 1])
    return usual


def _choose_train(match: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return the train of places, in samples, with the best sum of sizes less irregularity."""
    at = find_peaks(match)[0]
    at = at[match[at] > 0]
    if len(at) < 8:
        return np.zeros(0)
    gain = np.minimum(match[at], 2.0)
    total, before = gain.copy(), np.full(len(at), -1)
    reach = (_MOST_LEFT_OUT + 1.3) * usual[at]
    first = np.searchsorted(at, at - reach)
    last = np.searchsorted(at, at - 0.4 * usual[at], side="right")
    for i in range(len(at)):
        if last[i] <= first[i]:
            continue
        earlier = slice(first[i], last[i])
        ratio = (at[i] - at[earlier]) / usual[at[i]]
        n = np.maximum(np.rint(ratio), 1.0)
        cost = _IRREGULAR * np.log(ratio / n) ** 2 + (n - 1.0) * _LEFT_OUT
        value = total[earlier] - cost
        j = int(np.argmax(value))
        if value[j] > 0:
            total[i], before[i] = gain[i] + value[j], first[i] + j
    chain = [int(np.argmax(total))]
    while before[chain[-1]] >= 0:
        chain.append(int(before[chain[-1]]))
    chosen = at[chain[::-1]]
    return chosen + _find_vertex(match, chosen)


def _find_vertex(match: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the vertices of parabolas through three samples, relative to the middle ones."""
    inner = np.clip(at, 1, len(match) - 2)
    before, top, after = match[inner - 1], match[inner], match[inner + 1]
    bend = before - 2 * top + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros(len(at)), where=bend < 0)
    return np.clip(shift, -1.0, 1.0)


def place_r_peaks(components: np.ndarray, sfreq: float, beats: EEGBeats) -> np.ndarray:
    """Return the R peaks of beats that were found in the EEG alone, in samples.

    The artifact's power, averaged over beats, is centred 0.21 s after the R peak.
    """
    interval = float(np.median(np.diff(beats.places)))
    n_samples = round(interval)
    starts = np.rint(beats.places).astype(np.int64) - n_samples // 2
    power = sum(take_epochs(x, starts, n_samples).mean(axis=0) ** 2 for x in components)
    # The beat recurs: a circular mean does not depend on where the epoch begins.
    turn = np.exp(2j * np.pi * (np.arange(n_samples) - n_samples // 2) / n_samples)
    centre = float(np.angle(np.sum(power * turn))) * n_samples / (2.0 * np.pi)
    return beats.places + centre - DELAY_S * sfreq


@dataclass(frozen=True)
class Support:
    """Beats of an ECG, compared with those of the EEG.

    Attributes
    ----------
    kept : ndarray of bool, shape (n_peaks,)
        R peaks of the ECG that stay.
    added : ndarray, shape (n_added,)
        R peaks of beats that only the EEG shows, in samples.
    share : float
        Share of the ECG's peaks that the EEG supports, or of the EEG's beats that the ECG has,
        whichever is smaller.
    """

    kept: np.ndarray
    added: np.ndarray
    share: float

    @property
    def is_noisy(self) -> bool:
        """Whether so few peaks are supported that all beats are those of the EEG."""
        return self.share < _LEAST_SUPPORT


def support_beats(
    peaks: np.ndarray, beats: EEGBeats, components: np.ndarray, sfreq: float
) -> Support:
    """Compare the R peaks of an ECG with the beats of the EEG.

    Parameters
    ----------
    peaks : ndarray, shape (n_peaks,)
        R peaks, in samples of the components.
    beats : EEGBeats
        Beats in the EEG; their delay after the R peaks is the commonest one.
    components : ndarray, shape (n_components, n_times)
        Result of :func:`whiten`.
    sfreq : float
        Their sampling rate, in Hz.

    Returns
    -------
    Support
        All peaks are kept, and none is added, if the EEG supports all of them.
    """
    tolerance = _TOLERANCE_S * sfreq
    delay = _find_delay(peaks, beats.places, tolerance)
    due = peaks + delay
    matched = np.abs(due - _find_nearest(due, beats.places)) <= tolerance
    # Beats at the ends, where half of a QRS complex or of an artifact is missing, stay as the ECG
    # tells.
    within = (beats.places > due[0]) & (beats.places < due[-1])
    found = np.abs(beats.places - _find_nearest(beats.places, due)) <= tolerance
    share = min(float(matched.mean()), float(found[within].mean()) if within.any() else 0.0)
    if share < _LEAST_SUPPORT:
        return Support(np.zeros(len(peaks), bool), place_r_peaks(components, sfreq, beats), share)
    sizes = _find_largest(beats.match, due, round(tolerance))
    kept = matched | (sizes >= _FALSE)
    alone = beats.places[within & (beats.sizes >= _ADDED)]
    apart = _APART * float(np.median(np.diff(beats.places)))
    far = np.abs(alone - _find_nearest(alone, due[kept])) > apart
    return Support(kept, alone[far] - delay, share)


def _find_delay(peaks: np.ndarray, places: np.ndarray, tolerance: float) -> float:
    """Return the commonest distance from a peak to a place, in samples."""
    interval = float(np.median(np.diff(places)))
    at = np.searchsorted(places, peaks - 0.5 * interval)
    gaps = np.concatenate([places[np.minimum(at + i, len(places) - 1)] - peaks for i in range(2)])
    gaps = np.sort(gaps[np.abs(gaps) <= 1.5 * interval])
    # The window of one tolerance to either side that holds most distances.
    n_within = np.searchsorted(gaps, gaps + 2.0 * tolerance, side="right") - np.arange(len(gaps))
    first = int(np.argmax(n_within))
    return float(np.median(gaps[first : first + n_within[first]]))


def _find_nearest(wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the place nearest to each wanted one; `places` are sorted."""
    at = np.clip(np.searchsorted(places, wanted), 1, max(1, len(places) - 1))
    before, after = places[at - 1], places[np.minimum(at, len(places) - 1)]
    return np.where(wanted - before <= after - wanted, before, after)


def _find_largest(match: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """Return the largest match within `reach` of each place; infinity outside of the recording."""
    at = np.rint(places).astype(np.int64)[:, np.newaxis] + np.arange(-reach, reach + 1)
    inside = (at >= 0) & (at < len(match))
    seen = np.where(inside, match[np.clip(at, 0, len(match) - 1)], -np.inf)
    return np.where(inside.all(axis=1), seen.max(axis=1), np.inf)
