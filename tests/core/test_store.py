"""Where samples lie: this process's memory, or files that workers map and nobody forgets."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mne
import numpy as np
import pytest

from facet_nb.core import FacetError, Pipeline, ProcessingContext
from facet_nb.core.memory import spare_pages
from facet_nb.core.storage import array_store, scratch
from facet_nb.core.storage.array_store import Store, fresh_array
from facet_nb.core.storage.arrays import RamArray
from facet_nb.core.study.rows import measure_course
from facet_nb.evaluation.quality_tables import WindowReader
from facet_nb.evaluation.quality_windows import ScanWindow
from facet_nb.kernels.pages import forget
from tests.core import toys

APART = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    return tmp_path


# ------------------------------------------------------------------------------------------ memory
def test_large_arrays_are_writable_and_can_be_pickled(monkeypatch):
    monkeypatch.setattr(array_store, "_LARGE", 1000)
    for shape in [(2, 3), (3, 1000)]:
        array = fresh_array(shape)
        assert array.shape == shape
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert array.flags.writeable
        array[...] = 1.5
        assert np.array_equal(pickle.loads(pickle.dumps(array)), array)


def place_of(array):
    return array.__array_interface__["data"][0]


@pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="memory cannot be left to this system")
def test_pages_of_a_large_array_are_kept_once_it_is_gone(monkeypatch):
    monkeypatch.setattr(array_store, "_LARGE", 1000)
    array = fresh_array((3, 1000))
    array[...] = 1.0
    place, part = place_of(array), array[1:, ::2]
    del array
    other = fresh_array((3, 1000))
    other[...] = 2.0
    assert np.all(part == 1.0), "a part of it is still in use"
    del part
    again = fresh_array((1000, 3))
    assert place_of(again) == place and again.shape == (1000, 3)
    again[...] = 3.0
    assert np.all(other == 2.0)


@pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="memory cannot be left to this system")
def test_pages_are_kept_for_arrays_of_their_size_only(monkeypatch):
    monkeypatch.setattr(array_store, "_LARGE", 1000)
    monkeypatch.setattr(array_store, "_KEPT", 50_000)
    spare_pages.clear()
    for shape, n_kept in [((3, 1000), 1), ((3, 1001), 1), ((2, 50), 1), ((7, 1000), 0)]:
        fresh_array(shape)[...] = 1.0
        assert len(spare_pages) == n_kept
    several = [fresh_array((3, 1000)) for _ in range(4)]
    places = {place_of(array) for array in several}
    del several
    assert len(spare_pages) == 2, "as many as the limit allows"
    both = [fresh_array((3, 1000)) for _ in range(2)]
    assert len({place_of(array) for array in both} & places) == 2
    assert spare_pages == []


@pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="memory cannot be left to this system")
def test_threads_never_get_the_same_pages(monkeypatch):
    monkeypatch.setattr(array_store, "_LARGE", 1000)

    def use(number):
        for _ in range(50):
            array = fresh_array((3, 1000))
            array[...] = number
            if not np.all(array == number):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(32)))


def overwrite(_):
    _kept[...] = 7.0
    return float(_kept[0, 0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_large_arrays_are_not_shared_with_a_fork(monkeypatch):
    global _kept
    monkeypatch.setattr(array_store, "_LARGE", 1000)
    _kept = fresh_array((3, 1000))
    _kept[...] = 1.0
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(overwrite, (0,)).get(timeout=30) == 7.0
    assert np.all(_kept == 1.0)


def test_within_one_process_nothing_is_written(folder):
    files = Store(shared=False)
    array = np.ones((2, 3))
    assert files.share(array).open() is array
    ref, result = files.allocate((2, 3))
    assert isinstance(ref, RamArray) and ref.open() is result
    assert not files.has_maps and not files.holds(result)
    files.close()
    assert list(folder.iterdir()) == []


# ------------------------------------------------------------------------------------------- files
def test_samples_are_written_once_and_removed(folder):
    files = Store(shared=True)
    array = np.arange(6.0).reshape(2, 3)
    ref = files.share(array)
    assert files.share(array) is ref and len(list(folder.glob("*/*.f64"))) == 1
    assert np.array_equal(ref.open(), array) and type(ref.open()) is np.ndarray
    assert not files.holds(array)
    target, result = files.allocate((2, 5))
    target.open()[1] = 3.0
    assert np.array_equal(result[1], [3.0] * 5)
    assert files.holds(result) and files.holds(result[1:, ::2])
    assert files.share(result) is target
    files.release(array)
    files.release(np.zeros(3))  # not ours
    assert len(list(folder.glob("*/*.f64"))) == 1
    files.close()
    assert list(folder.iterdir()) == []
    assert np.array_equal(result[1], [3.0] * 5), "what is mapped stays readable"


def test_what_is_released_is_forgotten(folder):
    """A later array may get the number of one that is gone: it is in no file."""
    files = Store(shared=True)
    for _ in range(20):
        _, result = files.allocate((2, 5))
        files.release(result)
        assert files.holds(result)  # still mapped
        del result
        assert not files.has_maps
    assert not any(files.holds(np.zeros((2, 5))) for _ in range(100))
    files.close()


def test_only_two_recordings_are_in_files_at_a_time(folder):
    """A file goes as soon as nothing refers to it."""
    seen = []

    def listen(event):
        if type(event).__name__ == "StageDone":
            seen.append(sum(f.stat().st_size > 100_000 for f in folder.glob("*/*.f64")))

    steps = [toys.Halved(), toys.ZScore(), toys.Halved(), toys.Squared(), toys.Halved()]
    Pipeline(steps).run(toys.make_context(), on_event=listen, raise_on_error=True, **APART)
    assert seen == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "steps",
    [
        [toys.Halved(), toys.Demeaned(), toys.Halved()],
        [toys.Halved(), toys.Demeaned(), toys.ZScore()],
        [toys.Halved(), lambda c: c],
        [toys.Halved(), lambda c: c.with_raw(c.get_raw().copy())],
        [toys.Demeaned(), toys.Halved(), toys.Assigning("context")],
        [toys.Found()],
        [toys.Halved(), toys.Spread()],
    ],
)
def test_results_do_not_refer_to_files(steps):
    ctx = toys.make_context()
    opened = []
    allocate = Store.allocate

    class Spy(Store):
        def allocate(self, shape, dtype="float64"):
            opened.append(self)
            return allocate(self, shape, dtype)

    from facet_nb.core.execution import runner

    runner.Store = Spy
    try:
        result = Pipeline(steps).run(ctx, raise_on_error=True, **APART).context
    finally:
        runner.Store = Store
    arrays = [result.get_raw()._data, result.get_raw_original()._data]

    def look(array):
        arrays.append(array)
        return array

    result._moved(look)
    for files in opened:
        assert not any(files.holds(a) for a in arrays)
    assert all(type(a) is np.ndarray for a in arrays)
    assert result.get_raw()._data.flags.writeable
    expected = Pipeline(steps).run(ctx, raise_on_error=True)
    assert np.array_equal(result.get_data(), expected.get_raw().get_data())


def test_a_callers_own_map_is_left_alone(tmp_path):
    raw = toys.make_raw()
    mapped = np.memmap(tmp_path / "mine", dtype=float, mode="w+", shape=raw._data.shape)
    mapped[...] = raw._data
    raw._data = mapped
    result = Pipeline([toys.Found()]).run(ProcessingContext(raw), raise_on_error=True, **APART)
    assert result.get_raw()._data is mapped
    assert result.context.get_raw_original()._data is mapped


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps files that are mapped")
@pytest.mark.parametrize("mode", ["serial", "channel_sequential"])
def test_a_callers_own_map_may_have_no_name_any_more(tmp_path, mode):
    """Its samples stay as long as they are mapped."""
    plain = toys.make_context(n_times=2000)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", shape=plain.get_data().shape)
    x[...] = plain.get_data()
    (tmp_path / "x.npy").unlink()
    raw = plain.get_raw().copy()
    raw._data = np.asarray(x)
    steps, options = [toys.Halved(), toys.ZScore()], {"mode": mode, "raise_on_error": True}
    found = Pipeline(steps).run(ProcessingContext(raw), **options).get_raw().get_data()
    assert np.array_equal(found, Pipeline(steps).run(plain, **options).get_raw().get_data())


HOLD = """
import sys, time
from pathlib import Path
from facet_nb.core.storage import folder_lock
lock = folder_lock.try_lock(Path(sys.argv[1]) / "lock")
print("held", flush=True)
time.sleep(60)
"""


def test_folders_of_the_dead_are_swept(folder, tmp_path):
    """What counts is the lock: process numbers mean nothing between containers."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = scratch._HOST
    names = {
        f"facet_nb-{host}-{gone.pid}-abc123": False,  # nobody holds its lock any more
        f"facet_nb-{host}-{os.getpid()}-abc123": False,  # the number was used again
        f"facet_nb-{host}-{gone.pid}-nolock": True,  # being made, or on a disk without locks
        f"facet_nb-{host}-{gone.pid}-held": True,  # of another container, whose numbers differ
        f"facet_nb-otherhost9-{gone.pid}-abc123": True,  # of another machine
        f"facet_nb-{host}-notes": True,
        f"my-facet_nb-{host}-{gone.pid}-x": True,
    }
    for name in names:
        (folder / name).mkdir()
        (folder / name / "1.f64").write_bytes(b"12345678")
        if "nolock" not in name:
            (folder / name / "lock").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "lock").touch()
    link = f"facet_nb-{host}-{gone.pid}-link"
    (folder / link).symlink_to(outside)
    held = folder / f"facet_nb-{host}-{gone.pid}-held"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(held)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None and owner.stdout.readline() == "held\n"
        Store(shared=True).share(np.ones((1, 1)))
        assert {name: (folder / name).exists() for name in names} == names
        assert (outside / "lock").exists() and (folder / link).is_symlink()
    finally:
        owner.kill()
        owner.communicate()
    Store(shared=True).share(np.ones((1, 1)))
    assert not held.exists()


def end_at_call(number: int) -> None:
    """Make and remove a folder in a forked child that ends at a certain call of the system."""
    left = [number]

    def count(call):
        def counted(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return call(*args, **kwargs)

        return counted

    for name in ("open", "unlink", "rmdir", "mkdir", "scandir"):
        setattr(os, name, count(getattr(os, name)))
    scratch.make_folder().joinpath("samples").write_bytes(b"12345678")
    for path in scratch.find_root().glob("*"):
        scratch.remove_folder(path)
    os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_killed_while_it_makes_or_removes_a_folder(folder):
    """Found by SIGTERM at random times: a folder without a lock stayed for good."""
    for number in range(60):
        child = os.fork()
        if child == 0:
            end_at_call(number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        scratch.remove_folder(scratch.make_folder())
        assert list(folder.iterdir()) == [], f"after {number} calls"
        if code == 0:
            break
    assert code == 0 and number > 6


def test_an_empty_folder_that_was_swept_is_made_again(folder, monkeypatch):
    lock, swept = scratch.folder_lock.try_lock, []

    def sweep_first(path, create=True):
        if create and not swept:
            swept.append(path.parent)
            path.parent.rmdir()
        return lock(path, create)

    monkeypatch.setattr(scratch.folder_lock, "try_lock", sweep_first)
    made = scratch.make_folder()
    assert made.is_dir() and [made] != swept
    scratch.remove_folder(made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_folder_that_is_swept_as_it_is_locked_is_made_again(folder, monkeypatch, when):
    """Found by random chains beside other programs: the scratch folder of a run was gone."""
    lock, children = scratch.folder_lock._lock, []
    ready, go = os.pipe(), os.pipe()

    def sweep_elsewhere():
        """Sweep in another process; `while` it holds the lock, this one goes on."""
        if when == "while":
            empty = scratch._empty

            def wait(path):
                os.write(ready[1], b"x")
                os.read(go[0], 1)
                empty(path)

            scratch._empty = wait
        scratch.sweep(folder)
        os.write(ready[1], b"x")
        os._exit(0)

    def lock_late(file):
        if not children:
            children.append(os.fork())
            if children[0] == 0:
                scratch.folder_lock._lock = lock
                sweep_elsewhere()
            os.read(ready[0], 1)
        return lock(file)

    monkeypatch.setattr(scratch.folder_lock, "_lock", lock_late)
    made = scratch.make_folder()
    os.write(go[1], b"x")
    assert os.waitpid(children[0], 0)[1] == 0
    assert made.is_dir() and scratch.folder_lock.try_lock(made / "lock", create=False)
    assert list(folder.iterdir()) == [made]
    scratch.remove_folder(made)


def test_a_folder_that_is_gone_is_not_a_full_disk(folder):
    with pytest.raises(FacetError, match=r"was removed while in use.*FACET_NB_TMPDIR"):
        scratch.reserve(folder / "gone" / "samples", 8)


def test_without_locks_a_folder_is_used_all_the_same(folder, monkeypatch):
    monkeypatch.setattr(scratch.folder_lock, "_lock", lambda file: False)
    made = scratch.make_folder()
    scratch.sweep(folder)
    assert list(folder.iterdir()) == [made]


def test_a_folder_in_use_is_locked_and_private(folder):
    store = Store(shared=True)
    store.share(np.ones((1, 1)))
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}
    before = store.folder
    Store(shared=True).share(np.ones((1, 1)))  # sweeps
    assert before.exists()
    store.close()
    assert not before.exists()


def test_no_room(monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    files = Store(shared=True)
    with pytest.raises(FacetError, match=r"no room for 8 MB .*No space left.*FACET_NB_TMPDIR"):
        files.allocate((1000, 1000))
    files.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_look_at_a_result_in_a_file_keeps_none_of_its_pages(tmp_path):
    """One place of a map may bring up to 2 MB of each channel into the process's memory."""
    n_channels, n_times = 8, 3_000_000
    raw = mne.io.RawArray(np.zeros((n_channels, 2)), mne.create_info(n_channels, 1000.0, "eeg"))
    mapped = np.memmap(tmp_path / "result", float, "w+", shape=(n_channels, n_times))
    mapped[...] = np.sin(np.arange(n_times))
    raw._data, raw._last_samps = mapped, np.array([n_times - 1])
    forget(mapped)

    def count() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("RssFile:")[1].split()[0])

    before = count()
    assert len(measure_course(ProcessingContext(raw))) == 40
    assert count() - before < 2**20
    places = np.linspace(0, n_times - 2000, 60).astype(int).tolist()
    windows = [ScanWindow(p, p + 2000, "inside") for p in places]
    found = WindowReader(raw, raw.ch_names).read_differences(windows, 1000.0)
    held = count() - before
    raw._data = np.array(mapped)
    expected = WindowReader(raw, raw.ch_names).read_differences(windows, 1000.0)
    assert np.array_equal(found, expected)
    assert held < n_channels * 2**21 + 2**20  # of the last window


@pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="memory cannot be left to this system")
def test_kept_pages_count_neither_in_forecasts_nor_in_a_budget():
    """They are there for the next result: a second plan is as the first, and a budget is kept."""
    spare_pages.clear()
    context = toys.make_context(n_times=600_000)  # more than 32 MB
    pipeline = Pipeline([toys.Scaled()])
    pipeline.run(context)  # what a first run loads
    spare_pages.clear()
    before = pipeline.plan(context, mode="serial").forecast.peak_bytes
    result = pipeline.run(context)
    assert result.success and not spare_pages
    del result
    assert spare_pages
    assert abs(pipeline.plan(context, mode="serial").forecast.peak_bytes - before) < 10e6
    plan = pipeline.plan(context, memory_budget=before + 50 * 10**6)
    assert not plan.spill and not spare_pages
