"""Averaged artifact subtraction between samples, at the native rate.

Artifacts do not begin on samples. Epochs are moved by the missing part of a sample in the Fourier
domain, averaged on a common grid, and the template is moved back to where each artifact is. This
does what upsampling ten times does, for a tenth of the data and without rounding to tenths.

Here is what is common: where artifacts are, their spectra, and how templates are taken away. All
functions take one channel; rows of one transform are epochs of that channel, so that the result of
a channel does not depend on others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import fft

from facet_nb.kernels.compiled.dispatch import load
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.pages import forget

#: Positions are kept in this part of a sample: an error of 2e-4 samples rms.
GRID = 1024

#: Samples around an epoch that its transform needs: a flat part and a cosine taper.
FLAT, TAPER = 8, 24

HALO = FLAT + TAPER

#: Length of the filters that move epochs where no spectra are asked for, and their window's
#: parameter: -85 dB from exact up to 0.88 of the Nyquist frequency (a test holds it to that).
TAPS, KAISER = 49, 9.0

#: Samples around an epoch that are kept for its way back: what the filter reaches, and one more.
MARGIN = TAPS // 2 + 1

#: Epochs that are transformed at once, to find where they are.
_PORTION = 64


@dataclass(frozen=True)
class Layout:
    """Where artifacts are; the same for all channels.

    Attributes
    ----------
    first : ndarray of int, shape (n_epochs,)
        The sample nearest to each artifact's beginning.
    part : ndarray of int, shape (n_epochs,)
        What is missing to it, in 1 / GRID of a sample (negative: it begins before).
    n_samples : int
        Length of an artifact.
    usable : ndarray of bool, shape (n_epochs,)
        Whether an epoch and its surroundings lie within the recording.
    n_times : int
        Length of the recording, in samples.
    """

    first: np.ndarray
    part: np.ndarray
    n_samples: int
    usable: np.ndarray
    n_times: int

    @classmethod
    def of(cls, onsets: np.ndarray, n_samples: int, n_times: int) -> Layout:
        """Return the layout of artifacts that begin at `onsets`, in samples and parts."""
        steps = np.rint(np.asarray(onsets) * GRID).astype(np.int64)
        first = (steps + GRID // 2) // GRID
        usable = (first >= HALO) & (first + n_samples + HALO <= n_times)
        return cls(first, steps - first * GRID, n_samples, usable, n_times)

    @cached_property
    def spans(self) -> tuple[np.ndarray, ...]:
        """The samples of each artifact, and how much of the outer ones belongs to it.

        A sample stands for the time from half a sample before it to half a sample after.

        Four arrays of shape (n_epochs,): the first sample and the one after the last, and the
        parts of the first and of the last sample, 0 to 1.
        """
        n_times = self.n_times
        begin = self.first + self.part / GRID
        end = begin + self.n_samples
        end[:-1] = np.minimum(end[:-1], np.maximum(begin[1:], begin[:-1]))
        low = np.floor(begin + 0.5).astype(np.int64)
        high = np.ceil(end + 0.5).astype(np.int64)
        head = np.where(low >= 0, np.minimum(1.0, low + 0.5 - begin), 1.0)
        tail = np.where(high <= n_times, np.clip(1.0 - (high - 0.5 - end), 0.0, 1.0), 1.0)
        return np.maximum(low, 0), np.minimum(high, n_times), head, tail

    @cached_property
    def n_fft(self) -> int:
        """Length of the transforms."""
        return int(fft.next_fast_len(self.n_samples + 2 * HALO, real=True))


@lru_cache(maxsize=8)
def taper(n_samples: int, dtype: np.dtype) -> np.ndarray:
    """Return the window of an epoch with its surroundings: flat, with cosine ends."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(TAPER) + 0.5) / TAPER)
    return np.concatenate([ramp, np.ones(n_samples + 2 * FLAT), ramp[::-1]]).astype(dtype)


@lru_cache(maxsize=8)
def _phases(n_fft: int, dtype: np.dtype) -> np.ndarray:
    """Return the factors that move by -GRID/2 … GRID/2 parts, shape (GRID + 1, n_freqs)."""
    parts = np.arange(-GRID // 2, GRID // 2 + 1)[:, np.newaxis] / GRID
    table = np.exp(2j * np.pi * (np.fft.rfftfreq(n_fft) * parts))
    if n_fft % 2 == 0:  # the Nyquist frequency cannot be moved by a part of a sample
        table[:, -1] = np.cos(np.pi * parts[:, 0])
    table = table.astype(dtype)
    table.flags.writeable = False
    return table


def cut(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float = 0.0) -> np.ndarray:
    """Return epochs with their surroundings, faded out, shape (n, n_samples + 2 HALO)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, layout.n_samples + 2 * HALO)
    pieces = windows[layout.first[which] - HALO]
    pieces -= x.dtype.type(mean)
    pieces *= taper(layout.n_samples, x.dtype)
    return pieces


def transform(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float = 0.0) -> np.ndarray:
    """Return spectra of epochs on the artifacts' own grid: an epoch begins at its artifact.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    layout : Layout
        Where artifacts are.
    which : ndarray of int, shape (n,)
        The epochs; usable ones only.
    mean : float
        Taken away from the signal first.

    Returns
    -------
    ndarray of complex, shape (n, n_freqs)
        Spectra of epochs and their surroundings, which are faded out at the ends.
    """
    spectra = fft.rfft(cut(x, layout, which, mean), layout.n_fft, axis=-1)
    spectra *= _phases(layout.n_fft, spectra.dtype)[layout.part[which] + GRID // 2]
    return spectra


def sample(spectra: np.ndarray, layout: Layout, which: np.ndarray) -> np.ndarray:
    """Return templates as they are sampled at some artifacts.

    Parameters
    ----------
    spectra : ndarray of complex, shape (n_freqs,) or (n, n_freqs)
        One template, or one for each artifact.
    layout : Layout
        Where artifacts are.
    which : ndarray of int, shape (n,)
        The artifacts.

    Returns
    -------
    ndarray, shape (n, n_fft)
        Samples that begin HALO before ``layout.first``.
    """
    moved = spectra * _phases(layout.n_fft, spectra.dtype)[GRID // 2 - layout.part[which]]
    return fft.irfft(moved, layout.n_fft, axis=-1, overwrite_x=True)


def epochs_of(spectra: np.ndarray, layout: Layout) -> np.ndarray:
    """Return epochs on the artifacts' own grid without their surroundings, (n, n_samples)."""
    whole = fft.irfft(spectra, layout.n_fft, axis=-1)
    return whole[:, HALO : HALO + layout.n_samples]


# -------------------------------------------------------------------------------- where they are
def find_onsets(
    x: np.ndarray, starts: np.ndarray, n_samples: int, *, max_lag: int = 3, n_rounds: int = 3
) -> np.ndarray:
    """Return where artifacts begin, to a small part of a sample.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Reference channel, in V.
    starts : ndarray of int, shape (n_epochs,)
        Beginnings to within `max_lag` samples.
    n_samples : int
        Length of an artifact.
    max_lag : int
        Largest error of `starts`, in samples.
    n_rounds : int
        How often the mean artifact is made anew from better positions.

    Returns
    -------
    ndarray of float, shape (n_epochs,)
        Beginnings, in samples. Their common offset is that of `starts`: the mean move is zero.

    Notes
    -----
    Each round finds the greatest cross-correlation of every epoch with the mean epoch: to a whole
    sample first, then by Newton's method on its derivative, in the Fourier domain.
    """
    moves, mean = np.zeros(len(starts)), find_mean(x)
    for _ in range(n_rounds):
        layout = Layout.of(starts + moves, n_samples, len(x))
        which = np.flatnonzero(layout.usable)
        if len(which) < 2:
            return starts + moves
        longest = min(max_lag, layout.n_fft // 4)
        template = _average(x, layout, which, mean)
        for part in _portions(which):
            spectra = transform(x, layout, part, mean)
            moves[part] += _find_lags(spectra, template, layout.n_fft, longest)
            forget(x)
        moves[which] -= moves[which].mean()
    return starts + moves


def _portions(which: np.ndarray) -> list[np.ndarray]:
    return [which[low : low + _PORTION] for low in range(0, len(which), _PORTION)]


def _average(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    """Return the mean spectrum of epochs, a few of which are in memory at a time."""
    total = np.zeros(layout.n_fft // 2 + 1, dtype=complex)
    for part in _portions(which):
        for spectrum in transform(x, layout, part, mean):
            total += spectrum
        forget(x)
    return total / len(which)


def _find_lags(spectra: np.ndarray, template: np.ndarray, n_fft: int, max_lag: int) -> np.ndarray:
    """Return how much later than `template` each epoch is, in samples."""
    cross = spectra * np.conj(template)
    near = np.concatenate([np.arange(max_lag + 1), np.arange(n_fft - max_lag, n_fft)])
    products = fft.irfft(cross, n_fft, axis=-1)[:, near]
    best = near[products.argmax(axis=1)]
    whole = np.where(best > n_fft // 2, best - n_fft, best).astype(float)
    lag = load("refine_lags", refine_in_numpy)(cross, whole, n_fft)
    return np.where(np.abs(lag - whole) < 1.0, lag, whole)


def refine_in_numpy(cross: np.ndarray, lag: np.ndarray, n_fft: int) -> np.ndarray:
    """Return where the cross-correlations are greatest: four steps of Newton's method.

    Parameters
    ----------
    cross : ndarray of complex, shape (n, n_freqs)
        Spectra of cross-correlations.
    lag : ndarray of float, shape (n,)
        Where they are greatest, to a whole sample.
    n_fft : int
        Length of the transforms.

    Returns
    -------
    ndarray of float, shape (n,)
        Lags, in samples.
    """
    omega = 2 * np.pi * np.fft.rfftfreq(n_fft)
    lag = lag.copy()
    for _ in range(4):
        turned = cross * np.exp(1j * omega * lag[:, np.newaxis])
        slope = -np.einsum("ij,j->i", turned.imag, omega)
        bend = -np.einsum("ij,j->i", turned.real, omega**2)
        lag += np.where(bend < 0, -slope / np.where(bend < 0, bend, -1.0), 0.0)
    return lag


# ------------------------------------------------------------------------------------ and away
def subtract(
    out: np.ndarray, sampled: np.ndarray, layout: Layout, which: np.ndarray, before: int = HALO
) -> None:
    """Subtract sampled templates from `out`, in place, each over the time of its artifact.

    Parameters
    ----------
    out : ndarray, shape (n_times,)
        Signal, in V.
    sampled : ndarray, shape (n, at least before + n_samples + 1)
        Templates as they are sampled at the artifacts, as :func:`sample` returns them.
    layout : Layout
        Where artifacts are.
    which : ndarray of int, shape (n,)
        The artifacts.
    before : int
        Samples before ``layout.first`` in each row.
    """
    low, high, head, tail = layout.spans
    loop = load("subtract_rows", subtract_in_numpy)
    loop(out, sampled, layout.first[which] - before, *(v[which] for v in (low, high, head, tail)))


def subtract_in_numpy(
    out: np.ndarray,
    rows: np.ndarray,
    origin: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
) -> None:
    """Do what the compiled ``subtract_rows`` does, row by row."""
    for i, row in enumerate(rows):
        a, b = int(low[i]), int(high[i])
        if a >= b:
            continue
        piece = row[a - origin[i] : b - origin[i]].copy()
        piece[0] *= head[i]
        piece[-1] *= tail[i]
        out[a:b] -= piece
