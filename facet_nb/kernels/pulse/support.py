"""Whether the EEG itself supports heartbeats."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

#: Rate to which channels are averaged, in Hz: the pulse artifact lies below 15 Hz.
_RATE_HZ = 100.0
#: Time after the R peak that holds the artifact, in s (Debener et al. 2008).
_FROM_S, _TO_S = 0.05, 0.6
#: A beat is supported if it resembles the others by this part of what true beats do.
_PART = 0.25


def measure_support(channels: Iterable[np.ndarray], peaks: np.ndarray, sfreq: float) -> float:
    """Return the share of beats after which the EEG shows the artifact of the other beats.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        EEG, in V.
    peaks : ndarray of int, shape (n_beats,)
        R peaks, in samples.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    float
        Share from 0 to 1; NaN with fewer than four beats that lie wholly within the recording.

    Notes
    -----
    The score of a beat is the inner product of its epoch with the mean epoch of all *other* beats,
    summed over channels in units of their variance; channels are differences of averages at
    100 Hz. A beat counts if its score exceeds a quarter of the median of the upper half of all
    scores: true beats have sizes of 0.5 to 1.5, a position without a beat has a score of 0 in the
    mean. Without any artifact fewer than half of the beats count.
    """
    factor = max(1, int(sfreq / _RATE_HZ))
    rate = sfreq / factor
    n = round((_TO_S - _FROM_S) * rate)
    starts = np.asarray(peaks) // factor + round(_FROM_S * rate)
    scores: np.ndarray | None = None
    for x in channels:
        y = np.array(x[: len(x) // factor * factor : factor], dtype=float)
        for k in range(1, factor):
            y += x[k : len(x) // factor * factor : factor]
        y = np.diff(y)
        inside = starts[(starts >= 0) & (starts + n <= len(y))]
        spread = float(np.var(y))
        if len(inside) < 4 or not spread > 0:
            continue
        epochs = y[inside[:, np.newaxis] + np.arange(n)]
        others = (epochs.sum(axis=0) - epochs) / (len(epochs) - 1)
        own = np.einsum("ij,ij->i", epochs, others) / spread
        scores = own if scores is None else scores + own
    if scores is None:
        return float("nan")
    upper = float(np.median(scores[scores >= np.median(scores)]))
    return float(np.mean(scores > _PART * upper))
