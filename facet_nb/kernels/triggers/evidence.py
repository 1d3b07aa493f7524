"""How clearly something recurs at the triggers of a channel."""

from __future__ import annotations

import numpy as np

#: Largest number of epochs and of samples of an epoch that are looked at.
_N_EPOCHS, _N_SAMPLES = 64, 4096

#: A channel shows nothing below the first ratio, and an artifact above the second; EEG alone has
#: about 1, and a gradient artifact more than 30.
ABSENT, PRESENT = 3.0, 15.0


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
    n = int(min(length, _N_SAMPLES, len(x) - 2))
    starts = np.asarray(triggers, dtype=np.int64)
    starts = starts[(starts >= 0) & (starts + n + 2 <= len(x))]
    if len(starts) < 4 or n < 4:
        return 0.0
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(len(starts), _N_EPOCHS)).astype(int))
    epochs = np.stack([np.diff(x[start : start + n + 2], 2) for start in starts[chosen]])
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
    if measure_recurrence(data[first], triggers, length) >= ABSENT:
        return first
    ratios = [measure_recurrence(data[row], triggers, length) for row in rows]
    best = int(np.argmax(ratios))
    return int(rows[best]) if ratios[best] >= PRESENT else first
