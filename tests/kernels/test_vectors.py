"""Vector operations and transforms against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from facet_nb.kernels.compiled.dispatch import aligned_empty  # noqa: E402
from facet_nb.kernels.compiled.entry import compile_entry  # noqa: E402
from facet_nb.kernels.compiled.fft import (  # noqa: E402
    count_places,
    filter_points,
    find_twiddles,
    order,
)
from facet_nb.kernels.compiled.vectors import (  # noqa: E402
    convert,
    is_any,
    last,
    like,
    load,
    load_bytes,
    load_square,
    muladd,
    pointer,
    select,
    shift,
    size,
    store,
    total,
    transpose,
)

TYPES = [np.float64, np.float32]


@numba.njit
def calculate(x, y, out):
    a, b, o = load(pointer(x), 0, 8), load(pointer(y), 0, 8), pointer(out)
    store(o, 0, a + b)
    store(o, 8, a - b)
    store(o, 16, a * b)
    store(o, 24, a / b)
    store(o, 32, -a)
    store(o, 40, muladd(a, b, b))
    store(o, 48, select((a < b) & (like(a, 0) <= b), a, like(b, 2)))
    store(o, 56, select((a == b) | (a != a), a, b))
    store(o, 64, shift(a, x[0] * 0 + 5))
    out[72] = last(a)
    out[73] = total(b)
    out[74] = size(a)
    return is_any(a == b), is_any(b < a)


@pytest.mark.parametrize("dtype", TYPES)
def test_operations(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 8)).astype(dtype)
    x[3] = y[3]
    x[5] = np.nan
    out = np.zeros(75, dtype)
    assert calculate(x, y, out) == (True, bool((y < x).any()))
    got = out[:72].reshape(9, 8)
    expected = [x + y, x - y, x * y, x / y, -x]
    assert np.array_equal(got[:5], expected, equal_nan=True)
    np.testing.assert_allclose(got[5], x * y + y, rtol=1e-5)
    assert np.array_equal(got[6], np.where((x < y) & (y >= 0), x, 2), equal_nan=True)
    assert np.array_equal(got[7], np.where((x == y) | np.isnan(x), x, y), equal_nan=True)
    assert np.array_equal(got[8], [5, *x[:7]], equal_nan=True)
    assert out[72] == x[7]
    np.testing.assert_allclose(out[73], y.sum(), rtol=1e-5)
    assert out[74] == 8


@numba.njit
def turn_square(x, out, wide):
    p, o = pointer(x), pointer(out)
    rows = (load(p, 0, 4), load(p, 4, 4), load(p, 8, 4), load(p, 12, 4))
    columns = transpose(rows)
    for i in range(4):
        store(o, 4 * i, columns[i])
    square = load_square(p, 1, 5, 32)
    for i in range(len(square)):
        store(pointer(wide), len(square) * i, convert(square[i], pointer(wide)))


@pytest.mark.parametrize("dtype", TYPES)
def test_squares_are_transposed(dtype):
    x = np.arange(64, dtype=dtype)
    n = 32 // x.itemsize
    out, wide = np.zeros((4, 4), dtype), np.zeros((n, n))
    turn_square(x, out, wide)
    assert np.array_equal(out, x[:16].reshape(4, 4).T)
    rows = np.array([x[1 + 5 * i : 1 + 5 * i + n] for i in range(n)])
    assert np.array_equal(wide, rows.T)


@numba.njit
def double(x):
    p = pointer(x)
    vectors = load_bytes(p, 0, 64)
    store(p, 0, vectors + vectors)


@pytest.mark.parametrize("dtype", TYPES)
def test_vectors_have_as_many_lanes_as_bytes_hold(dtype):
    x = aligned_empty(20, dtype)
    assert x.ctypes.data % 64 == 0
    x[:] = 1
    double(x)
    assert (x == 2).sum() == 64 // x.itemsize


@numba.njit
def run_filter(points, n, factors, total, spectrum, tile, width):
    p, f, s = pointer(points), pointer(factors), pointer(spectrum)
    filter_points(p, 0, n, f, total, s, 0, pointer(tile), width)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("log2", range(2, 15))
def test_filter_by_transform(log2, dtype):
    n, rng = 1 << log2, np.random.default_rng(log2)
    width = 64 // np.dtype(dtype).itemsize
    x = rng.standard_normal((n, 2, width)).astype(dtype)
    gains = rng.standard_normal(n)
    n_parts = 1 if count_places(n) == n else 16
    points = np.full((n_parts, count_places(n) // n_parts, 2, width), np.nan, dtype)
    inside = points[:, : n // n_parts]
    inside[...] = x.reshape(inside.shape)
    factors = find_twiddles(4 * n, np.dtype(dtype).char)
    spectrum = (gains[order(n)] / n).astype(dtype)
    run_filter(points.ravel(), n, factors, 4 * n, spectrum, np.empty(32 * width, dtype), width)
    signal = x[:, 0] + 1j * x[:, 1].astype(float)
    expected = np.fft.ifft(np.fft.fft(signal, axis=0) * gains[:, np.newaxis], axis=0)
    got = inside.reshape(n, 2, width)
    atol = 1e-14 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(got[:, 0] + 1j * got[:, 1], expected, rtol=0, atol=atol)


def test_order_names_each_frequency_once():
    for log2 in range(10):
        assert np.array_equal(np.sort(order(1 << log2)), np.arange(1 << log2))


def test_any_kernel_that_changes_is_compiled_anew(monkeypatch, tmp_path):
    """Numba's cache notices changes in the file of the entry only; constants come from others."""
    from facet_nb.kernels.compiled import entry

    here = (tmp_path / "compiled" / "vectors.py", tmp_path / "templates" / "other.py")
    for path in here:
        path.parent.mkdir()
        path.write_text("a = 1")
    monkeypatch.setattr(entry, "__file__", str(here[0]))
    entry._digest_sources.cache_clear()
    before = entry._digest_sources()
    here[1].write_text("a = 2")
    entry._digest_sources.cache_clear()
    assert entry._digest_sources() != before
    entry._digest_sources.cache_clear()


def add_one(x):
    x[0] += 1


def test_without_a_folder_for_the_cache_compiled_all_the_same(monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    run = compile_entry(add_one, numba.types.Array(numba.float64, 1, "C"))
    x = np.zeros(1)
    run(x)
    assert x[0] == 1
