"""Whether courses of amplitudes predict held-out frequencies; see native/courses.h.

The NumPy fallback is in :mod:`facet_nb.kernels.lowrank.amplitudes`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import find_kernel


def predict_blocks(
    y: np.ndarray,
    weights: np.ndarray,
    scale: np.ndarray,
    unit: np.ndarray,
    waves: np.ndarray,
    parts: np.ndarray,
    bounds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each block of values from the others; all arrays are of the type of `y`.

    Parameters
    ----------
    y : ndarray, shape (n_epochs, n_values)
        Spectra; contiguous.
    weights : ndarray, shape (n_epochs,)
        Weight of each epoch.
    scale : ndarray, shape (n_values,)
        Factor of each value.
    unit : ndarray, shape (n_courses, n_epochs)
        Orthonormal courses; contiguous.
    waves : ndarray, shape (n_courses, n_values)
        Their waveforms, of scaled values; contiguous.
    parts : ndarray, shape (n_blocks, n_courses, n_epochs)
        Scalar products of weighted, scaled epochs and waveforms; contiguous. Overwritten.
    bounds : ndarray of int64, shape (n_blocks + 1,)
        First value of each block, and the number of values.

    Returns
    -------
    expected, explained : ndarray, shape (n_blocks, n_courses)
        Power that an unrelated course would explain, and that each one does.
    """
    n_blocks, n_courses, n_epochs = parts.shape
    expected, explained = np.empty((2, n_blocks, n_courses), y.dtype)
    others, power = np.empty_like(parts), np.empty((n_blocks, n_epochs), y.dtype)
    total, guess = np.empty_like(unit), np.empty_like(waves)
    run = find_kernel("predict_blocks", y.dtype.char)
    run(
        *(y, *y.shape, weights, scale, unit, waves, parts, n_courses, bounds, n_blocks),
        *(expected, explained, others, power, total, guess),
    )
    return expected, explained
