"""The guide to modes and workers that FACETpy's users know, run as it is written."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

import mne
import numpy as np
import pytest
from tqdm import tqdm

import facet_nb
from facet_nb import benchmark_scaling
from facet_nb.core import ParallelExecutor, Pipeline, ProcessingContext
from facet_nb.correction import AASCorrection
from facet_nb.datasets import example
from facet_nb.preprocessing import TriggerDetector
from tests.page import steps

PARALLEL_SAFE = [
    "AASCorrection",
    "PCACorrection",
    "HighPassFilter",
    "LowPassFilter",
    "BandPassFilter",
    "NotchFilter",
    "UpSample",
    "DownSample",
    "Resample",
    "TriggerAligner",
    "SliceAligner",
    "SubsampleAligner",
]
NOT_PARALLEL_SAFE = [
    "TriggerDetector",
    "MissingTriggerDetector",
    "QRSTriggerDetector",
    "ANCCorrection",
    "Loader",
    "EDFExporter",
    "SNRCalculator",
    "RMSCalculator",
    "MetricsReport",
]
CHANNEL_WISE = [
    "AASCorrection",
    "PCACorrection",
    "HighPassFilter",
    "LowPassFilter",
    "BandPassFilter",
    "NotchFilter",
    "UpSample",
    "DownSample",
    "TriggerAligner",
]
NOT_CHANNEL_WISE = ["TriggerDetector", "Loader", "EDFExporter", "SNRCalculator", "RMSCalculator"]
RUN_ONCE = ["TriggerAligner", "SliceAligner", "SubsampleAligner"]


@pytest.fixture(scope="module")
def sim():
    return example()


@pytest.fixture(scope="module")
def recording(sim):
    return sim.context()


@pytest.fixture(scope="module")
def files(sim, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    short = sim.raw.copy().crop(tmax=20.0)
    for name in ("a.edf", "b.edf"):
        facet_nb.export(ProcessingContext(short), folder / name)
    return sorted(folder.glob("?.edf"))


# ----------------------------------------------------------------------------------------- flags
def test_flags():
    for names, flag, value in [
        (PARALLEL_SAFE, "parallel_safe", True),
        (NOT_PARALLEL_SAFE, "parallel_safe", False),
        (CHANNEL_WISE, "channel_wise", True),
        (NOT_CHANNEL_WISE, "channel_wise", False),
        (RUN_ONCE, "run_once", True),
    ]:
        for name in names:
            assert getattr(getattr(facet_nb, name), flag) is value, (name, flag)
    assert steps.MyProcessor.parallel_safe
    assert steps.MyProcessor.channel_wise


def test_flags_of_instances(capsys):
    aas = AASCorrection(window_size=30)
    detector = TriggerDetector(regex=r"\b1\b")
    print(f"AAS parallel safe: {aas.parallel_safe}")
    print(f"Detector parallel safe: {detector.parallel_safe}")
    pipeline = Pipeline([detector, aas])
    for proc in pipeline.processors:
        if not proc.parallel_safe:
            print(f"{proc.name} is not parallel safe")
    assert capsys.readouterr().out.splitlines() == [
        "AAS parallel safe: True",
        "Detector parallel safe: False",
        "trigger_detector is not parallel safe",
    ]


# ------------------------------------------------------------------------------------- quick start
@pytest.mark.parametrize(
    "options",
    [
        {"channel_sequential": True},
        {"parallel": True, "n_jobs": -1},
        {"parallel": True, "n_jobs": -2},
        {"parallel": True, "n_jobs": 4},
        {"parallel": True, "n_jobs": max(1, multiprocessing.cpu_count() // 2)},
        {"parallel": False, "channel_sequential": False},
    ],
)
def test_quick_start(recording, options):
    pipeline = Pipeline([TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=30)])
    serial = pipeline.run(recording)
    result = pipeline.run(recording, **options)
    assert result.success
    assert np.array_equal(result.get_raw().get_data(), serial.get_raw().get_data())


@pytest.mark.parametrize(
    "options", [{"channel_sequential": True}, {"parallel": True, "n_jobs": -1}]
)
def test_chain_from_file_to_file(files, tmp_path, options):
    target = tmp_path / "corrected.edf"
    result = steps.make_chain(str(files[0]), str(target)).run(**options)
    if not result.success:
        pytest.fail(f"Pipeline failed: {result.error}")
    assert mne.io.read_raw_edf(target, verbose="error").ch_names == result.get_raw().ch_names


# --------------------------------------------------------------------------------------- executors
@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "serial"])
def test_parallel_executor(recording, backend, capsys):
    from facet_nb.core.parallel import ParallelExecutor as SameExecutor

    assert SameExecutor is ParallelExecutor
    executor = ParallelExecutor(n_jobs=4, backend=backend, verbose=True)
    ready = TriggerDetector(regex=r"\b1\b").execute(recording)
    result_context = executor.execute(AASCorrection(window_size=30), ready)
    alone = AASCorrection(window_size=30).execute(ready)
    assert np.array_equal(result_context.get_data(), alone.get_data())
    assert "aas_correction" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "serial"])
def test_custom_executor(recording, backend):
    executor = steps.CustomExecutor(n_jobs=2, backend=backend)
    got = executor.execute(steps.ChannelZScoreNormalizer(), recording)
    np.testing.assert_allclose(got.get_data().std(axis=1), 1.0)


# ---------------------------------------------------------------------------- one's own processors
@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel", "auto"])
@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "serial"])
def test_zscore(recording, mode, backend):
    pipeline = Pipeline([steps.ChannelZScoreNormalizer()])
    serial = pipeline.run(recording, raise_on_error=True)
    other = pipeline.run(recording, mode=mode, backend=backend, n_jobs=2, raise_on_error=True)
    assert np.array_equal(other.get_raw().get_data(), serial.get_raw().get_data())
    np.testing.assert_allclose(other.get_raw().get_data().mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(other.get_raw().get_data().std(axis=1), 1.0)


@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel"])
def test_gpu_pattern(recording, mode):
    before = recording.get_data().copy()
    result = Pipeline([steps.GPUProcessor()]).run(recording, mode=mode, raise_on_error=True)
    assert np.array_equal(result.get_raw().get_data(), 2.0 * before)
    assert np.array_equal(recording.get_data(), before)


# ------------------------------------------------------------------------------------ several files
def test_files_in_a_process_pool(files):
    with concurrent.futures.ProcessPoolExecutor(max_workers=2) as executor:
        results = list(executor.map(steps.process_file, files))
    status = ["✓" if result.success else "✗" for result in results]
    assert status == ["✓", "✓"]
    assert all(r.error is None for r in results)


def test_files_in_a_thread_pool(files):
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as executor:
        results = list(executor.map(steps.process_file, files))
    assert all(result.success for result in results)


def test_files_with_progress(files):
    results = {}
    with ProcessPoolExecutor(max_workers=2) as executor:
        future_to_file = {executor.submit(steps.process_file, f): f for f in files}
        for future in tqdm(as_completed(future_to_file), total=len(files), desc="Processing"):
            results[future_to_file[future]] = future.result()
    assert sorted(results) == files
    assert all(result.success for result in results.values())
    missing = steps.process_file(files[0].with_name("missing.edf"))
    assert not missing.success
    assert "missing.edf" in str(missing.error)


# -------------------------------------------------------------------------------------- benchmarks
def test_benchmarking(recording):
    pipeline = Pipeline([TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=30)])
    start = time.time()
    result = pipeline.run(recording, parallel=False, channel_sequential=False)
    serial_time = time.time() - start
    assert result.success
    assert result.execution_time <= serial_time
    scaling = steps.benchmark_scaling(pipeline, recording, max_workers=2)
    assert list(scaling) == [1, 2]
    assert all(seconds > 0 for seconds in scaling.values())
    assert list(benchmark_scaling(pipeline, recording, max_workers=2)) == [1, 2]
