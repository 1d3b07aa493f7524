"""How clearly something recurs at the triggers of a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Largest number of epochs and of samples of an epoch that are looked at.
_N_EPOCHS, _N_SAMPLES = 64, 4096
#: Largest number of values of epochs that are looked at together: 16 MB.
_VALUES = 1 << 21
#: Samples whose blocks are measured together: 256 KB.
_GROUP = 1 << 15

#: A channel shows nothing below the first ratio, and an artifact above the second; EEG alone has
#: about 1, and a gradient artifact more than 30.
ABSENT, PRESENT = 3.0, 15.0

#: Length of a block, in s, and how many hold artifact at least: a jump of an electrode fills one or
#: two. Share of the usual energy from which a block does, and how much that exceeds the quietest.
_BLOCK_S, _FEWEST_BLOCKS, _RUNNING, _STANDS_OUT = 0.1, 3, 0.1, 30.0
#: Number of blocks of the marked time that are looked at: 20 s.
_N_BLOCKS = 200


def measure_recurrence(x: np.ndarray, triggers: np.ndarray, length: int) -> float:
    """Return the variance of the mean epoch relative to what noise would give.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    triggers : ndarray of int, shape (n_triggers,)
        Positions, in samples.
    length : int
        Length of an epoch, in samples.

    Returns
    -------
    float
        About 1 if nothing recurs; up to the square of the ratio of artifact and noise, times the
        number of epochs. 0 for a flat channel, or fewer than four complete epochs.

    Notes
    -----
    Epochs are those of second differences, in which EEG is weak.
    """
    return _measure_rows(x[np.newaxis], np.zeros(1, int), triggers, length)[0]


def _measure_rows(
    data: np.ndarray, rows: np.ndarray, triggers: np.ndarray, length: int
) -> list[float]:
    """Return the recurrence in some rows; only the epochs that are looked at are read."""
    n_times = data.shape[1]
    n = int(min(length, _N_SAMPLES, n_times - 2))
    starts = np.asarray(triggers, dtype=np.int64)
    starts = starts[(starts >= 0) & (starts + n + 2 <= n_times)]
    if len(starts) < 4 or n < 4:
        return [0.0] * len(rows)
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(len(starts), _N_EPOCHS)).astype(int))
    size = max(1, _VALUES // (len(chosen) * n))
    ratios = []
    for low in range(0, len(rows), size):
        part = rows[low : low + size]
        # Read epoch by epoch: files hold the channels of a sample side by side.
        read = [np.diff(data[part, s : s + n + 2], 2) for s in starts[chosen].tolist()]
        ratios += [_measure_epochs(np.stack(epochs)) for epochs in zip(*read, strict=True)]
    return ratios


def _measure_epochs(epochs: np.ndarray) -> float:
    """Return the variance of the mean of epochs relative to what noise would give."""
    mean = epochs.mean(axis=0)
    rest = float(np.sum((epochs - mean) ** 2)) / (len(epochs) - 1)
    if not np.isfinite(rest) or not rest > 0:
        return 0.0
    return len(epochs) * float(np.sum(mean**2)) / rest


def choose_reference(
    data: np.ndarray, rows: np.ndarray, first: int, triggers: np.ndarray, length: int
) -> int:
    """Return the row of the channel in which the artifact stands out.

    That is `first` unless it shows nothing at the triggers (an electrode without contact) while
    another channel of `rows` does: then the one in which the mean epoch stands out most.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Samples, in V.
    rows : ndarray of int
        Channels to choose from.
    first : int
        The channel that is preferred.
    triggers : ndarray of int, shape (n_triggers,)
        Positions, in samples.
    length : int
        Length of an epoch, in samples.

    Returns
    -------
    int
        A row of `data`.
    """
    if _measure_rows(data, np.array([first]), triggers, length)[0] >= ABSENT:
        return first
    ratios = _measure_rows(data, rows, triggers, length)
    best = int(np.argmax(ratios))
    return int(rows[best]) if ratios[best] >= PRESENT else first


def find_scanned(
    x: np.ndarray,
    begin: int,
    end: int,
    sfreq: float,
    pauses: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:
    """Return the spans outside the marked time in which the scanner was running.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    begin, end : int
        First sample of the first artifact, and the one after the last.
    sfreq : float
        Sampling rate, in Hz.
    pauses : sequence of (int, int)
        Time between markers in which there should be no artifact either, in samples.

    Returns
    -------
    list of (int, int)
        First samples, and those after the last, in order of time; at least 0.3 s each.

    Notes
    -----
    Blocks of 0.1 s are compared by the energy of their second differences, in which EEG is weak.
    A block holds artifact if it has a tenth of the energy of those within the marked time (their
    75 % quantile: there may be pauses), which exceeds that of the quietest block 30 times.
    """
    n = max(4, round(_BLOCK_S * sfreq))
    begin, end = max(0, begin), min(len(x), end)
    # An artifact may begin before its marker, and end later than the regular distance.
    sides = [(0, begin - n), *((a + n, b - n) for a, b in pauses), (end + n, len(x))]
    inside = _measure_blocks(x, begin, min(end, begin + _N_BLOCKS * n), n)
    outside = [_measure_blocks(x, *side, n) for side in sides]
    every = np.concatenate([inside, *outside])
    if len(inside) < 2 or not any(map(len, outside)):
        return []
    usual = float(np.quantile(inside, 0.75))
    if usual < _STANDS_OUT * float(every.min()):
        return []
    spans = []
    for (first, _), energies in zip(sides, outside, strict=True):
        running = np.flatnonzero(energies > _RUNNING * usual)
        if len(running) >= _FEWEST_BLOCKS:
            spans.append((first + n * int(running[0]), first + n * int(running[-1] + 1)))
    return spans


def _measure_blocks(x: np.ndarray, start: int, stop: int, n: int) -> np.ndarray:
    """Return the energy of second differences in blocks of `n` samples, in V²."""
    count = (stop - start) // n
    if count < 1:
        return np.zeros(0)
    energies = np.empty(count)
    end = start + count * n
    step = max(1, _GROUP // n)
    bend = np.empty(min(step, count) * n)
    # A few blocks at a time: new memory for all of them takes longer than to compute with it.
    for first in range(0, count, step):
        last = min(first + step, count)
        low, high = start + first * n, start + last * n
        group = bend[: high - low]
        group[[0, -1]] = 0.0  # unless the neighbours are known
        before, after = max(start, low - 1), min(end, high + 1)
        group[before + 1 - low : after - 1 - low] = np.diff(x[before:after], 2)
        rows = group.reshape(-1, n)
        np.einsum("ij,ij->i", rows, rows, out=energies[first:last])
    return energies
