"""A lazy recording has the samples of the full run: every window, of every step, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import FacetError, Pipeline, ProcessingContext
from tests.contract.recordings import few_iterations, full_chain, make_context
from tests.contract.test_processors import STEPS, chain

__all__ = ["few_iterations"]

WINDOWS_OF_A_STEP = 8


@pytest.fixture(scope="module")
def ctx():
    return make_context()


def draw_window(rng, raw):
    """Return channels in any order, and a window of any length, both ends included."""
    picks = rng.permutation(len(raw.ch_names))[: rng.integers(1, len(raw.ch_names) + 1)]
    start = int(rng.integers(0, raw.n_times))
    stop = start + int(min(raw.n_times - start, 1 + rng.exponential(raw.n_times / 4)))
    if rng.random() < 0.2:
        stop = raw.n_times
    return picks, int(rng.choice([0, start])), stop


def check(lazy, full, seed, n_windows=WINDOWS_OF_A_STEP):
    """Fail unless headers are the same, and samples of random windows."""
    assert lazy.ch_names == full.ch_names
    assert (lazy.n_times, lazy.first_samp) == (full.n_times, full.first_samp)
    for key in ("sfreq", "highpass", "lowpass", "bads"):
        assert lazy.info[key] == full.info[key], key
    assert np.array_equal(lazy.annotations.onset, full.annotations.onset)
    expected, rng = full.get_data(), np.random.default_rng(seed)
    for _ in range(n_windows):
        picks, start, stop = draw_window(rng, full)
        found = lazy.get_data(picks=picks, start=start, stop=stop)
        assert np.array_equal(found, expected[picks, start:stop]), (picks, start, stop)


@pytest.mark.parametrize("name", STEPS)
def test_windows_of_every_step(ctx, name):
    steps = Pipeline(chain(name))
    full = steps.run(ctx, raise_on_error=True).context
    lazy = steps.lazy(ctx, cache="2 MB")
    check(lazy, full.get_raw(), seed=len(name))
    found, expected = lazy.context.get_triggers(), full.get_triggers()
    assert (found is None) == (expected is None)
    assert found is None or np.array_equal(found, expected)


@pytest.mark.parametrize("cache", [1, 100_000, "300 MB"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_windows_of_the_full_chain(ctx, cache, n_workers):
    """A cache without room for a single channel gives the same as one for all of them."""
    steps = Pipeline(full_chain())
    lazy = steps.lazy(ctx, cache=cache, n_workers=n_workers)
    check(lazy, steps.run(ctx, raise_on_error=True).raw, seed=7, n_windows=4)


def test_nan_is_an_error_where_it_is_read(ctx):
    raw = ctx.get_raw().copy()
    raw._data[raw.ch_names.index("E3"), 4000] = np.nan
    steps = Pipeline([STEPS["bandpass_filter"](1.0, 40.0)])
    assert not steps.run(ProcessingContext(raw)).success
    lazy = steps.lazy(raw)
    with pytest.raises(FacetError, match="E3 holds 1 samples that are NaN"):
        lazy.get_data("E3", start=0, stop=10)
    assert np.isfinite(lazy.get_data("E1")).all()
