"""Windows and macOS, simulated on this system: what they lack is taken away.

The workflow ``other-systems.yml`` runs tests on both systems themselves.
"""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facet_nb import Exporter, export, load, read_provenance
from facet_nb.core import FacetError, Pipeline, ProcessingContext, ValidationError
from facet_nb.core.backends import processes
from facet_nb.core.storage import folder_lock, originals, scratch, shared_memory
from tests.core import toys
from tests.io.conftest import make_recording

fcntl = pytest.importorskip("fcntl", reason="simulated on a system of the other kind only")

#: Calls that a system does not have.
LACKS = {
    "Windows": {
        os: ("posix_fallocate", "preadv", "pwrite", "memfd_create", "posix_fadvise", "getuid"),
        signal: ("SIGCONT", "SIGSTOP", "SIGKILL", "SIGHUP"),
    },
    "macOS": {os: ("posix_fallocate", "memfd_create", "posix_fadvise")},
}


class Locks:
    """What Windows offers instead of fcntl: locks of bytes, held by a file that is open."""

    LK_NBLCK = 1

    def locking(self, descriptor: int, mode: int, n_bytes: int) -> None:
        """Lock bytes from the position of a file on."""
        try:
            fcntl.flock(
                descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # of this file, until it is closed
        except BlockingIOError as error:
            raise OSError(errno.EACCES, "Permission denied") from error


@pytest.fixture(params=LACKS)
def system(request, monkeypatch, tmp_path):
    """This process as if it were on another system."""
    for module, names in LACKS[request.param].items():
        for name in names:
            monkeypatch.delattr(module, name, raising=False)
    # For our modules only: libraries that are imported now must still find this system.
    platform = {"Windows": "win32", "macOS": "darwin"}[request.param]
    monkeypatch.setattr(shared_memory, "sys", SimpleNamespace(platform=platform))
    if request.param == "Windows":
        plain_import = builtins.__import__

        def import_module(name, *args, **kwargs):
            if name in ("fcntl", "resource"):
                raise ImportError(f"No module named {name!r}")
            return plain_import(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", import_module)
        monkeypatch.setitem(sys.modules, "msvcrt", Locks())
    return request.param


RUNS = [
    {"mode": "serial"},
    {"mode": "channel_sequential", "batch_size": 2},
    {"mode": "channel_sequential", "memory_budget": "8 GB"},
    {"mode": "parallel", "backend": "threading", "n_jobs": 2},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
]


@pytest.fixture(scope="module")
def expected():
    return Pipeline(toys.chain()).run(toys.make_context(), raise_on_error=True).get_raw().get_data()


@pytest.mark.parametrize("options", RUNS, ids=toys.ids)
def test_the_same_samples(system, options, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    result = Pipeline(toys.chain()).run(toys.make_context(), raise_on_error=True, **options)
    np.testing.assert_array_equal(result.get_raw().get_data(), expected)
    del result
    assert not list(tmp_path.glob("facet_nb-*"))


def test_checkpoints_and_their_lock(system, expected, tmp_path):
    folder = tmp_path / "kept"
    steps, context = toys.chain(), toys.make_context()
    Pipeline(steps).run(context, checkpoint=folder, raise_on_error=True)
    again = Pipeline(steps).run(context, checkpoint=folder, raise_on_error=True)
    assert again.state.batches_restored > 0
    np.testing.assert_array_equal(again.get_raw().get_data(), expected)
    with folder_lock.hold(folder):
        error = Pipeline(steps).run(context, checkpoint=folder).error
    assert isinstance(error, FacetError) and "in use by" in str(error)


def test_a_lock_excludes_and_ends(system, tmp_path):
    path = tmp_path / "lock"
    first = folder_lock.try_lock(path)
    assert first is not None
    if system == "Windows":  # POSIX locks do not exclude files of the same process
        assert folder_lock.try_lock(path) is None
    first.close()
    second = folder_lock.try_lock(path)
    assert second is not None
    second.close()


def test_no_signal_is_sent_to_look_for_a_process(system, tmp_path, monkeypatch):
    """On Windows, os.kill(pid, 0) sends Ctrl-C to every program of the console."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    name = f"facet_nb-{scratch._HOST}-999999-x"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "lock").touch()
    if system == "Windows":
        monkeypatch.setattr(scratch.os, "name", "nt")
        monkeypatch.setattr(scratch, "Path", type(tmp_path))
        scratch.sweep(tmp_path)
        processes._continue_workers()
        assert not sent
    else:
        scratch.sweep(tmp_path)
        assert sent == [(999999, 0)]
    assert not folder.exists()


def test_no_memory_without_a_file(system):
    assert not shared_memory.is_usable()


@pytest.mark.parametrize("suffix", [".fif", ".vhdr", ".edf"])
@pytest.mark.parametrize("n", range(8))
def test_open_files_are_not_replaced(suffix, n, tmp_path, monkeypatch):
    """Windows refuses to move what is open: the old recording stays, whole, with an error."""
    path = tmp_path / f"out{suffix}"
    old, new = (ProcessingContext(make_recording(seed=s)) for s in (1, 2))
    export(old, path)
    before = sorted(tmp_path.iterdir())
    replace, moves = os.replace, iter(range(99))

    def refuse(source, destination):
        if next(moves) == n:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(source))
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse)
    result = Pipeline([Exporter(path, overwrite=True)]).run(new)
    monkeypatch.setattr(os, "replace", replace)
    found = load(path).get_data()
    wanted = new if result.success else old
    np.testing.assert_allclose(found, wanted.get_data(), atol=1e-6)
    assert not list(tmp_path.glob(".facet_nb*"))
    assert result.success or "cannot access the file" in str(result.error)
    assert sorted(tmp_path.iterdir()) == before
    assert read_provenance(path).output["file"] == path.name


class Caseless(type(Path())):
    """A path on a file system that ignores the case of names."""

    def _find(self):
        same = [p for p in Path(self.parent).glob("*") if p.name.lower() == self.name.lower()]
        return same[0] if same else Path(self)

    def exists(self, **kwargs):
        return self._find().exists()

    def is_file(self, **kwargs):
        return self._find().is_file()

    def stat(self, **kwargs):
        return self._find().stat(**kwargs)

    def samefile(self, other):
        return self._find().samefile(Caseless(other)._find())


@pytest.mark.parametrize("name", ["RAW.FIF", "Raw.fif", "raw.FIF"])
def test_names_that_differ_in_case_are_the_same_file(name, tmp_path):
    path = tmp_path / "raw.fif"
    path.write_bytes(b"x")
    assert originals.find_same(Caseless(tmp_path / name), [Caseless(path)]) is not None
    assert originals.find_same(Caseless(tmp_path / "other.fif"), [Caseless(path)]) is None


def test_inputs_that_differ_in_case_only(tmp_path, monkeypatch):
    """Where names ignore case, an output of another case is the input, and is refused."""
    path = tmp_path / "raw.fif"
    export(ProcessingContext(make_recording()), path)
    before = path.read_bytes()
    try:
        os.link(path, tmp_path / "RAW.FIF")  # the same file by both names, as there
    except OSError:
        pytest.skip("names ignore case here already, or there are no hard links")
    context = load(path)
    with pytest.raises(ValidationError, match="replace_input=True"):
        export(context, tmp_path / "RAW.FIF", overwrite=True)
    assert path.read_bytes() == before


def test_workers_are_started_without_fork():
    """loky starts new interpreters on every system: nothing depends on ``fork``."""
    from joblib.externals.loky.backend import context

    assert context.get_context().get_start_method() == "loky"


def test_links_are_refused_where_the_system_has_no_flag_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_NO_LINKS", 0)
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        folder_lock.open_plain(link, "r+b")
    assert target.read_text() == "mine"


def test_a_disk_without_reservation(system, tmp_path, monkeypatch):
    """Where space cannot be reserved, files are made sparse; what is free is looked at before."""
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FacetError, match="FACET_NB_TMPDIR"):
        scratch.check_room(10**6)
    ref, array = scratch.create((2, 10))
    assert array.shape == (2, 10) and Path(ref.path).stat().st_size == 160
