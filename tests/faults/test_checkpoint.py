"""A run that ended early goes on where it was: nothing finished is computed again."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from facet_nb.core import CancelToken, FacetError, Pipeline, Processor, StepError
from facet_nb.core.storage.scratch import find_map
from tests.core import toys
from tests.faults import programs

SERIAL = {"mode": "serial"}
THREADS = {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2}
PROCESSES = {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2}
PLACES = [SERIAL, THREADS, PROCESSES]


class Noted(toys.ChannelWise):
    """Leaves a file for each time that it computes a channel."""

    def __init__(self, folder: str, seconds: float = 0.0, factor: float = 2.0) -> None:
        self.folder = folder
        self.seconds = seconds
        self.factor = factor

    def change(self, x, context):
        name, *beside = context.get_channel_names()
        if beside:  # whether the result depends on others: tried once, and not kept
            return self.factor * x
        n = len(list(Path(self.folder).glob(f"{name}.*")))
        time.sleep(self.seconds)
        Path(self.folder, f"{name}.{n}").touch()
        return self.factor * x


@pytest.fixture
def ctx():
    return toys.make_context()


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def computed(notes: Path) -> list[str]:
    """Channels that were computed since the last call."""
    found = sorted(path.name.partition(".")[0] for path in notes.iterdir())
    for path in notes.iterdir():
        path.unlink()
    return found


def run(steps, ctx, kept, **options):
    """Run with a checkpoint; return samples and how many batches were restored and computed."""
    counts = {True: 0, False: 0}

    def count(event):
        if type(event).__name__ == "BatchDone" and event.batch >= 0:
            counts[event.restored] += 1

    result = Pipeline(steps).run(
        ctx, checkpoint=kept, on_event=count, raise_on_error=True, **options
    )
    assert result.state.batches_restored == counts[True]
    return result, counts[True], counts[False]


def samples(result):
    return result.get_raw().get_data()


@pytest.mark.parametrize("options", toys.RUNS, ids=toys.ids)
def test_the_same_answer_with_and_without(ctx, kept, options):
    plain = Pipeline(toys.chain()).run(ctx, raise_on_error=True)
    for again in (False, True):
        found, restored, _ = run(toys.chain(), ctx, kept, **options)
        assert np.array_equal(samples(found), samples(plain))
        noise = found.context.get_estimated_noise()
        assert np.array_equal(noise, plain.context.get_estimated_noise())
        assert found.context.to_dict() == plain.context.to_dict()
        assert (restored > 5) == again


def test_the_result_does_not_lie_in_the_folder(ctx, kept):
    """Whoever removes the folder, or runs again, must not change what was returned."""
    for options in PLACES:
        result, *_ = run([toys.Halved(), toys.ZScore()], ctx, kept, **options)
        before = samples(result).copy()
        for path in kept.glob("stage-*"):
            path.write_bytes(bytes(path.stat().st_size))
        assert np.array_equal(samples(result), before)
        result.get_raw()._data[:] = 0.0  # writable, and the folder's copy stays
        assert not np.array_equal(samples(run([toys.Halved()], ctx, kept)[0]), 0.0)


@pytest.mark.parametrize("options", [*PLACES, {"mode": "serial", "chunk_duration_s": 1.0}])
def test_a_recording_that_stays_in_its_file(ctx, kept, tmp_path, options):
    """Samples that are never in memory as a whole are kept, and found again."""
    from facet_nb.io import FIFExporter, load

    FIFExporter(tmp_path / "long.fif", fmt="double").execute(ctx)
    triggers = ctx.get_triggers()

    def read(**how):
        context = load(tmp_path / "long.fif", **how)
        return context.with_trigger_samples(triggers, artifact_length=200)

    plain = Pipeline(toys.chain()).run(read(), raise_on_error=True)
    for again in (False, True):
        found, restored, n_computed = run(toys.chain(), read(preload=False), kept, **options)
        assert np.array_equal(samples(found), samples(plain))
        assert (restored > n_computed) == again
        assert str(kept) not in str(getattr(find_map(found.get_raw()._data), "filename", ""))


PROGRAM = """
    import os, sys
    from facet_nb.core import Pipeline
    from tests.core import toys
    from tests.faults.test_checkpoint import Noted

    notes, kept, options = sys.argv[1:]
    ctx = toys.wide_context(10, 2000)
    steps = [toys.Halved(), Noted(notes, 0.15), toys.ZScore()]
    def tell(event):
        if type(event).__name__ == "BatchDone" and event.batch >= 0:
            print(*event.channels, flush=True)
    Pipeline(steps).run(ctx, checkpoint=kept, on_event=tell, **eval(options))
"""


@pytest.mark.parametrize("options", [THREADS, PROCESSES, {"mode": "channel_sequential"}])
def test_killed_at_60_percent(notes, kept, tmp_path, options):
    """The program is killed after six of ten channels; none of them is computed again."""
    process = programs.start(PROGRAM, tmp_path, notes, kept, options)
    finished = [process.stdout.readline().strip() for _ in range(6)]
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    programs.wait_gone(workers, 8)
    computed(notes)
    ctx = toys.wide_context(10, 2000)
    steps = [toys.Halved(), Noted(str(notes), 0.15), toys.ZScore()]
    result, restored, n_computed = run(steps, ctx, kept, **options)
    again = computed(notes)
    assert len(set(finished)) == 6 and not set(again) & set(finished)
    assert restored >= 6 and restored + n_computed == 10 and len(again) == n_computed
    expected = Pipeline(steps).run(ctx, raise_on_error=True)
    assert np.array_equal(samples(result), samples(expected))


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_nothing_is_computed_twice(ctx, kept, notes, options):
    steps = [Noted(str(notes))]
    run(steps, ctx, kept, **options)
    assert computed(notes) == sorted(toys.GOOD)  # the reference, too, once
    _, restored, n_computed = run(steps, ctx, kept, **options)
    assert (computed(notes), n_computed) == ([], 0) and restored == len(toys.GOOD)


def test_other_batches_and_workers_find_the_same_rows(ctx, kept, notes):
    for options in (
        {"mode": "parallel", "backend": "threading", "n_jobs": 2},
        {"mode": "channel_sequential", "batch_size": 3},
        {"mode": "parallel", "n_jobs": 2},
        {"mode": "serial", "n_workers": 2},
    ):
        run([Noted(str(notes))], ctx, kept, **options)
        assert bool(computed(notes)) == (options["mode"] == "parallel" and "backend" in options)


def test_cancelled_and_run_again(ctx, kept, notes):
    token = CancelToken()

    def stop(event):
        if type(event).__name__ == "BatchDone" and event.batch == 2:
            token.cancel()

    steps = [Noted(str(notes)), toys.ZScore()]
    result = Pipeline(steps).run(ctx, checkpoint=kept, cancel=token, on_event=stop)
    assert result.cancelled
    before = computed(notes)
    _, restored, _ = run(steps, ctx, kept)
    assert restored == len(before) == 3
    assert len(computed(notes)) == len(toys.GOOD) - 3


# ------------------------------------------------------------------------------------- changes
def test_changed_parameter(ctx, kept, notes):
    run([toys.Halved(), Noted(str(notes)), toys.Scaled(3.0)], ctx, kept)
    computed(notes)
    _, restored, _ = run([toys.Halved(), Noted(str(notes)), toys.Scaled(4.0)], ctx, kept)
    assert (computed(notes), restored) == ([], 2 * len(toys.GOOD))
    result, restored, _ = run([toys.Halved(), Noted(str(notes), factor=5.0)], ctx, kept)
    assert restored == len(toys.GOOD) == len(computed(notes))
    assert np.array_equal(samples(result)[0], 2.5 * ctx.get_data()[0])


@pytest.mark.parametrize("what", ["sample", "rate", "name", "annotation", "bad", "trigger"])
def test_changed_input(ctx, kept, notes, what):
    run([Noted(str(notes))], ctx, kept)
    computed(notes)
    raw = ctx.get_raw().copy()
    changed = ctx.with_raw(raw)
    if what == "sample":
        raw._data[0, 7] = np.nextafter(raw._data[0, 7], 1.0)
    elif what == "rate":
        with raw.info._unlock():
            raw.info["sfreq"] = 501.0
    elif what == "name":
        raw.rename_channels({"E2": "E22"})
    elif what == "annotation":
        raw.annotations.append(1.0, 0.0, "three")
    elif what == "bad":
        raw.info["bads"] = []
    else:
        changed = changed.with_triggers(ctx.get_triggers() + 1)
    run([Noted(str(notes))], changed, kept)
    assert len(computed(notes)) >= len(toys.GOOD)


def test_changed_version(ctx, kept, notes, monkeypatch):
    run([Noted(str(notes))], ctx, kept)
    computed(notes)
    monkeypatch.setattr(Noted, "version", "2", raising=False)
    run([Noted(str(notes))], ctx, kept)
    assert computed(notes)
    monkeypatch.setattr("facet_nb.__version__", "99")
    run([Noted(str(notes))], ctx, kept)
    assert computed(notes)


def test_changed_decision(ctx, kept, tmp_path):
    """A step that reads a file has the same parameter, and decides otherwise."""
    table = tmp_path / "table.txt"

    class FromFile(toys.Halved):
        def __init__(self, path):
            self.path = path

        def prepare(self, view):
            from facet_nb.core import Prepared

            return Prepared(float(self.path.read_text()))

        def compute(self, x, prepared, out=None):
            return np.multiply(x, prepared.payload, out=out)

    for factor in (2.0, 3.0):
        table.write_text(str(factor))
        result, restored, _ = run([FromFile(table)], ctx, kept)
        assert restored == 0
        assert np.array_equal(samples(result)[0], factor * ctx.get_data()[0])


CODE = """
    import sys
    from facet_nb.core import Pipeline, Processor
    from tests.core import toys

    FACTOR = {factor}

    class Mine(Processor):
        requires_raw = channel_wise = True
        def process(self, context):
            raw = context.get_raw().copy()
            raw._data = {body}
            return context.with_raw(raw)

    run = Pipeline([Mine()]).run(toys.make_context(), checkpoint=sys.argv[1], **eval(sys.argv[2]))
    print(run.state.batches_restored, run.get_raw().get_data()[0, 0].hex())
"""


@pytest.mark.slow
def test_a_class_of_a_script_that_changed(kept, tmp_path):
    """Its code counts, and the globals that it reads; comments do not."""
    x = float(toys.make_context().get_data()[0, 0])
    for factor, body, restored, expected in [
        ("2.0", "raw._data * FACTOR", 0, 2 * x),
        ("2.0", "raw._data * FACTOR  # a remark", 5, 2 * x),
        ("3.0", "raw._data * FACTOR", 0, 3 * x),
        ("3.0", "raw._data * FACTOR + 1", 0, 3 * x + 1),
    ]:
        text = CODE.format(factor=factor, body=body)
        options = PROCESSES if body.endswith("1") else SERIAL
        assert programs.run(text, tmp_path, kept, options).split() == [
            str(restored),
            expected.hex(),
        ]


# -------------------------------------------------------------------------------------- damage
@pytest.fixture
def finished(ctx, kept, notes):
    """A finished run of one step; returns its result."""
    result, *_ = run([Noted(str(notes))], ctx, kept)
    computed(notes)
    return samples(result)


def resume(ctx, kept, notes, finished, **options):
    result, *_ = run([Noted(str(notes))], ctx, kept, **options)
    assert np.array_equal(samples(result), finished)
    return computed(notes)


def test_torn_journal(ctx, kept, notes, finished):
    journal = kept / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + len(toys.GOOD)
    journal.write_bytes(b"".join(lines)[:-20])
    assert resume(ctx, kept, notes, finished) == ["ECG1"]
    assert resume(ctx, kept, notes, finished) == []


def test_flipped_byte_in_the_journal(ctx, kept, notes, finished):
    journal = kept / "journal.jsonl"
    content = bytearray(journal.read_bytes())
    where = content.index(b'"rows":[1]') + 8
    content[where] = ord("7")
    journal.write_bytes(content)
    assert resume(ctx, kept, notes, finished) == ["E2"]


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_flipped_byte_in_the_samples(ctx, kept, notes, finished, options):
    (store,) = kept.glob("stage-*.f64")
    content = bytearray(store.read_bytes())
    content[8 * 3000 * toys.NAMES.index("E4") + 12345] ^= 1
    store.write_bytes(content)
    assert resume(ctx, kept, notes, finished, **options) == ["E4"]
    assert resume(ctx, kept, notes, finished, **options) == []


def test_truncated_samples(ctx, kept, notes, finished):
    (store,) = kept.glob("stage-*.f64")
    content = store.read_bytes()
    store.write_bytes(content[: 8 * 3000 * toys.NAMES.index("EOG1") + 100])
    assert resume(ctx, kept, notes, finished) == ["ECG1", "EOG1"]
    store.unlink()
    assert resume(ctx, kept, notes, finished) == sorted({*toys.GOOD} - {"E1"})  # E1 was tried


def test_damaged_reference(ctx, kept, notes, finished):
    (trial,) = kept.glob("trial-*.f64")
    content = bytearray(trial.read_bytes())
    content[99] ^= 1
    trial.write_bytes(content)
    assert resume(ctx, kept, notes, finished) == ["E1"]
    trial.write_bytes(content[:100])
    assert resume(ctx, kept, notes, finished) == ["E1"]


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "rows", "stage": "KEY", "rows": [10**9, -1, "x", None], "sha256": ["a"] * 4},
        {"kind": "rows", "stage": "KEY", "rows": 3, "sha256": []},
        {"kind": "rows", "stage": ["KEY"], "rows": [[1]], "sha256": [{}]},
        {"kind": "trial", "key": "KEY", "band": 3, "metadata": [], "sha256": 1, "sfreq": "fast"},
        {"kind": "trial", "key": "../../../etc/passwd"},
        {"__reduce__": "os.system", "kind": ["rows"]},
    ],
)
def test_journal_with_strange_lines(ctx, kept, notes, finished, record):
    from facet_nb.core.storage import journal

    lines = list(journal.read(kept / "journal.jsonl"))
    stage = next(line["stage"] for line in lines if line["kind"] == "rows")
    text = json.dumps(record).replace("KEY", stage)
    journal.append(kept / "journal.jsonl", json.loads(text))
    (kept / "journal.jsonl").open("ab").write(b"\xff\0 not a line\n\n{}\n")
    assert resume(ctx, kept, notes, finished) == []


# ---------------------------------------------------------------------------------- the folder
def test_one_run_at_a_time(ctx, kept, tmp_path):
    """Neither another process nor another thread of this one may have the same folder."""
    held, go_on = threading.Event(), threading.Event()

    def wait(context):
        held.set()
        assert go_on.wait(60)
        return context

    def go():
        assert Pipeline([wait]).run(ctx, checkpoint=kept).success

    thread = threading.Thread(target=go)
    thread.start()
    try:
        assert held.wait(30)
        error = Pipeline([toys.Halved()]).run(ctx, checkpoint=kept).error
        assert isinstance(error, FacetError) and "is in use by another run" in str(error)
        told = programs.run(OTHER, tmp_path, kept)
        assert "is in use by process" in told and "another folder" in told
    finally:
        go_on.set()
        thread.join()
    assert Pipeline([toys.Halved()]).run(ctx, checkpoint=kept).success


OTHER = """
    import sys
    from facet_nb.core import Pipeline
    from tests.core import toys

    print(Pipeline([toys.Halved()]).run(toys.make_context(), checkpoint=sys.argv[1]).error)
"""


def test_a_folder_of_a_finished_run_holds_that_run_only(ctx, kept):
    run([toys.Halved(), toys.ZScore()], ctx, kept)
    assert len(list(kept.glob("stage-*"))) == 2
    run([toys.ZScore()], ctx, kept)
    assert len(list(kept.glob("stage-*"))) == 1 and len(list(kept.glob("trial-*"))) == 1
    other = kept / "notes-of-mine.f64"
    other.touch()
    run([toys.Halved()], ctx, kept)
    names = {path.name.partition("-")[0] for path in kept.iterdir()}
    assert names == {"stage", "journal.jsonl", "lock", "notes"}


def test_a_failed_run_keeps_what_it_has(ctx, kept, notes):
    with pytest.raises(StepError):
        run([Noted(str(notes)), toys.Raising("E4")], ctx, kept)
    computed(notes)
    _, restored, _ = run([Noted(str(notes))], ctx, kept)
    assert restored == len(toys.GOOD) and computed(notes) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_no_folder(ctx, tmp_path, place):
    (tmp_path / "file").touch()
    error = Pipeline([toys.Halved()]).run(ctx, checkpoint=tmp_path / place).error
    assert isinstance(error, FacetError) and "checkpoint=" in str(error)


def test_what_cannot_be_compared_is_computed_again_and_said(ctx, kept, notes, caplog):
    class Holding(Noted):
        def __init__(self, folder):
            super().__init__(folder)
            self.lock = threading.Lock()

    steps = [toys.Halved(), Holding(str(notes)), Noted(str(notes), factor=3.0)]
    run(steps, ctx, kept)
    computed(notes)
    with caplog.at_level(logging.WARNING, logger="facet_nb"):
        _, restored, n_computed = run(steps, ctx, kept)
    assert "holding is not kept" in caplog.text and "lock" in caplog.text
    assert (restored, n_computed) == (2 * len(toys.GOOD), len(toys.GOOD))
    assert sorted(set(computed(notes))) == sorted(toys.GOOD)


def test_steps_over_all_channels_of_ours_are_kept_too(ctx, kept):
    calls = []

    class Counted(toys.Spread):
        def compute(self, x, prepared, out=None):
            calls.append(1)
            return super().compute(x, prepared, out)

    first, *_ = run([Counted()], ctx, kept)
    calls.clear()  # the code of a step counts, the values it closes over, too
    second, restored, _ = run([Counted()], ctx, kept)
    assert restored == 1 and not calls
    assert np.array_equal(samples(first), samples(second))


def test_many_files(kept, tmp_path, notes):
    from facet_nb.io import export

    paths = [tmp_path / f"{name}.fif" for name in ("a", "b")]
    for path in paths:
        export(toys.make_context(), path)
    pipeline = Pipeline([Noted(str(notes))])
    assert all(r.success for r in pipeline.map(paths, checkpoint=kept))
    assert computed(notes)
    results = pipeline.map(paths, checkpoint=kept, n_jobs=2)
    assert all(r.success for r in results) and computed(notes) == []
    assert len([p for p in kept.iterdir() if p.is_dir()]) == 2


def test_processors_are_not_what_a_folder_is_made_of(ctx, kept):
    """Nothing in it is a pickle."""

    class Local(Processor):
        requires_raw = channel_wise = True

        def process(self, context):
            return context

    run([Local(), toys.Found(), toys.Halved()], ctx, kept)
    for path in kept.iterdir():
        content = path.read_bytes()
        assert not content.startswith(b"\x80") and b"Local" not in content


# ----------------------------------------------------------------------- a folder of the user's
def test_files_of_others_are_kept(ctx, kept, notes):
    kept.mkdir()
    others = ["stage-sleep_N2.f64", "trial-01.f64", "trial-01.f64.bak", "notes.txt", "x-y.f64"]
    others += [f"stage-{'0' * 31}g.f64", f"stage-{'a' * 32}.f64.bak", f"my-stage-{'a' * 32}.f64"]
    for name in others:
        (kept / name).write_text("precious")
    (kept / f"stage-{'b' * 32}.f64").write_text("of an earlier run")
    (kept / f"stage-{'c' * 32}.f64").mkdir()
    run([Noted(str(notes))], ctx, kept)
    assert all((kept / name).read_text() == "precious" for name in others)
    assert not (kept / f"stage-{'b' * 32}.f64").exists()


@pytest.mark.parametrize("name", ["stage", "trial", "journal.jsonl", "lock"])
def test_links_are_not_followed(ctx, kept, notes, tmp_path, name):
    run([Noted(str(notes))], ctx, kept)
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("precious")
    (path,) = kept.glob(f"{name}*")
    path.unlink()
    (path if name != "trial" else Path(f"{path}.new")).symlink_to(thesis)
    result = Pipeline([Noted(str(notes))]).run(ctx, checkpoint=kept)
    assert thesis.read_text() == "precious"
    assert not result.success and "symbolic link" in str(result.error)


def test_files_are_private(ctx, tmp_path, notes):
    folder = tmp_path / "new" / "kept"
    run([Noted(str(notes))], ctx, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_line_of_nested_brackets(ctx, kept, notes):
    import zlib

    run([Noted(str(notes))], ctx, kept)
    computed(notes)
    line = b"[" * 200_000 + b"]" * 200_000
    with open(kept / "journal.jsonl", "ab") as journal:
        journal.write(b"%08x %s\n" % (zlib.crc32(line), line))
    run([Noted(str(notes))], ctx, kept)
    assert computed(notes) == []
