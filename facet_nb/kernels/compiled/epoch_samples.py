"""Samples of epochs, cut out and subtracted, to the bit as NumPy; see native/epoch_samples.h.

The NumPy fallbacks are in :mod:`facet_nb.kernels.templates.subsample` and
:mod:`facet_nb.kernels.lowrank.highband`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import find_kernel


def cut_rows(
    x: np.ndarray, places: np.ndarray, taper: np.ndarray, n: int, mean: float
) -> np.ndarray:
    """Return tapered samples, followed by zeros, shape (n_rows, n).

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, contiguous.
    places : ndarray of int64, shape (n_rows,)
        Index of the first sample of each row.
    taper : ndarray, shape (n_taper,)
        Window, of the type of `x`.
    n : int
        Length of the rows; at least that of the window.
    mean : float
        Value that is subtracted first.
    """
    out = np.empty((len(places), n), x.dtype)
    run = find_kernel("cut_rows", x.dtype.char)
    run(x, places, len(places), taper, len(taper), mean, out, n)
    return out


def cut_differences(x: np.ndarray, places: np.ndarray, taper: np.ndarray, n: int) -> np.ndarray:
    """Return tapered second differences of `x`, in the type of the window; see `cut_rows`.

    `x` is float64; its differences are zero at both ends.
    """
    out = np.empty((len(places), n), taper.dtype)
    run = find_kernel("cut_differences", taper.dtype.char)
    run(x, len(x), places, len(places), taper, len(taper), out, n)
    return out


def subtract_lines(
    x: np.ndarray, breaks: np.ndarray, slopes: np.ndarray, levels: np.ndarray, out: np.ndarray
) -> None:
    """Subtract a line, ``slope * index + level``, from each part of `x`.

    Parameters
    ----------
    x : ndarray of float64, shape (n_times,)
        Signal.
    breaks : ndarray of int64, shape (n_parts - 1,)
        Index of the first sample of each part but the first, in ascending order.
    slopes, levels : ndarray of float64, shape (n_parts,)
        The lines.
    out : ndarray, shape (n_times,)
        Array for the result; not `x`.
    """
    run = find_kernel("subtract_lines", out.dtype.char)
    run(x, len(x), breaks, len(slopes), slopes, levels, out)


def subtract_rows(
    out: np.ndarray, rows: np.ndarray, places: np.ndarray, *spans: np.ndarray
) -> None:
    """Subtract templates from `out`, in place, one after another.

    Parameters
    ----------
    out : ndarray of float64, shape (n_times,)
        Signal.
    rows : ndarray
        Templates; contiguous.
    places : ndarray of int64, shape (n_templates,)
        Index of the first sample of each template in ``rows.ravel()``.
    *spans : ndarray, shape (n_templates,)
        As of :attr:`facet_nb.kernels.templates.subsample.Layout.spans`.
    """
    find_kernel("subtract_rows", rows.dtype.char)(out, rows, places, *spans, len(places))
