"""Whether the artifact keeps the time of its markers, and markers that are taken to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.kernels.triggers.spacing import artifact_length

#: Distance of the artifacts that are compared first, in s; each next one is so many times larger.
_FIRST_S, _FURTHER = 2.0, 8
#: Length of a piece, in s and at most in samples, and the number of pairs that are compared.
_PIECE_S, _MOST, _PAIRS = 0.5, 2048, 5
#: Largest difference of both times, and the largest shift that is tried at once, in samples.
_REACH, _WIDEST = 0.003, 128
#: Correlation of two pieces that hold the same artifact; by how much it must exceed the one without
#: a shift; share of the pairs that agree to one sample.
_ALIKE, _BETTER, _AGREE = 0.6, 0.05, 0.75
#: A slip that is told, in samples over the longest distance that was compared: more than markers
#: that jitter by one sample. Where the median one jitters by more than that, nothing is.
_SLIP, _JITTER = 4.0, 1.0
#: Artifacts, at most, from which the mean is made, and as many others that are compared with it;
#: what they must leave at mended starts, in parts of what they leave at the markers.
_HELD, _LESS = 40, 0.9
#: Relative difference of the periods from which averages blur: at 100 ppm they are bad.
_BLURS = 5e-5
#: Pairs whose distance is measured between samples, and the largest rest, in samples.
_FINE_PAIRS, _REST = 40, 2


@dataclass(frozen=True)
class Pace:
    """How the artifact's time differs from that of its markers.

    Attributes
    ----------
    pace : float
        By how much its period exceeds theirs, relative to it; 0 if it does not, or if that factor
        does not explain the artifacts that are held out.
    given : ndarray of int, shape (n_epochs,)
        Starts of the artifacts by the markers, in samples.
    starts : ndarray of int, shape (n_epochs,)
        The same, taken to the artifacts.
    """

    pace: float
    given: np.ndarray
    starts: np.ndarray

    @property
    def is_mended(self) -> bool:
        """Whether the starts were taken to the artifacts."""
        return self.pace != 0

    @property
    def blurs(self) -> bool:
        """Whether averages at the markers would be blurred."""
        return abs(self.pace) >= _BLURS

    def stretch(self, n_samples: int) -> int:
        """Return the length of an artifact at the mended starts, in samples, from that before."""
        if not self.is_mended:
            return n_samples
        if n_samples == artifact_length(self.given):
            return artifact_length(self.starts) or n_samples
        return max(1, round(n_samples * (1.0 + self.pace)))

    def describe(self, sfreq: float) -> tuple[str, dict[str, Any]]:
        """Return in words and in figures how the times differ.

        Parameters
        ----------
        sfreq : float
            Sampling rate, in Hz.

        Returns
        -------
        text : str
            Two sentences.
        figures : dict
            ``factor``, of the artifact's period to the markers', and ``slip_s``, what that makes
            until the last marker, in s.
        """
        slip_s = self.pace * float(self.given[-1] - self.given[0]) / sfreq
        side = "late" if self.pace > 0 else "early"
        text = (
            f"From marker to marker the artifact takes {1 + self.pace:.6f} times as long: "
            f"{1e3 * abs(slip_s):.3g} ms {side} at the last one. "
        )
        text += "Onsets were taken to the artifacts by this factor."
        return text, {"factor": 1 + self.pace, "slip_s": slip_s}


def keep_pace(x: np.ndarray, starts: np.ndarray, sfreq: float) -> Pace:
    """Return how the artifact's time differs from that of its markers, and mended starts.

    The distances from the first marker are stretched by the factor of both periods. That is kept if
    artifacts, aligned so, differ less from the mean of others than at the markers.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        Starts of the artifacts of one run by its markers, in samples, in order of time.
    sfreq : float
        Sampling rate, in Hz.
    """
    pace = measure_pace(x, starts, sfreq)
    if not pace:
        return Pace(0.0, starts, starts)
    n = min(round(_PIECE_S * sfreq), _MOST, max(8, int(np.median(np.diff(starts)))))
    pace = _refine(x, starts, pace, n)
    mended = _stretch(starts, pace)
    left = [_measure_left(x, own, n) for own in (starts, mended)]
    if left[1] < _LESS * left[0]:
        return Pace(pace, starts, mended)
    return Pace(0.0, starts, starts)


def measure_pace(x: np.ndarray, starts: np.ndarray, sfreq: float) -> float:
    """Return by how much the artifact's period exceeds that of its markers, relative to it.

    Artifacts that are farther and farther apart are compared: a shift that grows with the distance
    is another clock, or another sampling rate than the header's.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V; or what gives its samples when it is sliced.
    starts : ndarray of int, shape (n_epochs,)
        Starts of the artifacts of one run by its markers, in samples, in order of time.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    float
        The difference; 0 unless four samples or more are seen, on which three quarters of the pairs
        agree.

    Notes
    -----
    Pieces of half a second are compared by the correlation of their differences. What exceeds 0.2 %
    is not found.
    """
    n = min(round(_PIECE_S * sfreq), _MOST)
    if len(starts) < 4 or n < 8:
        return 0.0
    usual = float(np.median(np.diff(starts)))
    if np.median(np.abs(np.diff(starts) - usual)) > _JITTER:
        return 0.0
    apart, again = max(1, round(_FIRST_S * sfreq / usual)), False
    pace = slip = before = 0.0
    # Behind the last artifact of the train is nothing to compare.
    last = _find_last(starts, n)
    while apart <= last:
        first = np.unique(np.linspace(0, last - apart, _PAIRS).astype(int))
        one, two = starts[first], starts[first + apart]
        distance = float(np.median(two - one))
        # What the distance before has told, to a sample and a half.
        far = _REACH * distance if not before else 1.5 * distance / before + 1.0
        shift, reach = round(pace * distance), min(int(np.ceil(far)), _WIDEST)
        found = _compare(x, one, two, n, shift, reach)
        if found is None and not again:
            # Two kinds of artifacts may take turns, or artifacts lie half a sample apart.
            apart, again = apart + 1, True
            continue
        if found is None:
            break
        again = False
        pace, before = found / distance, distance
        slip = found
        longest = last - len(starts) // 4
        apart = max(apart + 1, min(_FURTHER * apart, longest)) if apart < longest else last + 1
    return pace if abs(slip) >= _SLIP else 0.0


def _find_last(starts: np.ndarray, n: int) -> int:
    """Return the number of the last artifact that holds a piece of `n` samples."""
    end = starts[-1] + np.median(np.diff(starts))
    return int(np.searchsorted(starts, end - n, side="right")) - 1


def _stretch(starts: np.ndarray, pace: float) -> np.ndarray:
    stretched = starts[0] + (starts - starts[0]) * (1.0 + pace)
    return np.asarray(np.rint(stretched), dtype=np.int64)


def _refine(x: np.ndarray, starts: np.ndarray, pace: float, n: int) -> float:
    """Return the pace from the distance of artifacts between samples."""
    last = _find_last(starts, n)
    apart = max(1, last - len(starts) // 4)
    # Drawn at random, so that how markers are rounded cancels.
    first = np.arange(max(0, last - apart) + 1)
    first = np.random.default_rng(0).permutation(first)[:_FINE_PAIRS]
    rests, distances = [], []
    for i, j in zip(first.tolist(), (first + apart).tolist(), strict=True):
        one, far = _stretch(starts[[0, i]], pace)[1], (starts[j] - starts[i]) * (1.0 + pace)
        two = round(one + far)
        if one < 0 or two < _REST or max(one, two + _REST) + n + 2 > len(x):
            continue
        piece = _differ(x, two - _REST, two + _REST + n)
        like = _correlate(piece, _differ(x, one, one + n))
        best = int(np.argmax(like))
        if 0 < best < 2 * _REST and like[best] >= _ALIKE:
            low, middle, high = like[best - 1 : best + 2]
            peak = 0.5 * (low - high) / (low - 2.0 * middle + high)
            rests.append(two + best - _REST + peak - one - far)
            distances.append(starts[j] - starts[i])
    if not rests:
        return pace
    near = np.abs(np.array(rests) - np.median(rests)) <= 1.0
    return pace + float(np.mean(np.array(rests)[near]) / np.mean(np.array(distances)[near]))


def _measure_left(x: np.ndarray, starts: np.ndarray, n: int) -> float:
    """Return what artifacts differ from the mean of others, in parts of their energy.

    NaN with too few artifacts.
    """
    held = starts[(starts >= 0) & (starts + n + 2 <= len(x))]
    some = np.unique(np.linspace(0, len(held) - 1, min(2 * _HELD, len(held))).astype(int))
    if len(some) < 4:
        return np.nan
    pieces = np.stack([_differ(x, a, a + n) for a in held[some].tolist()])
    # Not every second one: how markers are rounded may alternate.
    pieces = np.random.default_rng(0).permutation(pieces)
    rest = pieces[1::2] - pieces[::2].mean(axis=0)
    energy = float(np.einsum("ij,ij->", pieces[1::2], pieces[1::2]))
    return float(np.einsum("ij,ij->", rest, rest)) / max(energy, 1e-300)


def _compare(
    x: np.ndarray, one: np.ndarray, two: np.ndarray, n: int, shift: int, reach: int
) -> float | None:
    """Return the shift of the pieces at `two` on which most pairs agree; None if they do not."""
    shifts, gains, n_held = [], [], 0
    for a, b in zip(one.tolist(), two.tolist(), strict=True):
        low, high = b + min(shift, 0) - reach, b + max(shift, 0) + n + reach
        if a < 0 or low < 0 or max(high, a + n) + 2 > len(x):
            continue
        n_held += 1
        like = _correlate(_differ(x, low, high), _differ(x, a, a + n))
        best = int(np.argmax(like))
        if like[best] >= _ALIKE:
            shifts.append(best + low - b)
            gains.append(float(like[best] - like[b - low]))
    if not n_held or len(shifts) < _AGREE * n_held:
        return None
    usual = float(np.median(shifts))
    if abs(usual - shift) >= reach - 1 > 1:
        return None  # what is found at the edge of the search is not the best place
    agree = np.abs(np.array(shifts) - usual) <= 1.0
    # The marker itself is the answer unless another place is clearly better.
    if agree.sum() < _AGREE * n_held or (usual and np.median(gains) < _BETTER):
        return None if usual else 0.0
    return usual


def _differ(x: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return differences over two samples, in which EEG is weak.

    So are frequencies at which half a sample matters, because markers lie at whole ones.
    """
    return x[start + 2 : stop + 2] - x[start:stop]


def _correlate(piece: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the normalised correlation of a template with each place in a longer piece."""
    n = len(template)
    energy = np.concatenate([[0.0], np.cumsum(piece**2)])
    scale = np.sqrt(np.maximum(energy[n:] - energy[:-n], 0.0) * float(template @ template))
    sums = np.correlate(piece, template, "valid")
    return np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
