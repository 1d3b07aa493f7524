"""Averaged artifact subtraction with sub-sample alignment, for one channel at the native rate.

Epochs are aligned by short fractional-delay filters and averaged, and the template is delayed back
to the position of each artifact. The compiled kernel filters in the time domain
(:mod:`facet_nb.kernels.compiled.shifted_templates`); without it, the same filters are applied in
the Fourier domain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.compiled.dispatch import find_compiled, is_float
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.templates.averaging import N_SEED, choose_epochs, list_blocks
from facet_nb.kernels.templates.neighbours import average_nearest, correlate_rows
from facet_nb.kernels.templates.subsample import (
    GRID,
    HALO,
    KAISER,
    MARGIN,
    TAPS,
    Layout,
    cut,
    portions,
    subtract,
    taper,
)

#: Largest table of frequency responses that is cached, in elements: 16 MB.
_TABLE = 1 << 20


def correct(
    x: np.ndarray,
    layout: Layout,
    *,
    window: int,
    threshold: float,
    sliding: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V. float32 is processed in float32.
    layout : Layout
        Positions of the artifacts.
    window : int
        Number of epochs in a template.
    threshold : float
        Pearson correlation above which an epoch enters a template.
    sliding : bool
        Average a template for each epoch over its nearest neighbours, without itself, instead of
        one for each block (:func:`facet_nb.kernels.templates.averaging.average_blocks`).
    out : ndarray, shape (n_times,) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V. From a sample between two artifacts both templates are subtracted,
        each weighted by the part of the sample that belongs to its artifact.
    """
    if out is not None and out.flags.c_contiguous and not np.may_share_memory(x, out):
        work = out
        work[...] = x
    else:
        work = np.array(x)
    source = np.ascontiguousarray(x)
    if sliding:
        _correct_sliding(source, layout, window, threshold, work)
    else:
        blocks = np.array(list_blocks(len(layout.first), window)).reshape(-1, 2)
        correct_blocks(source, layout, blocks, threshold, work, find_mean(source))
    if out is None or out is work:
        return work
    out[...] = work
    return out


def correct_blocks(
    x: np.ndarray,
    layout: Layout,
    blocks: np.ndarray,
    threshold: float,
    out: np.ndarray,
    mean: float,
) -> None:
    """Subtract the template of each block from its epochs, in place.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, or the piece of it that `layout` refers to, in V.
    layout : Layout
        Positions of the artifacts.
    blocks : ndarray of int, shape (n_blocks, 2)
        First epoch of each block, and the one after its last.
    threshold : float
        Pearson correlation above which an epoch enters a template.
    out : ndarray, shape (n_times,)
        A copy of `x`, which becomes the result.
    mean : float
        Mean of the whole signal, in V.
    """
    compiled = _find("correct_blocks", x)
    if compiled is not None:
        tables = find_tables(layout, x.dtype)
        compiled(x, layout, blocks, *tables, N_SEED, threshold, out, mean)
        return
    for first, stop in blocks.tolist():
        which = np.arange(first, stop)
        pool = which[layout.usable[first:stop]]
        if not len(pool):
            continue
        rows = align_in_numpy(x, layout, pool, mean)
        order = np.arange(len(pool))
        epochs = rows[:, MARGIN : MARGIN + layout.n_samples]
        chosen = choose_epochs(epochs, order[:N_SEED], order, threshold)
        subtract_in_numpy(out, rows[chosen].mean(axis=0)[np.newaxis], layout, which)


def find_tables(layout: Layout, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the window and the fractional-delay filters for the compiled kernel."""
    return taper(layout.n_samples, dtype), _filters(dtype.char)


def _correct_sliding(
    x: np.ndarray, layout: Layout, window: int, threshold: float, out: np.ndarray
) -> None:
    """Subtract from each epoch the mean of its neighbours."""
    every_epoch = np.arange(len(layout.first))
    pool = every_epoch[layout.usable]
    if len(pool) < 2:
        return
    mean = find_mean(x)
    rows = np.zeros((len(every_epoch), layout.n_samples + 2 * MARGIN), dtype=x.dtype)
    for part in portions(pool):
        rows[part] = align(x, layout, part, mean)
    templates = np.empty_like(rows)
    average_nearest(rows, layout.usable, window, templates)
    inside = slice(MARGIN, MARGIN + layout.n_samples)
    alike = layout.usable.copy()
    for part in portions(pool):
        alike[part] = correlate_rows(rows[part, inside], templates[part, inside]) > threshold
    if not np.array_equal(alike, layout.usable) and alike.sum() > 1:
        average_nearest(rows, alike, window, templates)
    for part in portions(every_epoch):
        subtract_shifted(out, templates[part], layout, part)


def _find(name: str, x: np.ndarray) -> Callable | None:
    """Return a compiled function for the type of `x`, or None."""
    return find_compiled("shifted_templates", name) if is_float(x) else None


def align(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    """Return aligned epochs; see :func:`align_in_numpy`."""
    compiled = _find("align_rows", x)
    if compiled is None:
        return align_in_numpy(x, layout, which, mean)
    return compiled(x, layout, which, *find_tables(layout, x.dtype), x.dtype.type(mean))


def subtract_shifted(out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray) -> None:
    """Delay templates and subtract them, in place; see :func:`subtract_in_numpy`."""
    compiled = _find("subtract_shifted", out)
    if compiled is None:
        subtract_in_numpy(out, rows, layout, which)
    else:
        compiled(out, rows, layout, which, _filters(out.dtype.char))


# ------------------------------------------------------------------------------------- in NumPy
def align_in_numpy(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    """Return aligned epochs, shape (n, n_samples + 2 MARGIN).

    They start MARGIN samples before their artifacts.
    """
    n_fft = _choose_n_fft(layout.n_samples)
    spectra = fft.rfft(cut(x, layout, which, mean), n_fft, axis=-1)
    spectra *= _respond(n_fft, layout.part[which], spectra.dtype)
    first = HALO - MARGIN
    shifted = fft.irfft(spectra, n_fft, axis=-1, overwrite_x=True)
    return shifted[:, first : first + layout.n_samples + 2 * MARGIN]


def subtract_in_numpy(out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray) -> None:
    """Delay templates, one for all artifacts or one for each, and subtract them in place."""
    n_fft = _choose_n_fft(layout.n_samples)
    spectra = fft.rfft(rows, n_fft, axis=-1)
    spectra = spectra * _respond(n_fft, -layout.part[which], spectra.dtype)
    shifted = fft.irfft(spectra, n_fft, axis=-1, overwrite_x=True)
    subtract(out, shifted, layout, which, MARGIN)


def _choose_n_fft(n_samples: int) -> int:
    """Return the length of the transforms, at which circular convolution does not wrap around."""
    return int(fft.next_fast_len(n_samples + 2 * HALO + TAPS // 2, real=True))


@lru_cache(maxsize=2)
def _filters(char: str) -> np.ndarray:
    """Return filters that shift by -GRID/2 … GRID/2 steps, shape (GRID + 1, TAPS).

    Kaiser-windowed sinc filters with unit gain at 0 Hz.
    """
    parts = np.arange(-GRID // 2, GRID // 2 + 1)[:, np.newaxis] / GRID
    times = np.arange(TAPS) - TAPS // 2 - parts
    window = np.i0(KAISER * np.sqrt(np.clip(1 - (2 * times / TAPS) ** 2, 0, None)))
    filters = np.sinc(times) * window
    filters /= filters.sum(axis=1, keepdims=True)
    filters = filters.astype(char)
    filters.flags.writeable = False
    return filters


def _respond(n_fft: int, parts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the frequency responses of filters that shift by `parts`, shape (n, n_freqs)."""
    if (GRID + 1) * (n_fft // 2 + 1) <= _TABLE:
        return _table(n_fft, dtype)[parts + GRID // 2]
    return _transform(n_fft, dtype, parts)


@lru_cache(maxsize=2)
def _table(n_fft: int, dtype: np.dtype) -> np.ndarray:
    return _transform(n_fft, dtype, np.arange(-GRID // 2, GRID // 2 + 1))


def _transform(n_fft: int, dtype: np.dtype, parts: np.ndarray) -> np.ndarray:
    filters = _filters("d")[parts + GRID // 2]
    centred = np.zeros((len(parts), n_fft))
    centred[:, -np.arange(-(TAPS // 2), TAPS // 2 + 1)] = filters
    return fft.rfft(centred, axis=-1).astype(dtype)
