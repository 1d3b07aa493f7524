"""Whether the artifact keeps the time of its markers."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Distance of the artifacts that are compared first, in s; each next one is so many times larger.
_FIRST_S, _FURTHER = 2.0, 8
#: Length of a piece, in s and at most in samples, and the number of pairs that are compared.
_PIECE_S, _MOST, _PAIRS = 0.5, 2048, 5
#: Largest difference of both times, and the largest shift that is tried at once, in samples.
_REACH, _WIDEST = 0.003, 128
#: Correlation of two pieces that hold the same artifact; by how much it must exceed the one without
#: a shift; share of the pairs that agree to one sample.
_ALIKE, _BETTER, _AGREE = 0.7, 0.05, 0.75
#: A slip that is told, in samples over the longest distance that was compared: more than markers
#: that jitter by one sample. Where the median one jitters by more than that, nothing is.
_SLIP, _JITTER = 4.0, 1.0


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
    Pieces of half a second are compared by the correlation of their differences, in which EEG is
    weak. Differences above 0.2 % are not found.
    """
    n = min(round(_PIECE_S * sfreq), _MOST)
    if len(starts) < 4 or n < 8:
        return 0.0
    usual = float(np.median(np.diff(starts)))
    if np.median(np.abs(np.diff(starts) - usual)) > _JITTER:
        return 0.0
    apart = max(1, round(_FIRST_S * sfreq / usual))
    pace = slip = before = 0.0
    while apart < len(starts):
        first = np.unique(np.linspace(0, len(starts) - 1 - apart, _PAIRS).astype(int))
        one, two = starts[first], starts[first + apart]
        distance = float(np.median(two - one))
        # What the distance before has told, to a sample and a half.
        far = _REACH * distance if not before else 1.5 * distance / before + 1.0
        shift, reach = round(pace * distance), min(int(np.ceil(far)), _WIDEST)
        found = _compare(x, one, two, n, shift, reach)
        if found is None:
            break
        pace, before = found / distance, distance
        slip = found
        longest = len(starts) - 1 - len(starts) // 4
        apart = max(apart + 1, min(_FURTHER * apart, longest)) if apart < longest else len(starts)
    return pace if abs(slip) >= _SLIP else 0.0


def describe_pace(pace: float, starts: np.ndarray, sfreq: float) -> tuple[str, dict[str, Any]]:
    """Return in words and in figures how the artifact's time differs from the markers'.

    Parameters
    ----------
    pace : float
        Output of :func:`measure_pace`.
    starts, sfreq
        Its input.

    Returns
    -------
    text : str
        A sentence.
    figures : dict
        ``factor``, of the artifact's period to the markers', and ``slip_s``, what that makes until
        the last marker, in s.
    """
    slip_s = pace * float(starts[-1] - starts[0]) / sfreq
    side = "late" if pace > 0 else "early"
    text = (
        f"From marker to marker the artifact takes {1 + pace:.6f} times as long: "
        f"{1e3 * abs(slip_s):.3g} ms {side} at the last one."
    )
    return text, {"factor": 1 + pace, "slip_s": slip_s}


def _compare(
    x: np.ndarray, one: np.ndarray, two: np.ndarray, n: int, shift: int, reach: int
) -> float | None:
    """Return the shift of the pieces at `two` on which most pairs agree; None if they do not."""
    shifts, gains, n_held = [], [], 0
    for a, b in zip(one.tolist(), two.tolist(), strict=True):
        low, high = b + min(shift, 0) - reach, b + max(shift, 0) + n + reach + 1
        if a < 0 or low < 0 or max(high, a + n + 1) > len(x):
            continue
        n_held += 1
        like = _correlate(np.diff(x[low:high]), np.diff(x[a : a + n + 1]))
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


def _correlate(piece: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the normalised correlation of a template with each place in a longer piece."""
    n = len(template)
    energy = np.concatenate([[0.0], np.cumsum(piece**2)])
    scale = np.sqrt(np.maximum(energy[n:] - energy[:-n], 0.0) * float(template @ template))
    sums = np.correlate(piece, template, "valid")
    return np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
