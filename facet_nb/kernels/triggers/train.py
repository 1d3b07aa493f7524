"""Faults of a train of markers: doubled, stray, or of two sequences; and what is locked to it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from facet_nb.kernels.triggers.spacing import Spacing, describe_spacing

#: A pair nearer than this share of the usual distance is one marker twice: a slice takes 30 ms or
#: more, so that two of them fill more of a volume, and both edges of a TTL pulse are nearer.
_DOUBLED = 0.1
#: Markers of one event, at most: contacts bounce once or twice.
_MOST_EACH = 3
#: Ratio of neighbouring distances (sorted) that separates pairs from the train.
_JUMP = 4.0
#: Share of unexplained distances up to which a train is regular.
_FEW = 0.1
#: Stray markers, as a share of all, up to which it is clear which are stray.
_MOST_STRAY = 0.25
#: Markers before one that are tried as its predecessor: at most three stray ones in a row.
_LOOK_BACK = 4
#: Weight of a distance that is not explained, in markers.
_BREAK = 1.5
#: Distances of a sequence in a row, at least; how far they differ, and two sequences (samples,
#: share): markers that jitter by ±2 samples change a distance by 4.
_IN_A_ROW, _ALIKE, _OTHER = 5, (4.0, 0.005), (10.0, 0.01)
#: Markers of a regular train, at least.
_TRAIN = 6


def find_doubled(positions: np.ndarray) -> np.ndarray:
    """Return the indices of markers that repeat the one before: bounces, second edges of pulses.

    A marker is a repetition if it is nearer to the first of its group than a tenth of the usual
    distance of the groups, no group has more than three markers, and the groups are a regular
    train.

    Parameters
    ----------
    positions : ndarray of int, shape (n_markers,)
        Positions, in samples, sorted, without duplicates.

    Returns
    -------
    ndarray of int, shape (n_doubled,)
        Indices into `positions`.
    """
    diffs = np.diff(positions)
    ordered = np.sort(diffs)
    if len(ordered) < 2:
        return np.zeros(0, np.int64)
    for k in np.flatnonzero(ordered[1:] >= _JUMP * ordered[:-1]):
        first = np.concatenate([[True], diffs > ordered[k]])
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(positions)) - 1
        if len(starts) < 3 or int((ends - starts).max()) >= _MOST_EACH:
            continue
        known = describe_spacing(positions[starts])
        extent = int((positions[ends] - positions[starts]).max())
        if extent <= _DOUBLED * known.usual and share_irregular(known) <= _FEW:
            kept = _choose_members(positions, starts, ends, known.usual)
            return np.setdiff1d(np.arange(len(positions)), kept)
    return np.zeros(0, np.int64)


def _choose_members(
    positions: np.ndarray, starts: np.ndarray, ends: np.ndarray, usual: float
) -> np.ndarray:
    """Return the index of the marker that is kept of each group.

    It is the first, unless another one fits the markers without a double around it better by more
    than a sample: the first may be a stray one just before a marker of the scanner.
    """
    alone, kept = positions[starts[starts == ends]], starts.copy()
    if len(alone) < 3:
        return kept
    for group in np.flatnonzero(ends > starts):
        members = np.arange(starts[group], ends[group] + 1)
        after = int(np.clip(np.searchsorted(alone, positions[members[0]]), 1, len(alone) - 1))
        apart = positions[members] - alone[[[after - 1], [after]]]
        misfit = np.abs(apart - np.rint(apart / usual) * usual).min(axis=0)
        best = int(np.argmin(misfit))
        if misfit[best] < misfit[0] - 1.0:
            kept[group] = members[best]
    return kept


def find_strays(positions: np.ndarray) -> np.ndarray:
    """Return the indices of markers that are not on the regular train of the others.

    The train is the chain of markers with the most members whose distances are whole numbers of
    regular ones (and a pause between volumes); a distance that is not costs 1.5 members. If more
    than a quarter of the markers would be stray, it is not clear which are: none is returned.

    Parameters and result are those of :func:`find_doubled`.
    """
    none = np.zeros(0, np.int64)
    if len(positions) < _TRAIN:
        return none
    known = describe_spacing(positions)
    tolerance = max(4.0, 0.05 * known.usual)
    # Missing markers and pauses make distances longer: only a stray marker makes one shorter.
    if np.diff(positions).min() >= 0.75 * known.usual - tolerance:
        return none
    score, before = np.zeros(len(positions)), np.full(len(positions), -1)
    for i in range(1, len(positions)):
        low = max(0, i - _LOOK_BACK)
        distances = positions[i] - positions[low:i]
        fits = is_whole(distances, known, tolerance)
        gained = score[low:i] + np.where(fits, 1.0, 1.0 - _BREAK)
        # Of equal chains, the one without missing markers: the nearest predecessor.
        best = len(gained) - 1 - int(np.argmax(gained[::-1]))
        score[i], before[i] = gained[best], low + best
    kept, i = np.zeros(len(positions), bool), int(np.argmax(score))
    after = np.flatnonzero(np.arange(len(positions)) > i)
    while i >= 0:
        kept[i] = True
        i = before[i]
    stray = np.flatnonzero(~kept)
    if not len(stray) or len(stray) > _MOST_STRAY * len(positions) or len(after) > _LOOK_BACK:
        return none
    rest = describe_spacing(positions[kept])
    return stray if rest.n_irregular <= known.n_irregular else none


def is_whole(distances: np.ndarray, known: Spacing, tolerance: float) -> np.ndarray:
    """Whether distances are whole numbers of regular ones, with at most one pause."""
    fits = np.zeros(len(distances), bool)
    for pause in {0.0, known.pause}:
        m = np.maximum(1.0, np.rint((distances - pause) / known.usual))
        fits |= np.abs(distances - pause - m * known.usual) <= tolerance
    return fits


def share_irregular(known: Spacing) -> float:
    """Return the share of distances that nothing explains."""
    return known.n_irregular / max(1, len(known.slots))


def is_regular(positions: np.ndarray) -> bool:
    """Whether markers are a train that a scanner may have sent.

    There are six or more, nine tenths of the distances are explained, and eight tenths of those
    without a pause are equal to 1 % or four samples.
    """
    positions = np.unique(positions)
    if len(positions) < _TRAIN:
        return False
    known, diffs = describe_spacing(positions), np.diff(positions)
    plain = diffs[known.pauses == 0]
    close = np.abs(plain - known.usual) <= max(4.0, 0.01 * known.usual)
    return bool(share_irregular(known) <= _FEW and close.size and np.mean(close) >= 0.8)


def find_sequences(positions: np.ndarray) -> list[tuple[int, int, float]]:
    """Return first and last index, and usual distance, of sequences with different distances.

    A sequence is five distances or more in a row that agree within 0.5 % (or four samples).
    Sequences differ by more than 1 % (or ten samples); an empty list if none do.

    Parameters
    ----------
    positions : ndarray of int, shape (n_markers,)
        Positions, in samples, sorted, without duplicates.
    """
    diffs = np.diff(positions).astype(float)
    found: list[tuple[int, int, float]] = []
    for first, last in _runs(diffs):
        usual = float(np.mean(diffs[first : last + 1]))
        if found and abs(usual - found[-1][2]) <= _width(usual, _OTHER):
            found[-1] = (found[-1][0], last + 1, found[-1][2])
        else:
            found.append((first, last + 1, usual))
    return found if len(found) > 1 else []


def _runs(diffs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield first and last index of distances that agree with the first of them."""
    values, first = diffs.tolist(), 0  # Python's numbers: a fifth of the time of NumPy's
    if not values:
        return
    known, width = values[0], _width(values[0], _ALIKE)
    values.append(math.inf)  # ends the last run
    for i, value in enumerate(values):
        if abs(value - known) > width:
            if i - first >= _IN_A_ROW:
                yield first, i - 1
            first, known, width = i, value, _width(value, _ALIKE)


def _width(usual: float, limits: tuple[float, float]) -> float:
    return max(limits[0], limits[1] * usual)


def measure_locking(
    positions: np.ndarray, triggers: np.ndarray, n_times: int = 1
) -> tuple[float, float]:
    """Return how far events are locked to a train: the mean resultant length, and its p value.

    Each event has the phase of its position between two triggers. Of n events with independent
    phases, the length exceeds R with probability exp(−n R²) (Rayleigh's test); where R is near 1,
    with that of n − 1 phases in a ball of squared radius 2n(1 − R), which tells few events, too.

    Parameters
    ----------
    positions : ndarray of int, shape (n_events,)
        Events, in samples.
    triggers : ndarray of int, shape (n_triggers,)
        The train, in samples, sorted.
    n_times : int
        Number of equally spaced times between two triggers at which locked events may be.

    Returns
    -------
    length : float
        0 (any phase) to 1 (always the same phase, or one of `n_times`).
    p : float
        Probability of this length by chance; 1 if no event is between triggers.
    """
    inside = positions[(positions >= triggers[0]) & (positions < triggers[-1])]
    if not len(inside):
        return 0.0, 1.0
    at = np.searchsorted(triggers, inside, side="right") - 1
    phase = (inside - triggers[at]) / (triggers[at + 1] - triggers[at])
    length = float(np.abs(np.mean(np.exp(2j * np.pi * n_times * phase))))
    n = len(inside)
    ball = math.lgamma((n + 1) / 2) + (n - 1) / 2 * math.log(2 * math.pi)
    tail = (n - 1) / 2 * math.log(max(n * (1.0 - length), 1e-12)) + 0.5 * math.log(n) - ball
    return length, float(np.exp(min(-n * length**2, tail)))
