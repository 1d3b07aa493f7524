"""Repeated work in separate processes, each started by the parent.

Needs the standard library and psutil only, so that other packages' environments can run it:

    python _server.py NAME JSON

imports ``_works``, prepares the work NAME once (not measured), and then does it once for each line
that it reads, answering with CPU time and wall time.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

_SIGN = "@@work "
_HERE = Path(__file__).resolve()


def serve(name: str, options: dict[str, Any]) -> None:
    """Prepare, and answer until the input ends."""
    import _works

    begin = _cpu_s()
    run = getattr(_works, name)(**options)
    _say({"ready_cpu_s": _cpu_s() - begin})
    for _ in sys.stdin:
        gc.collect()
        cpu, wall = _cpu_s(), time.perf_counter()
        answer = run()
        wall = time.perf_counter() - wall
        cpu = _cpu_s() - cpu
        extra = answer() if callable(answer) else answer
        _say({"cpu_s": cpu, "wall_s": wall, **(extra or {})})
        del answer, extra


def _cpu_s() -> float:
    """Return CPU seconds of this process, to the microsecond, and of its descendants."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _say(message: dict) -> None:
    print("\n" + _SIGN + json.dumps(message), flush=True)


class Worker:
    """A process for one kind of work.

    Parameters
    ----------
    name : str
        A function of ``_works``.
    options : dict
        Its arguments.
    python : str
        The interpreter.
    environment : dict
        Variables that differ from this process's.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - the child writes to it
        self.child = subprocess.Popen(
            [python, str(_HERE), name, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            bufsize=1,
            cwd=_HERE.parent,
            env={**os.environ, "MPLBACKEND": "agg", **threads, **(environment or {})},
        )
        self.ready = self._listen()

    def run(self) -> dict[str, float]:
        """Return CPU seconds, wall seconds and peak memory of one repetition."""
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self._listen()

    def _listen(self) -> dict:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if line.startswith(_SIGN):
                return json.loads(line[len(_SIGN) :])
        code = self.child.wait()
        self.said.seek(0)
        last = (self.said.read().strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the work {self.name} ended with code {code}: {last}")

    def close(self) -> None:
        """End the process."""
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()
        self.child.wait()


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
