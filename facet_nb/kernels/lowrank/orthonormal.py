"""Orthonormal bases of a few columns: in a fraction of the time of a QR decomposition.

All columns are of one channel.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

#: Part of a column's energy that columns before it must leave; less may be rounding.
_LEAST_LEFT = 1e-12


def orthonormalise(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis; its first vectors span the first columns.

    Parameters
    ----------
    columns : ndarray, shape (n, n_columns)
        Columns, float32 or float64.

    Returns
    -------
    ndarray, shape (n, n_columns)
        The basis, of the type of `columns`, computed in double precision.
    """
    found = _decompose(columns)
    if found is None:  # fewer dimensions than columns
        return np.linalg.qr(columns.astype(float))[0].astype(columns.dtype)
    return found[0]


def orthonormalise_by(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an orthonormal basis, and the upper triangle that columns are multiplied by.

    Parameters
    ----------
    columns : ndarray, shape (n, n_columns)
        Columns, float32 or float64.

    Returns
    -------
    basis : ndarray, shape (n, n_columns)
        The basis, as of :func:`orthonormalise`: ``columns @ inverse``.
    inverse : ndarray of float64, shape (n_columns, n_columns)
        The triangle.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a column is 0.
    """
    found = _decompose(columns)
    if found is None:
        basis, mixing = np.linalg.qr(columns.astype(float))
        return basis.astype(columns.dtype), np.linalg.inv(mixing)
    return found


def _decompose(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return basis and triangle by Cholesky's decomposition; None if it has no result."""
    exact = columns.astype(float)
    squares = exact.T @ exact
    if not squares.size:
        return columns.copy(), squares
    # LAPACK itself: around matrices as small as these, NumPy's functions take several times as
    # long as the computation. These give the same bits.
    lapack = _load_lapack()
    lower, failed = lapack.dpotrf(squares, lower=1, clean=1)
    if failed or (lower.diagonal() ** 2 <= _LEAST_LEFT * squares.diagonal()).any():
        return None
    inverse = lapack.dgesv(lower, _make_identity(len(lower)))[2].T
    return (exact @ inverse).astype(columns.dtype), inverse


@lru_cache
def _make_identity(n: int) -> np.ndarray:
    return np.eye(n)


@lru_cache
def _load_lapack() -> Any:
    # Imported with the first correction: scipy.linalg takes 0.1 s.
    return import_module("scipy.linalg.lapack")
