"""Sub-sample alignment: positions, shifts, borders, and compiled loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.templates import subsample, subsample_channel
from facet_nb.kernels.templates.subsample import HALO, Layout

N = 150


def wave(t):
    """A band-limited artifact with mean zero, a function of time in samples."""
    return sum(
        a * np.sin(2 * np.pi * f * (t - 72)) for a, f in [(1, 0.02), (0.6, 0.09), (0.3, 0.21)]
    ) * np.exp(-(((t - 72) / 20.0) ** 2))


def make(n_epochs=40, noise=0.0, seed=0, gap=0.0):
    rng = np.random.default_rng(seed)
    onsets = 200.3 + np.cumsum(np.full(n_epochs, 150.37) + gap)
    n_times = int(onsets[-1]) + 500
    t = np.arange(n_times)
    x = noise * rng.standard_normal(n_times)
    for onset in onsets:
        near = slice(int(onset) - 100, int(onset) + 300)
        x[near] += wave(t[near] - onset)
    return x, onsets


def test_onsets_are_found_to_thousandths_of_a_sample():
    x, onsets = make(noise=1e-3)
    found = subsample.find_onsets(x, np.rint(onsets).astype(int), N)
    error = found - onsets
    assert np.std(error) < 2e-3
    assert np.std(np.rint(onsets) - onsets) > 0.2


@given(
    freq=st.sampled_from([0.3, 0.373, 0.43, 0.46]),
    share=st.floats(0.5, 5.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_onsets_are_found_where_the_highest_frequencies_are_the_strongest(freq, share, seed):
    """An artifact behind a steep filter close to half the rate; markers are rounded to samples."""
    rng = np.random.default_rng(seed)
    onsets = 200.3 + 150.37 * np.arange(60)
    t = np.arange(int(onsets[-1]) + 500)
    x = 1e-3 * rng.standard_normal(len(t))
    for onset in onsets:
        near = slice(int(onset) - 100, int(onset) + 300)
        of = t[near] - onset - 72
        high = share * np.sin(2 * np.pi * freq * of) * np.exp(-((of / 20.0) ** 2))
        x[near] += wave(t[near] - onset) + high
    error = subsample.find_onsets(x, np.rint(onsets).astype(int), N) - onsets
    # Halfway between two samples, single ones may be taken for a period later.
    assert np.mean(np.abs(error - np.median(error)) < 0.01) > 0.95


@given(part=st.floats(-0.5, 0.5))
def test_advancing_undoes_a_delay(part):
    x = np.zeros(800)
    t = np.arange(800.0)
    x[200:600] = wave(t[200:600] - 300 - part)
    layout = Layout.of(np.array([300 + part]), N, 800)
    which = np.array([0])
    spectrum = subsample.transform(x, layout, which)
    epoch = np.fft.irfft(spectrum[0], layout.n_fft)[HALO : HALO + N]
    np.testing.assert_allclose(epoch, wave(np.arange(N) + 0.0), rtol=0, atol=4e-3)
    back = subsample.sample(spectrum[0], layout, which)[0][HALO : HALO + N]
    np.testing.assert_allclose(back, x[layout.first[0] :][:N], rtol=0, atol=1e-9)


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("gap", [0.0, 31.6])
def test_a_repeating_artifact_goes(sliding, gap):
    x, onsets = make(gap=gap)
    layout = Layout.of(onsets, N, len(x))
    left = subsample_channel.correct(x, layout, window=30, threshold=0.975, sliding=sliding)
    inside = slice(int(onsets[1]), int(onsets[-1]))
    assert np.std(left[inside]) < 2e-4 * np.std(x[inside])


def test_better_than_rounding_to_tenths_of_a_sample():
    x, onsets = make()
    tenths = Layout.of(np.rint(onsets * 10) / 10, N, len(x))
    exact = Layout.of(onsets, N, len(x))
    options = {"window": 30, "threshold": 0.9}
    inside = slice(int(onsets[1]), int(onsets[-1]))
    coarse = np.std(subsample_channel.correct(x, tenths, **options)[inside])
    fine = np.std(subsample_channel.correct(x, exact, **options)[inside])
    assert fine < 0.1 * coarse


@pytest.mark.parametrize("sliding", [False, True])
def test_laws(sliding):
    x, onsets = make(noise=0.05)
    layout = Layout.of(onsets, N, len(x))
    options = {"window": 12, "threshold": 0.5, "sliding": sliding}
    one = subsample_channel.correct(x, layout, **options)
    two = subsample_channel.correct(1e-6 * x + 3e-6, layout, **options)
    np.testing.assert_allclose(two, 1e-6 * one + 3e-6, rtol=0, atol=1e-15)
    assert not subsample_channel.correct(np.zeros_like(x), layout, **options).any()
    own = x.copy()
    out = np.empty_like(x)
    assert subsample_channel.correct(own, layout, out=out, **options) is out
    assert np.array_equal(own, x)
    assert np.array_equal(out, one)


def test_an_epoch_unlike_the_others_is_in_no_template():
    x, onsets = make(noise=0.01)
    odd = x.copy()
    odd[int(onsets[12]) : int(onsets[12]) + N] *= -1
    layout = Layout.of(onsets, N, len(x))
    inside = slice(int(onsets[20]), int(onsets[29]))
    with_odd = subsample_channel.correct(odd, layout, window=30, threshold=0.9)
    assert np.std(with_odd[inside]) < 0.02


@pytest.mark.parametrize("cut", [0, 40, 230])
def test_recordings_that_begin_and_end_within_an_artifact(cut):
    x, onsets = make(noise=0.01)
    x, onsets = x[190 + cut : -450], onsets - 190 - cut
    layout = Layout.of(onsets, N, len(x))
    left = subsample_channel.correct(x, layout, window=30, threshold=0.9)
    assert np.isfinite(left).all()
    assert not layout.usable.all()
    assert np.std(left[: 2 * N]) < 0.2 * np.std(x[: 2 * N])


def test_parts_of_border_samples_sum_to_one():
    _, onsets = make()
    layout = Layout.of(onsets, 151, 10_000)
    ones = np.zeros(10_000)
    rows = np.ones((len(onsets), layout.n_fft))
    subsample.subtract(ones, rows, layout, np.arange(len(onsets)))
    first, last = int(onsets[0]) + 2, int(onsets[-1])
    np.testing.assert_allclose(ones[first:last], -1.0, atol=1e-12)


@pytest.mark.parametrize("before", [0, 3])
def test_subtraction_equals_sample_by_sample(before):
    rng = np.random.default_rng(0)
    x, onsets = make()
    layout = Layout.of(onsets, 151, len(x))
    which = np.arange(len(onsets))[::2]
    rows = rng.standard_normal((len(which), before + 153))
    out, expected = np.zeros(len(x)), np.zeros(len(x))
    subsample.subtract(out, rows, layout, which, before)
    low, high, head, tail = layout.spans
    for row, epoch in zip(rows, which, strict=True):
        for time in range(low[epoch], high[epoch]):
            value = row[time - layout.first[epoch] + before]
            value *= head[epoch] if time == low[epoch] else 1.0
            expected[time] -= value * (tail[epoch] if time == high[epoch] - 1 else 1.0)
    assert out.any()
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("n_fft", [40, 65, 1001])
def test_newton_finds_the_maximum_of_a_fine_grid(n_fft):
    rng = np.random.default_rng(n_fft)
    lags = rng.uniform(-0.4, 0.4, 6)
    omega = 2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft
    power = rng.random(len(omega)) + 0.1
    cross = power * np.exp(-1j * omega * lags[:, np.newaxis])
    got = subsample.refine_lags(cross, np.zeros(6), n_fft)
    np.testing.assert_allclose(got, lags, rtol=0, atol=1e-9)


@pytest.fixture
def in_numpy(monkeypatch):
    """Return a function that calls another one as if no kernel were compiled."""
    from facet_nb.kernels.compiled import dispatch

    def call(function, *args, **kwargs):
        with monkeypatch.context() as patch:
            for module in (dispatch, subsample_channel):
                patch.setattr(module, "find_compiled", lambda module, name: None)
            return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("n", [150, 149, 1, 3])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-14), (np.float32, 2e-6)])
def test_without_compiled_kernels_the_twins_do_the_same(in_numpy, sliding, n, dtype, atol):
    """Epochs at the edges, some unlike the others, several window lengths."""
    x, onsets = make(noise=0.05)
    x[int(onsets[12]) : int(onsets[12]) + N] *= -1
    x = x[330:-450].astype(dtype)
    layout = Layout.of(onsets - 330, n, len(x))
    assert not layout.usable[0]
    for window in (1, 7, 12, 100):
        options = {"window": window, "threshold": 0.9, "sliding": sliding}
        fast = subsample_channel.correct(x, layout, **options)
        slow = in_numpy(subsample_channel.correct, x, layout, **options)
        np.testing.assert_allclose(slow, fast, rtol=0, atol=atol)


def test_filters_move_as_transforms_do():
    """Up to 0.88 of the Nyquist frequency, to -85 dB; and by nothing they are nothing."""
    filters = subsample_channel._filters("d")
    middle = filters[subsample.GRID // 2]
    assert abs(middle[subsample.TAPS // 2] - 1.0) < 1e-15
    assert np.abs(np.delete(middle, subsample.TAPS // 2)).max() < 1e-16
    f = np.arange(0, 0.4401, 0.005)
    times = np.arange(subsample.TAPS) - subsample.TAPS // 2
    for part in (0, 100, 411, 1024):
        response = filters[part] @ np.exp(2j * np.pi * times[:, np.newaxis] * f)
        moved = np.exp(2j * np.pi * f * (part / subsample.GRID - 0.5))
        assert np.abs(response - moved).max() < 10 ** (-85 / 20)


@pytest.mark.parametrize("sliding", [False, True])
def test_no_layout_of_memory_matters(sliding):
    x, onsets = make(noise=0.05)
    layout = Layout.of(onsets, N, len(x))
    options = {"window": 12, "threshold": 0.9, "sliding": sliding}
    expected = subsample_channel.correct(x, layout, **options)
    strided = np.repeat(x, 2)[::2]
    strided.flags.writeable = False
    out = np.zeros(2 * len(x))[::2]
    assert subsample_channel.correct(strided, layout, out=out, **options) is out
    assert np.array_equal(out, expected)
    own = x.copy()
    assert subsample_channel.correct(own, layout, out=own, **options) is own
    assert np.array_equal(own, expected)
    assert np.isnan(subsample_channel.correct(np.full_like(x, np.nan), layout, **options)).all()


@pytest.mark.parametrize("sliding", [False, True])
def test_without_a_usable_artifact_nothing_changes(in_numpy, sliding):
    x = np.arange(100.0)
    layout = Layout.of(np.array([10.0, 60.0]), 60, 100)
    for call in (
        subsample_channel.correct,
        lambda *a, **k: in_numpy(subsample_channel.correct, *a, **k),
    ):
        assert np.array_equal(call(x, layout, window=5, threshold=0.9, sliding=sliding), x)


def test_float32_is_kept():
    x, onsets = make(noise=0.05)
    layout = Layout.of(onsets, N, len(x))
    double = subsample_channel.correct(x, layout, window=12, threshold=0.9)
    single = subsample_channel.correct(x.astype(np.float32), layout, window=12, threshold=0.9)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=3e-6 * np.abs(x).max())


@pytest.mark.parametrize("seed", range(40))
def test_subtraction_equals_that_of_one_artifact_after_the_other(seed):
    """Even and uneven distances, cut off at both ends, some of the artifacts, any order."""
    rng = np.random.default_rng(seed)
    n, n_epochs = int(rng.integers(1, 60)), int(rng.integers(1, 40))
    period = max(1.0, n + rng.uniform(-3, 3)) if seed % 2 else n * rng.uniform(0.5, 2.0)
    onsets = rng.uniform(-20, 60) + period * np.arange(n_epochs)
    onsets += rng.normal(0, 2, n_epochs) * (seed % 3 == 0)
    onsets = rng.permutation(onsets) if seed % 7 == 0 else onsets
    n_times = int(rng.integers(80, max(81, int(onsets.max()) + 90)))
    layout = subsample.Layout.of(onsets, n, n_times)
    which = np.sort(rng.permutation(n_epochs)[: max(1, n_epochs - seed % 4)])
    rows = rng.standard_normal((len(which), n + 2 * subsample.HALO + 3))
    x = rng.standard_normal(n_times)
    got, expected = x.copy(), x.copy()
    subsample.subtract(got, rows, layout, which)
    low, high, head, tail = layout.spans
    for i, row in zip(which, rows, strict=True):
        if low[i] < high[i]:
            origin = layout.first[i] - subsample.HALO
            piece = row[low[i] - origin : high[i] - origin].copy()
            piece[0] *= head[i]
            piece[-1] *= tail[i]
            expected[low[i] : high[i]] -= piece
    assert np.array_equal(got, expected)
