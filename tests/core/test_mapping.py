"""One pipeline over many recordings."""

from __future__ import annotations

import os
import threading
import time

import mne
import numpy as np
import pytest

from facet_nb import Loader
from facet_nb.core import FacetError, Pipeline, PlanError, StepError, ValidationError
from facet_nb.core.backends import registry
from tests.contract.equality import assert_same
from tests.core import toys

PLACES = [
    {"n_jobs": 1},
    {"n_jobs": 2},
    {"n_jobs": 2, "backend": "threading"},
    {"n_jobs": 2, "backend": "serial"},
    {"n_jobs": 2, "parallel": False},
]


class Fussy(toys.Scaled):
    """Refuses the recording of one seed, in one way or another."""

    channel_wise = False

    def __init__(self, seed: int = 1, how: str = "raise", factor: float = 2.0) -> None:
        self.seed = seed
        self.how = how
        self.factor = factor

    def process(self, context):
        wrong = np.array_equal(context.get_data("E1"), toys.make_raw(seed=self.seed).get_data("E1"))
        if wrong and self.how == "raise":
            raise ValueError("not this one")
        if wrong:
            os._exit(3)
        context.metadata.custom["metrics"] = {"rms": np.float64(context.get_data("E1").std())}
        return super().process(context)


class Slow(toys.Scaled):
    """Notes how many run at once."""

    channel_wise = False
    running = 0
    most = 0
    lock = threading.Lock()

    def process(self, context):
        with Slow.lock:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
        time.sleep(0.1)
        with Slow.lock:
            Slow.running -= 1
        return context


def contexts(n=3):
    return [toys.make_context(seed=i) for i in range(n)]


@pytest.fixture
def files(tmp_path):
    paths = []
    for seed in range(3):
        paths.append(tmp_path / f"rec {seed}.fif")
        toys.make_raw(seed=seed).save(paths[-1], fmt="double", verbose="error")
    return paths


def run(pipeline, inputs, **options):
    return pipeline.map(inputs, show_progress=False, **options)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_recordings_in_flight_divide_the_cores(backend, monkeypatch):
    pipeline = Pipeline([toys.Halved()])
    cores = registry.count_cores()

    def threads(n, n_jobs, **options):
        batch = run(pipeline, contexts(n), backend=backend, n_jobs=n_jobs, n_workers=-1, **options)
        found = [f.detail for r in batch for f in r.findings if f.code == "workers_lowered"]
        return {r.plan.n_workers for r in batch}, found

    assert threads(1, 2) == ({cores}, [])
    assert threads(2, 2)[0] == {max(1, cores // 2)}
    batch = run(pipeline, contexts(2), backend=backend, n_jobs=2, n_workers=cores)
    assert {r.plan.n_workers for r in batch} == {max(1, cores // 2)}
    assert "oversubscribe=True" in str(batch[0].findings[0])
    insisting = {"backend": backend, "n_jobs": 2, "n_workers": cores, "oversubscribe": True}
    assert {r.plan.n_workers for r in run(pipeline, contexts(2), **insisting)} == {cores}


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_contexts(options):
    given = contexts()
    pipeline = Pipeline([toys.Demeaned(), toys.ZScore(), toys.Halved()])
    batch = run(pipeline, given, **options)
    assert len(batch) == 3 and [r.success for r in batch] == [True] * 3
    for context, result in zip(given, batch, strict=True):
        expected = pipeline.run(context, raise_on_error=True).context
        assert_same(result.context, expected)
        assert not context.get_history()
    assert batch.inputs == ("input 0", "input 1", "input 2") and batch.outputs == (None,) * 3


@pytest.mark.parametrize("options", PLACES[:3], ids=toys.ids)
def test_files(files, tmp_path, options):
    pipeline = Pipeline([toys.Halved(), toys.ZScore()])
    place = tmp_path / "out {x}"
    batch = run(pipeline, (p for p in files), output=place, keep_raw=True, **options)
    assert all(r.success for r in batch), batch.summary()
    for seed, (path, result) in enumerate(zip(files, batch, strict=True)):
        target = tmp_path / "out {x}" / f"rec {seed}_corrected.fif"
        assert batch.inputs[seed] == str(path) and batch.outputs[seed] == str(target)
        written = mne.io.read_raw_fif(target, preload=True, verbose="error")
        np.testing.assert_allclose(written.get_data(), result.get_raw().get_data(), rtol=1e-6)
        assert [s.name for s in result.get_history()][1:3] == ["halved", "zscore"]


def test_options_of_the_runs():
    pipeline = Pipeline([toys.Halved(), toys.ZScore()])
    batch = run(pipeline, contexts(2), channel_sequential=True, batch_size=2, n_workers=1)
    assert {r.plan.mode for r in batch} == {"channel_sequential"}
    assert {r.plan.batch_size for r in batch} == {2}
    assert run(pipeline, contexts(1), mode="auto")[0].success


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_a_failure_is_a_result(options):
    batch = run(Pipeline([Fussy()]), contexts(), **options)
    assert [r.success for r in batch] == [True, False, True]
    assert isinstance(batch[1].error, StepError) and "not this one" in str(batch[1].error)
    assert batch[1].failed_processor == "fussy"
    with pytest.raises(StepError, match="not this one"):
        run(Pipeline([Fussy()]), contexts(), on_error="raise", **options)


def test_a_file_that_cannot_be_read_is_a_result(files, tmp_path):
    files[1].write_bytes(b"not a recording")
    batch = run(Pipeline([toys.Halved()]), [*files, tmp_path / "none.fif"], output=tmp_path / "out")
    assert [r.success for r in batch] == [True, False, True, False]
    assert isinstance(batch[1].error, FacetError) and "none.fif" in str(batch[3].error)
    assert batch.outputs[1] is None and batch.outputs[3] is None
    assert sorted(p.name for p in (tmp_path / "out").glob("*.fif")) == [
        "rec 0_corrected.fif",
        "rec 2_corrected.fif",
    ]


@pytest.mark.slow
def test_a_dead_worker_costs_its_recording_only():
    began = time.monotonic()
    batch = run(Pipeline([Fussy(seed=3, how="die")]), contexts(6), n_jobs=2)
    assert [r.success for r in batch] == [True, True, True, False, True, True]
    assert "input 3" in str(batch[3].error) and "n_jobs=1" in str(batch[3].error)
    assert time.monotonic() - began < 30


def test_summary(capsys):
    batch = run(Pipeline([Fussy()]), contexts())
    table = batch.summary_df
    assert list(table["input"]) == ["input 0", "input 1", "input 2"]
    assert list(table["success"]) == [True, False, True]
    assert table["error"].isna().tolist() == [True, False, True]
    assert table["rms"].isna().tolist() == [False, True, False]
    assert (table["time_s"] >= 0).all()
    batch.print_summary()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "2 of 3 succeeded" and "input 1: failed: Step 1 (fussy)" in shown[2]
    assert "<table" in batch._repr_html_()


def test_samples_may_be_left_behind():
    for options in PLACES[:3]:
        batch = run(
            Pipeline([Fussy(seed=99), toys.Demeaned()]), contexts(2), keep_raw=False, **options
        )
        for result in batch:
            assert result.success and not result.context.has_raw()
            assert result.metric("rms") > 0 and len(result.get_history()) == 2
            assert not result.context.has_estimated_noise()


def test_recordings_run_at_once():
    Slow.most = 0
    run(Pipeline([Slow()]), contexts(4), n_jobs=4, backend="threading")
    assert 2 <= Slow.most <= 4
    Slow.most = 0
    run(Pipeline([Slow()]), contexts(3), n_jobs=4, backend="threading", parallel=False)
    assert Slow.most == 1


def test_nothing_to_do():
    batch = run(Pipeline([toys.Halved()]), [], n_jobs=2)
    assert len(batch) == 0 and batch.summary() == "0 of 0 succeeded"
    assert list(batch.summary_df) == ["input", "success", "time_s"]


def test_a_loader_of_ones_own(files):
    made = []

    def make(path):
        made.append(path)
        return Loader(path=path, preload=True, bad_channels=["E2"])

    batch = run(Pipeline([toys.Halved()]), files, loader_factory=make)
    assert made == [str(p) for p in files]
    assert {tuple(r.get_raw().info["bads"]) for r in batch} == {("E3", "E2")}


@pytest.mark.parametrize(
    ("inputs", "options", "error", "told"),
    [
        ("one.edf", {}, ValidationError, "pass a list"),
        ([3], {}, ValidationError, "input 0 is a int"),
        ([], {"on_error": "ignore"}, ValidationError, "'continue' or 'raise'"),
        ([], {"n_jobs": 0}, PlanError, "n_jobs=0"),
        ([], {"backend": "ray"}, PlanError, "unknown backend"),
        ([], {"mode": "fast"}, PlanError, "unknown mode"),
        ([], {"mode": "serial", "channel_sequential": True}, PlanError, "contradicts"),
        ([], {"batch_size": 0}, PlanError, "batch_size"),
        ([], {"n_workers": 1.5}, PlanError, "n_workers"),
        ([], {"colour": "red"}, ValidationError, "no option colour"),
        (["a/x.fif", "b/x.fif"], {"output": "o/{stem}.fif"}, ValidationError, "several inputs"),
        (["x.fif"], {"output": "{stem}_{year}.fif"}, ValidationError, "stem"),
        (["x.fif"], {"output": "{stem}{"}, ValidationError, "braces"),
    ],
)
def test_what_cannot_be_asked_for(inputs, options, error, told):
    with pytest.raises(error, match=told):
        run(Pipeline([toys.Halved()]), inputs, **options)


def test_what_cannot_be_sent_is_named():
    with pytest.raises(PlanError, match="unpicklable"):
        run(Pipeline([toys.Halved(), toys.Unpicklable()]), contexts(2), n_jobs=2)
    assert run(Pipeline([toys.Unpicklable()]), contexts(2), n_jobs=2, backend="threading")[
        1
    ].success


def test_progress(capsys):
    Pipeline([toys.Halved()]).map(contexts(2), show_progress=True)
    assert "2/2" in capsys.readouterr().err
