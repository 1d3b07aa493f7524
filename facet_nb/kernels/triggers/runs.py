"""Runs of a marker train: which markers belong to which sequence, and which are no markers.

A recording may hold several runs (sequences with their own period), and markers that belong to
none: doubles (a pulse noted at both edges) and strays (a button, a cable).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.triggers.kept_results import keep_results
from facet_nb.kernels.triggers.spacing import Spacing, describe_spacing

#: A marker that follows another by less than this part of the period is its double.
MAX_DOUBLE = 0.15

#: Smallest number of markers of a run of its own.
MIN_RUN = 5

#: Largest difference of the distances of fewer markers that are a run, in samples.
_EVEN = 2

#: Largest part of markers that may be missing before other explanations are tried.
_MANY_MISSING = 0.05

#: Smallest part of the distances that a train without its doubles must explain.
_EXPLAINED = 0.7

#: Costs, in markers: to skip a marker, to miss one, the most for missing ones, to start a new run.
_SKIP, _MISS, _MOST_MISS, _BREAK = 1.1, 1.2, 2.5, 3.0

#: Number of earlier markers, and of periods, over which a marker may continue a run.
_BACK, _MOST_SLOTS = 12, 50

#: Runs share a period if theirs differ by less than this part, or by a tenth of a sample.
_SAME = 2e-3

#: Periods are tried in at most this many steps of recursion.
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Train:
    """Runs of markers, and the markers that belong to none.

    Attributes
    ----------
    runs : tuple of ndarray of int
        Positions of the markers of each run, in samples, in order of time. Runs with the same
        period and nothing else in between are one.
    doubled : ndarray of int, shape (n_doubled,)
        Positions of markers that repeat another one, in samples.
    stray : ndarray of int, shape (n_stray,)
        Positions of other markers that fit no run, in samples.
    """

    runs: tuple[np.ndarray, ...]
    doubled: np.ndarray
    stray: np.ndarray


@keep_results
def split_train(markers: np.ndarray) -> Train:
    """Split markers into runs, and tell which belong to none.

    A train whose distances are regular is returned whole. Otherwise a run is the chain of markers
    that agrees best with one period: each marker in it counts 1, and skipped, missing and
    unexplained ones cost about as much as they are improbable. What remains between the chains is
    searched again, for a run with another period; fewer than five markers there are strays.

    Parameters
    ----------
    markers : ndarray of int, shape (n_markers,)
        Positions in ascending order, in samples, without equal ones.

    Returns
    -------
    Train
        At least one run if there are at least two markers.
    """
    single, doubled = _leave_out_doubles(markers)
    found = _search(markers[single], 0)
    runs = _join(found, markers[single]) if found else [markers[single]]
    kept = np.concatenate(runs)
    return Train(tuple(runs), markers[doubled], np.setdiff1d(markers[single], kept))


# ------------------------------------------------------------------------------------- doubles
def _leave_out_doubles(markers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of markers without doubles, and those of the doubles."""
    everything, none = np.arange(len(markers)), np.zeros(0, dtype=np.int64)
    diffs = np.diff(markers)
    if len(diffs) < 3:
        return everything, none
    for level in (0.75, 0.5):
        small = diffs < MAX_DOUBLE * np.quantile(diffs, level)
        if not small.any():
            continue
        period = float(np.median(diffs[~small]))
        small = diffs < MAX_DOUBLE * period
        # Slices before a pause are near one another, too, but several in a row.
        in_a_row = np.count_nonzero(small[1:] & small[:-1])
        if not small.any() or in_a_row > 0.1 * np.count_nonzero(small):
            continue
        doubles = _choose_doubles(markers, small)
        single = np.setdiff1d(everything, doubles)
        if _count_explained(markers[single]) >= _EXPLAINED:
            return single, doubles
    return everything, none


def _choose_doubles(markers: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Return which marker of each close pair is left out: the one that fits its neighbours less."""
    first = np.flatnonzero(small)
    paired = np.zeros(len(markers), dtype=bool)
    paired[first], paired[first + 1] = True, True
    alone = np.flatnonzero(~paired)
    later = first + 1
    if len(alone) < 3:
        return later
    period = describe_spacing(np.delete(markers, later)).usual

    def misfit(which: np.ndarray) -> np.ndarray:
        nearest = np.clip(np.searchsorted(alone, which), 1, len(alone) - 1)
        apart = [markers[which] - markers[alone[nearest - k]] for k in (0, 1)]
        rest = [d - np.rint(d / period) * period for d in apart]
        return np.min(np.abs(rest), axis=0)

    return np.where(misfit(first) > misfit(later) + 1.0, first, later)


def _count_explained(markers: np.ndarray) -> float:
    """Return the part of distances that their spacing explains."""
    slots = describe_spacing(markers).slots
    return float(np.mean(slots > 0)) if len(slots) else 0.0


# ---------------------------------------------------------------------------------------- runs
def _is_regular(markers: np.ndarray, spacing: Spacing) -> bool:
    """Return whether one period explains all distances, with few missing markers."""
    if spacing.n_irregular or spacing.n_missing > max(1, _MANY_MISSING * len(markers)):
        return False
    if spacing.volume_gaps and not _find_pause(spacing):
        return False
    rest = np.diff(markers) - spacing.slots * spacing.usual - spacing.pauses * spacing.pause
    tolerance = _find_tolerance(np.diff(markers), spacing.usual)
    return bool(np.all(np.abs(rest) <= tolerance)) and _is_steady(markers, spacing)


def _is_steady(markers: np.ndarray, spacing: Spacing) -> bool:
    """Return whether single distances are alike at the beginning and at the end."""
    # Jitter scatters about one period; two periods, each in its time, differ by more.
    diffs = np.diff(markers)[(spacing.slots == 1) & (spacing.pauses == 0)]
    part = max(4, len(diffs) // 4)
    if len(diffs) < part:
        return True
    change = abs(float(np.median(diffs[:part]) - np.median(diffs[-part:])))
    return change <= max(2.0, 0.25 * _find_tolerance(diffs, spacing.usual))


def _find_pause(spacing: Spacing) -> float:
    """Return the pause between volumes; 0 if distances with one follow each other."""
    # The distances of a second run would otherwise be those of the first with a pause each.
    paused = spacing.pauses > 0
    in_a_row = np.count_nonzero(paused[1:] & paused[:-1])
    return 0.0 if in_a_row > 0.1 * np.count_nonzero(paused) else spacing.pause


def _search(markers: np.ndarray, depth: int) -> list[np.ndarray]:
    """Return chains of markers, each regular, in order of time; empty if none is found."""
    if len(markers) < 2:
        return []
    spacing = describe_spacing(markers)
    if _is_regular(markers, spacing) or depth > _MAX_DEPTH:
        return [markers]
    chains = _find_chains(markers, spacing)
    if not chains:
        return [] if depth else [markers]
    found: list[np.ndarray] = []
    edges = [-1, *(int(chain[k]) for chain in chains for k in (0, -1)), len(markers)]
    for k, (low, high) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        between = markers[low + 1 : high]
        if len(between) >= MIN_RUN:
            found += _search(between, depth + 1)
        elif _is_even(between, spacing.usual):
            found.append(between)
        if k < len(chains):
            found.append(markers[chains[k]])
    return found


def _is_even(markers: np.ndarray, usual: float) -> bool:
    """Return whether a few markers, outside other runs, follow each other as those of a run do."""
    diffs = np.diff(markers)
    if len(diffs) == 1:
        return bool(abs(diffs[0] - usual) <= _EVEN)
    return len(diffs) > 1 and bool(np.ptp(diffs) <= _EVEN)


def _find_chains(markers: np.ndarray, spacing: Spacing) -> list[np.ndarray]:
    """Return the indices of markers in each chain of the period that explains most markers."""
    pause = _find_pause(spacing)
    # The usual distance is a mean over jitter; of two sequences it may lie between both periods.
    diffs = np.diff(markers)
    ordered = np.sort(diffs)
    width = max(8.0, 5e-3 * float(np.median(diffs)))
    stop = np.searchsorted(ordered, ordered + width, side="right")
    first = int(np.argmax(stop - np.arange(len(ordered))))
    densest = float(np.mean(ordered[first : stop[first]]))
    narrow = _chain(markers, densest, pause, _find_tolerance(diffs, densest, 0.03))
    if not _is_steady(markers, spacing):
        return narrow
    wide = _chain(markers, spacing.usual, pause, _find_tolerance(diffs, spacing.usual))
    return wide if sum(map(len, wide)) > 1.2 * sum(map(len, narrow)) else narrow


def _chain(markers: np.ndarray, usual: float, pause: float, tolerance: float) -> list[np.ndarray]:
    """Return the indices of markers in each chain of a period, in order of time."""
    n, t = len(markers), markers.astype(float)
    score, before = np.ones(n), np.full(n, -1)
    breaks = np.zeros(n, dtype=bool)
    best = (-np.inf, -1)  # of all earlier ends of chains
    for j in range(1, n):
        low = max(0, j - _BACK)
        i = np.arange(low, j)
        cost = _SKIP * (j - 1 - i) + _cost_of(t[j] - t[low:j], usual, pause, tolerance)
        gain = score[low:j] - cost
        at = int(np.argmax(gain))
        if score[j - 1] > best[0]:
            best = (score[j - 1], j - 1)
        if gain[at] > 0 and gain[at] >= best[0] - _BREAK:
            score[j], before[j] = 1.0 + gain[at], i[at]
        elif best[0] > _BREAK:
            score[j], before[j], breaks[j] = 1.0 + best[0] - _BREAK, best[1], True
    chains, chain, at = [], [], int(np.argmax(score))
    while at >= 0:
        chain.append(at)
        if breaks[at] or before[at] < 0:
            chains.append(_extend(np.array(chain[::-1]), t, usual, tolerance))
            chain = []
        at = int(before[at])
    return [chain for chain in chains[::-1] if len(chain) >= min(MIN_RUN, max(2, n // 2))]


def _extend(chain: np.ndarray, t: np.ndarray, usual: float, tolerance: float) -> np.ndarray:
    """Return a chain with the markers before and after it that strays separate from it."""
    # Two at each end: a skipped marker costs what the next one counts, so that chains end there.
    for step in (-1, 1, -1, 1):
        end = int(chain[0] if step < 0 else chain[-1])
        for k in range(end + step, end + 5 * step, step):
            if 0 <= k < len(t) and abs(abs(t[k] - t[end]) - usual) <= tolerance:
                chain = np.sort(np.append(chain, k))
                break
    return chain


def _cost_of(diffs: np.ndarray, usual: float, pause: float, tolerance: float) -> np.ndarray:
    """Return the cost of missing markers in each distance; infinite if it is not explained."""
    cost = np.full(len(diffs), np.inf)
    for n_pauses in range(4 if pause else 1):
        rest = diffs - n_pauses * pause
        slots = np.maximum(np.rint(rest / usual), 1.0)
        good = (np.abs(rest - slots * usual) <= tolerance) & (slots <= _MOST_SLOTS)
        missing = np.minimum(_MISS * (slots - 1), _MOST_MISS)
        cost = np.where(good, np.minimum(cost, missing), cost)
    return cost


def _find_tolerance(diffs: np.ndarray, usual: float, reach: float = 0.1) -> float:
    """Return the largest error of an explained distance, in samples."""
    near = np.abs(diffs - usual)
    near = near[near < max(4.0, reach * usual)]
    return max(4.0, 2.0 * float(np.quantile(near, 0.9))) if len(near) else 4.0


def _join(found: list[np.ndarray], markers: np.ndarray) -> list[np.ndarray]:
    """Return runs: neighbouring chains of the same period are one."""
    runs = [found[0]]
    for chain in found[1:]:
        one, other = (describe_spacing(part) for part in (runs[-1], chain))
        limit = max(0.1, _SAME * one.usual)
        alike = abs(one.usual - other.usual) <= limit and abs(one.pause - other.pause) <= 4 * limit
        if alike and one.volume_gaps == other.volume_gaps:
            runs[-1] = np.concatenate([runs[-1], chain])
        else:
            runs.append(chain)
    return runs
