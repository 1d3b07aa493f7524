"""Orthonormal bases of a few columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.lowrank.orthonormal import orthonormalise, orthonormalise_by


@st.composite
def make_columns(draw):
    """Columns of very different sizes, mixed."""
    n_columns = draw(st.integers(0, 16))
    n = draw(st.integers(max(1, 2 * n_columns), 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = 10.0 ** rng.uniform(-draw(st.integers(0, 3)), 0, n_columns)
    columns = (rng.standard_normal((n, n_columns)) * sizes) @ np.triu(
        rng.standard_normal((n_columns, n_columns)) + 3.0 * np.eye(n_columns)
    )
    return columns.astype(draw(st.sampled_from([np.float32, np.float64])))


@given(make_columns())
def test_bases_are_orthonormal_and_span_the_first_columns(columns):
    basis, inverse = orthonormalise_by(columns)
    assert basis.dtype == columns.dtype and np.array_equal(basis, orthonormalise(columns))
    tolerance = 1e-5 if columns.dtype == np.float32 else 1e-6
    n = columns.shape[1]
    np.testing.assert_allclose(basis.T.astype(float) @ basis, np.eye(n), rtol=0, atol=tolerance)
    beside = np.abs(np.tril(inverse, -1)).max(initial=0.0)
    assert beside <= 1e-9 * np.abs(inverse).max(initial=0.0)
    np.testing.assert_allclose(columns.astype(float) @ inverse, basis, rtol=0, atol=tolerance)
    expected = np.linalg.qr(columns.astype(float))[0]
    overlap = np.abs(np.einsum("ij,ij->j", expected, basis))
    np.testing.assert_allclose(overlap, 1.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_columns_that_depend_on_each_other_have_a_basis_too(dtype, noise):
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((50, 3))
    columns = np.hstack([columns, columns[:, :1] + noise * columns[:, 1:2]]).astype(dtype)
    basis = orthonormalise(columns).astype(float)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), rtol=0, atol=1e-6)
    left = columns - basis @ (basis.T @ columns)
    np.testing.assert_allclose(left, 0.0, rtol=0, atol=1e-5)


def test_a_column_of_zeros_has_no_inverse():
    columns = np.zeros((10, 2))
    columns[:, 0] = 1.0
    with pytest.raises(np.linalg.LinAlgError):
        orthonormalise_by(columns)
