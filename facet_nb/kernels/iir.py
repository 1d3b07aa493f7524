"""Zero-phase recursive filters as second-order sections."""

from __future__ import annotations

import numpy as np
from scipy.signal import sosfiltfilt


def filter_sos(
    x: np.ndarray, sos: np.ndarray, *, padlen: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Filter each row forwards and backwards.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit; the filter computes in float64.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    padlen : int
        Samples by which the signal is continued at each end, as its odd reflection.
    out : ndarray, shape (n_channels, n_times) | None
        Where to put the result.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals.

    Notes
    -----
    Gustafsson, F. (1996). Determining the initial states in forward-backward filtering. IEEE
    Transactions on Signal Processing, 44(4), 988-992. doi:10.1109/78.492552
    """
    out = np.empty_like(x) if out is None else out
    padlen = min(padlen, x.shape[1] - 1)
    for row, target in zip(x, out, strict=True):
        target[...] = sosfiltfilt(sos, row, padlen=padlen)
    return out
