"""Averaged artifact subtraction with sub-sample alignment of one channel, block by block.

Epochs and templates are shifted by Kaiser-windowed sinc filters of :data:`TAPS` taps, one for each
1 / GRID of a sample; see native/shifted_templates.h. The NumPy fallback in
:mod:`facet_nb.kernels.templates.subsample_channel` multiplies by the responses of the same filters
in the Fourier domain.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.library import count_step, find_kernel
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.templates.subsample import GRID, HALO, MARGIN, TAPS, Layout

#: Bytes of a cache line.
_BYTES = 64

#: Elements after each row: loops may run up to four cache lines past its end.
_SLACK = 64

_HALF = TAPS // 2


def correct_blocks(
    x: np.ndarray,
    layout: Layout,
    blocks: np.ndarray,
    taper: np.ndarray,
    filters: np.ndarray,
    n_seed: int,
    threshold: float,
    out: np.ndarray,
    mean: float | None = None,
) -> None:
    """Average a template for each block of epochs and subtract it, in place.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, float32 or float64, in V.
    layout : Layout
        Positions of the artifacts.
    blocks : ndarray of int, shape (n_blocks, 2)
        First epoch of each block, and the epoch after its last.
    taper : ndarray, shape (n_samples + 2 HALO,)
        Window of an epoch with its surroundings, of the type of `x`.
    filters : ndarray, shape (GRID + 1, TAPS)
        Filters that shift by -GRID/2 … GRID/2 parts of a sample, of the type of `x`.
    n_seed : int
        Number of epochs that enter a template regardless of their correlation.
    threshold : float
        Pearson correlation with the running mean above which the other epochs enter.
    out : ndarray, shape (n_times,)
        A copy of `x`, or `x` itself.
    mean : float | None
        Mean of the whole signal, in V; by default that of `x`, which is then the whole signal.
    """
    widest = int((blocks[:, 1] - blocks[:, 0]).max(initial=1))
    places, weights = _list_epochs(layout)
    n_row = count_row(layout.n_samples, x.itemsize)
    work = aligned_empty((2 * widest + 2) * n_row, x.dtype)
    gram = np.empty((widest + 2) * widest)
    mean = find_mean(x) if mean is None else mean
    run = find_kernel("correct_blocks", x.dtype.char)
    run(
        *(np.ascontiguousarray(x), places, weights, np.ascontiguousarray(blocks, dtype=np.int64)),
        *(len(blocks), taper, filters, n_row, layout.n_samples, n_seed, threshold, mean),
        *(out, work, widest, gram),
    )


def align_rows(
    x: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    taper: np.ndarray,
    filters: np.ndarray,
    mean: float,
) -> np.ndarray:
    """Return aligned epochs of `x`, shape (n, n_samples + 2 MARGIN)."""
    out = np.empty((len(which), layout.n_samples + 2 * MARGIN), x.dtype)
    n_row = count_row(layout.n_samples, x.itemsize)
    work = aligned_empty(2 * n_row, x.dtype)
    first, part = (a[which].astype(np.int64) for a in (layout.first, layout.part))
    run = find_kernel("align_rows", x.dtype.char)
    source = np.ascontiguousarray(x)
    run(source, first, part, len(which), taper, filters, n_row, layout.n_samples, mean, out, work)
    return out


def subtract_shifted(
    out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray, filters: np.ndarray
) -> None:
    """Shift each template to the position of its artifact and subtract it, in place."""
    places, weights = _list_epochs(layout)
    n_row = count_row(layout.n_samples, rows.itemsize)
    work = aligned_empty(2 * n_row, rows.dtype)
    run = find_kernel("subtract_shifted", rows.dtype.char)
    run(
        *(out, rows, count_step(rows), len(rows), places[which], weights[which]),
        *(layout.n_samples, filters, n_row, work),
    )


def count_row(n_samples: int, itemsize: int) -> int:
    """Return the length of a row that holds one epoch with margins: whole cache lines."""
    line = _BYTES // itemsize
    return -(-(n_samples + 2 * HALO + 2 * _HALF + _SLACK) // line) * line


def _list_epochs(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of epochs, shape (n_epochs, 5), and weights of their outer samples."""
    low, high, head, tail = layout.spans
    numbers = [layout.first, layout.part + GRID // 2, layout.usable, low, high]
    return np.stack(numbers, axis=1).astype(np.int64), np.stack([head, tail], axis=1)
