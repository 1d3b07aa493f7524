"""``batch_size="auto"`` takes as many channels as are fast and as memory allows."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    DownSample,
    HighPassFilter,
    LowPassFilter,
    PickChannels,
    Pipeline,
    ProcessingContext,
    UpSample,
)
from facet_nb.core import PlanError
from facet_nb.core.planning import budget
from tests.core import toys

STEPS = [HighPassFilter(1.0), LowPassFilter(70.0)]


def make(n_channels):
    rng = np.random.default_rng(0)
    info = mne.create_info(n_channels, 500.0, "eeg")
    return ProcessingContext(mne.io.RawArray(rng.standard_normal((n_channels, 4000)), info))


def plan(n_channels, **options):
    options = {"mode": "channel_sequential", "backend": "threading", **options}
    return Pipeline(STEPS).plan(make(n_channels), batch_size="auto", **options)


@pytest.mark.parametrize(
    ("n_channels", "n_jobs", "expected"),
    [(40, 1, 16), (40, 2, 10), (40, 4, 10), (5, 1, 5), (3, 8, 1), (70, 4, 9)],
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


def test_a_large_batch_takes_no_more_than_the_recording(monkeypatch):
    """The forecast is compared with that of single channels."""
    monkeypatch.setattr(budget, "_BATCHES", 0)
    context = make(40)
    allowed = context.get_raw()._data.nbytes
    options = {"mode": "channel_sequential", "fuse": False}
    steps = [UpSample(10), LowPassFilter(70.0), DownSample(10)]
    peaks = {
        size: Pipeline(steps).plan(context, batch_size=size, **options).forecast.peak_bytes
        for size in (1, 2, 4, 8, 16)
    }
    size = Pipeline(steps).plan(context, **options).batch_size
    assert 1 < size < 16
    assert peaks[size] - peaks[1] <= allowed < peaks[2 * size] - peaks[1]


def test_without_a_recording_it_is_open():
    plan = Pipeline(STEPS).plan("serial", n_workers=1)
    assert plan.batch_size == 0
    assert "batch_size=auto" in str(plan) and "batches of up to 16 channels" in str(plan)


def sizes(steps, context, **options):
    seen = []
    Pipeline(steps).run(context, on_event=seen.append, show_progress=False, **options)
    return [[len(group) for group in event.batches] for event in seen if hasattr(event, "batches")]


def test_it_is_the_default_and_settled_when_the_recording_is_loaded(tmp_path):
    context = make(20)
    path = tmp_path / "a_raw.fif"
    context.get_raw().save(path, verbose="error")
    for given in (context, path):
        result = Pipeline(STEPS).run(given, mode="channel_sequential", show_progress=False)
        assert result.plan.batch_size == 16
    assert sizes(STEPS, context, mode="channel_sequential") == [[16, 4]]
    two = {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2}
    assert sizes(STEPS, context, **two) == [[10, 10]]
    assert sizes([PickChannels([str(i) for i in range(6)]), *STEPS], context, **two)[-1] == [3, 3]


def test_limits_that_hold_for_a_batch_keep_it_small(tmp_path):
    context = make(5)
    assert sizes(STEPS[:1], context, timeout=60.0) == [[1] * 5]
    assert sizes(STEPS[:1], context, checkpoint=tmp_path / "kept") == [[1] * 5]
    for step in (toys.ZScore(), toys.Halved()):  # errors of user-defined steps name the channel
        assert sizes([step], context) == [[1] * 5]
    assert sizes(STEPS[:1], context, timeout=60.0, batch_size=4) == [[4, 1]]
