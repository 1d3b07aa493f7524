"""A program that runs and writes recordings on demand, to be interrupted from outside.

It imports everything once, and forks a child for each line that it reads: a case as JSON. A child
has a session, a scratch folder and outputs of its own; what it says goes to ``told.jsonl``.
"""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parents[2]
N_CHANNELS, N_TIMES, SFREQ = 6, 60_000, 500.0
#: Ways to run in each place; `N` recordings each.
PLACES: dict[str, dict[str, Any]] = {
    "serial": {"mode": "channel_sequential"},
    "threads": {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2},
    "processes": {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
    "files": {"mode": "channel_sequential", "memory_budget": "400 MB", "checkpoint": "kept"},
}
N = 4


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
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + amount, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


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


@dataclass
class Server:
    """The program, as tests use it."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Server:
        """Start it."""
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.campaign"]
        return cls(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "FACET_NB_COMPILED": "never"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        )

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
    serve()
