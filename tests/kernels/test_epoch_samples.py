"""Epochs that compiled kernels cut out and subtract equal those of NumPy, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.compiled import library
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.lowrank.highband import (
    average_high,
    cut,
    measure_rest,
    remove_trend,
    transform_high,
)
from facet_nb.kernels.templates import subsample

native = pytest.importorskip("facet_nb.kernels.compiled._native")

N_TIMES = 700


@pytest.fixture(params=native.list_instructions())
def instructions(request, monkeypatch):
    monkeypatch.setattr(library, "find_instructions", lambda: request.param)
    return request.param


def in_both(make):
    """Return what `make` returns with compiled kernels, and with NumPy."""
    compiled = make()
    with use_compiled(frozenset()):
        return compiled, make()


@st.composite
def layouts(draw):
    """Artifacts that touch, overlap, stand apart, or reach beyond the ends of the signal."""
    length = draw(st.integers(1, 120))
    distances = draw(st.lists(st.floats(0.3 * length, 2.5 * length), min_size=2, max_size=12))
    onsets = draw(st.floats(-length, 100)) + np.cumsum(distances)
    return subsample.Layout.of(onsets[onsets < N_TIMES + length], length, N_TIMES)


def draw_signal(seed, dtype=float):
    return (1e-3 * np.random.default_rng(seed).standard_cauchy(N_TIMES)).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 99), rows=st.sampled_from("fd"))
def test_subtraction_of_templates(layout, seed, rows):
    which = np.arange(len(layout.first))
    shape = len(which), layout.n_samples + 2 * subsample.HALO
    sampled = np.random.default_rng(seed).standard_normal(shape).astype(rows)

    def subtract():
        out = draw_signal(seed)
        subsample.subtract(out, sampled, layout, which)
        return out.tobytes()

    compiled, numpy = in_both(subtract)
    assert compiled == numpy


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("length", [1, 7, 90, 120])
def test_spectra_with_every_instruction_set(instructions, dtype, length):
    layout = subsample.Layout.of(np.arange(32, N_TIMES, 1.0 * length + 0.3), length, N_TIMES)
    which = np.flatnonzero(layout.usable)
    x = draw_signal(length, dtype)
    for mean in (0.0, 0.3):
        compiled, numpy = in_both(lambda m=mean: subsample.transform(x, layout, which, m).tobytes())
        assert compiled == numpy


@settings(max_examples=60, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 99), sfreq=st.sampled_from([100.0, 1000.0, 5000.0]))
def test_spectra_above_the_eeg_bands_and_drift(layout, seed, sfreq):
    which = np.flatnonzero(layout.usable)
    if len(which) < 2:
        return
    piece, inner = cut(draw_signal(seed), layout, which)
    for make in (
        lambda: transform_high(piece, inner, sfreq),
        lambda: np.array(measure_rest(piece, inner)),
        lambda: average_high(piece, inner),
        lambda: remove_trend(piece, inner, sfreq),
        lambda: remove_trend(piece, inner, sfreq, np.float32),
    ):
        compiled, numpy = in_both(make)
        assert compiled.dtype == numpy.dtype and compiled.tobytes() == numpy.tobytes()


def test_both_ends_of_a_signal():
    """The first and the last epoch end where the signal does: its differences are 0 there."""
    length = N_TIMES - 2 * subsample.HALO
    layout = subsample.Layout.of(np.array([float(subsample.HALO)]), length, N_TIMES)
    assert layout.usable.all()
    compiled, numpy = in_both(lambda: transform_high(draw_signal(3), layout, 1000.0))
    assert compiled.tobytes() == numpy.tobytes() and np.any(compiled)


def test_strided_signals_are_left_to_numpy():
    layout = subsample.Layout.of(np.array([40.0, 140.0, 240.2]), 90, N_TIMES)
    which = np.flatnonzero(layout.usable)
    twice = np.repeat(draw_signal(5), 2)
    expected = subsample.transform(twice[::2].copy(), layout, which)
    np.testing.assert_array_equal(subsample.transform(twice[::2], layout, which), expected)


def test_an_older_library_is_refused(monkeypatch):
    monkeypatch.setattr(library, "NEWEST", "no_such_kernel")
    found, reason = library.load_library.__wrapped__()
    assert found is None and "older sources" in reason
