"""Held-out frequencies that compiled kernels predict equal those of NumPy, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.compiled import library
from facet_nb.kernels.compiled.courses import predict_blocks
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.lowrank import amplitudes
from facet_nb.kernels.lowrank.lowrank import correct
from facet_nb.kernels.templates.subsample import Layout

native = pytest.importorskip("facet_nb.kernels.compiled._native")


@st.composite
def predictions(draw):
    """Epochs, courses with their waveforms, and blocks of frequencies; some blocks are empty."""
    n_epochs, n_freqs = draw(st.integers(4, 200)), draw(st.integers(1, 130))
    n_courses = draw(st.integers(1, min(18, n_epochs)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    y = rng.standard_normal((n_epochs, 2 * n_freqs))
    weights = rng.choice([0.0, 0.3, 1.0], n_epochs, p=[0.1, 0.2, 0.7])
    whitening = np.repeat(rng.uniform(0.1, 3.0, n_freqs), 2)
    unit = np.linalg.qr(rng.standard_normal((n_epochs, n_courses)))[0].T
    waves = (unit * weights) @ y * whitening
    bounds = amplitudes._list_bounds(2 * n_freqs)
    white = y * whitening * weights[:, np.newaxis]
    parts = np.stack([waves[:, block] @ white[:, block].T for block in bounds])
    arrays = y, weights, whitening, unit, waves, parts
    return [np.ascontiguousarray(array, dtype) for array in arrays], bounds


@pytest.mark.parametrize("name", native.list_instructions())
@settings(max_examples=80, deadline=None)
@given(prediction=predictions())
def test_every_instruction_set_predicts_as_numpy_does(name, prediction):
    arrays, bounds = prediction
    edges = np.array([0, *(block.stop for block in bounds)])
    expected = amplitudes._predict(*(array.copy() for array in arrays), bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "find_instructions", lambda: name)
        got = predict_blocks(*(array.copy() for array in arrays), edges)
    tolerance = 2e-4 if arrays[0].dtype == np.float32 else 1e-11
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(other.max(), 1e-300))


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=st.integers(0, 99))
@pytest.mark.parametrize("axis", [0, 1])
def test_medians_equal_those_of_numpy(axis, shape, seed):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) ** 2
    values[values < 0.05] = 0.0
    expected = np.median(values, axis=axis)
    np.testing.assert_array_equal(amplitudes._find_medians(values, axis), expected)
    with use_compiled(frozenset()):
        np.testing.assert_array_equal(amplitudes._find_medians(values, axis), expected)


def test_corrections_are_the_same():
    rng = np.random.default_rng(5)
    times = np.arange(200 * 137) / 137.3
    wave = np.cumsum(rng.standard_normal(137))
    artifact = np.interp(times % 1.0, np.linspace(0.0, 1.0, 137), wave - wave.mean())
    x = artifact * (1.0 + 0.05 * np.sin(times / 9.0)) + 0.05 * rng.standard_normal(len(times))
    layout = Layout.of(np.arange(64.2, len(x) - 300, 137.3), 137, len(x))
    compiled = correct(x, layout, 1000.0)
    with use_compiled(frozenset()):
        np.testing.assert_allclose(compiled, correct(x, layout, 1000.0), rtol=0, atol=1e-5)
    assert np.std(compiled) < 0.2 * np.std(x)
