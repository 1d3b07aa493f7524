"""Zero-phase recursive filters as second-order sections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facet_nb.kernels.compiled.dispatch import as_rows, can_compile, find_compiled, is_chosen


def filter_sos(
    x: np.ndarray, sos: np.ndarray, *, padlen: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Filter each row forwards and backwards.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit. Filtering is in float64; the result has the type of `out`.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    padlen : int
        Number of samples by which the signal is extended at each end by odd reflection.
    out : ndarray, shape (n_channels, n_times) | None
        Array for the result, of the type of `x` by default; must not overlap `x`.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals. The result of a row does not depend on the other rows.

    Notes
    -----
    Compiled; without that, :func:`filter_in_scipy` gives the same, more slowly.

    Gustafsson, F. (1996). Determining the initial states in forward-backward filtering. IEEE
    Transactions on Signal Processing, 44(4), 988-992. doi:10.1109/78.492552
    """
    out = np.empty_like(x) if out is None else out
    run = _find_compiled()
    if not can_compile(x, out) or run is None:
        return filter_in_scipy(x, sos, padlen=padlen, out=out)
    target = as_rows(out)
    run(as_rows(x), sos, min(padlen, x.shape[1] - 1), target)
    if target is not out:
        out[...] = target
    return out


def scratch_bytes(n_times: int) -> int:
    """Return the peak memory of :func:`filter_sos` beyond input and output, for one channel."""
    return (
        min(8 * n_times, 1 << 22) + 300_000 if is_chosen("sos_rows") else 8 * n_times * 4 + 600_000
    )


def _find_compiled() -> Callable | None:
    """Return the compiled filter, or None if it must not be used."""
    return find_compiled("sos_rows", "filter_rows")


def filter_in_scipy(
    x: np.ndarray, sos: np.ndarray, *, padlen: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the result of :func:`filter_sos`, row by row, in SciPy."""
    # scipy.signal takes half a second to import: only recursive filters need it.
    from scipy.signal import sosfiltfilt

    out = np.empty_like(x) if out is None else out
    padlen = min(padlen, x.shape[1] - 1)
    for row, target in zip(x, out, strict=True) if x.size else ():
        target[...] = sosfiltfilt(sos, row.astype(float), padlen=padlen)
    return out


class ForwardFilter:
    """A causal recursive filter over blocks; it starts as if the first sample had always been.

    Parameters
    ----------
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    """

    def __init__(self, sos: np.ndarray) -> None:
        from scipy.signal import sosfilt_zi  # here: the first block should not wait for it

        self.sos = sos
        self.start = sosfilt_zi(sos)[:, np.newaxis]
        self.state: np.ndarray | None = None

    def push(self, x: np.ndarray, onsets: object, out: np.ndarray) -> None:
        """Write the filtered samples `x`, shape (n_channels, n), to `out`; `onsets` are unused."""
        from scipy.signal import sosfilt

        if not x.size:
            return
        if self.state is None:
            self.state = self.start * x[:, :1].astype(float)
        out[...], self.state = sosfilt(self.sos, x.astype(float), zi=self.state)
