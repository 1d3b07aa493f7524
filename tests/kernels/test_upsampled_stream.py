"""The correction from double-rate samples as a stream: equal to the bit to the whole signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.resampling import double_rate_signal
from facet_nb.kernels.resampling.resampled_mean import RunningResampledMean, find_resampled_mean
from facet_nb.kernels.streams import UpsampledStream
from facet_nb.kernels.streams import upsampled as streams
from facet_nb.kernels.templates import template_train, upsampled
from facet_nb.kernels.templates.template_train import TrainLayout
from tests.kernels.test_streams import flow, pieces
from tests.kernels.test_upsampled import LAYOUTS, make


def set_group(monkeypatch, n):
    for module in (double_rate_signal, template_train, streams):
        monkeypatch.setattr(module, "GROUP", n)


def correct_in_pieces(x, layout, size, rng=None):
    level = RunningResampledMean(layout.factor)
    for piece in pieces(x, size, rng):
        level.push(piece)
    stream = UpsampledStream.make(layout, level.value)
    return flow(stream, x, size, rng)


@pytest.mark.parametrize("group", [None, 1400, 5000])
@pytest.mark.parametrize("name", LAYOUTS)
def test_pieces_give_the_same(name, group, monkeypatch):
    if group is not None:
        set_group(monkeypatch, group)
    x, layout = make(3, *LAYOUTS[name], odd=0.1, window=7)
    whole = upsampled.correct(x, layout)
    for size, rng in [(997, None), (3000, np.random.default_rng(0))]:
        assert np.array_equal(correct_in_pieces(x, layout, size, rng), whole)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    factor=st.integers(2, 13),
    native=st.integers(4, 150),
    rest=st.integers(0, 12),
    n_epochs=st.integers(2, 45),
    first=st.integers(-400, 20_000),
    jitter=st.sampled_from([0, 1, 7, 40]),
    odd=st.sampled_from([0.0, 0.1, 0.5]),
    window=st.sampled_from([1, 3, 10, 30]),
    threshold=st.sampled_from([0.2, 0.975, 0.9999]),
    shift=st.sampled_from([0, 0, 0, -5, 3, 40]),
    size=st.integers(1, 4000),
    group=st.sampled_from([2700, 4000, None]),
)
def test_pieces_give_the_same_for_any_layout(
    seed, factor, native, rest, n_epochs, first, jitter, odd, window, threshold, shift, size, group
):
    n_samples = native * factor + rest % factor
    options = {"window": window, "threshold": threshold, "shift": shift}
    jitter = min(jitter, n_samples - 1)
    x, layout = make(seed, factor, n_samples, n_epochs, first, jitter, odd, **options)
    with pytest.MonkeyPatch.context() as patch:
        if group is not None:
            set_group(patch, group)
        whole = upsampled.correct(x, layout)
        size = max(size, len(x) // 200)
        assert np.array_equal(
            correct_in_pieces(x, layout, size, np.random.default_rng(seed)), whole
        )


@pytest.mark.parametrize(("lead", "rest"), [(2000, 0), (600_000, 0), (0, 60_000)])
def test_it_keeps_a_pool_and_a_few_groups(lead, rest, monkeypatch):
    set_group(monkeypatch, 3000)
    x, layout = make(5, 10, 3333, 120, lead, 20)
    x = np.concatenate([x, np.random.default_rng(0).standard_normal(rest)])
    layout = replace(layout, n_times=len(x))
    stream = UpsampledStream.make(layout, find_resampled_mean(x, layout.factor))
    most = templates = 0
    done = []
    for piece in pieces(x, 500):
        done.append(stream.push(piece))
        most = max(most, len(stream.buffer.data))
        templates = max(templates, len(stream.train.templates))
    assert np.array_equal(np.concatenate([*done, stream.finish()]), upsampled.correct(x, layout))
    pool = 10 * 334
    assert most < pool + 3 * 3000 + 4 * double_rate_signal.REACH and templates <= 5
    assert len(x) > 2 * most


def test_epochs_out_of_order_and_none_at_all():
    layout = TrainLayout(5, 4000, 100, np.array([3000, 200, 9000]), np.zeros(3), 1, 0.9)
    assert UpsampledStream.make(layout, find_resampled_mean(np.zeros(4000), 5)) is None
