"""The estimated noise: lazy, the same in every mode, and what was really taken away."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from facet_nb.core import Pipeline, ValidationError
from tests.core import toys
from tests.core.toys import PLACES, RUNS, ids

GOOD = [toys.NAMES.index(name) for name in toys.GOOD]
REST = [i for i in range(len(toys.NAMES)) if i not in GOOD]


@pytest.fixture(scope="module")
def ctx():
    return toys.make_context()


def run(steps, ctx, **options):
    return Pipeline(steps).run(ctx, raise_on_error=True, **options).context


def rebuild(ctx):
    raw = ctx.get_raw().copy()
    raw._data = raw._data + 1.0
    return ctx.with_raw(raw)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_noise_is_what_a_correction_took(ctx, options):
    result = run([toys.Demeaned()], ctx, **options)
    noise = result.get_estimated_noise()
    assert np.array_equal(noise[GOOD], (ctx.get_data() - result.get_data())[GOOD])
    assert not noise[REST].any()
    assert abs(noise[GOOD]).min() > 0


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_linear_steps_take_the_noise_along(ctx, options):
    result = run([toys.Demeaned(), toys.Halved(), toys.Decimated()], ctx, **options)
    taken = run([toys.Demeaned()], ctx).get_estimated_noise()
    np.testing.assert_allclose(
        result.get_estimated_noise()[GOOD], 0.5 * taken[GOOD][:, ::2], rtol=1e-9, atol=1e-20
    )


CHAINS = {
    "opaque step between": [toys.Demeaned(), toys.Squared(), toys.Demeaned(), toys.Halved()],
    "anyone's step between": [toys.Demeaned(), toys.ZScore(), toys.Demeaned()],
    "new recording between": [toys.Demeaned(), rebuild, toys.Decimated(), toys.Demeaned()],
    "all channels between": [toys.Demeaned(), toys.Spread(), toys.Halved()],
    "reported": [toys.Reporting(), toys.Halved()],
    "reported after a correction": [toys.Demeaned(), toys.Halved(), toys.Reporting()],
    "used": [toys.Demeaned(), toys.Halved(), toys.Cancelling(), toys.Halved()],
    "used after an opaque step": [toys.Demeaned(), toys.ZScore(), toys.Cancelling()],
    "used after a report": [toys.Reporting(), toys.Halved(), toys.Cancelling()],
    "used before a reference": [toys.Demeaned(), toys.Cancelling(), toys.Referred("E2")],
    "used, then frozen": [toys.Demeaned(), toys.Cancelling(), toys.ZScore(), toys.Halved()],
    "used twice": [toys.Demeaned(), toys.Cancelling(), toys.Squared(), toys.Cancelling()],
}


@pytest.mark.parametrize("name", CHAINS)
def test_same_noise_in_every_mode(ctx, name):
    expected = run(CHAINS[name], ctx)
    for options in RUNS:
        other = run(CHAINS[name], ctx, **options)
        assert np.array_equal(other.get_data(), expected.get_data())
        assert np.array_equal(other.get_estimated_noise(), expected.get_estimated_noise())
    assert expected.get_estimated_noise()[GOOD].any()


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_noise_before_an_opaque_step_is_kept(ctx, options):
    first = run([toys.Demeaned()], ctx).get_estimated_noise()
    result = run([toys.Demeaned(), toys.ZScore()], ctx, **options)
    assert np.array_equal(result.get_estimated_noise(), first)
    half = run([toys.Demeaned(), toys.ZScore(), toys.Halved()], ctx, **options)
    np.testing.assert_allclose(half.get_estimated_noise(), 0.5 * first, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_a_processor_of_anyones_reports_its_noise(ctx, options):
    result = run([toys.Reporting(0.25), toys.Halved()], ctx, **options)
    assert np.array_equal(result.get_estimated_noise()[GOOD], 0.125 * ctx.get_data()[GOOD])
    assert not result.get_estimated_noise()[REST].any()


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_noise_that_was_set_goes_along(ctx, options):
    given = ctx.copy()
    noise = np.random.default_rng(3).standard_normal(ctx.get_data().shape)
    given.set_estimated_noise(noise)
    given.accumulate_noise(noise)
    assert np.array_equal(given.get_estimated_noise()[GOOD], 2.0 * noise[GOOD])
    assert not ctx.has_estimated_noise()
    halved = run([toys.Halved(), toys.ZScore()], given, **options)
    assert np.array_equal(halved.get_estimated_noise()[GOOD], noise[GOOD])
    used = run([toys.Cancelling()], given, **options)
    expected = ctx.get_data()[GOOD] - 0.1 * (2.0 * noise[GOOD])
    np.testing.assert_allclose(used.get_data()[GOOD], expected, rtol=1e-12)


def test_setting_replaces_and_checks_the_shape(ctx):
    given = run([toys.Demeaned()], ctx)
    given.set_estimated_noise(np.ones(given.get_data().shape))
    assert np.array_equal(np.unique(given.get_estimated_noise()[GOOD]), [1.0])
    with pytest.raises(ValidationError, match=r"shape \(2, 3\).*\(8, 3000\)"):
        given.set_estimated_noise(np.ones((2, 3)))


def test_noise_is_computed_once_and_kept_while_samples_stay(ctx):
    result = run([toys.Demeaned()], ctx)
    noise = result.get_estimated_noise()
    assert result.get_estimated_noise() is noise
    assert result.with_triggers([1, 2]).get_estimated_noise() is noise
    assert (result | toys.Found()).get_estimated_noise() is noise


def test_length_that_noise_cannot_follow(ctx):
    def crop(ctx):
        return ctx.with_raw(ctx.get_raw().copy().crop(0, 1.0))

    result = run([toys.Demeaned(), crop], ctx)
    with pytest.raises(ValidationError, match="read the noise before"):
        result.get_estimated_noise()
    again = Pipeline([toys.Demeaned(), crop, toys.Cancelling()]).run(ctx)
    assert "put this step before it" in str(again.error)


def test_channel_that_was_bad_during_the_correction_has_no_noise(ctx):
    def forgive(ctx):
        raw = ctx.get_raw().copy()
        raw.info["bads"] = []
        return ctx.with_raw(raw)

    for options in PLACES:
        result = run([toys.Demeaned(), toys.Halved(), forgive, toys.Demeaned()], ctx, **options)
        row = toys.NAMES.index("E3")
        before, after = ctx.get_data()[row], result.get_data()[row]
        assert np.array_equal(result.get_estimated_noise()[row], before - after)


@pytest.mark.parametrize("steps", CHAINS.values(), ids=list(CHAINS))
def test_contexts_and_results_travel(ctx, steps):
    if rebuild in steps:
        steps = [s for s in steps if s is not rebuild]
    result = Pipeline(steps).run(ctx, raise_on_error=True)
    noise = result.context.get_estimated_noise()
    copy = pickle.loads(pickle.dumps(result))
    assert np.array_equal(copy.context.get_estimated_noise(), noise)
    assert np.array_equal(copy.get_raw().get_data(), result.get_raw().get_data())
    assert copy.get_history() == result.get_history()
    assert copy.plan == result.plan and copy.state == result.state
    picked = copy.context._selected(copy.get_raw().copy().pick(["E2", "STI", "EOG1"]), [1, 2, 5])
    assert np.array_equal(picked.get_estimated_noise(), noise[[1, 2, 5]])
