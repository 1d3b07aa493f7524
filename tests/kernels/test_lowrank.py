"""The low-rank correction against a slow oracle, and the laws of a correction."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from facet_nb.kernels.lowrank import amplitudes, highband, lowband, lowrank
from facet_nb.kernels.templates.subsample import Layout
from tests.oracles import lowrank as oracle

N, SFREQ, PERIOD = 180, 1000.0, 179.37
N_EPOCHS = 120


def wave(t, kind=0):
    """A band-limited artifact, a function of time in samples; each kind has another shape."""
    lines = [(1, 0.055, 0), (0.6, 0.13, 1), (0.4, 0.21, 2), (0.2, 0.31, 3)]
    shape = sum(
        a * np.sin(2 * np.pi * f * (t - 80 + 3 * kind) + kind * phase) for a, f, phase in lines
    )
    return shape * np.exp(-(((t - 88) / 26.0) ** 2))


def make(noise=0.0, seed=0, n_epochs=N_EPOCHS, drift=0.05, step=0.08):
    """A signal, its onsets, and the artifact in it: a mean, and two ways in which it changes."""
    rng = np.random.default_rng(seed)
    onsets = 300.41 + PERIOD * np.arange(n_epochs)
    n_times = int(onsets[-1]) + 600
    t, artifact = np.arange(n_times), np.zeros(n_times)
    for k, onset in enumerate(onsets):
        near = slice(int(onset) - 60, int(onset) + 260)
        at = t[near] - onset
        artifact[near] += (1 + drift * np.sin(k / 19)) * wave(at) + step * (k > 70) * wave(at, 1)
    eeg = np.cumsum(rng.standard_normal(n_times))
    eeg = noise * (eeg - np.convolve(eeg, np.ones(501) / 501, mode="same"))
    eeg += 0.5 * noise * rng.standard_normal(n_times)
    return artifact + eeg, onsets, artifact


def lay_out(onsets, x):
    return Layout.of(onsets, N, len(x))


@pytest.mark.parametrize(("n_amplitudes", "shrinkage"), [(0, 0.0), (0, 3.0), (16, 0.0), (16, 3.0)])
def test_equals_the_oracle(n_amplitudes, shrinkage):
    x, onsets, _ = make(noise=2e-3)
    layout = lay_out(onsets, x)
    got = lowrank.correct(x, layout, SFREQ, max_courses=n_amplitudes, shrinkage=shrinkage)
    expected = oracle.correct(x, onsets, N, SFREQ, layout.n_fft, n_amplitudes, shrinkage)
    # Single precision, and a power iteration against a whole SVD.
    tolerance = 1e-6 if n_amplitudes == 0 else 2e-4
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_courses_are_found_and_no_more():
    x, onsets, _ = make(noise=2e-3)
    layout = lay_out(onsets, x)
    model = lowrank.fit(x, layout, np.arange(N_EPOCHS), SFREQ)
    assert model.amplitudes.shape[1] == 3
    k = np.arange(N_EPOCHS)
    for course in (np.sin(k / 19), (k > 70).astype(float)):
        fitted = model.amplitudes @ np.linalg.lstsq(model.amplitudes, course, rcond=None)[0]
        assert np.corrcoef(fitted, course)[0, 1] > 0.999


def test_muscle_activity_makes_no_course():
    x, onsets, artifact = make(noise=2e-3)
    rng = np.random.default_rng(1)
    burst = slice(int(onsets[20]), int(onsets[28]))
    eeg = x - artifact
    eeg[burst] += 0.05 * rng.standard_normal(burst.stop - burst.start)
    layout = lay_out(onsets, x)
    model = lowrank.fit(eeg + artifact, layout, np.arange(N_EPOCHS), SFREQ)
    assert model.amplitudes.shape[1] == 3
    change = lowrank.correct(eeg + artifact, layout, SFREQ) - eeg
    assert np.std(change[burst]) < 0.25 * np.std(eeg[burst])  # three of some 100 dimensions


def test_noise_alone_has_no_courses():
    rng = np.random.default_rng(3)
    for n_epochs, n_freqs in [(40, 60), (300, 90)]:
        layout = Layout.of(300.0 + PERIOD * np.arange(n_epochs), N, 10**6)
        n_freqs = int(highband.find_band(layout, SFREQ).sum())
        high = rng.standard_normal((n_epochs, 2 * n_freqs)).view(complex)
        found, trained = amplitudes.find_amplitudes(
            high, np.ones(n_epochs, bool), layout, SFREQ, 16
        )
        assert found.shape == (n_epochs, 1)
        assert trained.all()


@pytest.mark.parametrize(("size", "slope"), [(1.5, 5.0), (3.0, 7.0)])
def test_a_course_of_few_frequencies_is_found_however_long_the_recording(size, slope):
    for n_epochs in (1200, 5000):
        rng = np.random.default_rng(3)
        layout = Layout.of(300.0 + 100.0 * np.arange(n_epochs), 100, 10**6)
        n_values = 2 * int(highband.find_band(layout, SFREQ).sum())
        high = rng.standard_normal((n_epochs, n_values)).astype(np.float32)
        shape = rng.standard_normal(n_values) * np.exp(-np.linspace(0, slope, n_values))
        course = np.sin(np.arange(n_epochs) / 37)
        high += (size * np.multiply.outer(course, shape)).astype(np.float32)
        found, _ = amplitudes.find_amplitudes(
            high.view(np.complex64), np.ones(n_epochs, bool), layout, SFREQ, 16
        )
        assert found.shape[1] == 2
        assert abs(np.corrcoef(found[:, 1], course)[0, 1]) > 0.95


@pytest.mark.parametrize("n_noisy", [3, 12, 25])
@pytest.mark.parametrize("at_end", [False, True])
def test_a_course_is_followed_into_noisy_epochs_at_the_ends(n_noisy, at_end):
    """What the nearest calm epoch says of them counts the less, the farther they are from it."""
    course = np.linspace(-1.0, 1.0, 70)[:, np.newaxis]
    course = course[::-1] if at_end else course
    loud = np.ones(70)
    loud[-n_noisy:] = 3.0
    loud = loud if at_end else loud[::-1]
    drawn = amplitudes._trust_calm(course, np.array([200.0]), loud == 1, loud)
    assert np.abs(drawn - course).max() < 0.1 * np.abs(course - course[loud == 1][0]).max()
    calm = amplitudes._trust_calm(course, np.array([1e-3]), loud == 1, loud)
    assert np.abs(calm[loud > 1]).max() < np.abs(course[loud > 1]).max()


@pytest.mark.parametrize("noise", [5.0, 20.0, 80.0])
def test_noisy_epochs_have_the_amplitudes_of_calm_ones_around_them(noise):
    rng = np.random.default_rng(4)
    n_epochs, course = 600, np.sin(np.arange(600) / 37)
    layout = Layout.of(300.0 + 100.0 * np.arange(n_epochs), 100, 10**6)
    n_values = 2 * int(highband.find_band(layout, SFREQ).sum())
    loud = np.ones(n_epochs)
    loud[rng.choice(n_epochs, 60, replace=False)] = noise
    high = loud[:, np.newaxis] * rng.standard_normal((n_epochs, n_values))
    high += 2.0 * np.multiply.outer(course, rng.standard_normal(n_values))
    found, _ = amplitudes.find_amplitudes(
        high.astype(np.float32).view(np.complex64), np.ones(n_epochs, bool), layout, SFREQ, 16
    )
    calm = loud == 1
    rest = found @ np.linalg.lstsq(found[calm], course[calm], rcond=None)[0] - course
    assert np.std(rest[~calm]) < 2.5 * np.std(rest[calm])


@pytest.mark.parametrize("n_epochs", [1200, 5000])
def test_muscle_activity_makes_no_course_however_long_the_recording(n_epochs):
    for seed, n_bursts in [(1, 6), (2, 40)]:
        rng = np.random.default_rng(seed)
        layout = Layout.of(300.0 + 100.0 * np.arange(n_epochs), 100, 10**6)
        n_values = 2 * int(highband.find_band(layout, SFREQ).sum())
        loud = np.ones(n_epochs)
        for begin in rng.integers(0, n_epochs - 30, n_bursts):
            loud[begin : begin + rng.integers(5, 30)] = 15.0
        high = loud[:, np.newaxis] * rng.standard_normal((n_epochs, n_values))
        found, _ = amplitudes.find_amplitudes(
            high.astype(np.float32).view(np.complex64),
            np.ones(n_epochs, bool),
            layout,
            SFREQ,
            16,
        )
        assert found.shape[1] == 1


def test_an_artifact_that_repeats_goes_altogether():
    x, onsets, _ = make(drift=0.0, step=0.0)
    got = lowrank.correct(x, lay_out(onsets, x), SFREQ)
    inside = slice(int(onsets[1]), int(onsets[-1]))
    assert np.abs(got[inside]).max() < 2e-4 * np.abs(x).max()


def test_drift_and_a_movement_are_followed():
    x, onsets, artifact = make(noise=2e-3)
    eeg = x - artifact
    layout = lay_out(onsets, x)
    inside = slice(int(onsets[0]), int(onsets[-1]))
    left = {
        n: np.std((lowrank.correct(x, layout, SFREQ, max_courses=n) - eeg)[inside]) for n in (0, 16)
    }
    assert left[16] < 0.2 * left[0]
    assert left[16] < 0.1 * np.std(eeg[inside])


def make_vibration(period_s, seed=0, n_epochs=480):
    """EEG under an artifact that stays, and one of 25 Hz whose size changes slowly."""
    onsets = 300.41 + PERIOD * np.arange(n_epochs)
    t = np.arange(int(onsets[-1]) + 600)
    eeg = 2e-3 * np.random.default_rng(seed).standard_normal(len(t))
    fixed, changing = np.zeros(len(t)), np.zeros(len(t))
    for onset in onsets:
        near = slice(int(onset) - 60, int(onset) + 260)
        at = t[near] - onset
        fixed[near] += wave(at)
        bell = np.exp(-(((at - 88) / 30.0) ** 2))
        size = 0.02 * np.sin(2 * np.pi * onset / (period_s * SFREQ))
        changing[near] += size * bell * np.sin(2 * np.pi * 0.025 * at)
    return eeg, fixed, changing, onsets


@pytest.mark.parametrize("period_s", [12.0, 20.0, 40.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_changes_below_the_edge_only_is_followed_slowly(period_s, seed):
    eeg, fixed, changing, onsets = make_vibration(period_s, seed)
    got = lowrank.correct(eeg + fixed + changing, lay_out(onsets, eeg), SFREQ)
    inside = slice(int(onsets[0]), int(onsets[-1]))
    assert np.std(changing[inside]) > np.std(eeg[inside])
    assert np.std((got - eeg)[inside]) < 0.25 * np.std(changing[inside])


def test_slow_courses_equal_the_oracle():
    eeg, fixed, changing, onsets = make_vibration(20.0, n_epochs=240)
    x = eeg + fixed + changing
    layout = lay_out(onsets, x)
    got = lowrank.correct(x, layout, SFREQ)
    expected = oracle.correct(x, onsets, N, SFREQ, layout.n_fft, 16, 3.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate_hz", [0.0, 25.0])
def test_eeg_alone_has_no_slow_courses(seed, rate_hz):
    """Rhythms wax and wane; at a multiple of the slices' rate they vary slowly over epochs."""
    rng = np.random.default_rng(seed)
    onsets = 300.41 + PERIOD * np.arange(400)
    n_times = int(onsets[-1]) + 600
    eeg = rng.standard_normal(n_times)
    if rate_hz:
        slow = rng.standard_normal((2, 1 + n_times // 500))
        slow = [np.interp(np.arange(n_times), 500 * np.arange(slow.shape[1]), row) for row in slow]
        turn = 2 * np.pi * rate_hz * np.arange(n_times) / SFREQ
        eeg += 2.0 * (slow[0] * np.cos(turn) + slow[1] * np.sin(turn))
    model = lowrank.fit(eeg, lay_out(onsets, eeg), np.arange(400), SFREQ)
    assert model.amplitudes.shape[1] == 1


@pytest.mark.parametrize("n_slices, distance", [(10, 60.2), (12, 40.37), (7, 110.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_drift_is_blind_to_what_recurs_with_the_volume(n_slices, distance, seed):
    rng = np.random.default_rng(seed)
    onsets = 300.3 + distance * np.arange(40 * n_slices)
    t = np.arange(int(onsets[-1]) + 600)
    drift = 4e-3 * np.sin(2 * np.pi * t / len(t))
    sizes = rng.uniform(1e-5, 1e-4, n_slices)
    pulses = np.zeros(len(t))
    for k, onset in enumerate(onsets):
        pulses += sizes[k % n_slices] * np.exp(-(((t - onset - 15.0) / 3.0) ** 2))
    plain = Layout.of(onsets, int(np.ceil(distance)), len(t))
    left = []
    for layout in (plain, plain.within(onsets[::n_slices])):
        alone = highband.remove_trend(drift, plain, 500.0)
        both = highband.remove_trend(drift + pulses, layout, 500.0)
        left.append(np.std((both - alone - pulses)[300 : int(onsets[-1])]))
    assert left[1] < 0.1 * left[0]


@pytest.mark.parametrize("distance, slow", [(60.2, 1e-4), (40.37, 1e-3), (110.0, 4e-3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_drift_is_blind_to_what_follows_the_artifact(distance, slow, seed):
    """A mean that differs from slice to slice as an amplitude does, without any period."""
    rng = np.random.default_rng(seed)
    onsets = 300.3 + distance * np.arange(400)
    t = np.arange(int(onsets[-1]) + 600)
    others = slow * np.sin(2 * np.pi * t / len(t)) + 5e-6 * rng.standard_normal(len(t))
    sizes = rng.uniform(-1.0, 1.0, len(onsets))
    pulses = np.zeros(len(t))
    for size, onset in zip(sizes, onsets, strict=True):
        pulses += 1e-4 * size * np.exp(-(((t - onset - 15.0) / 3.0) ** 2))
    layout = Layout.of(onsets, int(np.ceil(distance)), len(t))
    movement = np.cumsum(rng.standard_normal(len(onsets)))
    courses = np.column_stack([sizes + 0.1 * movement, movement])
    left = []
    for given in (None, courses):
        alone = highband.remove_trend(others, layout, 500.0, courses=given)
        both = highband.remove_trend(others + pulses, layout, 500.0, courses=given)
        left.append(np.std((both - alone - pulses)[300 : int(onsets[-1])]))
    assert left[1] < 0.2 * left[0]
    usual = highband.remove_trend(others, layout, 500.0)
    assert np.std(alone - usual) < 0.2 * np.std(usual - others + others.mean())


@pytest.mark.parametrize("factor", [1e-6, 3.0, -1.0])
def test_scaling(factor):
    x, onsets, _ = make(noise=2e-3)
    layout = lay_out(onsets, x)
    got = lowrank.correct(factor * x, layout, SFREQ)
    expected = factor * lowrank.correct(x, layout, SFREQ)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * abs(factor))


@pytest.mark.parametrize("added", [1.0, -250.0])
def test_an_offset_and_a_slow_drift_stay(added):
    x, onsets, _ = make(noise=2e-3)
    layout = lay_out(onsets, x)
    offset = added * np.ones(len(x)) + 0.5 * np.sin(np.arange(len(x)) / 3000.0)
    got = lowrank.correct(x + offset, layout, SFREQ) - offset
    np.testing.assert_allclose(got, lowrank.correct(x, layout, SFREQ), rtol=0, atol=2e-3)


def test_nothing_changes_outside_and_the_input_never():
    x, onsets, _ = make(noise=2e-3)
    kept = x.copy()
    x.flags.writeable = False
    got = lowrank.correct(x, lay_out(onsets, x), SFREQ)
    before, after = int(onsets[0]) - 1, int(onsets[-1]) + N + 2
    assert np.array_equal(got[:before], x[:before])
    assert np.array_equal(got[after:], x[after:])
    assert np.array_equal(x, kept)


def test_eeg_alone_stays():
    x, onsets, artifact = make(noise=2e-3)
    eeg = x - artifact
    change = lowrank.correct(eeg, lay_out(onsets, x), SFREQ) - eeg
    inside = slice(int(onsets[0]), int(onsets[-1]))
    assert np.std(change[inside]) < 0.05 * np.std(eeg[inside])
    plain = lowrank.correct(eeg, lay_out(onsets, x), SFREQ, shrinkage=0, max_courses=0) - eeg
    assert np.std(plain[inside]) > 2 * np.std(change[inside])


def test_epochs_without_artifact_are_left_alone():
    """Markers before the scan began, and one within it where the scanner paused."""
    x, onsets, artifact = make(noise=2e-3)
    eeg = x - artifact
    silent = slice(int(onsets[60]) - 5, int(onsets[60]) + N - 5)
    x[silent] = eeg[silent]
    got = lowrank.correct(x, lay_out(onsets, x), SFREQ)
    assert np.std((got - eeg)[silent]) < 0.1 * np.std(eeg[silent])
    assert np.std((got - eeg)[int(onsets[61]) : int(onsets[80])]) < 0.1 * np.std(eeg)


def test_an_artifact_that_was_cut_off_is_subtracted_as_far_as_it_goes():
    x, onsets, artifact = make(noise=2e-3)
    eeg = x - artifact
    x[int(onsets[-1]) + 85 :] = eeg[int(onsets[-1]) + 85 :]
    got = lowrank.correct(x, lay_out(onsets, x), SFREQ)
    last = slice(int(onsets[-1]), int(onsets[-1]) + N)
    assert np.abs(artifact[last]).max() > 0.5
    assert np.sum(np.abs((got - eeg)[last]) > 0.02) <= 3  # beside the cut itself


def test_first_and_last_epoch_may_reach_beyond_the_recording():
    x, onsets, artifact = make(noise=2e-3)
    low, high = int(onsets[0]) + 2, int(onsets[-1]) + 150
    got = lowrank.correct(x[low:high], Layout.of(onsets - low, N, high - low), SFREQ)
    assert np.std(got - (x - artifact)[low:high]) < 0.2 * np.std((x - artifact)[low:high])


def test_an_epoch_that_is_like_no_other_teaches_nothing():
    x, onsets, artifact = make(noise=2e-3)
    pop = np.zeros(len(x))
    pop[int(onsets[50]) + 20 :][:40] = 3.0 * np.exp(-np.arange(40) / 8.0)
    got = lowrank.correct(x + pop, lay_out(onsets, x), SFREQ)
    calm = lowrank.correct(x, lay_out(onsets, x), SFREQ)
    others = slice(int(onsets[52]), int(onsets[-1]))
    assert np.std((got - calm)[others]) < 0.1 * np.std((x - artifact)[others])
    assert np.corrcoef((got - calm), pop)[0, 1] > 0.99


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.3, 0.5])
@pytest.mark.parametrize("fast", [0.3, 0.5])
def test_a_slow_change_is_followed_even_if_other_courses_took_much_of_it(seed, share, fast):
    rng, n, n_freqs = np.random.default_rng(seed), 700, 10
    change = np.cos(2 * np.pi * (np.arange(n) / 200.0 + rng.random()))
    change /= np.linalg.norm(change - change.mean())
    shape = (n, n_freqs)
    wave = 50.0 * (rng.standard_normal(n_freqs) + 1j * rng.standard_normal(n_freqs))
    noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    low = (np.outer(change - change.mean(), wave) + noise).astype(np.complex64)
    # Three courses that drift, with a part of the change in each, and noise of their own.
    walks, hiss = np.cumsum(rng.standard_normal((n, 3)), axis=0), rng.standard_normal((n, 3))
    walks, hiss = ((x - x.mean(axis=0)) / (np.sqrt(n) * x.std(axis=0)) for x in (walks, hiss))
    own = np.sqrt(1.0 - fast) * walks + np.sqrt(fast) * hiss
    courses = np.sqrt(share) * change[:, np.newaxis] + np.sqrt(1.0 - share) * own
    others = np.linalg.qr(np.hstack([np.ones((n, 1)), courses]))[0]
    rest = (low - others @ (others.T @ low)).astype(np.complex64)
    slow = lowband.find_slow(rest, others, np.ones(n), n_freqs, 70.0)
    base = np.linalg.qr(np.hstack([others, slow]))[0]
    left = change - base @ (base.T @ change)
    assert np.sum(left**2) < 10**-1.8


def test_blocks_are_even_and_bounded():
    layout = Layout.of(100.0 + PERIOD * np.arange(1000), N, 10**6)
    blocks = lowrank.list_blocks(layout, SFREQ, 60.0)
    assert np.array_equal(np.concatenate(blocks), np.arange(1000))
    assert {len(block) for block in blocks} == {250}  # at most 333 of them last 60 s
    x, onsets, artifact = make(noise=2e-3)
    got = lowrank.correct(x, lay_out(onsets, x), SFREQ, block_s=8.0)
    eeg = x - artifact
    assert np.std(got - eeg) < 0.3 * np.std(eeg)


def test_flat_and_short_signals():
    layout = Layout.of(100.0 + PERIOD * np.arange(20), N, 5000)
    assert not lowrank.correct(np.zeros(5000), layout, SFREQ).any()
    assert np.allclose(lowrank.correct(np.full(5000, 7.0), layout, SFREQ), 7.0, atol=1e-12)
    one = Layout.of(np.array([100.0]), N, 5000)
    x = np.random.default_rng(0).standard_normal(5000)
    assert np.array_equal(lowrank.correct(x, one, SFREQ), x)


def test_what_was_learned_is_used_for_the_same_samples_only(monkeypatch):
    both = np.stack([make(noise=2e-3, seed=seed)[0] for seed in (0, 1)])
    x, onsets = both[0], make()[1]
    layout, which = lay_out(onsets, x), np.arange(N_EPOCHS)
    expected = [lowrank.correct(row, layout, SFREQ) for row in both]
    known = lowrank.learn(x, layout, which, SFREQ, amplitudes.MAX_COURSES)
    times = []
    find = lowrank.find_amplitudes
    monkeypatch.setattr(lowrank, "find_amplitudes", lambda *a: times.append(1) or find(*a))

    def count(signal, known, **options):
        times.clear()
        return lowrank.correct(signal, layout, SFREQ, known=known, **options), len(times)

    got, n = count(both[0], known)
    assert n == 0 and np.array_equal(got, expected[0])
    sent = pickle.loads(pickle.dumps(known))
    for signal, given, row in ((both[1], known, 1), (x.copy(), known, 0), (x, sent, 0)):
        got, n = count(signal, given)
        assert n == 1 and np.array_equal(got, expected[row])
    assert count(x, known, max_courses=2)[1] == 1
    x[1000] += 1.0  # other samples, in the same place
    assert np.array_equal(count(x, known)[0], lowrank.correct(x, layout, SFREQ)) and times
    assert known.owner() is both
    del both, x, signal
    assert known.owner() is None  # it keeps no samples


def test_nothing_is_learned_beforehand_of_samples_that_are_restored_or_rounded():
    x, onsets, _ = make(noise=2e-3)
    layout, which = lay_out(onsets, x), np.arange(N_EPOCHS)
    assert lowrank.learn(x.astype(np.float32), layout, which, SFREQ, 16) is None
    assert lowrank.learn(np.clip(x, -0.5, 0.5), layout, which, SFREQ, 16) is None
    assert lowrank.learn(x, layout, which[:1], SFREQ, 16) is None
