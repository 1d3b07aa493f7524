"""The low-rank correction as a stream equals that of the whole signal, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.lowrank import lowrank
from facet_nb.kernels.streams import WaveformStream
from facet_nb.kernels.templates.subsample import Layout
from tests.kernels.test_lowrank import PERIOD, SFREQ, N, make
from tests.kernels.test_streams import flow


@settings(max_examples=25, deadline=None)
@given(
    n_epochs=st.integers(1, 60),
    cut=st.sampled_from([0, 350, 420]),
    end=st.sampled_from([0, 500, 700]),
    missing=st.integers(0, 60),
    block_s=st.sampled_from([0.4, 2.0, 4.1, 600.0]),
    n_amplitudes=st.sampled_from([0, 8]),
    size=st.integers(50, 3000),
    seed=st.integers(0, 1000),
)
@example(60, 350, 700, 20, 2.0, 8, 400, 0)
def test_pieces_give_the_same(n_epochs, cut, end, missing, block_s, n_amplitudes, size, seed):
    """Artifacts cut off at both ends, one that is missing, blocks of a few or of all epochs."""
    x, onsets, _ = make(noise=2e-3, seed=seed, n_epochs=n_epochs)
    onsets = onsets - cut
    x = x[cut : len(x) - end] if len(x) > cut + end + 100 else x[cut:]
    onsets = np.delete(onsets, missing) if missing < len(onsets) > 1 else onsets
    layout = Layout.of(onsets, N, len(x))
    options = {"block_s": block_s, "shrinkage": 3.0, "max_courses": n_amplitudes}
    whole = lowrank.correct(x, layout, SFREQ, **options)
    stream = WaveformStream.make(layout, SFREQ, **options)
    rng = np.random.default_rng(seed)
    assert np.array_equal(flow(stream, x, size, rng), whole)


def test_it_keeps_a_block():
    x, onsets, _ = make(noise=2e-3, n_epochs=200)
    layout = Layout.of(onsets, N, len(x))
    stream = WaveformStream.make(layout, SFREQ, 2.0, 3.0, 4)
    most = 0
    for start in range(0, len(x), 300):
        stream.push(x[start : start + 300])
        most = max(most, len(stream.x.data))
    assert most < 2 * 2000 + 2 * PERIOD and len(stream.blocks) > 10
    backwards = Layout.of(onsets[::-1], N, len(x))
    assert WaveformStream.make(backwards, SFREQ, 2.0, 3.0, 4) is None


@pytest.mark.parametrize("n_times", [1, 90])
def test_no_artifact_at_all(n_times):
    stream = WaveformStream.make(Layout.of(np.zeros(0), N, n_times), SFREQ, 2.0, 3.0, 4)
    x = np.arange(float(n_times))
    assert np.array_equal(flow(stream, x, 7), x)
