"""Band-limited resampling without delay: polyphase windowed sinc filters, by short transforms.

Upsampling by an integer factor preserves the original samples to the bit and all frequencies below
99.5 % of their Nyquist frequency. Downsampling passes all that upsampling can create (it stops at
101.5 % of the new Nyquist frequency). Both extend the signal beyond its ends in the same way, so
that upsampling followed by downsampling restores any signal to 1e-9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.filters.edges import segment

#: Half-width of the kernel in samples of the lower rate, and Kaiser's beta: a transition of 1 % of
#: the Nyquist frequency with 200 dB (Kaiser 1974: A = 8 + 2.285 * 2 * half-width * 0.01 pi).
HALF_WIDTH = 1340

BETA = 0.1102 * (200.0 - 8.7)

#: Centre of the transition for downsampling, in Nyquist frequencies of the lower rate: above all
#: that upsampling leaves. Upsampling has 1, so that the original samples are preserved.
DOWN_CUTOFF = 1.01

#: Half-width for fractions, which are filtered directly: a transition from 0.95 to 1.05.
FRACTION_HALF_WIDTH = 134

#: Transform length: fastest of 8192, 16384, 32768 and 65536 for ×10 on 300 000 samples
#: (benchmarks/kernels.py).
N_FFT = 16384

#: Largest denominator of a ratio of rates: each phase has a filter of its own.
MOST_PHASES = 10_000

#: Number of input samples that one transform upsamples.
UP_HOP = N_FFT - 2 * HALF_WIDTH + 1

#: Number of output samples of one transform that downsamples.
DOWN_HOP = N_FFT - 2 * HALF_WIDTH + 1


def kernel(t: np.ndarray, half_width: float, cutoff: float = 1.0) -> np.ndarray:
    """Return the windowed sinc at `t`, in samples of the lower rate; 0 beyond ±`half_width`."""
    inside = np.clip(1.0 - (t / half_width) ** 2, 0.0, None)
    return np.sinc(cutoff * t) * np.i0(BETA * np.sqrt(inside)) / np.i0(BETA) * (inside > 0)


def upsample(x: np.ndarray, factor: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """Upsample each row by an integer factor.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    factor : int
        New rate over old.
    out : ndarray, shape (n_channels, n_times * factor) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, n_times * factor)
        Signals at the higher rate; ``result[:, ::factor]`` equals `x` to the bit.
    """
    n_times = x.shape[1]
    out = np.empty((len(x), n_times * factor)) if out is None else out
    if factor == 1:
        out[...] = x
        return out
    spectra = up_spectra(factor)
    for row, target in zip(x, out, strict=True):
        _upsample_row(row, factor, spectra, target.reshape(n_times, factor))
    return out


def downsample(x: np.ndarray, factor: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """Downsample each row by an integer factor, with an anti-alias filter.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    factor : int
        Old rate over new.
    out : ndarray, shape (n_channels, round(n_times / factor)) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, round(n_times / factor))
        Signals at the lower rate.
    """
    n_out = count(x.shape[1], 1, factor)
    out = np.empty((len(x), n_out)) if out is None else out
    if factor == 1:
        out[...] = x
        return out
    spectra = down_spectra(factor)
    for row, target in zip(x, out, strict=True):
        _downsample_row(row[: (n_out - 1) * factor + 1], factor, spectra, target)
    return out


def resample(x: np.ndarray, up: int, down: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """Resample each row by the fraction `up` / `down`.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    up, down : int
        New rate over old, in lowest terms.
    out : ndarray | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, round(n_times * up / down))
        Signals at the new rate. Frequencies below 95 % of the lower Nyquist frequency are kept.
    """
    if down == 1:
        return upsample(x, up, out=out)
    if up == 1:
        return downsample(x, down, out=out)
    # scipy.signal takes half a second to import: only fractions need it.
    from scipy.signal import upfirdn

    n_out = count(x.shape[1], up, down)
    out = np.empty((len(x), n_out)) if out is None else out
    taps, half = fraction_taps(up, down)
    pad = int(np.ceil(half / up)) + 1
    pad += -pad % down  # whole periods of the output grid, so that it starts at sample 0
    for row, target in zip(x, out, strict=True):
        extended = segment(row, -pad, len(row) + pad, repeat=True)
        first = (pad * up + half) // down  # both are multiples of `down`
        target[...] = upfirdn(taps, extended, up, down)[first : first + n_out]
    return out


def find_ratio(sfreq: float, new_sfreq: float) -> tuple[Fraction, bool]:
    """Return the nearest ratio of two rates, in Hz, that can be resampled, and if it is exact."""
    ratio = Fraction(new_sfreq / sfreq).limit_denominator(MOST_PHASES)
    ratio = ratio or Fraction(1, MOST_PHASES)
    return ratio, abs(float(ratio) * sfreq - new_sfreq) <= 1e-9 * new_sfreq


def count(n_times: int, up: int, down: int) -> int:
    """Return the number of samples after resampling: rounded, at least 1, as in MNE."""
    return max(1, round(Fraction(n_times * up, down)))


def hold(x: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resample integer codes of stim channels, so that no code is lost or mixed.

    Each new sample takes the value of largest magnitude in the interval that it covers.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Codes.
    up, down : int
        New rate over old, in lowest terms.

    Returns
    -------
    ndarray, shape (n_channels, round(n_times * up / down))
        Codes at the new rate.
    """
    n_times = x.shape[1]
    n_out = count(n_times, up, down)
    starts = np.minimum(np.arange(n_out) * down // up, n_times - 1)
    if up >= down:
        return x[:, starts]
    high = np.maximum.reduceat(x, starts, axis=1)
    low = np.minimum.reduceat(x, starts, axis=1)
    return np.where(-low > high, low, high)


# ------------------------------------------------------------------------------------ kernels
def up_taps(factor: int) -> np.ndarray:
    """Return the interpolation filters of all phases, shape (factor - 1, 2 HALF_WIDTH).

    Row p - 1 gives the value p / factor after a sample; its first tap is for the sample
    HALF_WIDTH - 1 before.
    """
    k = np.arange(2 * HALF_WIDTH)
    phases = np.arange(1, factor)[:, np.newaxis] / factor
    taps = kernel(HALF_WIDTH - 1 + phases - k, HALF_WIDTH)
    return taps / taps.sum(axis=1, keepdims=True)


def down_taps(factor: int) -> np.ndarray:
    """Return the polyphase anti-alias filters, shape (factor, 2 HALF_WIDTH).

    Row p is applied to the samples p / factor after those that are kept; its first tap is for the
    one HALF_WIDTH before.
    """
    k = np.arange(2 * HALF_WIDTH)
    phases = np.arange(factor)[:, np.newaxis] / factor
    taps = kernel(k - HALF_WIDTH + phases, HALF_WIDTH, DOWN_CUTOFF)
    return taps / taps.sum()


@lru_cache(maxsize=8)
def up_spectra(factor: int) -> np.ndarray:
    """Return the conjugate spectra of phases 1 to factor - 1, shape (factor - 1, n_freqs)."""
    return _freeze(np.conj(fft.rfft(up_taps(factor), N_FFT, axis=-1)))


@lru_cache(maxsize=8)
def down_spectra(factor: int) -> np.ndarray:
    """Return the conjugate spectra of all phases, shape (factor, n_freqs)."""
    return _freeze(np.conj(fft.rfft(down_taps(factor), N_FFT, axis=-1)))


@lru_cache(maxsize=8)
def fraction_taps(up: int, down: int) -> tuple[np.ndarray, int]:
    """Return the filter at `up` times the old rate, and its half-length."""
    scale = max(up, down)
    half = FRACTION_HALF_WIDTH * scale
    half += -half % down
    side = kernel(np.arange(half + 1) / scale, FRACTION_HALF_WIDTH)
    taps = np.concatenate([side[:0:-1], side])
    return _freeze(taps * (up / taps.sum())), half


def _freeze(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


# ------------------------------------------------------------------------------------- one row
def _upsample_row(x: np.ndarray, factor: int, spectra: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, shape (n_times, factor): one row for each sample, one column for each phase."""
    product = np.empty_like(spectra)
    for start in range(0, len(x), UP_HOP):
        upsample_block(x, start, spectra, product, out[start : start + UP_HOP])


def upsample_block(
    x: np.ndarray, start: int, spectra: np.ndarray, product: np.ndarray, out: np.ndarray
) -> None:
    """Fill `out`, shape (UP_HOP or fewer at the end, factor), from sample `start` of `x` on."""
    first = start - (HALF_WIDTH - 1)
    piece = segment(x, first, first + N_FFT, repeat=True)
    np.multiply(spectra, fft.rfft(piece), out=product)
    phases = fft.irfft(product, N_FFT, axis=-1, overwrite_x=True)
    out[:, 1:] = phases[:, : len(out)].T
    out[:, 0] = x[start : start + len(out)]


class Upsampled:
    """A lazily upsampled signal that supports slices, length, mean and extremes.

    Slices are read-only and equal those of :func:`upsample` to the bit.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    factor : int
        New rate over old: 2 or more.
    cache_bytes : int
        Size of the cache of upsampled blocks, in bytes.
    keep : callable | None
        ``keep(name, make)`` returns a block that it has kept, or ``make()``; instead of the cache.
    """

    def __init__(
        self,
        x: np.ndarray,
        factor: int,
        cache_bytes: int = 64 << 20,
        keep: Callable[[Hashable, Callable[[], np.ndarray]], np.ndarray] | None = None,
    ) -> None:
        self.x, self.keep = x, keep
        self.factor = factor
        self.spectra = up_spectra(factor)
        self.blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self.n_kept = max(2, cache_bytes // (8 * factor * UP_HOP))

    def __len__(self) -> int:
        return len(self.x) * self.factor

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, step = where.indices(len(self))
        if step != 1:
            return np.asarray(self)[where]
        if stop <= start:
            return np.empty(0)
        size = UP_HOP * self.factor
        pieces = []
        for number in range(start // size, (stop - 1) // size + 1):
            low = number * size
            pieces.append(self._make(number)[max(0, start - low) : stop - low])
        return pieces[0] if len(pieces) == 1 else _freeze(np.concatenate(pieces))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype)

    def release(self) -> None:
        """Drop the cached blocks."""
        self.blocks.clear()

    def mean(self) -> float:
        """Return the mean."""
        return self._summary[0]

    def min(self) -> float:
        """Return the smallest sample."""
        return self._summary[1]

    def max(self) -> float:
        """Return the largest sample."""
        return self._summary[2]

    @cached_property
    def _summary(self) -> tuple[float, float, float]:
        total, low, high = 0.0, np.inf, -np.inf
        for number in range(-(-len(self.x) // UP_HOP)):
            block = self._make(number)
            total += float(block.sum())
            low, high = min(low, float(block.min())), max(high, float(block.max()))
        return total / len(self), low, high

    def _make(self, number: int) -> np.ndarray:
        """Return one block; the most recently used ones are cached."""
        if self.keep is not None:
            return self.keep(("upsampled", self.factor, number), partial(self._compute, number))
        if number in self.blocks:
            self.blocks.move_to_end(number)
            return self.blocks[number]
        self.blocks[number] = self._compute(number)
        if len(self.blocks) > self.n_kept:
            self.blocks.popitem(last=False)
        return self.blocks[number]

    def _compute(self, number: int) -> np.ndarray:
        start = number * UP_HOP
        block = np.empty((min(UP_HOP, len(self.x) - start), self.factor))
        upsample_block(self.x, start, self.spectra, np.empty_like(self.spectra), block)
        return _freeze(block.reshape(-1))


def _downsample_row(x: np.ndarray, factor: int, spectra: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, shape (n_out,), from `x`, which ends at the position of the last output."""
    phases = np.empty((factor, N_FFT))
    for start in range(0, len(out), DOWN_HOP):
        downsample_block(x, start * factor, spectra, phases, out[start : start + DOWN_HOP])


def downsample_block(
    x: np.ndarray, start: int, spectra: np.ndarray, phases: np.ndarray, out: np.ndarray
) -> None:
    """Fill `out`, shape (DOWN_HOP or fewer at the end,), from sample `start` of `x` on.

    `phases`, shape (factor, N_FFT), is scratch memory.
    """
    factor = len(phases)
    first = start - HALF_WIDTH * factor
    piece = segment(x, first, first + N_FFT * factor, repeat=True)
    phases[...] = piece.reshape(N_FFT, factor).T
    product = fft.rfft(phases, axis=-1)
    product *= spectra
    out[...] = fft.irfft(product.sum(axis=0), N_FFT)[: len(out)]
