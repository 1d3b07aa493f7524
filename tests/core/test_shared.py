"""Memory that workers share: no file, nothing left, the same bits, and no copy that stays."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from facet_nb.core import ArrayProcessor, Pipeline
from facet_nb.core.errors import FacetError
from facet_nb.core.execution.dispatch import Calls
from facet_nb.core.storage import shared_memory
from facet_nb.core.storage.array_store import Store
from facet_nb.core.storage.arrays import FileArray, RamArray
from facet_nb.core.storage.row_io import read_rows, write_rows
from tests.core import toys

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory without a file: Linux only")

APART = {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nowhere_named(monkeypatch):
    monkeypatch.delenv("FACET_NB_TMPDIR", raising=False)


@pytest.fixture
def files():
    store = Store(shared=True, memory=True)
    yield store
    store.close()


def count_open() -> int:
    return sum("memfd:facet_nb" in link for link in list_links())


def list_links() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:  # the one that lists them
            continue
    return found


def test_lent_rows_are_put_there_each_time_they_are_sent(files):
    array = np.arange(12.0).reshape(4, 3)
    ref, fill = files.lend(array, in_subprocess=True)
    assert not ref.open().any()
    calls = Calls([("job", 0, [1, 2]), ("job", 1, [0, 3])], fill)
    sent = iter(calls)
    assert next(sent) == ("job", 0, [1, 2]) and not ref.open()[[0, 3]].any()
    assert np.array_equal(ref.open()[1:3], array[1:3])
    write_rows(ref, [1, 2], -array[1:3])  # a worker's answer, which was lost with it
    list(calls)
    assert np.array_equal(ref.open(), array)


def test_only_far_stages_need_a_copy(files):
    array = np.ones((2, 3))
    near, fill = files.lend(array, in_subprocess=False)
    assert isinstance(near, RamArray) and near.open() is array and fill is None
    ref, result = files.allocate((2, 3))
    again, fill = files.lend(result, in_subprocess=True)
    assert again is ref and fill is None and files.holds(result)


def test_results_stay_where_they_are_and_belong_to_this_process(files):
    ref, result = files.allocate((3, 5))
    assert "memfd:facet_nb" in os.readlink(ref.path)
    write_rows(ref, [0, 2], np.full((2, 5), 3.0))
    own = files.take_over(result)
    files.release(result)
    assert not Path(ref.path).exists()
    assert own[:, 1].tolist() == [3.0, 0.0, 3.0] and own.flags.writeable
    child = os.fork()
    if child == 0:
        own[...] = 7.0
        os._exit(0)
    os.waitpid(child, 0)
    assert own[0, 0] == 3.0
    assert files.take_over(np.ones((3, 5))) is None


def test_rows_that_end_too_early_are_told(files):
    ref, _ = files.allocate((2, 5))
    with pytest.raises(FacetError, match="truncated while in use: 80 of 160 bytes"):
        read_rows(FileArray(ref.path, (4, 5)), [1, 2])


@pytest.mark.parametrize("mode", ["channel_sequential", "parallel"])
def test_a_run_leaves_no_file_and_no_open_memory(mode, monkeypatch):
    made = []
    monkeypatch.setattr(
        shared_memory,
        "create",
        lambda shape, make=shared_memory.create: made.append(shape) or make(shape),
    )
    gc.collect()
    opened = count_open()
    ctx = toys.make_context()
    steps = [toys.Demeaned(), toys.Decimated(), toys.Halved()]
    near = Pipeline(steps).run(ctx, mode=mode, n_jobs=1, raise_on_error=True)
    before = list_shared()
    far = Pipeline(steps).run(ctx, **{**APART, "mode": mode}, raise_on_error=True)
    assert made
    assert list_left(before) == set()
    samples = far.get_raw()._data
    assert np.array_equal(samples, near.get_raw()._data) and samples.flags.writeable
    samples[...] = 0.0
    again = Pipeline([toys.Halved()]).run(far.context, **APART, raise_on_error=True).get_raw()._data
    assert not again.any()
    del far, samples, again
    gc.collect()
    assert count_open() == opened


def test_little_room_means_files(monkeypatch):
    monkeypatch.setattr(shared_memory, "find_available", lambda: (1000, "the machine's"))
    monkeypatch.setattr(shared_memory, "create", lambda shape: pytest.fail("there was no room"))
    ctx = toys.make_context()
    near = Pipeline([toys.Demeaned()]).run(ctx, raise_on_error=True)
    far = Pipeline([toys.Demeaned()]).run(ctx, **APART, raise_on_error=True)
    assert np.array_equal(far.get_raw()._data, near.get_raw()._data)


def test_a_named_folder_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    monkeypatch.setattr(shared_memory, "create", lambda shape: pytest.fail("a folder was named"))
    Pipeline([toys.Demeaned()]).run(toys.make_context(), **APART, raise_on_error=True)
    assert list(tmp_path.iterdir()) == []


class Fragile(ArrayProcessor):
    """Changes the sign; the first time that it sees channel E4, its process ends, but later."""

    parallel_safe = True

    def __init__(self, flag: str = ""):
        self.flag = flag

    def compute(self, x, prepared, out=None):
        if not os.path.exists(self.flag):
            Path(self.flag).touch()
            time.sleep(0.3)  # others are done with theirs
            os._exit(1)
        return -x


@pytest.mark.slow
def test_a_batch_whose_worker_died_begins_with_its_input_again(tmp_path):
    ctx = toys.make_context()
    flag = str(tmp_path / "died")
    result = Pipeline([Fragile(flag)]).run(ctx, **APART, raise_on_error=True)
    assert os.path.exists(flag)
    expected = ctx.get_raw()._data.copy()
    picks = [toys.NAMES.index(name) for name in toys.GOOD]
    expected[picks] *= -1
    assert np.array_equal(result.get_raw()._data, expected)


def list_shared() -> set[str]:
    """Names in shared memory, but for loky's, and semaphores and joblib's folders of others."""
    mapped = Path("/proc/self/maps").read_text()

    def is_ours(name: str) -> bool:
        if name.startswith("sem."):  # it is mapped as long as it is used
            return name in mapped
        return "joblib" not in name or f"_{os.getpid()}_" in name

    return {n for n in os.listdir("/dev/shm") if "loky" not in n and is_ours(n)}


def list_left(before: set[str]) -> set[str]:
    """What is new in shared memory and stays: other programs use it meanwhile, for a moment."""
    left = list_shared() - before
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left &= list_shared()
    return left


KILLED = """
    import os, sys
    sys.path.insert(0, {root!r})
    from facet_nb.core import Pipeline
    from tests.core import toys

    def tell(event):
        if type(event).__name__ == "StageStarted":
            print("begun", flush=True)

    if __name__ == "__main__":
        Pipeline([toys.Sleeping()]).run(
            toys.make_context(), mode="channel_sequential", n_jobs=2, on_event=tell
        )
"""


def test_nothing_is_left_of_a_process_that_was_killed(tmp_path):
    before = list_shared()
    program = tmp_path / "killed.py"
    program.write_text(textwrap.dedent(KILLED.format(root=str(ROOT))))
    child = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().strip() == "begun"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert list_left(before) == set()
