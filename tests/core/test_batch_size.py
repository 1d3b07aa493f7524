"""``batch_size="auto"`` takes as many channels as are fast and as memory allows."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import HighPassFilter, LowPassFilter, Pipeline, ProcessingContext
from facet_nb.core import PlanError
from facet_nb.core.planning import budget

STEPS = [HighPassFilter(1.0), LowPassFilter(70.0)]


def make(n_channels):
    rng = np.random.default_rng(0)
    info = mne.create_info(n_channels, 500.0, "eeg")
    return ProcessingContext(mne.io.RawArray(rng.standard_normal((n_channels, 4000)), info))


def plan(n_channels, **options):
    options = {"mode": "channel_sequential", "backend": "threading", **options}
    return Pipeline(STEPS).plan(make(n_channels), batch_size="auto", **options)


@pytest.mark.parametrize(
    ("n_channels", "n_jobs", "expected"), [(40, 1, 16), (40, 4, 10), (5, 1, 5), (3, 8, 1)]
)
def test_each_worker_gets_a_batch(n_channels, n_jobs, expected, monkeypatch):
    monkeypatch.setattr(budget.registry, "count_cores", lambda backend=None: 8)
    assert plan(n_channels, n_jobs=n_jobs).batch_size == expected


def test_little_memory_makes_small_batches(monkeypatch):
    peaks = {size: plan(16, n_jobs=1).forecast.peak_bytes for size in [16]}
    monkeypatch.setattr(budget, "_find_limit", lambda: (peaks[16] - 1, "the machine's"))
    assert plan(16).batch_size < 16
    monkeypatch.setattr(budget, "_find_limit", lambda: (0, "the machine's"))
    assert plan(16).batch_size == 1


def test_the_result_does_not_depend_on_it():
    context = make(9)
    results = [
        Pipeline(STEPS).run(context, batch_size=size, show_progress=False, raise_on_error=True)
        for size in (1, "auto")
    ]
    assert [result.plan.batch_size for result in results] == [1, 9]
    one, other = (result.context.get_data() for result in results)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("size", ["all", 0, 2.5, None])
def test_other_values_are_refused(size):
    with pytest.raises(PlanError, match="1 or more channels, or 'auto'"):
        Pipeline(STEPS).run(make(2), batch_size=size)


def test_without_a_recording_batches_have_one_channel():
    assert Pipeline(STEPS).plan("serial", batch_size="auto").batch_size == 1
