"""Zero-phase FIR filters by overlap-save, with cached spectra."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.compiled.dispatch import as_rows, can_compile, find_compiled, is_chosen
from facet_nb.kernels.compiled.library import count_vector_bytes
from facet_nb.kernels.filters.edges import segment

#: Pairs of blocks per call of the FFT: enough rows for SciPy's vectorised code, but little memory.
_GROUP = 4

#: Longest transform of the compiled filter; longer ones exceed all caches.
_LONGEST = 1 << 18

#: Number of filters whose spectra are cached: 1 MB each (1 Hz at 5 kHz).
_KEPT = 8


def choose_n_fft(n_taps: int) -> int:
    """Return the length of the transform for a filter of `n_taps` taps: a power of 2.

    The length is doubled as long as this saves a tenth of the time.
    """

    # Time per point grows with the length, as caches are exceeded: measured by
    # benchmarks/kernels.py, relative to the shortest transform.
    def cost(n: int) -> float:
        return n * (1.0 + n / 156_000) / (n - n_taps + 1)

    n_fft = max(8192, 1 << n_taps.bit_length())
    while cost(2 * n_fft) < 0.9 * cost(n_fft):
        n_fft *= 2
    return n_fft


def filter_zero_phase(
    x: np.ndarray, taps: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Filter each row with a symmetric FIR filter, without delay.

    The signal is extended beyond its ends by odd reflection, and by zeros where that is too short,
    as in ``mne.filter.filter_data(pad="reflect_limited")``.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit. float32 is filtered in float32, with an error below 2e-6 of the
        result's peak (5e-7 for a high-pass of 1 Hz at 5 kHz) if offsets were removed before.
    taps : ndarray, shape (n_taps,)
        Symmetric filter of odd length.
    out : ndarray, shape (n_channels, n_times) | None
        Array for the result; `x`, or an array that does not overlap it.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals. The result of a row does not depend on the other rows.

    Raises
    ------
    ValueError
        If `taps` has an even length.

    Notes
    -----
    Compiled; without that, and for very long filters, :func:`filter_in_scipy` gives the
    same to rounding.

    Overlap-save as in Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3.
    """
    if len(taps) % 2 == 0:
        raise ValueError("a zero-phase filter needs an odd number of taps")
    out = np.empty_like(x) if out is None else out
    taps = np.ascontiguousarray(taps, dtype=float)
    run = _find_compiled()
    n_fft = choose_n_fft(len(taps))
    if not can_compile(x, out) or run is None or n_fft > _LONGEST:
        return filter_in_scipy(x, taps, out=out)
    rows, target = as_rows(x), as_rows(out)
    if np.may_share_memory(rows, target) and not _can_overwrite(len(taps), n_fft, x.dtype):
        rows = rows.copy()
    run(rows, len(taps), _sorted_spectrum(taps.tobytes(), n_fft, x.dtype.char), target)
    if target is not out:
        out[...] = target
    return out


def find_filter(taps: np.ndarray, dtype: np.dtype) -> Callable[..., None]:
    """Return the filter for pieces of a signal.

    It is called as ``run(x, out, before)``, where `x`, shape (n_channels, n), holds `before`
    samples before the first sample of `out`. This sample must be a multiple of the length of two
    blocks, ``2 * (n_fft - n_taps + 1)``, counted from the start of the whole signal.
    """
    compiled = _find_compiled()
    n_fft = choose_n_fft(len(taps))
    taps = np.ascontiguousarray(taps, dtype=float)
    if compiled is None or n_fft > _LONGEST or dtype.char not in "fd":

        def run(x: np.ndarray, out: np.ndarray, before: int) -> None:
            filter_in_scipy(x, taps, out=out, before=before)

    else:
        spectrum = _sorted_spectrum(taps.tobytes(), n_fft, dtype.char)

        def run(x: np.ndarray, out: np.ndarray, before: int) -> None:
            compiled(x, len(taps), spectrum, out, before)

    return run


def filter_in_scipy(
    x: np.ndarray, taps: np.ndarray, *, out: np.ndarray | None = None, before: int = 0
) -> np.ndarray:
    """Return the result of :func:`filter_zero_phase`, to rounding, in SciPy.

    Of a piece of a signal, `x` holds `before` samples before the first one of `out`.
    """
    out = np.empty_like(x) if out is None else out
    n_fft = choose_n_fft(len(taps))
    kind = np.result_type(x.dtype, np.float32)
    spectrum = _spectrum(np.ascontiguousarray(taps, dtype=float).tobytes(), n_fft)
    spectrum = np.repeat(spectrum.astype(kind), 2)  # of real and imaginary parts
    for row, target in zip(x, out, strict=True):
        row = row.copy() if np.may_share_memory(row, target) else row
        _filter_row(row, len(taps) // 2, spectrum, target, before)
    return out


def scratch_bytes(n_taps: int) -> int:
    """Return the peak memory of :func:`filter_zero_phase` beyond input and output."""
    # Bytes per point: two vectors and 8 for points, 40 for extended blocks, 56 for twiddle factors
    # and spectra, and 24 for blocks that the result overwrites.
    # In SciPy: 64 for pairs of blocks, 16 for their extension, 56 for making the spectrum.
    n_fft = choose_n_fft(n_taps)
    if is_chosen("overlap_save") and n_fft <= _LONGEST:
        return n_fft * (2 * count_vector_bytes() + 128)
    return n_fft * 136


def _find_compiled() -> Callable | None:
    """Return the compiled filter, or None if it must not be used."""
    return find_compiled("overlap_save", "filter_rows")


def _can_overwrite(n_taps: int, n_fft: int, dtype: np.dtype) -> bool:
    """Return whether the compiled filter's result may replace its input."""
    check = find_compiled("overlap_save", "can_overwrite")
    return check is not None and bool(check(n_taps, n_fft, dtype))


@lru_cache(maxsize=_KEPT)
def _spectrum(taps: bytes, n_fft: int) -> np.ndarray:
    """Return the spectrum of taps that are centred at time 0: real, as they are symmetric."""
    centred = np.zeros(n_fft)
    values = np.frombuffer(taps)
    centred[: len(values)] = values
    spectrum = fft.fft(np.roll(centred, -(len(values) // 2))).real
    spectrum.flags.writeable = False
    return spectrum


@lru_cache(maxsize=_KEPT)
def _sorted_spectrum(taps: bytes, n_fft: int, char: str) -> np.ndarray:
    """Return the spectrum as the compiled filter takes it: sorted, and scaled by 1 / n_fft."""
    order = find_compiled("overlap_save", "order")
    assert order is not None  # this function is called only if the compiled filter was found
    spectrum = (_spectrum.__wrapped__(taps, n_fft)[order(n_fft)] / n_fft).astype(char)
    spectrum.flags.writeable = False
    return spectrum


def _filter_row(
    x: np.ndarray, half: int, spectrum: np.ndarray, out: np.ndarray, before: int
) -> None:
    """Filter two blocks at a time, as the real and the imaginary part of one signal."""
    n_fft = len(spectrum) // 2
    hop = n_fft - 2 * half
    starts = range(0, len(out), 2 * hop)
    # The FFT of four rows is faster than that of three.
    n_rows = len(starts) if len(starts) < 3 else _GROUP
    pairs = np.zeros((n_rows, n_fft), np.result_type(spectrum, np.complex64))
    for number in range(0, len(starts), _GROUP):
        group = starts[number : number + _GROUP]
        for pair, start in zip(pairs, group, strict=False):
            first = before + start - half
            pair.real = segment(x, first, first + n_fft)
            pair.imag = segment(x, first + hop, first + hop + n_fft)
        transformed = fft.fft(pairs, axis=-1, overwrite_x=True)
        transformed.view(spectrum.dtype)[...] *= spectrum
        filtered = fft.ifft(transformed, axis=-1, overwrite_x=True)[:, half : half + hop]
        for pair, start in zip(filtered, group, strict=False):
            for part, begin in ((pair.real, start), (pair.imag, start + hop)):
                stop = min(begin + hop, len(out))
                out[begin:stop] = part[: max(0, stop - begin)]
