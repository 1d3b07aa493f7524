"""Artifacts without markers: found as far as the train goes on, and nothing beyond."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.lowrank.unmarked import find_unmarked
from facet_nb.kernels.templates.subsample import Layout
from tests.kernels.test_lowrank import PERIOD, N, make


def search(x, onsets):
    return find_unmarked(x, Layout.of(onsets, N, len(x)), onsets, PERIOD)


@settings(max_examples=25, deadline=None)
@given(n_before=st.integers(0, 12), n_after=st.integers(0, 12), seed=st.integers(0, 1000))
def test_what_has_no_markers_is_found(n_before, n_after, seed):
    x, onsets, _ = make(noise=2e-3, seed=seed, n_epochs=60)
    before, after = search(x, onsets[n_before : 60 - n_after])
    np.testing.assert_allclose(before, onsets[:n_before], atol=1e-6)
    np.testing.assert_allclose(after, onsets[60 - n_after :], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_eeg_is_no_artifact(seed):
    x, onsets, artifact = make(noise=2e-3, seed=seed, n_epochs=60)
    marked = slice(20, 40)
    begin, end = int(onsets[20]) - 5, int(onsets[40]) - 5
    x[:begin] -= artifact[:begin]
    x[end:] -= artifact[end:]
    before, after = search(x, onsets[marked])
    assert not len(before) and not len(after)


@pytest.mark.parametrize("factor", [0.2, 4.0, -1.0])
def test_another_artifact_is_not_the_train(factor):
    x, onsets, artifact = make(noise=2e-3, n_epochs=60)
    x[: int(onsets[20]) - 5] += (factor - 1.0) * artifact[: int(onsets[20]) - 5]
    before, after = search(x, onsets[20:])
    assert not len(before) and not len(after)


@pytest.mark.parametrize("part", [0.3, 0.5])
def test_the_recording_may_begin_within_one(part):
    x, onsets, _ = make(noise=2e-3, n_epochs=60)
    start = int(onsets[3] + part * N)
    before, _ = search(x[start:], onsets[5:] - start)
    np.testing.assert_allclose(before, onsets[3:5] - start, atol=1e-6)
