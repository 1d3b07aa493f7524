"""Transforms without scipy.fft against those of scipy.fft."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels import fft

SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=3)


@given(
    shape=SHAPES,
    name=st.sampled_from(["rfft", "irfft", "fft", "ifft"]),
    kind=st.sampled_from(["f", "d", "F", "D", "i", ">f8"]),
    data=st.data(),
)
def test_equals_scipy(shape, name, kind, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = data.draw(st.one_of(st.none(), st.integers(2 if name == "irfft" else 1, 20)))
    if name == "rfft":
        kind = kind.lower()
    if name == "irfft" and n is None and shape[axis] == 1:
        n = 3
    rng = np.random.default_rng(sum(shape))
    x = 10 * rng.standard_normal(shape)
    x = (x + 1j * x[::-1] if kind in "FD" else x).astype(kind)
    if data.draw(st.booleans()):
        x = x.T.copy().T
    kept = x.copy()
    expected = getattr(scipy.fft, name)(x, n, axis)
    found = getattr(fft, name)(x, n, axis)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(x, kept)


@given(shape=SHAPES, kind=st.sampled_from("fd"), back=st.booleans())
def test_cosine_transforms_equal_scipy(shape, kind, back):
    x = np.random.default_rng(0).standard_normal(shape).astype(kind)
    name = "idct" if back else "dct"
    expected = getattr(scipy.fft, name)(x, axis=0, norm="ortho")
    np.testing.assert_array_equal(getattr(fft, name)(x, axis=0, norm="ortho"), expected)


@pytest.mark.parametrize("real", [True, False])
def test_lengths_equal_scipy(real):
    for n in range(1, 3000):
        assert fft.next_fast_len(n, real=real) == scipy.fft.next_fast_len(n, real=real)


def test_input_may_be_overwritten():
    x = np.random.default_rng(0).standard_normal((3, 64)) + 0j
    expected = scipy.fft.fft(x)
    found = fft.fft(x, overwrite_x=True)
    np.testing.assert_array_equal(found, expected)
    assert np.may_share_memory(found, x)


@pytest.mark.parametrize(("x", "n"), [(np.zeros((2, 0)), None), (np.zeros(3), 0)])
def test_no_samples_are_refused(x, n):
    with pytest.raises(ValueError):
        fft.rfft(x, n)


def test_scipy_takes_the_same_module_later():
    code = (
        "import sys; from facet_nb.kernels import fft; assert 'scipy.fft' not in sys.modules; "
        "import scipy.fft; assert scipy.fft._pocketfft.basic.pfft is fft._compiled; "
        "assert scipy.fft.rfft([1.0, 2.0])[0] == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_scipy_is_noticed():
    assert fft._is_known(fft._compiled)
    assert not fft._is_known(SimpleNamespace())
    known = fft._compiled

    def halve(*arguments):
        return 0.5 * known.r2c(*arguments)

    names = ("r2c", "c2r", "c2c", "dct", "good_size")
    other = SimpleNamespace(**{name: getattr(known, name) for name in names})
    assert fft._is_known(other)
    other.r2c = halve
    assert not fft._is_known(other)


def test_without_the_compiled_module_scipy_is_imported():
    code = (
        "import importlib.machinery as m; m.EXTENSION_SUFFIXES.clear(); "
        "from facet_nb.kernels import fft; import scipy.fft; assert fft.rfft is scipy.fft.rfft"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_module_that_cannot_be_loaded_is_left_to_scipy(monkeypatch):
    def refuse(self, module):
        raise ImportError("not for this interpreter")

    monkeypatch.delitem(sys.modules, fft._NAME)
    monkeypatch.setattr(fft.ExtensionFileLoader, "exec_module", refuse)
    assert fft._load() is None
