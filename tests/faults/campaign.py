"""A program that runs and writes recordings on demand, to be interrupted from outside.

It imports everything once, and forks a child for each line that it reads: a case as JSON. A child
has a session, a scratch folder and outputs of its own; what it says goes to ``told.jsonl``. A Dask
cluster is another program, which outlives it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.faults import campaign  # as which workers know what this program sends

ROOT = Path(__file__).resolve().parents[2]
N_CHANNELS, N_TIMES, SFREQ = 6, 60_000, 500.0
#: Ways to run in each place; `N` recordings each.
PLACES: dict[str, dict[str, Any]] = {
    "serial": {"mode": "channel_sequential"},
    "threads": {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2},
    "processes": {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
    "files": {"mode": "channel_sequential", "memory_budget": "400 MB", "checkpoint": "kept"},
}
if importlib.util.find_spec("distributed"):
    PLACES["dask"] = {"mode": "channel_sequential", "backend": "dask", "n_jobs": 2}
N = 4
#: Dask's rules for workers that do not answer: by default minutes. A worker that dies is replaced.
DASK = {"distributed.scheduler.worker-ttl": "5s"}


def make_context(seed: int) -> Any:
    """Return the recording number `seed`."""
    import mne

    from facet_nb.core import ProcessingContext

    data = 1e-5 * np.random.default_rng(seed).standard_normal((N_CHANNELS, N_TIMES))
    info = mne.create_info(N_CHANNELS, SFREQ, "eeg")
    return ProcessingContext(mne.io.RawArray(data, info, verbose="error"))


def make_steps() -> list[Any]:
    """Return a chain that takes a fraction of a second."""
    from facet_nb import HighPassFilter, LowPassFilter

    return [HighPassFilter(1.0), LowPassFilter(70.0)]


def run_case(case: dict[str, Any]) -> None:
    """Correct and write `N` recordings, and tell of each."""
    if "scheduler" not in case:
        _run_case(case, None)
        return
    from distributed import Client

    with Client(case["scheduler"]) as client:
        client.run(campaign.lift_limits)  # of the last case, which may have been killed
        _run_case(case, client)


def _run_case(case: dict[str, Any], client: Any) -> None:
    from facet_nb import Exporter, Pipeline
    from facet_nb.core import FacetError

    folder = Path(case["folder"])
    contexts = [make_context(i) for i in range(N)]
    options = dict(PLACES[case["place"]])
    if "checkpoint" in options:
        options["checkpoint"] = folder / "kept"
    before = [context.get_data().copy() for context in contexts]
    with (folder / "told.jsonl").open("a") as told:

        def tell(**words: Any) -> None:
            told.write(json.dumps(words) + "\n")
            told.flush()

        tell(kind="began")
        kind, amount = case.get("limit"), case.get("amount", 0)
        if kind == "disk":
            fill_disk_after(amount)
        if client is not None and kind is not None:
            limits = {"disk": campaign.fill_disk_after, "memory": campaign.restrict_memory}
            client.run(limits[kind], amount)
        for i, context in enumerate(contexts):
            steps = [*make_steps(), Exporter(folder / f"out{i}.fif", overwrite=True)]
            try:
                with limit_memory(amount if kind == "memory" else None):
                    result = Pipeline(steps).run(context, show_progress=False, **options)
                error = result.error
                answer = "done" if error is None else "FacetError"
                assert error is None or isinstance(error, FacetError)
            except Exception as problem:
                answer, error = f"raised {type(problem).__name__}", problem
            same = np.array_equal(context.get_data(), before[i])
            tell(kind=answer, i=i, text=str(error or "")[:500], untouched=bool(same))


@contextmanager
def limit_memory(amount: int | None) -> Iterator[None]:
    """Let this process, and those that it starts, have only so many bytes more."""
    import resource

    if amount is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    restrict_memory(amount)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def restrict_memory(amount: int) -> None:
    """Let this process have only so many bytes more."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + amount, hard))


def fill_disk_after(n_bytes: int) -> None:
    """Make the disk full once `n_bytes` were written by Python's calls (no file system is asked).

    Simulated: calls that allocate or write raise ENOSPC, as the system would.
    """
    import builtins
    import errno
    import io

    left = [n_bytes]

    def spend(n: int) -> None:
        left[0] -= n
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    allocate, pwrite, open_file = os.posix_fallocate, os.pwrite, builtins.open
    _plain.update(posix_fallocate=allocate, pwrite=pwrite, open=open_file)

    def posix_fallocate(fd: int, offset: int, size: int) -> None:
        spend(size)
        allocate(fd, offset, size)

    def counted_pwrite(fd: int, content: Any, offset: int) -> int:
        spend(len(memoryview(content).cast("B")) // 8)  # most was allocated before
        return pwrite(fd, content, offset)

    def counted_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened = open_file(file, mode, *args, **kwargs)
        if not set(mode) & set("wax+") or str(file).endswith("told.jsonl"):
            return opened
        return _Counted(opened, spend)

    os.posix_fallocate, os.pwrite = posix_fallocate, counted_pwrite
    builtins.open = io.open = counted_open


#: Calls of this process before they were counted.
_plain: dict[str, Any] = {}


def lift_limits() -> None:
    """Give this process memory and a disk without limits."""
    import builtins
    import io
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    if _plain:
        os.posix_fallocate, os.pwrite = _plain["posix_fallocate"], _plain["pwrite"]
        builtins.open = io.open = _plain["open"]


class _Counted:
    """A file whose writes are counted."""

    def __init__(self, file: Any, spend: Any) -> None:
        self._file, self._spend = file, spend

    def write(self, content: Any) -> int:
        self._spend(len(content) if isinstance(content, str) else memoryview(content).nbytes)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Counted:
        self._file.__enter__()
        return self

    def __exit__(self, *exception: Any) -> Any:
        return self._file.__exit__(*exception)

    def __iter__(self) -> Any:
        return iter(self._file)


def serve() -> None:
    """Fork a child for each line; say its number, and how it ended."""
    import logging

    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        # Everything is imported and compiled: where memory ends, numba never comes to an end.
        run_case({"folder": folder, "place": "serial"})
    if "dask" in PLACES:
        import distributed  # noqa: F401
    for line in sys.stdin:
        case = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            (Path(case["folder"]) / "tmp").mkdir(exist_ok=True)
            os.environ["FACET_NB_TMPDIR"] = str(Path(case["folder"]) / "tmp")
            sys.stdin.close()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is read there comes from here only
            try:
                run_case(case)
            except KeyboardInterrupt:
                sys.exit(130)
            sys.exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def warm_up() -> None:
    """Import what a run needs: most faults would come while modules are imported."""
    from facet_nb import Pipeline

    Pipeline(make_steps()).run(make_context(0), show_progress=False)


def serve_cluster() -> None:
    """Be a cluster of two workers until standard input ends; say its address when it works."""
    import dask
    from distributed import Client

    own = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(DASK),
        Client(**own, local_directory=folder) as client,
    ):
        client.run(campaign.warm_up)
        print(client.scheduler.address, flush=True)
        sys.stdin.read()


class Cluster:
    """A cluster that outlives the programs that use it; a context manager."""

    def __enter__(self) -> Cluster:
        self._process = _start_program("cluster")
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        assert self.address
        return self

    def __exit__(self, *exception: Any) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def list_workers(self) -> list[int]:
        """Return the numbers of its worker processes."""
        found = psutil.Process(self._process.pid).children()
        return [p.pid for p in found if "spawn_main" in " ".join(p.cmdline())]


def _start_program(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.campaign", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FACET_NB_COMPILED": "never"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@dataclass
class Server:
    """The program, as tests use it."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Server:
        """Start it."""
        return cls(_start_program())

    def begin(self, **case: Any) -> int:
        """Start a case; return the number of its process once it has begun."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        told = Path(case["folder"]) / "told.jsonl"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (told.exists() and "began" in told.read_text()):
            time.sleep(0.005)
        return child

    def end(self) -> int:
        """Wait for the case; return its exit status, negative for a signal."""
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the program."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


def list_session(leader: int) -> list[psutil.Process]:
    """Return the processes in the session of `leader`, which may have ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


if __name__ == "__main__":
    serve_cluster() if sys.argv[1:] == ["cluster"] else serve()
