"""The guide's advice on memory, time, errors and nesting, run as it is written."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import facet_nb
from facet_nb.core import ParallelExecutor, Pipeline, ProcessingContext, Processor
from facet_nb.core.parallel import ChannelSequentialExecutor
from facet_nb.datasets import example
from tests.page import steps


@pytest.fixture(scope="module")
def recording():
    return example().context()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    short = example().raw.copy().crop(tmax=20.0)
    for name in ("a.edf", "b.edf"):
        facet_nb.export(ProcessingContext(short), folder / name)
    return list(Path(folder).glob("*.edf"))


def process_with_jobs(path):
    """A file in a worker that has workers of its own."""
    pipeline = Pipeline([facet_nb.Loader(path=path, preload=True), steps.ChannelZScoreNormalizer()])
    return pipeline.run(parallel=True, n_jobs=2)


def test_memory_and_time(recording):
    print(f"Available memory: {psutil.virtual_memory().available / 1e9:.1f} GB")
    cpu_percent = psutil.cpu_percent(interval=0.1)
    assert 0 <= cpu_percent <= 100 and psutil.virtual_memory().percent > 0
    n_cpus = multiprocessing.cpu_count()
    n_pipeline_workers = max(1, n_cpus - 1)
    assert n_pipeline_workers >= 1
    pipeline = Pipeline([steps.ChannelZScoreNormalizer()])
    start = time.time()
    result = pipeline.run(recording)
    spent = time.time() - start
    assert result.execution_time <= spent
    assert sum(result.step_times["wall_s"]) <= result.execution_time


def test_times_of_the_three_strategies(recording):
    pipeline = Pipeline([steps.ChannelZScoreNormalizer()])
    answers = []
    for options in (
        {"parallel": False, "channel_sequential": False},
        {"channel_sequential": True},
        {"parallel": True, "n_jobs": -1},
    ):
        start = time.time()
        result = pipeline.run(recording, **options)
        assert result.success and result.execution_time <= time.time() - start
        answers.append(result.get_raw().get_data())
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])


def test_plot_of_the_scaling(recording):
    from matplotlib.figure import Figure

    scaling = steps.benchmark_scaling(
        Pipeline([steps.ChannelZScoreNormalizer()]), recording, max_workers=2
    )
    ax = Figure().add_subplot()
    (line,) = ax.plot(list(scaling.keys()), list(scaling.values()), marker="o")
    assert list(line.get_xdata()) == [1, 2] and min(line.get_ydata()) > 0


def test_errors_are_in_the_result(recording, capsys):
    class Failing(Processor):
        channel_wise = True

        def process(self, context):
            raise ValueError("a reason")

    pipeline = Pipeline([Failing()])
    try:
        result = pipeline.run(recording, parallel=True, n_jobs=-1)
        if not result.success:
            print(f"Pipeline failed: {result.error}")
    except Exception as e:
        print(f"Unexpected error: {e}")
    shown = capsys.readouterr().out
    assert "Pipeline failed" in shown and "a reason" in shown and "(failing)" in shown


def test_choice_by_size(recording):
    n_channels, duration = recording.get_n_channels(), recording.get_raw().times[-1]
    pipeline = Pipeline([steps.ChannelZScoreNormalizer()])
    if n_channels < 10 or duration < 60:
        result = pipeline.run(recording, parallel=False, channel_sequential=False)
    else:
        result = pipeline.run(recording, parallel=True, n_jobs=-1)
    assert result.success and result.plan.mode == "serial"


def test_files_by_size(files):
    large_files = [f for f in files if f.stat().st_size > 1e9]
    small_files = [f for f in files if f.stat().st_size <= 1e9]
    assert large_files == [] and sorted(small_files) == sorted(files)


@pytest.mark.slow
def test_workers_that_have_workers(files, recording):
    """Also after a parallel run of the process itself, which its forks inherit."""
    zscore = steps.ChannelZScoreNormalizer()
    assert Pipeline([zscore]).run(recording, parallel=True, n_jobs=2).success
    expected = [process_with_jobs(f) for f in files]
    for pool in (concurrent.futures.ProcessPoolExecutor, concurrent.futures.ThreadPoolExecutor):
        with pool(max_workers=2) as executor:
            results = list(executor.map(process_with_jobs, files))
        for result, alone in zip(results, expected, strict=True):
            assert result.success, result.error
            assert np.array_equal(result.get_raw().get_data(), alone.get_raw().get_data())


@pytest.mark.parametrize("executor", [ParallelExecutor, ChannelSequentialExecutor])
@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "serial"])
def test_gpu_pattern_in_executors(recording, executor, backend):
    """It is not channel-wise: it runs here, whatever was asked for."""
    before = recording.get_data().copy()
    done = executor(n_jobs=2, backend=backend).execute(steps.GPUProcessor(), recording)
    assert np.array_equal(done.get_data(), 2.0 * before)
    assert np.array_equal((recording | steps.GPUProcessor()).get_data(), 2.0 * before)
    assert np.array_equal(recording.get_data(), before)
    assert done.get_raw()._data.flags.writeable


def test_custom_executor_takes_its_defaults():
    made = steps.CustomExecutor()
    assert (made.n_jobs, made.backend, made.verbose) == (-1, "multiprocessing", False)
