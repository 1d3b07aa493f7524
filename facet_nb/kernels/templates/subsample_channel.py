"""Averaged artifact subtraction between samples, at the native rate: one whole channel.

Epochs are moved to a common grid by filters of a few dozen samples, averaged, and the template is
moved back to where each artifact is. Compiled, the filters run over the samples
(:mod:`facet_nb.kernels.compiled.shifted_templates`); without numba the same filters are multiplied
in the Fourier
domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from scipy import fft

from facet_nb.kernels.compiled.dispatch import find_compiled, is_float
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.templates.averaging import N_SEED, choose_epochs, list_blocks
from facet_nb.kernels.templates.neighbours import correlate_rows, slide
from facet_nb.kernels.templates.subsample import (
    GRID,
    HALO,
    KAISER,
    MARGIN,
    TAPS,
    Layout,
    cut,
    subtract,
    taper,
)

#: Largest table of responses that is kept, in numbers: 16 MB.
_TABLE = 1 << 20

#: Epochs that are moved at once.
_PORTION = 64


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
        Signal, in V. float32 is computed in float32.
    layout : Layout
        Where artifacts are.
    window : int
        Epochs in a template.
    threshold : float
        Pearson correlation that an epoch must exceed to take part.
    sliding : bool
        A template for each epoch, of its nearest neighbours without itself; else one for each
        block (the rule of :func:`facet_nb.kernels.templates.averaging.average_blocks`).
    out : ndarray, shape (n_times,) | None
        Where to put the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V. A sample between two artifacts gets both templates, each by the
        part of the sample that belongs to it.
    """
    if out is not None and out.flags.c_contiguous and not np.may_share_memory(x, out):
        work = out
        work[...] = x
    else:
        work = np.array(x)
    source = np.ascontiguousarray(x)
    step = _correct_sliding if sliding else _correct_blocks
    step(source, layout, window, threshold, work)
    if out is None or out is work:
        return work
    out[...] = work
    return out


def _correct_blocks(
    x: np.ndarray, layout: Layout, window: int, threshold: float, out: np.ndarray
) -> None:
    """Subtract the template of each block of epochs."""
    blocks = list_blocks(len(layout.first), window)
    compiled = _find("correct_blocks", x)
    if compiled is not None:
        tables = find_tables(layout, x.dtype)
        compiled(x, layout, np.array(blocks).reshape(-1, 2), *tables, N_SEED, threshold, out)
        return
    mean = find_mean(x)
    for first, stop in blocks:
        which = np.arange(first, stop)
        pool = which[layout.usable[first:stop]]
        if not len(pool):
            continue
        rows = move_in_numpy(x, layout, pool, mean)
        everyone = np.arange(len(pool))
        epochs = rows[:, MARGIN : MARGIN + layout.n_samples]
        chosen = choose_epochs(epochs, everyone[:N_SEED], everyone, threshold)
        subtract_in_numpy(out, rows[chosen].mean(axis=0)[np.newaxis], layout, which)


def find_tables(layout: Layout, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the window of an epoch, and the filters that move it, for the compiled kernel."""
    return taper(layout.n_samples, dtype), _filters(dtype.char)


def _correct_sliding(
    x: np.ndarray, layout: Layout, window: int, threshold: float, out: np.ndarray
) -> None:
    """Subtract from each epoch the mean of its neighbours."""
    everyone = np.arange(len(layout.first))
    pool = everyone[layout.usable]
    if len(pool) < 2:
        return
    mean = find_mean(x)
    rows = np.zeros((len(everyone), layout.n_samples + 2 * MARGIN), dtype=x.dtype)
    for part in _portions(pool):
        rows[part] = _move(x, layout, part, mean)
    templates = np.empty_like(rows)
    slide(rows, layout.usable, window, templates)
    inside = slice(MARGIN, MARGIN + layout.n_samples)
    alike = layout.usable.copy()
    for part in _portions(pool):
        alike[part] = correlate_rows(rows[part, inside], templates[part, inside]) > threshold
    if not np.array_equal(alike, layout.usable) and alike.sum() > 1:
        slide(rows, alike, window, templates)
    for part in _portions(everyone):
        _subtract(out, templates[part], layout, part)


def _portions(which: np.ndarray) -> Iterator[np.ndarray]:
    for low in range(0, len(which), _PORTION):
        yield which[low : low + _PORTION]


def _find(name: str, x: np.ndarray) -> Callable | None:
    """Return a compiled function for numbers like those of `x`, or None."""
    return find_compiled("shifted_templates", name) if is_float(x) else None


def _move(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    compiled = _find("move_rows", x)
    if compiled is None:
        return move_in_numpy(x, layout, which, mean)
    tables = taper(layout.n_samples, x.dtype), _filters(x.dtype.char)
    return compiled(x, layout, which, *tables, x.dtype.type(mean))


def _subtract(out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray) -> None:
    compiled = _find("subtract_moved", out)
    if compiled is None:
        subtract_in_numpy(out, rows, layout, which)
    else:
        compiled(out, rows, layout, which, _filters(out.dtype.char))


# ------------------------------------------------------------------------------------- in numpy
def move_in_numpy(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    """Return epochs on the artifacts' own grid, shape (n, n_samples + 2 MARGIN).

    They begin MARGIN samples before their artifacts.
    """
    n_fft = _choose_n_fft(layout.n_samples)
    spectra = fft.rfft(cut(x, layout, which, mean), n_fft, axis=-1)
    spectra *= _respond(n_fft, layout.part[which], spectra.dtype)
    first = HALO - MARGIN
    moved = fft.irfft(spectra, n_fft, axis=-1, overwrite_x=True)
    return moved[:, first : first + layout.n_samples + 2 * MARGIN]


def subtract_in_numpy(out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray) -> None:
    """Subtract templates, one for all artifacts or one for each, moved to where these are."""
    n_fft = _choose_n_fft(layout.n_samples)
    spectra = fft.rfft(rows, n_fft, axis=-1)
    spectra = spectra * _respond(n_fft, -layout.part[which], spectra.dtype)
    moved = fft.irfft(spectra, n_fft, axis=-1, overwrite_x=True)
    subtract(out, moved, layout, which, MARGIN)


def _choose_n_fft(n_samples: int) -> int:
    """Return the length of transforms: filters must not reach round from the other end."""
    return int(fft.next_fast_len(n_samples + 2 * HALO + TAPS // 2, real=True))


@lru_cache(maxsize=2)
def _filters(char: str) -> np.ndarray:
    """Return filters that move by -GRID/2 … GRID/2 parts of a sample, shape (GRID + 1, TAPS).

    A sinc in a Kaiser window around the moved sample, of unit gain at 0 Hz.
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
    """Return the responses of filters that move by `parts`, shape (n, n_freqs)."""
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
