"""A run keeps to its memory budget, or says beforehand what would do; the answer is the same."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    CommonReference,
    Crop,
    DownSample,
    HighPassFilter,
    Loader,
    LowPassFilter,
    PickChannels,
    RMSCalculator,
    SNRCalculator,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)
from facet_nb.core import FacetError, Pipeline, PlanError, ProcessingContext, Processor
from facet_nb.core.memory import find_available, parse_bytes
from facet_nb.core.planning import memory_forecast
from facet_nb.core.storage import scratch
from facet_nb.datasets import simulate
from facet_nb.io import Exporter, export, load
from tests.core import toys

WAYS = [
    {"mode": "serial"},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2, "batch_size": 2},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def libraries(monkeypatch):
    """Libraries of 100 MB, whatever this process has loaded so far."""
    monkeypatch.setattr(memory_forecast, "lasting_bytes", lambda: 100_000_000)
    monkeypatch.setattr(memory_forecast, "pending_libraries", lambda: 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One recording with artifacts, in every format that can be read in parts."""
    sim = simulate(4, 500.0, 12.0, 1.0, 5, seed=0, lead_in_s=2.0, lead_out_s=2.0)
    sim.raw.set_annotations(sim.raw.annotations + mne.Annotations([0.5], [0.1], ["BAD_x"]))
    there = tmp_path_factory.mktemp("formats")
    context = ProcessingContext(sim.raw)
    wide = simulate(24, 500.0, 12.0, 1.0, 5, seed=0, lead_in_s=2.0, lead_out_s=2.0)
    export(ProcessingContext(wide.raw), there / "wide.vhdr")
    for suffix in ("vhdr", "edf", "bdf", "fif"):
        export(context, there / f"a.{suffix}")
    mne.export.export_raw(there / "embedded.set", sim.raw, verbose="error")
    _write_fdt(there / "a.set", sim.raw)
    return there


def _write_fdt(path, raw):
    """An EEGLAB file whose samples are beside it, as EEGLAB itself writes them."""
    from scipy.io import loadmat, savemat

    raw.get_data().T.astype("<f4").__mul__(1e6).tofile(path.with_suffix(".fdt"))
    mne.export.export_raw(path, raw, overwrite=True, verbose="error")
    made = loadmat(path, squeeze_me=False)
    fields = {k: v for k, v in made.items() if not k.startswith("__")}
    fields["data"] = path.with_suffix(".fdt").name
    savemat(path, fields, appendmat=False)


def chain(path, preload):
    return [
        Loader(path, preload=preload),
        TriggerDetector(regex=r"\b1\b", save_to_annotations=True),
        HighPassFilter(1.0),
        UpSample(4),
        TriggerAligner(),
        AASCorrection(window_size=10),
        DownSample(4),
        CommonReference(),
        Crop(1.0, 11.0),
        LowPassFilter(70.0),
        PickChannels([0, 2, 3]),
        SNRCalculator(),
        RMSCalculator(),
    ]


def run(steps, **options):
    return Pipeline(steps).run(raise_on_error=True, show_progress=False, **options)


def take(result):
    noise = result.context.get_estimated_noise()
    return np.array(result.get_raw().get_data()), np.array(noise), result.metrics


# --------------------------------------------------------------------------------- the same answer
@pytest.mark.parametrize(
    ("suffix", "way"),
    [("vhdr", w) for w in WAYS] + [(s, WAYS[1]) for s in ("edf", "bdf", "fif", "set")],
    ids=str,
)
def test_recordings_that_stay_in_files_give_the_same_answer(files, folder, suffix, way):
    path = files / f"a.{suffix}"
    expected = take(run(chain(path, preload=True)))
    result = run(chain(path, preload=False), **way)
    samples = result.get_raw()._data
    assert scratch.is_spilled(samples) and type(samples) is np.ndarray
    assert scratch.is_spilled(result.context.get_raw_original()._data)
    found = take(result)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_equal(one, other)
    assert len(list(folder.iterdir())) > 0
    del samples, result
    assert list(folder.iterdir()) == [], "files go with what refers to them"


def test_a_budget_makes_loaders_leave_samples_in_the_file(files, folder):
    path = files / "wide.vhdr"
    pipeline = Pipeline(chain(path, preload=True))
    expected = take(run(pipeline.processors))
    options = {"mode": "channel_sequential", "batch_size": 1}
    whole = pipeline.plan(path, **options).forecast.peak_bytes
    small = whole - 800_000  # what the samples take, and not what libraries do
    result = run(pipeline.processors, memory_budget=small, **options)
    assert result.plan.spill and "samples stay in files" in result.plan.reason
    assert result.plan.forecast.peak_bytes <= small
    assert result.plan.forecast.disk_bytes >= 2 * 24 * 6000 * 8
    for one, other in zip(take(result), expected, strict=True):
        np.testing.assert_equal(one, other)
    assert result.get_history()[0].parameters["preload"] is False
    follow = run([LowPassFilter(40.0)], initial_context=result.context)
    assert scratch.is_spilled(follow.get_raw()._data), "what lies in files stays in files"


def test_batches_and_workers_are_reduced_before_a_refusal():
    ctx = toys.wide_context(16, n_times=400_000)
    pipeline = Pipeline([HighPassFilter(1.0), UpSample(4), DownSample(4)])
    options = {"mode": "channel_sequential", "backend": "threading", "n_jobs": 4, "batch_size": 8}
    asked = pipeline.plan(ctx, **options).forecast.peak_bytes
    seen = []
    for share in (1.0, 0.9, 0.55, 0.4):
        plan = pipeline.plan(ctx, memory_budget=int(asked * share), **options)
        assert plan.forecast.peak_bytes <= asked * share
        seen.append((plan.n_jobs, plan.batch_size, plan.spill))
    assert seen[0] == (4, 8, False) and seen[1][1] < 8 and seen[1][0] == 4
    assert seen == sorted(seen, key=lambda s: (-s[0], s[2], -s[1])), "faster plans come first"
    assert "instead of" in plan.reason
    result = pipeline.run(ctx, memory_budget=int(asked * 0.55), **options)
    expected = pipeline.run(ctx)
    assert np.array_equal(result.get_raw().get_data(), expected.get_raw().get_data())


def test_the_smallest_budget_is_told_and_does():
    ctx = toys.wide_context(4, n_times=200_000)
    pipeline = Pipeline([HighPassFilter(1.0), UpSample(10), DownSample(10)])
    with pytest.raises(PlanError, match=r"steps 1 \(highpass_filter\).*smallest.*is \d+ MB") as no:
        pipeline.run(ctx, memory_budget="20 MB")
    number = str(no.value).split("sufficient budget is ")[1].rstrip(".")
    assert pipeline.run(ctx, memory_budget=number, raise_on_error=True).success


class Everything(Processor):
    """A step of anyone's that sees all channels."""

    def process(self, context):
        raw = context.get_raw().copy().load_data()
        return context.with_raw(raw)


def test_a_step_that_loads_everything_is_named_and_refused():
    ctx = toys.wide_context(32, n_times=200_000)
    pipeline = Pipeline([toys.Halved(), Everything()])
    plan = pipeline.plan(ctx, mode="serial")
    assert plan.forecast.stages[1].loads_all and not plan.forecast.stages[0].loads_all
    assert "may load the whole recording" in str(plan)
    with pytest.raises(PlanError, match=r"step 2 \(everything\).*may load the whole recording"):
        pipeline.plan(ctx, memory_budget=plan.forecast.peak_bytes - 120_000_000)


def test_exporters_tell_which_load_everything(files):
    steps = [Loader(files / "wide.vhdr"), HighPassFilter(1.0)]
    for suffix, loads in ((".vhdr", False), (".set", True)):
        pipeline = Pipeline([*steps, Exporter(files / f"out{suffix}")])
        told = pipeline.plan(files / "wide.vhdr", mode="serial").forecast.stages[-1]
        assert told.loads_all is loads


def test_without_a_recording_there_is_nothing_to_keep_to():
    with pytest.raises(PlanError, match=r"Loader\(path=…\)"):
        Pipeline([toys.Halved()]).plan(memory_budget="1 GB")
    with pytest.raises(FacetError, match="no such file"):
        Pipeline([Loader("nowhere.vhdr")]).run(memory_budget="1 GB")
    result = Pipeline([Loader("nowhere.vhdr")]).run(mode="auto")
    assert not result.success and "no such file" in str(result.error)


def test_auto_takes_what_is_there(monkeypatch):
    ctx = toys.wide_context(16, n_times=400_000)
    pipeline = Pipeline([HighPassFilter(1.0), UpSample(10), DownSample(10)])
    rich = pipeline.plan(ctx, mode="auto")
    assert not rich.spill
    from facet_nb.core.planning import budget

    monkeypatch.setattr(budget, "lasting_bytes", lambda: 100_000_000)
    monkeypatch.setattr(budget, "find_available", lambda: (120_000_000, "the container's"))
    poor = pipeline.plan(ctx, mode="auto")
    assert poor.spill and "the container's memory" in poor.reason
    monkeypatch.setattr(budget, "find_available", lambda: (1_000_000, "the container's"))
    assert "may be too little" in pipeline.plan(ctx, mode="auto").reason


# ------------------------------------------------------------------------------------- the disk
def test_a_full_disk_is_an_error_before_work_starts(files, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    pipeline = Pipeline(chain(files / "a.vhdr", preload=True))
    options = {"mode": "serial", "batch_size": 1}
    least = pipeline.plan(files / "a.vhdr", **options).forecast.peak_bytes - 300_000
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
        with pytest.raises(FacetError, match=r"GB of scratch files, and 0.0 GB are free.*TMPDIR"):
            pipeline.run(memory_budget=least, **options)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    result = Pipeline(chain(files / "a.vhdr", preload=False)).run(show_progress=False)
    assert not result.success and "no room for" in str(result.error)
    assert list(folder.iterdir()) == []


def test_samples_in_the_set_file_itself_are_loaded_and_the_plan_knows(files):
    loader = Loader(files / "embedded.set", preload=False)
    assert loader.forecast().must_load
    assert not Loader(files / "a.set", preload=False).forecast().must_load
    result = run([loader, HighPassFilter(1.0)])
    expected = run([Loader(files / "embedded.set"), HighPassFilter(1.0)])
    assert np.array_equal(result.get_raw().get_data(), expected.get_raw().get_data())


# --------------------------------------------------------------------------------- the forecast
def test_plan_shows_the_forecast(files):
    pipeline = Pipeline(chain(files / "a.vhdr", preload=True))
    plan = pipeline.plan(files / "a.vhdr", mode="channel_sequential")
    assert len(plan.forecast.stages) == len(plan.stages)
    for text in (str(plan), plan._repr_html_()):
        assert "forecast:" in text and "libraries" in text and "recordings" in text
    assert pipeline.plan("serial").forecast is None
    assert str(pipeline.plan(mode="serial")) == str(pipeline.plan("serial"))
    with pytest.raises(PlanError, match="pass only one mode"):
        pipeline.plan("serial", mode="parallel")


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("1.5 GB", 1_500_000_000),
        ("800MB", 800_000_000),
        ("2 GiB", 2 << 30),
        ("512 MiB", 512 << 20),
        ("3G", 3_000_000_000),
        (12345, 12345),
        (1e9, 1_000_000_000),
        ("100", 100),
    ],
)
def test_sizes(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["much", "", "-1 GB", 0, -5, True, None, "1 XB", float("nan"), []])
def test_sizes_that_are_none(text):
    with pytest.raises(PlanError, match=r"write '1\.5 GB'"):
        parse_bytes(text)


def test_what_is_available_is_the_least(monkeypatch):
    free, _ = find_available()
    assert free > 0
    monkeypatch.setenv("MEM_LIMIT", "1000")
    assert find_available() == (0, "MEM_LIMIT's")


@pytest.mark.parametrize("suffix", ["vhdr", "edf", "bdf", "fif"])
def test_exports_from_files_are_those_from_memory(files, folder, suffix):
    steps = [HighPassFilter(1.0), CommonReference()]
    for preload in (True, False):
        target = folder / f"{preload}_raw.{suffix}"
        export = Exporter(target, provenance=False)
        run([Loader(files / "wide.vhdr", preload=preload), *steps, export])
    for part in [p for p in folder.iterdir() if p.name.startswith("True")]:
        other = (folder / part.name.replace("True", "False")).read_bytes()
        assert other.replace(b"False_raw", b"True_raw") == part.read_bytes() or suffix == "fif"
    both = [load(folder / f"{preload}_raw.{suffix}").get_data() for preload in (True, False)]
    assert np.array_equal(*both)


def test_a_checkpoint_and_a_budget(files, folder):
    path = files / "wide.vhdr"
    expected = take(run(chain(path, preload=True)))
    for _ in range(2):
        steps = chain(path, preload=False)
        result = run(steps, mode="channel_sequential", checkpoint=folder / "kept")
        for one, other in zip(take(result), expected, strict=True):
            np.testing.assert_equal(one, other)
        assert scratch.is_spilled(result.get_raw()._data)
    assert result.state.batches_restored > 0
