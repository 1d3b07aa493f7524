"""The correction from double-rate samples against the same at the high rate."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.compiled.dispatch import find_compiled, has_compiled, use_compiled
from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.resampling import double_rate_grid, double_rate_signal, windowed_sinc
from facet_nb.kernels.resampling.double_rate_grid import HALF, Form
from facet_nb.kernels.resampling.double_rate_signal import DoubleRateSignal
from facet_nb.kernels.resampling.resampled_mean import find_resampled_mean
from facet_nb.kernels.templates import averaging, template_train, upsampled
from facet_nb.kernels.templates.averaging import running_correlation
from facet_nb.kernels.templates.subtraction import subtract_templates
from facet_nb.kernels.templates.template_train import TrainLayout

EEG_V = 20e-6


def correct_literally(x, layout):
    """Up, average, subtract, down: the result, and the epochs of each template."""
    high = windowed_sinc.upsample(x[np.newaxis], layout.factor)[0]
    options = {"window": layout.window, "threshold": layout.threshold, "shift": layout.shift}
    templates, which = averaging.average_blocks(high, layout.starts, layout.n_samples, **options)
    cleaned = subtract_templates(high, layout.aligned, templates, which)
    chosen = []
    for pool in layout.pools[0]:
        if pool is None:
            chosen.append([])
            continue
        epochs = averaging.take_epochs(high, layout.starts[pool.epochs], layout.n_samples)
        chosen.append(
            averaging.choose_epochs(epochs, pool.seed, pool.candidates, layout.threshold).tolist()
        )
    return windowed_sinc.downsample(cleaned[np.newaxis], layout.factor)[0], chosen


def choose(x, layout):
    return [c.tolist() for c in upsampled.average(x, layout)[1]]


def make(seed, factor, n_samples, n_epochs, first, jitter, odd=0.0, white=True, **options):
    """A recording at the native rate, and where its artifacts are at the high rate."""
    rng = np.random.default_rng(seed)
    steps = n_samples + rng.integers(-jitter, jitter + 1, n_epochs - 1)
    starts = first + np.concatenate([[0], np.cumsum(steps)])
    n_times = max(60, int(starts[-1] + 0.7 * n_samples) // factor)
    shape = rng.standard_normal(n_samples)
    spectrum = np.fft.rfft(shape)
    spectrum[int(0.9 * len(spectrum) / factor) :] = 0.0
    shape = np.fft.irfft(spectrum, n_samples) + 1e-9
    shape *= 3e-3 / np.abs(shape).max()
    reach = n_samples + abs(first) + 10
    high = np.zeros(n_times * factor + 2 * reach + n_samples)
    for start in starts:
        gain = 1.0 + 0.02 * rng.standard_normal() - 2.0 * (rng.random() < odd)
        high[start + reach : start + reach + n_samples] += gain * shape
    x = windowed_sinc.downsample(high[np.newaxis, reach : reach + n_times * factor], factor)[0]
    noise = EEG_V * rng.standard_normal(n_times)
    x += noise if white else np.cumsum(noise) / 30.0
    aligned = starts + rng.integers(-2, 3, n_epochs)
    options = {"window": 10, "threshold": 0.975, "shift": 0, **options}
    return x, TrainLayout(factor, n_times, n_samples, starts, aligned, **options)


LAYOUTS = {
    "slices": (10, 3333, 24, 2000, 20),
    "begins before the recording": (10, 3333, 23, -700, 20),
    "volumes with gaps and overlaps": (10, 5000, 12, 3000, 900),
    "a long lead": (10, 700, 25, 40000, 3),
    "odd factor": (7, 1999, 31, 50, 9),
    "factor 3, last epoch cut": (3, 777, 33, 5, 3),
    "factor 2": (2, 600, 31, -10, 2),
    "epochs of a few samples": (5, 61, 100, 0, 3),
    "epochs shorter than the edges": (10, 200, 64, 11, 5),
}


def assert_equal(x, layout):
    expected, chosen = correct_literally(x, layout)
    result = upsampled.correct(x, layout)
    peak = np.abs(x).max()
    np.testing.assert_allclose(result, expected, rtol=0, atol=min(3e-7 * peak, 1e-3 * EEG_V))
    assert choose(x, layout) == chosen
    return expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_is_the_literal_way(name):
    x, layout = make(0, *LAYOUTS[name])
    expected = assert_equal(x, layout)
    assert np.abs(x - expected).max() > 1e-3  # there was something to correct


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    factor=st.integers(2, 13),
    native=st.integers(4, 150),
    rest=st.integers(0, 12),
    n_epochs=st.integers(2, 45),
    first=st.integers(-400, 900),
    jitter=st.sampled_from([0, 1, 7, 40]),
    odd=st.sampled_from([0.0, 0.1, 0.5]),
    white=st.booleans(),
    window=st.sampled_from([1, 3, 10, 30]),
    threshold=st.sampled_from([0.2, 0.9, 0.975, 0.9999]),
    shift=st.sampled_from([0, 0, 0, -5, 3, 40]),
)
@example(0, 2, 4, 0, 2, -400, 0, 0.0, True, 30, 0.975, 0)
def test_it_is_the_literal_way_for_any_layout(
    seed, factor, native, rest, n_epochs, first, jitter, odd, white, window, threshold, shift
):
    n_samples = native * factor + rest % factor
    jitter = min(jitter, n_samples - 1)
    options = {"window": window, "threshold": threshold, "shift": shift}
    x, layout = make(seed, factor, n_samples, n_epochs, first, jitter, odd, white, **options)
    assert_equal(x, layout)


def test_a_choice_that_is_a_matter_of_rounding_is_made_at_the_high_rate(monkeypatch):
    x, layout = make(1, *LAYOUTS["slices"], odd=0.0)
    high = windowed_sinc.upsample(x[np.newaxis], layout.factor)[0]
    pool = layout.pools[0][0]
    epochs = averaging.take_epochs(high, layout.starts[pool.epochs], layout.n_samples)
    means = epochs.mean(axis=1)
    gram = epochs @ epochs.T - epochs.shape[1] * np.outer(means, means)
    edge = float(averaging.running_correlation(gram)[5])
    calls = []
    exact = upsampled._choose_at_high_rate
    monkeypatch.setattr(
        upsampled, "_choose_at_high_rate", lambda *a: calls.append(a[2]) or exact(*a)
    )
    for threshold in (edge - 1e-9, edge + 1e-9):
        near = TrainLayout(
            layout.factor, layout.n_times, layout.n_samples, layout.starts, layout.aligned,
            layout.window, threshold,
        )  # fmt: skip
        calls.clear()
        assert_equal(x, near)
        assert pool.epochs.tolist() in [c.epochs.tolist() for c in calls]
    calls.clear()
    assert_equal(x, layout)
    assert not calls


def test_flat_and_constant_channels():
    _, layout = make(0, *LAYOUTS["slices"])
    assert not upsampled.correct(np.zeros(layout.n_times), layout).any()
    constant = upsampled.correct(np.full(layout.n_times, 0.5), layout)
    np.testing.assert_allclose(constant, 0.5, atol=1e-12)


def test_a_large_offset_changes_nothing():
    x, layout = make(3, *LAYOUTS["slices"], odd=0.2)
    expected = upsampled.correct(x, layout)
    np.testing.assert_allclose(upsampled.correct(x + 0.3, layout) - 0.3, expected, atol=3e-10)


def test_result_may_take_the_place_of_the_signal():
    x, layout = make(0, *LAYOUTS["odd factor"])
    expected = upsampled.correct(x, layout)
    assert upsampled.correct(x, layout, out=x) is x
    assert np.array_equal(x, expected)


def test_layout_goes_to_workers_without_its_lists():
    x, layout = make(0, *LAYOUTS["odd factor"])
    expected = upsampled.correct(x, layout)
    copy = pickle.loads(pickle.dumps(layout))
    assert "pools" in vars(layout) and "pools" not in vars(copy)
    assert np.array_equal(upsampled.correct(x, copy), expected)


@pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")
@pytest.mark.parametrize("name", LAYOUTS)
def test_compiled_loops_equal_their_twins(name, monkeypatch):
    x, layout = make(0, *LAYOUTS[name])
    compiled, chosen = upsampled.correct(x, layout), choose(x, layout)
    monkeypatch.setattr(double_rate_signal, "find_compiled", lambda module, name: None)
    double_rate_signal._spectra.cache_clear()
    np.testing.assert_allclose(upsampled.correct(x, layout), compiled, rtol=0, atol=1e-14)
    assert choose(x, layout) == chosen
    double_rate_signal._spectra.cache_clear()


# --------------------------------------------------------------------------- doubled samples
def make_columns(form, n, rng):
    """Epochs of band-limited signals: samples at the high rate, and their columns."""
    n_native = form.n_samples // form.factor + 60
    x = np.cumsum(rng.standard_normal((n, n_native)), axis=1)
    starts = np.full(n, 20 * form.factor + int(rng.integers(form.factor)))
    high = windowed_sinc.upsample(x, form.factor)
    epochs = np.stack([h[s : s + form.n_samples] for h, s in zip(high, starts, strict=True)])
    columns = np.empty((n, form.n_columns))
    for row, target in zip(x, columns, strict=True):
        look = partial(segment, row, repeat=True)
        source = DoubleRateSignal(look, len(row), form, 0.0, form.n_columns + 2 * HALF)
        source.take(*form.locate(starts[:1]), target[np.newaxis])
    return epochs, columns


@pytest.mark.parametrize(
    ("factor", "n_samples"), [(10, 3333), (10, 331), (10, 40), (3, 200), (2, 90), (7, 1)]
)
def test_doubled_samples_say_all_of_an_epoch(factor, n_samples):
    form = Form(factor, n_samples)
    epochs, columns = make_columns(form, 4, np.random.default_rng(0))
    scale = np.abs(epochs).max()
    for row, epoch in zip(columns, epochs, strict=True):
        np.testing.assert_allclose(
            form.evaluate(row, np.arange(n_samples)), epoch, rtol=0, atol=2e-7 * scale
        )
    sums = double_rate_grid.find_sums(form)
    np.testing.assert_allclose(
        sums.add(columns), epochs.sum(axis=1), rtol=0, atol=2e-7 * scale * n_samples
    )
    centred = epochs - epochs.mean(axis=1, keepdims=True)
    exact = centred @ centred.T
    np.testing.assert_allclose(
        sums.gram(columns), exact, rtol=0, atol=2e-7 * max(np.diag(exact).max(), scale**2)
    )


@pytest.mark.parametrize("part", [0, 1, 4])
@pytest.mark.parametrize("n_samples", [700, 90])
def test_a_piece_is_the_first_part_of_the_way_down(part, n_samples):
    form = Form(5, n_samples)
    epochs, columns = make_columns(form, 1, np.random.default_rng(1))
    piece = double_rate_grid.find_sampling(form, part)
    places = piece.first + np.arange(piece.n_samples)
    at = (2 * np.arange(n_samples) + part)[np.newaxis]
    expected = double_rate_grid.decimator(5, at, places[:, np.newaxis]) @ epochs[0]
    made = template_train.sample_templates(piece, columns)[0]
    np.testing.assert_allclose(made, expected, rtol=0, atol=3e-7 * np.abs(epochs).max())


@pytest.mark.parametrize("n", [1, 2, 700, 2681, 2679, 9000])
@pytest.mark.parametrize("factor", [2, 7])
def test_the_mean_at_the_high_rate_follows_from_the_ends(n, factor):
    x = np.cumsum(np.random.default_rng(n).standard_normal(n)) + 5.0
    level = find_resampled_mean(x, factor)
    assert level.centre == find_mean(x)
    expected = windowed_sinc.upsample(x[np.newaxis], factor).mean()
    np.testing.assert_allclose(level.centre + level.shift, expected, atol=1e-11 * np.abs(x).max())


def test_phases_keep_samples_and_constants():
    phases = Form(10, 100).phases
    np.testing.assert_allclose(phases.sum(axis=1), 1.0, atol=1e-15)
    assert np.array_equal(np.rint(phases[0]), np.eye(2 * HALF)[HALF - 1])
    np.testing.assert_allclose(phases[0], np.eye(2 * HALF)[HALF - 1], atol=1e-16)


@pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")
@pytest.mark.parametrize("char", ["d", "f"])
def test_rows_are_moved_whatever_their_length(char):
    move = find_compiled("fractional_delay", "delay_rows")
    rng = np.random.default_rng(0)
    x, taps = rng.standard_normal(400).astype(char), rng.standard_normal((2, 20)).astype(char)
    for n in (1, 7, 31, 32, 33, 64, 130):
        out = np.empty((2, n), char)
        move(x, np.array([3, 200]), np.array([0, 1]), taps, out)
        for row, place, tap in zip(out, (3, 200), taps, strict=True):
            expected = np.convolve(x[place : place + n + 19].astype(float), tap[::-1], "valid")
            np.testing.assert_allclose(row, expected, atol=1e-13 if char == "d" else 1e-4)


@pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")
@pytest.mark.parametrize("n_samples", [30, 127, 700, 3400])
def test_epochs_are_summed_and_compared_in_one_pass(n_samples):
    form, rng = Form(10, n_samples), np.random.default_rng(n_samples)
    sums, n = double_rate_grid.find_sums(form), 9
    x = np.cumsum(rng.standard_normal(n * 40 + form.n_columns + 40))
    places, parts = 40 * np.arange(n), rng.integers(0, 10, n)
    rows, total = np.empty((n, form.n_columns)), np.empty(form.n_columns)
    double_rate_signal.delay_rows(x, places, parts, form.phases, rows)
    alike = find_compiled("fractional_delay", "sum_rows")(
        x, places, parts, form.phases, sums, total
    )
    assert np.array_equal(total, rows.sum(axis=0))
    np.testing.assert_allclose(alike, running_correlation(sums.gram(rows)), rtol=0, atol=1e-9)


@pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")
@pytest.mark.parametrize("size", [1, 4999, 13_703, 60_000])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_long_filters_equal_those_in_scipy(size, direction):
    rng = np.random.default_rng(size)
    x, second = rng.standard_normal((2, double_rate_signal.count_places(size)))
    results = np.empty((2, size))
    for out, modules in zip(results, (None, frozenset()), strict=True):
        with use_compiled(modules):
            other = second if direction == "down" else second[:0]
            double_rate_signal.filter_sum(x, other, direction, out)
    np.testing.assert_allclose(*results, rtol=0, atol=1e-14)


@pytest.mark.parametrize("group", [1400, 2999, 5000])
@pytest.mark.parametrize("name", ["slices", "odd factor", "a long lead", "factor 2"])
def test_groups_make_no_difference(name, group, monkeypatch):
    x, layout = make(5, *LAYOUTS[name], odd=0.1, window=8, shift=3)
    expected = upsampled.correct(x, layout)
    for module in (double_rate_signal, template_train):
        monkeypatch.setattr(module, "GROUP", group)
    copy = pickle.loads(pickle.dumps(layout))
    np.testing.assert_allclose(upsampled.correct(x, copy), expected, rtol=0, atol=1e-16)
    assert_equal(x, copy)


def test_a_recording_of_several_groups():
    x, layout = make(6, 3, 2500, 640, 40, 8)
    assert layout.n_times > 2 * double_rate_signal.GROUP
    assert_equal(x, layout)
