"""Signals, full disks and scarce memory at random times, in every place where batches run.

Nothing may be lost (an output is whole or not there), wrong, hung, or left behind. They take many
minutes, and run with ``FACET_NB_NIGHT=1`` only. Times are drawn from a seed, but where a
signal arrives depends on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facet_nb import Pipeline
from facet_nb.io import load
from tests.faults import campaign, programs
from tests.faults.campaign import PLACES, Cluster, N, Server, list_session

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
    pytest.mark.skipif(not os.environ.get("FACET_NB_NIGHT"), reason="FACET_NB_NIGHT is not set"),
]

#: How often each kind is tried in each place.
TRIES = int(os.environ.get("FACET_NB_TRIES", "30"))
#: Time in which everything must have come to its end, in s.
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def cluster():
    """A Dask cluster that outlives its programs."""
    with Cluster() as made:
        yield made


@pytest.fixture
def begin(server, place, request, tmp_path):
    """Start a case in the test's place; return the number of its process."""
    if place == "dask":
        address = request.getfixturevalue("cluster").address
        return partial(server.begin, folder=str(tmp_path), place=place, scheduler=address)
    return partial(server.begin, folder=str(tmp_path), place=place)


@pytest.fixture(scope="module")
def server():
    program = Server.start()
    yield program
    program.close()


@pytest.fixture(scope="module")
def wanted():
    """What each output must hold."""
    results = [Pipeline(campaign.make_steps()).run(campaign.make_context(i)) for i in range(N)]
    return [result.get_raw().get_data() for result in results]


@pytest.fixture
def check(server, wanted, tmp_path, count_fault):
    """Check what a case has left; run another in its place, which must succeed and clean up."""

    def look(child: int, place: str, status: int, may_fail: bool) -> list[dict]:
        programs.wait_until(lambda: not list_session(child), LIMIT_S)  # else: hung
        told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
        for words in told[1:]:
            assert words["kind"] in ("done", "FacetError"), words
            assert words["untouched"] and (may_fail or words["kind"] == "done"), words
            if words["kind"] == "done":
                assert (tmp_path / f"out{words['i']}.fif").exists(), "an output is lost"
        for i in range(N):
            path = tmp_path / f"out{i}.fif"
            if path.exists():
                # FIF holds float32.
                np.testing.assert_allclose(load(path).get_data(), wanted[i], rtol=1e-6, atol=1e-12)
        for folder in tmp_path.glob(".facet_nb-*.part"):
            os.utime(folder, (0, 0))  # those of the last hour may belong to a slow file system
        count_fault()
        return told

    yield look


@pytest.fixture
def clean(server, begin, tmp_path, wanted):
    """After all tries of a place: the next run works, and removes what killed ones left."""

    def look(place: str) -> None:
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        shared = set(Path("/dev/shm").glob("*"))  # numbers of processes come again
        for path in tmp_path.glob("out*"):
            path.unlink()
        child = begin()
        assert server.end() == 0
        told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
        assert [words["kind"] for words in told[1:]] == ["done"] * N, told
        for i in range(N):
            data = load(tmp_path / f"out{i}.fif").get_data()
            np.testing.assert_allclose(data, wanted[i], rtol=1e-6, atol=1e-12)
        assert not list((tmp_path / "tmp").iterdir()), "scratch folders are left"
        assert not list(tmp_path.glob(".facet_nb-*")), "half outputs are left"
        new = [p.name for p in set(Path("/dev/shm").glob("*")) - shared]
        assert not [name for name in new if str(child) in re.split("[-_]", name)]

    return look


ENDING = {
    "SIGTERM": [signal.SIGTERM],
    "SIGHUP": [signal.SIGHUP],
    "double Ctrl-C": [signal.SIGINT, signal.SIGINT],
    "SIGKILL": [signal.SIGKILL],
}


@pytest.mark.fault("signals that end a program", fails="lost")
@pytest.mark.parametrize("kind", ENDING)
@pytest.mark.parametrize("place", PLACES)
def test_signals_that_end(place, kind, server, begin, check, clean, tmp_path):
    rng = random.Random(f"{place} {kind}")
    for _ in range(TRIES):
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        child = begin()
        time.sleep(rng.uniform(0.0, 1.2))
        for number in ENDING[kind]:
            try:
                os.kill(child, number)
            except ProcessLookupError:  # it was faster
                break
            time.sleep(rng.uniform(0.0, 0.2))
        check(child, place, server.end(), may_fail=True)
    clean(place)


@pytest.mark.fault("processes that are stopped for a while", fails="hung")
@pytest.mark.parametrize("who", ["parent", "workers", "all"])
@pytest.mark.parametrize("place", PLACES)
def test_stopped_processes(place, who, server, begin, check, clean, tmp_path, request):
    """The parent goes on where it was; workers that nobody continues are continued by the run.

    Those of Dask are replaced by their nannies, once the scheduler misses them.
    """
    others = request.getfixturevalue("cluster").list_workers if place == "dask" else None
    rng = random.Random(f"{place} {who}")
    for _ in range(TRIES):
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        child = begin()
        time.sleep(rng.uniform(0.0, 1.2))
        members = [p.pid for p in list_session(child)] + (others() if others else [])
        stopped = {"parent": [child], "workers": [p for p in members if p != child], "all": members}
        for pid in stopped[who]:
            send(pid, signal.SIGSTOP)
        time.sleep(0.4)
        for pid in stopped[who] if who != "workers" else ():
            send(pid, signal.SIGCONT)
        status = server.end()
        for pid in stopped[who]:
            send(pid, signal.SIGCONT)  # stopped after the last run, or not a worker
        assert status == 0
        check(child, place, status, may_fail=False)
    clean(place)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.fault("memory that ends (RLIMIT_AS)", fails="wrong")
@pytest.mark.parametrize("place", PLACES)
def test_scarce_memory(place, server, begin, check, clean, tmp_path):
    rng, told = random.Random(place), []
    for _ in range(2 * TRIES):
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        amount = int(10 ** rng.uniform(6.0, 8.2))
        child = begin(limit="memory", amount=amount)
        told += check(child, place, server.end(), may_fail=True)
    assert "FacetError" in [words["kind"] for words in told], "no limit was reached"
    clean(place)


@pytest.mark.fault("a disk that becomes full", fails="lost")
@pytest.mark.parametrize("place", PLACES)
def test_full_disk(place, server, begin, check, clean, tmp_path):
    """ENOSPC from the first to the last byte that is written (simulated in Python's calls)."""
    rng, told = random.Random(place), []
    for _ in range(2 * TRIES):
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        amount = int(10 ** rng.uniform(2.0, 7.2))
        child = begin(limit="disk", amount=amount)
        told += check(child, place, server.end(), may_fail=True)
    assert "FacetError" in [words["kind"] for words in told], "the disk was never full"
    clean(place)


MOUNTED = """
    import contextlib, json, subprocess, sys
    from pathlib import Path
    import numpy as np
    from tests.faults import campaign
    from facet_nb import Exporter, Pipeline
    from facet_nb.core import FacetError
    from facet_nb.io import load

    disk, place, sizes = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    context = campaign.make_context(0)
    wanted = Pipeline(campaign.make_steps()).run(context).get_raw().get_data()


    def fill(size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "x", disk], check=True)
        options = dict(campaign.PLACES[place])
        if "checkpoint" in options:
            options["checkpoint"] = disk / "kept"
        path = disk / "out.fif"
        result = Pipeline([*campaign.make_steps(), Exporter(path)]).run(context, **options)
        assert result.success or isinstance(result.error, FacetError), repr(result.error)
        assert result.success == path.exists(), "lost, or half"
        if result.success:
            assert np.allclose(load(path).get_data(), wanted, rtol=1e-6, atol=1e-12), "wrong"
        beside = {"out_provenance.json"} if result.success else set()
        left = {p.name for p in disk.iterdir()} - {"out.fif", "kept", *beside}
        assert not left, left
        print("full" if not result.success else "done", flush=True)
        del result
        subprocess.run(["umount", "-l", disk], check=True)


    with contextlib.ExitStack() as stack:
        if place == "dask":
            from distributed import Client

            cluster = stack.enter_context(campaign.Cluster())
            stack.enter_context(Client(cluster.address))
        for size in sizes:
            fill(size)
"""


def may_mount(folder: Path) -> bool:
    """Whether a file system can be mounted in a namespace of our own."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=16k", "x", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.fault("a disk that becomes full", fails="lost")
@pytest.mark.parametrize("place", PLACES)
def test_full_disk_that_is_mounted(place, tmp_path, count_fault):
    """A real small file system for scratch files, checkpoints and outputs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("no file system may be mounted here")
    rng = random.Random(place)
    sizes = [int(10 ** rng.uniform(1.5, 4.3)) for _ in range(2 * TRIES)]
    program = tmp_path / "program.py"
    program.write_text("\n".join(line[4:] for line in MOUNTED.splitlines()), encoding="utf-8")
    command = ["unshare", "-m", sys.executable, "-W", "ignore", program]
    done = subprocess.run(
        [*map(str, command), str(disk), place, json.dumps(sizes)],
        env={**os.environ, "PYTHONPATH": str(programs.ROOT), "FACET_NB_TMPDIR": str(disk)},
        capture_output=True,
        text=True,
        timeout=20 * LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = done.stdout.split()
    assert len(answers) == len(sizes) and "full" in answers
    for _ in answers:
        count_fault()
