"""A study of 12 recordings, of which four fail, however it is run, killed and resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import mne
import numpy as np
import pytest

from facet_nb import gradient_correction
from facet_nb.core import CancelToken, Pipeline, PlanError, ProcessingContext, ValidationError
from facet_nb.core.backends import registry
from facet_nb.core.memory import rss_bytes
from facet_nb.core.study.table import LINES, TABLE, StudyTable, make_key
from facet_nb.core.study.targets import mark_name
from facet_nb.io import Exporter
from tests.core import toys
from tests.study import studies

PLACES = [
    {"n_jobs": 1},
    {"n_jobs": 2, "backend": "threading"},
    {"n_jobs": 2, "backend": "multiprocessing"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def inputs(folder):
    return studies.make_inputs(folder / "in")


@pytest.fixture(scope="module")
def expected(folder, inputs):
    """What single runs give."""
    found = {}
    for path, state in zip(inputs, studies.STATES, strict=True):
        if state == "done":
            result = studies.make_pipeline(folder / "log").run(path, raise_on_error=True)
            found[path] = result.get_raw().get_data()
    return found


def run(inputs, log, **options):
    return studies.make_pipeline(log).map(inputs, show_progress=False, **options)


@pytest.fixture(scope="module")
def reference(folder, inputs):
    """Files of a plain study."""
    out = folder / "reference"
    budget = rss_bytes() + 10**9
    batch = run(inputs, folder / "log0", output=out, memory_budget=budget, n_jobs=1)
    assert [row.state for row in batch.rows] == studies.STATES, batch.summary()
    return studies.list_written(out)


@pytest.mark.parametrize("place", PLACES, ids=toys.ids)
def test_every_backend_gives_the_same_files(tmp_path, inputs, reference, place):
    done, log = inputs[0], tmp_path / "log"
    out = tmp_path / "out"
    options = {"output": out, "memory_budget": rss_bytes() + 10**9, **place}
    first = studies.make_pipeline(log).map([done], show_progress=False, **options)
    target = out / "s0" / "rec_corrected.fif"
    target.parent.mkdir()
    (out / "rec_corrected.fif").rename(target)
    before = target.stat().st_mtime_ns
    assert first[0].success
    batch = run(inputs, log, skip_existing=True, **options)
    states = ["skipped", *studies.STATES[1:]]
    assert [row.state for row in batch.rows] == states, batch.summary()
    assert target.stat().st_mtime_ns == before
    assert studies.list_written(out) == reference and len(reference) == 8
    told = [row.error for row in batch.rows if row.state == "failed"]
    assert "corrupt.fif" in told[0] and "silent" in batch.rows[5].input
    assert "trigger" in told[1].lower() and "huge.edf" in told[2]
    assert "smallest sufficient budget" in told[3]
    # What fails beyond the budget was never loaded, and nothing was computed twice.
    names = log.read_text().split()
    assert sorted(names) == sorted(
        ["rec.fif"] * 2 + ["r2.vhdr", "r3.vhdr"] + [f"t{i}.fif" for i in range(7, 11)]
    )


def test_samples_are_those_of_single_runs(inputs, expected):
    batch = run(inputs, inputs[0].parent / "log", keep_raw=True, n_jobs=1)
    for path, result in zip(inputs, batch, strict=True):
        if path in expected:
            assert result.get_raw().get_data().tobytes() == expected[path].tobytes()


def test_results_without_samples_say_where_they_are(tmp_path, inputs):
    batch = run(inputs[:1], tmp_path / "log", output=tmp_path / "out")
    with pytest.raises(ValidationError, match=r"released.*keep_raw=True"):
        batch[0].get_raw()


PROGRAM = """
import sys
from pathlib import Path
from tests.study import studies

folder, backend = Path(sys.argv[1]), sys.argv[2]
inputs = [folder / name for name in sys.argv[3:]]
if backend == "dask":
    from distributed import Client, LocalCluster
    client = Client(LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1",
                                 dashboard_address="127.0.0.1:0", memory_limit=0))
studies.make_pipeline(folder / "log", sleep_s=0.15).map(
    inputs, output=folder / "out", resume=True, backend=backend, n_jobs=2, show_progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "multiprocessing", "dask"])
def test_killed_at_60_percent_and_resumed(tmp_path, backend):
    if backend == "dask":
        pytest.importorskip("distributed", reason="Dask is not installed")
    names = [studies.write(tmp_path / f"k{i}.fif", i).name for i in range(10)]
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), backend, *names]
    lines = tmp_path / "out" / LINES
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if lines.exists() and lines.read_bytes().count(b'"row"') >= 6:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    headers, rows = StudyTable(tmp_path / "out").read()
    assert 6 <= len(rows) < 10 and len(headers) == 1
    known = {row.input: row for row in rows}
    before = (tmp_path / "log").read_text().split()
    subprocess.run(words, check=True, timeout=120)
    _, rows = StudyTable(tmp_path / "out").read()
    assert [row.state for row in rows] == ["done"] * 10
    assert all(row.finished == known[row.input].finished for row in rows if row.input in known)
    again = (tmp_path / "log").read_text().split()[len(before) :]
    finished = {name for name in names if str(tmp_path / name) in known}
    assert not finished & set(again)


def test_resume_notices_what_changed(tmp_path):
    paths = [studies.write(tmp_path / f"k{i}.fif", i) for i in range(4)]
    log = tmp_path / "log"
    run(paths, log, output=tmp_path / "out")
    studies.write(paths[1], 9)  # another input
    (tmp_path / "out" / "k2_corrected.fif").unlink()
    batch = run(paths, log, output=tmp_path / "out", resume=True)
    assert [row.resumed for row in batch.rows] == [True, False, False, True]
    assert log.read_text().split()[4:] == ["k1.fif", "k2.fif"]
    assert batch[0].success and batch[0].quality == batch.rows[0].quality
    # Settings that do not change the result do not change what is finished.
    batch = run(paths, log, output=tmp_path / "out", resume=True, mode="serial", batch_size=1)
    assert all(row.resumed for row in batch.rows)
    batch = run(paths, log, output=tmp_path / "out", resume=True, dtype="float32")
    assert not any(row.resumed for row in batch.rows)
    other = studies.make_pipeline(log, factor=3.0)
    batch = other.map(paths, output=tmp_path / "out", resume=True, show_progress=False)
    assert not any(row.resumed for row in batch.rows)


def test_recordings_in_memory_are_never_resumed(tmp_path):
    """Another one at the same position, or at another, would get this one's result."""
    pipeline = Pipeline([toys.Halved()])
    options = {"output": tmp_path / "out", "resume": True, "show_progress": False}
    pipeline.map([toys.make_context(seed=1)], **options)
    before = studies.list_written(tmp_path / "out")
    batch = pipeline.map([toys.make_context(seed=i) for i in (2, 3)], **options)
    assert [row.resumed for row in batch.rows] == [False, False]
    written = studies.list_written(tmp_path / "out")
    assert len(written) == 2 and written.keys() >= before.keys()
    assert not set(before.values()) & set(written.values())


def test_a_torn_table_is_read(tmp_path):
    paths = [studies.write(tmp_path / f"k{i}.fif", i) for i in range(2)]
    run(paths, tmp_path / "log", output=tmp_path / "out")
    lines = tmp_path / "out" / LINES
    lines.write_bytes(lines.read_bytes()[:-30])
    batch = run(paths, tmp_path / "log", output=tmp_path / "out", resume=True)
    assert [row.resumed for row in batch.rows] == [True, False]
    _, rows = StudyTable(tmp_path / "out").read()
    assert [row.state for row in rows] == ["done", "done"]
    assert (tmp_path / "out" / TABLE).read_text().count("\n") == 4


class Flaky(toys.Halved):
    """Fails until its file exists."""

    channel_wise = False

    def __init__(self, flag, kind="OSError"):
        self.flag = flag
        self.kind = kind

    def prepare(self, view):
        from pathlib import Path

        path = Path(self.flag)
        if not path.exists():
            path.touch()
            raise {"OSError": OSError, "ValueError": ValidationError}[self.kind]("not yet")
        return super().prepare(view)


@pytest.mark.parametrize(("kind", "tries"), [("OSError", 2), ("ValueError", 1)])
def test_retries(tmp_path, kind, tries):
    paths = [studies.write(tmp_path / f"k{i}.fif", i) for i in range(2)]
    pipeline = Pipeline([Flaky(str(tmp_path / "flag"), kind)])
    batch = pipeline.map(paths, retries=2, show_progress=False, table=tmp_path)
    assert [row.attempts for row in batch.rows] == [tries, 1]
    assert batch[0].success == (tries == 2) and batch[1].success


@pytest.mark.parametrize("backend", ["serial", "threading"])
def test_a_recording_that_takes_too_long(tmp_path, backend):
    steps = [toys.Sleeping(0.2) for _ in range(20)]
    began = time.monotonic()
    contexts = [toys.make_context(seed=i) for i in range(2)]
    batch = Pipeline(steps).map(
        contexts, file_timeout=0.3, n_jobs=2, backend=backend, show_progress=False
    )
    assert [row.error_type for row in batch.rows] == ["TimeoutError"] * 2, batch.summary()
    assert "0.3 s" in batch.rows[0].error and time.monotonic() - began < 10


def test_cancel_keeps_what_is_finished(tmp_path):
    paths = [studies.write(tmp_path / f"k{i}.fif", i) for i in range(4)]
    token = CancelToken()
    batch = studies.make_pipeline(tmp_path / "log").map(
        paths,
        output=tmp_path / "out",
        cancel=token,
        on_finish=lambda row: token.cancel() if row.index == 1 else None,
        show_progress=False,
    )
    assert [row.state for row in batch.rows] == ["done", "done", "cancelled", "cancelled"]
    assert len(StudyTable(tmp_path / "out").read()[1]) == 4


# ------------------------------------------------------------------------------------- planning
def test_large_ones_run_alone_and_small_ones_together(tmp_path):
    small = [studies.write(tmp_path / f"k{i}.vhdr", i) for i in range(3)]
    large = studies.write(tmp_path / "large.vhdr", 5)
    studies.stretch(large, 16_000_000)
    pipeline = studies.make_pipeline(tmp_path / "log")  # loads the recording: 1 GB, and copies
    options = {"output": tmp_path / "out", "n_jobs": 4, "backend": "threading"}
    plan = pipeline.plan_map([*small, large], memory_budget=rss_bytes() + 2 * 10**9, **options)
    assert [file.at_once for file in plan.files] == [4, 4, 4, 1]
    assert [[f.index for f in group] for group in plan.groups] == [[0, 1, 2], [3]]
    threads = min(4, registry.count_cores())
    assert dict(plan.files[3].options)["n_workers"] == threads and plan.files[3].in_files
    text = str(plan)
    assert (
        "4 at once: 3 up to" in text
        and "1 at once: 1 up to" in text
        and f"{threads} threads" in text
    )
    assert plan.to_dict()["files"][3]["at_once"] == 1
    wide = pipeline.plan_map([*small, large], memory_budget=rss_bytes() + 20 * 10**9, **options)
    assert [file.at_once for file in wide.files] == [4, 4, 4, 4]


def test_a_chain_of_arrays_needs_little_of_a_large_recording(tmp_path):
    """An hour of 64 channels at 5 kHz: 9.2 GB as float64."""
    path = tmp_path / "hour.vhdr"
    info = mne.create_info(64, 5000.0, "eeg")
    raw = mne.io.RawArray(np.zeros((64, 100)), info, verbose="error")
    Exporter(path, provenance=False).execute(ProcessingContext(raw))
    studies.stretch(path, 18_000_000, 64)
    plan = gradient_correction().plan_map([path], output=tmp_path / "out", n_jobs=2)
    assert plan.files[0].n_bytes > 9e9 and plan.files[0].needs_bytes < 6e8, plan.to_dict()
    assert plan.files[0].in_files


def test_many_files_are_judged_by_their_size(tmp_path, monkeypatch):
    from facet_nb.core.study import schedule

    opened = []
    loader = schedule.find_input
    monkeypatch.setattr(schedule, "find_input", lambda *a, **k: opened.append(1) or loader(*a, **k))
    monkeypatch.setattr(schedule, "_HEADERS", 5)
    good = studies.write(tmp_path / "k.fif", 0)
    paths = []
    for i in range(20):
        paths.append(tmp_path / f"k{i}.fif")
        paths[-1].write_bytes(good.read_bytes() if i else b"x" * good.stat().st_size)
    plan = Pipeline([toys.Halved()]).plan_map([*paths, tmp_path / "none.fif"])
    assert len(opened) <= 3
    assert {file.basis for file in plan.files[:20]} == {"size"}
    assert plan.files[20].basis == "unknown" and len({f.needs_bytes for f in plan.files[:20]}) == 1


def test_samples_that_are_kept_count(tmp_path):
    paths = [studies.write(tmp_path / f"k{i}.fif", i, n_times=200_000) for i in range(1)]
    with pytest.raises(ValidationError, match=r"keep_raw=True would keep 13 MB"):
        Pipeline([toys.Halved()]).plan_map(paths, memory_budget="10 MB", keep_raw=True)
    contexts = [toys.make_context(seed=i) for i in range(2)]
    with pytest.raises(ValidationError, match="keep_raw=True would keep"):
        Pipeline([toys.Halved()]).plan_map(contexts, memory_budget="100 kB", keep_raw=True)


def test_a_recording_of_the_home_folder_is_one_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    studies.write(tmp_path / "k.fif", 0)
    found = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for path in ("~/k.fif", tmp_path / "k.fif"):
            found.add((make_key(str(path), None, {}), mark_name(str(path))))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"retries": -1}, ValidationError, "retries=-1"),
        ({"resume": True}, ValidationError, "needs a table"),
        ({"memory_budget": "much"}, PlanError, "memory_budget"),
        ({"file_timeout": 0}, ValidationError, "timeout=0"),
        ({"backend": 3}, PlanError, "backend=3"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, options, error, told):
    with pytest.raises(error, match=told):
        Pipeline([toys.Halved()]).plan_map([tmp_path / "a.fif"], **options)


def test_a_line_for_each_outside_a_terminal(tmp_path, capsys):
    paths = [studies.write(tmp_path / f"k{i}.fif", i) for i in range(2)]
    studies.make_pipeline(tmp_path / "log").map(paths, output=tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/2] done: k") and lines[1].startswith("[2/2] done: k")


@pytest.mark.parametrize(("n_names", "more"), [(2, ""), (9, " and 4 other files")])
def test_an_error_about_many_outputs_lists_a_few(n_names, more, tmp_path):
    inputs = [f"{tmp_path}/{k}_raw.fif" for k in range(n_names)] * 40
    with pytest.raises(ValidationError) as caught:
        gradient_correction().plan_map(inputs, output=f"{tmp_path}/out{{stem}}.fif")
    assert f"{more}: use different names or folders." in str(caught.value)
    assert str(caught.value).count("/out") == min(n_names, 5)
