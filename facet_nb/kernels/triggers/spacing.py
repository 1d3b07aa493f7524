"""Spacing of triggers: length of an artifact, ends of volumes, missing triggers.

A *slot* is the position of one trigger in the scanner's regular sequence. The difference of two
consecutive triggers is explained as ``m`` slots and ``g`` pauses,

    difference ≈ m · usual + g · pause,

with ``m = 1, g = 0`` for most of them. ``m > 1`` means that ``m - 1`` triggers are missing. Pauses
between volumes recur after a constant number of slots; a larger difference that does not recur, or
that jitter can explain, is not a pause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

#: Slice rates that fall into the alpha band, in Hz.
ALPHA_HZ = (7.0, 14.0)

#: Differences that agree within this many samples are equal: two rounding errors, and one sample.
_EQUAL = 3

#: Range of differences of triggers that jitter by ±2 samples.
_JITTER = 8

#: A difference of more slots is a break between runs, not a series of missing triggers.
_MOST_SLOTS = 50

#: Largest error of an explained difference, in usual differences.
_LOOSE = 0.1

#: Share of the distances from which half the most frequent one is the usual one.
_HALVES = 0.3

#: Recurrences required of a pause that jitter or missing triggers could also explain.
_CERTAIN = 5


@dataclass(frozen=True)
class Spacing:
    """Explanation of the distances of triggers.

    Attributes
    ----------
    artifact_length : int | None
        Length of one artifact, in samples; None if there are fewer than two triggers.
    usual : float
        Mean distance of two consecutive slots, in samples.
    volume_gaps : bool
        Whether pauses separate volumes.
    slices_per_volume : int | None
        Slots from one pause to the next; None without pauses.
    pause : float
        Length of the pause between volumes, in samples.
    slots : ndarray of int, shape (n_triggers - 1,)
        Number of slots of each difference: 1 if no trigger is missing, 0 if the difference is not
        explained (a break between runs, a superfluous trigger).
    pauses : ndarray of int, shape (n_triggers - 1,)
        Number of pauses in each difference.
    """

    artifact_length: int | None = None
    usual: float = 0.0
    volume_gaps: bool = False
    slices_per_volume: int | None = None
    pause: float = 0.0
    slots: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pauses: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def n_missing(self) -> int:
        """Number of missing triggers, according to the distances."""
        return int(np.sum(self.slots[self.slots > 1] - 1))

    @property
    def n_irregular(self) -> int:
        """Number of differences that are not explained."""
        return int(np.count_nonzero(self.slots == 0))


def is_in_alpha(distance_s: float) -> bool:
    """Whether slices at this distance follow each other at a rate in the alpha band."""
    return ALPHA_HZ[0] * distance_s <= 1.0 <= ALPHA_HZ[1] * distance_s


def describe_spacing(triggers: np.ndarray) -> Spacing:
    """Explain the distances of triggers.

    The artifact length is the largest usual difference if these agree within three samples (292
    and 293: 293) or if there are pauses between volumes; else (jitter) their mean, rounded.
    A difference over missing triggers counts as its part for one slot, rounded up.

    A pause between volumes is accepted if it is longer than jitter of ±2 samples can explain (eight
    samples, or twice the spread of the usual differences), occurs at least twice, and recurs after
    a constant number of slots. If it is shorter, or if it is a multiple of the usual difference,
    which missing triggers could also explain, it must recur five times without exception.

    Parameters
    ----------
    triggers : ndarray of int, shape (n_triggers,)
        Positions, in samples.

    Returns
    -------
    Spacing
        Lengths in samples.
    """
    return _describe(np.diff(np.unique(np.asarray(triggers, dtype=np.int64))).tobytes())


@lru_cache(maxsize=4)
def _describe(distances: bytes) -> Spacing:
    """Explain distances, int64; the same train is looked at several times in a run."""
    diffs = np.frombuffer(distances, np.int64)
    if not len(diffs):
        return Spacing()
    usual, spread = _find_usual(diffs)
    pause, period = _find_pause(diffs, usual, spread)
    tolerance = max(_JITTER / 2, spread)
    slots, pauses = _explain(diffs, usual, pause, period, tolerance)
    close = (slots > 0) & (pauses == 0) & (np.abs(diffs - slots * usual) <= tolerance)
    slots.flags.writeable = pauses.flags.writeable = False  # others get them, too
    return Spacing(
        artifact_length=_find_length(diffs[close], slots[close], period is not None),
        usual=usual,
        volume_gaps=period is not None,
        slices_per_volume=period,
        pause=pause,
        slots=slots,
        pauses=pauses,
    )


def artifact_length(triggers: np.ndarray) -> int | None:
    """Return the length of one artifact, in samples, from the distances of triggers.

    See :func:`describe_spacing`. None if there are fewer than two triggers.
    """
    return describe_spacing(triggers).artifact_length


def missing_positions(triggers: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Return the positions of missing triggers between others, from the distances alone.

    Parameters
    ----------
    triggers : ndarray of int, shape (n_triggers,)
        Positions, in samples, without duplicates.
    spacing : Spacing
        Of these triggers.

    Returns
    -------
    ndarray of int, shape (n_missing,)
        Positions, in samples.
    """
    found = []
    for i in np.flatnonzero(spacing.slots > 1):
        n_slots, period = int(spacing.slots[i]), spacing.slices_per_volume
        steps = np.full(n_slots, spacing.usual)
        if period is not None and spacing.pauses[i]:
            slice_number = _find_slice_number(spacing, int(i)) + np.arange(n_slots)
            steps[slice_number % period == period - 1] += spacing.pause
        places = np.cumsum(steps)[:-1] * (triggers[i + 1] - triggers[i]) / steps.sum()
        found.append(triggers[i] + np.rint(places).astype(np.int64))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def outer_positions(triggers: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Return possible positions of a trigger before the first and after the last.

    If pauses separate volumes, both positions are returned: without and with a pause in between.
    Parameters and result are those of :func:`missing_positions`.
    """
    steps = {spacing.usual, spacing.usual + spacing.pause}
    before = [triggers[0] - step for step in steps]
    after = [triggers[-1] + step for step in steps]
    return np.sort(np.rint([*before, *after]).astype(np.int64))


def acquisition_span(
    triggers: np.ndarray, length: int, offset: int, n_times: int
) -> tuple[int, int]:
    """Return the first sample of the acquisition and the first after it.

    It extends from the first trigger to one artifact length after the last, plus `offset` samples
    if artifacts start before (negative) or after their triggers.
    """
    start = int(triggers[0]) + min(0, offset)
    stop = int(triggers[-1]) + length + max(0, offset)
    return max(0, start), min(n_times, stop)


def slice_positions(
    volumes: np.ndarray, n_slices: int, duration: float, relative_position: float = 0.0
) -> np.ndarray:
    """Return the starts of slices, at regular distances from the trigger of each volume.

    Parameters
    ----------
    volumes : ndarray of int, shape (n_volumes,)
        Volume triggers, in samples.
    n_slices : int
        Number of slices (with multiband: groups of slices) in a volume.
    duration : float
        Distance of consecutive slices, in samples.
    relative_position : float
        Interval from the start of the first slice to the volume's trigger, in slice durations.

    Returns
    -------
    ndarray of int, shape (n_volumes * n_slices,)
        Positions, in samples, rounded once.
    """
    inner = (np.arange(n_slices) - relative_position) * duration
    return np.rint(np.asarray(volumes)[:, np.newaxis] + inner).astype(np.int64).ravel()


def find_best_match(
    x: np.ndarray, template: np.ndarray, start: int, reach: int
) -> tuple[int, float]:
    """Return the position of the largest Pearson correlation with a template, and its value.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    template : ndarray, shape (n_samples,)
        Waveform.
    start : int
        Centre of the search, in samples.
    reach : int
        Search range on either side, in samples.

    Returns
    -------
    position : int
        First sample of the best epoch.
    r : float
        Correlation; -1 if no epoch lies within `x`, 0 if the epoch is flat.
    """
    n = len(template)
    first, last = max(0, start - reach), min(len(x) - n, start + reach)
    if last < first:
        return start, -1.0
    part = x[first : last + n] - np.mean(x[first : last + n])
    waveform = template - np.mean(template)
    norm = np.linalg.norm(waveform)
    windows = np.lib.stride_tricks.sliding_window_view(part, n)
    products = np.correlate(part, waveform, mode="valid")
    energy = np.einsum("ij,ij->i", windows, windows) - windows.sum(axis=1) ** 2 / n
    scale = norm * np.sqrt(np.maximum(energy, 0.0))
    flat = scale <= 1e-12 * norm * np.linalg.norm(part)
    r = np.divide(products, scale, out=np.zeros(len(products)), where=~flat & (scale > 0))
    best = int(np.argmax(r))
    return first + best, float(r[best])


# ------------------------------------------------------------------------------------ details
def _find_usual(diffs: np.ndarray) -> tuple[float, float]:
    """Return mean and spread of the usual differences, in samples."""
    width = max(_JITTER, 0.01 * float(np.median(diffs)))
    cluster = _densest(diffs, width)
    # Of markers of which every third is missing, as many distances are double.
    half = diffs[np.abs(2 * diffs - np.mean(cluster)) <= width]
    if len(half) >= _HALVES * len(diffs):
        cluster = np.sort(half)
    middle = int(cluster[(len(cluster) - 1) // 2])
    # Pauses make differences longer, never shorter, so jitter is estimated from the lower half.
    lower = diffs[(diffs <= middle) & (diffs > 0.75 * middle)]
    spread = 2.0 * (middle - float(np.quantile(lower, 0.05)))
    near = diffs[np.abs(diffs - middle) <= max(_EQUAL, spread)]
    return float(np.mean(near)), max(1.0, spread)


def _densest(values: np.ndarray, width: float) -> np.ndarray:
    """Return the values in the fullest window of a given width, the lowest of several."""
    ordered = np.sort(values)
    stop = np.searchsorted(ordered, ordered + width, side="right")
    first = int(np.argmax(stop - np.arange(len(ordered))))
    return ordered[first : stop[first]]


def _find_pause(diffs: np.ndarray, usual: float, spread: float) -> tuple[float, int | None]:
    """Return length of the pause between volumes and slots per volume, or (0, None)."""
    tolerance = max(_JITTER / 2, spread)
    multiple = np.rint(diffs / usual)
    whole = (multiple > 1) & (np.abs(diffs - multiple * usual) <= tolerance)
    for candidates, doubtful in ((~whole, False), (whole, True)):
        # What jitter makes longer is no pause: it would outnumber the pauses.
        larger = diffs[candidates & (diffs > usual + max(_EQUAL, spread))]
        if len(larger) < 2:
            continue
        cluster = _densest(larger, max(_JITTER, 2.0 * spread))
        pause = float(np.mean(cluster)) - usual
        unsure = doubtful or pause <= max(_JITTER, 2.0 * spread)
        if unsure and (pause <= _EQUAL or spread > _EQUAL):
            continue
        slots, pauses = _explain(diffs, usual, pause, None, tolerance)
        period = _find_period(slots, pauses, _CERTAIN if unsure else 2)
        if period is not None:
            return pause, period
    return 0.0, None


def _find_period(slots: np.ndarray, pauses: np.ndarray, least: int) -> int | None:
    """Return the number of slots after which pauses recur, or None if they do not."""
    at = np.flatnonzero(pauses)
    if np.count_nonzero(slots[at] == 1) < least:
        return None
    place, breaks = np.cumsum(slots), np.cumsum(slots == 0)
    # Next to a missing trigger, the slot of a pause is known to within a few slots only.
    pairs = np.diff(breaks[at]) == 0
    nearest = (place[at[1:]] - slots[at[1:]] + 1 - place[at[:-1]])[pairs]
    farthest = (place[at[1:]] - place[at[:-1]] + slots[at[:-1]] - 1)[pairs]
    candidates = np.unique(np.concatenate([nearest, farthest]))
    candidates = candidates[candidates > 1, np.newaxis]
    if not candidates.size:
        return None
    once = (nearest <= candidates) & (candidates <= farthest)
    best = int(np.argmax(once.sum(axis=1)))
    period = int(candidates[best, 0])
    share = float(np.mean(farthest // period * period >= nearest))
    # At most one volume may precede the first pause or follow the last.
    head, tail = place[at[0]] - slots[at[0]], place[-1] - place[at[-1]]
    if 2 * once[best].sum() < len(nearest) or max(head, tail) >= period:
        return None
    return period if share >= (1.0 if least == _CERTAIN else 0.8) else None


def _explain(
    diffs: np.ndarray, usual: float, pause: float, period: int | None, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return slots and pauses of each difference; both are 0 if nothing explains it."""
    most = 1 if period is None else _MOST_SLOTS // period + 1
    best = np.full(len(diffs), np.inf)
    slots, pauses = np.zeros(len(diffs), np.int64), np.zeros(len(diffs), np.int64)
    for g in range(most + 1 if pause else 1):
        m = np.maximum(1, np.rint((diffs - g * pause) / usual)).astype(np.int64)
        error = np.abs(diffs - m * usual - g * pause)
        possible = m <= _MOST_SLOTS
        if period is not None:
            possible &= (g == m // period) | (g == -(-m // period))
        possible &= error <= np.where(m + g == 1, np.inf, np.maximum(tolerance, _LOOSE * usual))
        fewer = (m < slots) & (error <= best + tolerance)
        better = possible & ((error < best) | fewer)
        best[better], slots[better], pauses[better] = error[better], m[better], g
    odd = best > np.maximum(tolerance, 0.25 * usual)
    slots[odd], pauses[odd] = 0, 0
    return slots, pauses


def _find_length(diffs: np.ndarray, slots: np.ndarray, volume_gaps: bool) -> int:
    """Return the artifact length, in samples, from explained differences without pauses."""
    single = diffs[slots == 1]
    if np.ptp(single) <= _EQUAL or volume_gaps:
        return int(np.max(-(-diffs // slots)))
    return round(float(diffs.sum() / slots.sum()))


def _find_slice_number(spacing: Spacing, i: int) -> int:
    """Return the slice number of trigger `i`, counted from the nearest pause or break."""
    period = spacing.slices_per_volume or 1
    exact = np.flatnonzero((spacing.pauses == 1) & (spacing.slots == 1))
    breaks = np.flatnonzero(spacing.slots == 0)
    first = int(breaks[breaks < i][-1]) + 1 if np.any(breaks < i) else 0
    before, after = exact[(exact < i) & (exact >= first)], exact[exact > i]
    if len(before):
        return int(spacing.slots[before[-1] + 1 : i].sum()) % period
    if len(after) and not np.any((breaks > i) & (breaks < after[0])):
        return int(-1 - spacing.slots[i : after[0]].sum()) % period
    return int(spacing.slots[first:i].sum()) % period
