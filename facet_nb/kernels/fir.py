"""Zero-phase FIR filters by overlap-save, the filter's transform kept."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from facet_nb.kernels.edges import segment

#: Blocks transformed in one call: rows enough for the FFT's vector units, little memory.
_GROUP = 4


def choose_n_fft(n_taps: int) -> int:
    """Return the transform length for a filter of `n_taps`: a power of 2, at least four times."""
    return max(8192, 1 << int(np.ceil(np.log2(4 * n_taps))))


def filter_zero_phase(
    x: np.ndarray, taps: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Filter each row with a symmetric FIR filter, without delay.

    The signal goes on past its ends as its odd reflection, and with zeros where that is too
    short, as in ``mne.filter.filter_data(pad="reflect_limited")``.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    taps : ndarray, shape (n_taps,)
        Symmetric filter of odd length.
    out : ndarray, shape (n_channels, n_times) | None
        Where to put the result; must not overlap `x`.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals. A row's result does not depend on the other rows.

    Raises
    ------
    ValueError
        If `taps` has an even length.

    Notes
    -----
    Overlap-save as in Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3.
    """
    if len(taps) % 2 == 0:
        raise ValueError("a zero-phase filter needs an odd number of taps")
    out = np.empty_like(x) if out is None else out
    n_fft = choose_n_fft(len(taps))
    spectrum = _spectrum(np.ascontiguousarray(taps, dtype=float).tobytes(), n_fft)
    for row, target in zip(x, out, strict=True):
        _filter_row(row, len(taps), spectrum, n_fft, target)
    return out


@lru_cache(maxsize=32)
def _spectrum(taps: bytes, n_fft: int) -> np.ndarray:
    """Return the conjugate transform: multiplying by it correlates, so outputs come first."""
    spectrum = np.conj(fft.rfft(np.frombuffer(taps), n_fft))
    spectrum.flags.writeable = False
    return spectrum


def _filter_row(
    x: np.ndarray, n_taps: int, spectrum: np.ndarray, n_fft: int, out: np.ndarray
) -> None:
    half = n_taps // 2
    hop = n_fft - n_taps + 1
    blocks = np.empty((_GROUP, n_fft))
    starts = range(0, len(x), hop)
    for first in range(0, len(starts), _GROUP):
        group = starts[first : first + _GROUP]
        for i, start in enumerate(group):
            blocks[i] = segment(x, start - half, start - half + n_fft)
        product = fft.rfft(blocks[: len(group)], axis=-1)
        product *= spectrum
        filtered = fft.irfft(product, n_fft, axis=-1, overwrite_x=True)
        for i, start in enumerate(group):
            stop = min(start + hop, len(x))
            out[start:stop] = filtered[i, : stop - start]
