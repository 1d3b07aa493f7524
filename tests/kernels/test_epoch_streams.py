"""Block and sliding averages as streams equal those of the whole signal, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.compiled.dispatch import has_compiled
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.streams import Blocks, BlockStream, SlidingStream, SubsampleSlidingStream
from facet_nb.kernels.templates import subsample_channel
from facet_nb.kernels.templates.averaging import average_blocks
from facet_nb.kernels.templates.neighbours import average_sliding
from facet_nb.kernels.templates.subsample import HALO, Layout
from facet_nb.kernels.templates.subtraction import subtract_templates
from tests.kernels.test_streams import flow


def make(seed, n_epochs, n_samples, first, gap, rest, odd):
    """A signal, and the first samples of its epochs; `odd` of them are unlike the others."""
    rng = np.random.default_rng(seed)
    steps = n_samples + rng.integers(min(0, gap), max(1, gap + 1), n_epochs)
    starts = first + np.concatenate([[0], np.cumsum(np.maximum(steps, 1))])[:n_epochs]
    n_times = max(int(starts[-1]) + n_samples + rest, 1)
    x = rng.standard_normal(n_times) + 4.0
    shape = 9.0 * np.sin(np.arange(n_samples) / 3.0) + rng.standard_normal(n_samples)
    for start in starts:
        low, high = max(start, 0), min(start + n_samples, n_times)
        gain = 1.0 if rng.random() >= odd else -1.3
        if low < high:
            x[low:high] += gain * shape[low - start : high - start]
    return x, starts, rng


def correct(x, b, sliding):
    if sliding:
        options = {"window": b.window, "threshold": b.threshold}
        templates = average_sliding(x, b.starts, b.n_samples, **options)
        which = np.arange(len(b.starts))
    else:
        options = {"window": b.window, "threshold": b.threshold, "shift": b.shift}
        templates, which = average_blocks(x, b.starts, b.n_samples, **options)
    more = {"scale": b.scale, "bridge": b.bridge, "overlap": not sliding}
    return subtract_templates(x, b.aligned, templates, which, **more)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_epochs=st.integers(1, 70),
    n_samples=st.sampled_from([1, 2, 7, 60, 301]),
    first=st.integers(-80, 3000),
    gap=st.sampled_from([0, 3, 40, -4]),
    rest=st.sampled_from([-30, 0, 1, 2000]),
    odd=st.sampled_from([0.0, 0.0, 0.1, 0.6, 1.0]),
    window=st.sampled_from([1, 2, 5, 12, 30]),
    threshold=st.sampled_from([0.2, 0.9, 0.9999]),
    shift=st.sampled_from([0, 0, -5, 3, 40]),
    sliding=st.booleans(),
    scale=st.booleans(),
    bridge=st.booleans(),
    size=st.integers(1, 3000),
)
@example(0, 40, 60, 3000, 3, 0, 0.1, 5, 0.9, 0, True, False, False, 100)
@example(0, 40, 9, 0, 3, 0, 1.0, 5, 1.0, 0, True, False, False, 10)
def test_whole_samples(
    seed,
    n_epochs,
    n_samples,
    first,
    gap,
    rest,
    odd,
    window,
    threshold,
    shift,
    sliding,
    scale,
    bridge,
    size,
):
    x, starts, rng = make(seed, n_epochs, n_samples, first, gap, rest, odd)
    aligned = np.sort(starts + rng.integers(-2, 3, n_epochs))
    blocks = Blocks(starts, aligned, n_samples, len(x), window, threshold, shift, scale, bridge)
    whole = correct(x, blocks, sliding)
    kind = SlidingStream if sliding else BlockStream
    size = max(size, len(x) // 100)
    assert np.array_equal(flow(kind.make(blocks, find_mean(x)), x, size, rng), whole)


@pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_epochs=st.integers(1, 90),
    n_samples=st.sampled_from([20, 61, 300]),
    first=st.integers(-80, 3000),
    rest=st.sampled_from([-30, 0, 1, 2000]),
    odd=st.sampled_from([0.0, 0.0, 0.1, 0.6, 1.0]),
    window=st.sampled_from([1, 2, 5, 12, 30]),
    threshold=st.sampled_from([0.2, 0.9, 0.9999]),
    char=st.sampled_from("df"),
    size=st.integers(1, 3000),
)
def test_between_samples(
    seed, n_epochs, n_samples, first, rest, odd, window, threshold, char, size
):
    x, starts, rng = make(seed, n_epochs, n_samples, first, 2, rest, odd)
    n_times = max(len(x), n_samples + 2 * HALO)
    x = np.concatenate([x, np.zeros(n_times - len(x))]).astype(char)
    layout = Layout.of(starts + rng.uniform(-0.5, 0.5, n_epochs), n_samples, n_times)
    whole = subsample_channel.correct(x, layout, window=window, threshold=threshold, sliding=True)
    stream = SubsampleSlidingStream.make(layout, window, threshold, find_mean(x), x.dtype)
    size = max(size, len(x) // 100)
    assert np.array_equal(flow(stream, x, size, rng), whole)


@pytest.mark.parametrize("kind", [BlockStream, SlidingStream, SubsampleSlidingStream])
@pytest.mark.parametrize("odd", [0.0, 0.2])
def test_they_keep_a_few_windows(kind, odd):
    x, starts, _ = make(0, 900, 60, 100, 0, 20_000, odd)
    blocks = Blocks(starts, starts, 60, len(x), 10, 0.8)
    if kind is SubsampleSlidingStream:
        if not has_compiled():
            pytest.skip("the kernels are not compiled")
        layout = Layout.of(starts.astype(float), 60, len(x))
        stream = kind.make(layout, 10, 0.8, find_mean(x), x.dtype)
    else:
        stream = kind.make(blocks, find_mean(x))
    most = rows = 0
    for start in range(0, len(x), 500):
        stream.push(x[start : start + 500])
        most = max(most, len(stream.x.data))
        rows = max(rows, len(stream.slider.rows) if hasattr(stream, "slider") else 0)
    assert most < 30 * 60 + 1000 and rows < 60


def test_epochs_out_of_order():
    starts = np.array([300, 100])
    blocks = Blocks(starts, starts, 50, 1000, 30, 0.9)
    assert BlockStream.make(blocks, 0.0) is None and SlidingStream.make(blocks, 0.0) is None
