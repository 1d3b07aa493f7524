"""The parent's side of a process in which one configuration is measured."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from facet_nb.benchmark import process_usage
from facet_nb.benchmark.json_values import from_plain
from facet_nb.benchmark.measurement import Configuration, MemoryUse, RunTrace
from facet_nb.benchmark.memory import MemoryMeter
from facet_nb.benchmark.tracing import list_bands
from facet_nb.core import CancelToken
from facet_nb.core.errors import FacetError

_POLL_S, _GRACE_S = 0.05, 5.0


class MeasurementFailed(FacetError):
    """A configuration could not be measured: its run failed or its process ended."""


class MeasuredProcess:
    """A fresh process for one configuration; it loads the recording when it starts.

    Parameters
    ----------
    job : path
        File written by :func:`facet_nb.benchmark.inputs.write_job`.
    configuration : Configuration
        The configuration to run.
    cancel : CancelToken
        Cancels the wait for an answer.

    Attributes
    ----------
    start_s : float
        Wall time from the start of the process until its imports are done, in s.
    load_s : float
        Time to read the recording, in s.
    """

    def __init__(self, job: Path, configuration: Configuration, cancel: CancelToken) -> None:
        self.configuration = configuration
        self.cancel = cancel
        # Ids and start times, known once the end was requested.
        self._workers: list[tuple[int, float]] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # A file, not a pipe: it is only read at the end, and a full pipe would block the child.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        begin = time.perf_counter()
        # The child must import the same packages as this process, e.g. a clone on sys.path.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facet_nb.benchmark.child", str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )
        # A thread reads the answers, as a pipe cannot be read with a timeout on all systems.
        threading.Thread(target=self._listen, name="facet_nb-child", daemon=True).start()
        try:
            self._wait(120.0)
            self.start_s = time.perf_counter() - begin
            self.load_s = float(self._ask("load", 600.0)["wall_s"])
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the root of the process tree."""
        return self._process.pid

    # ------------------------------------------------------------------------------- measuring
    def run(self, timeout_s: float) -> tuple[float, float, RunTrace]:
        """Run once; return wall time and CPU time, in s, and the trace."""
        answer = self._ask("run", timeout_s, settings=self.configuration.settings)
        trace = from_plain(RunTrace, answer["trace"])
        return float(answer["wall_s"]), float(answer["cpu_s"]), trace

    def run_watched(self, timeout_s: float) -> tuple[float, MemoryUse]:
        """Run once while a meter reads the memory of the tree; return wall time and memory."""
        with MemoryMeter(self._process.pid) as meter:
            wall_s, _, trace = self.run(timeout_s)
        return wall_s, meter.result(list_bands(trace))

    def save(self, path: Path) -> None:
        """Write the result of the last run to a file."""
        self._ask("save", 600.0, path=str(path))

    def compare(self, path: Path) -> float:
        """Return the largest difference between the last result and a saved one, in V."""
        return float(self._ask("compare", 600.0, path=str(path))["max_abs_diff_v"])

    def read_memory_mb(self) -> float:
        """Return the resident memory of the process tree, in MB."""
        sizes = [
            process_usage.read_rss_mb(pid) for pid in process_usage.list_tree(self._process.pid)
        ]
        return sum(size for size in sizes if size is not None)

    def request_end(self) -> None:
        """Ask the process to end, without waiting for it."""
        if self._workers is not None:
            return
        self._workers = []
        # Listed while the process lives: once it has ended, its workers cannot be found any more.
        for pid in process_usage.list_tree(self._process.pid)[1:]:
            times = process_usage.read_times(pid)
            if times is not None:  # None if it has just ended
                self._workers.append((pid, times.began))
        with suppress(OSError):  # its input is closed already
            self._process.stdin.close()  # type: ignore[union-attr]

    def close(self) -> None:
        """End the process and its workers; kill them if they do not end in time."""
        self.request_end()
        try:
            self._process.wait(0.0 if self.cancel.cancelled else _GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid, began in self._workers or ():
            process_usage.kill(pid, began)
        with suppress(OSError):  # unread text, whose reader has gone
            self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()

    # ---------------------------------------------------------------------------- conversation
    def _ask(self, command: str, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise MeasurementFailed(self._explain_end()) from error
        return self._wait(timeout_s)

    def _wait(self, timeout_s: float) -> dict[str, Any]:
        end = time.monotonic() + timeout_s
        while True:
            self.cancel.check()
            try:
                line = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() > end:
                    raise MeasurementFailed(f"the run took longer than {timeout_s:.0f} s") from None
                continue
            if line is None:
                raise MeasurementFailed(self._explain_end())
            answer = json.loads(line)
            if "error" in answer:
                raise MeasurementFailed(answer["error"])
            return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # closed while it was read
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put(None)

    def _explain_end(self) -> str:
        code = self._process.wait()
        why = "was killed, perhaps out of memory" if code == -9 else f"ended with code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process {why}{': ' + lines[-1] if lines else ''}"
