"""The process in which runs are measured: ``python -m facet_nb.benchmark.child JOB``.

It reads one command per line and answers each with one line of JSON, until its input ends:
``load``, ``run`` (with arguments of ``Pipeline.run``), ``save`` and ``compare`` (the last result).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np


class Child:
    """Loads a job and executes the commands of the parent process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pipeline: Any = None
        self.context: Any = None
        self.result: Any = None

    def load(self, **_: Any) -> dict[str, Any]:
        """Read the chain and the recording."""
        import pickle

        begin = time.perf_counter()
        with open(self.path, "rb") as file:
            job = pickle.load(file)  # written by the process that started this one
        self.pipeline, source = job["pipeline"], job["source"]
        if isinstance(source, str):
            from facet_nb.io import load

            source = load(source)
        self.context = source
        return {"wall_s": time.perf_counter() - begin}

    def run(self, settings: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Run once; measure wall and CPU time of all processes."""
        from facet_nb.benchmark import process_usage, tracing
        from facet_nb.benchmark.json_values import to_plain

        self.result = None
        events: list[Any] = []
        others = _OtherProcesses(process_usage.read_cpu_s)
        # Events are only collected here: evaluating them would be part of the measured time.
        before, begin = time.process_time(), time.perf_counter()
        done = self.pipeline.run(
            self.context,
            show_progress=False,
            raise_on_error=True,
            on_event=events.append,
            **settings,
        )
        wall_s, own_s = time.perf_counter() - begin, time.process_time() - before
        self.result = done.get_context()
        trace = tracing.trace_run(events, done.plan.stages, self.pipeline.processors)
        trace = replace(trace, wall_s=wall_s)  # with planning, which events leave out
        return {"wall_s": wall_s, "cpu_s": own_s + others.stop(), "trace": to_plain(trace)}

    def save(self, path: str, **_: Any) -> dict[str, Any]:
        """Write the samples of the last result to a file."""
        np.save(path, self._samples(), allow_pickle=False)
        self.result = None
        return {}

    def compare(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the largest difference between the last result and a saved one, in V."""
        reference = np.load(path, mmap_mode="r", allow_pickle=False)
        mine = self._samples()
        self.result = None
        return {"max_abs_diff_v": repr(find_difference(mine, reference))}

    def _samples(self) -> np.ndarray:
        raw = self.result.get_raw()
        return raw._data if raw.preload else raw.get_data()


def find_difference(mine: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest absolute difference; infinite if shapes or positions of NaN differ."""
    if mine.shape != reference.shape:
        return float("inf")
    largest = 0.0
    for row, other in zip(mine, reference, strict=True):
        gaps = np.isnan(row)
        if not np.array_equal(gaps, np.isnan(other)):
            return float("inf")
        apart = (row != other) & ~gaps  # equal infinities: their difference would be NaN
        if apart.any():
            largest = max(largest, float(np.max(np.abs(row[apart] - other[apart]))))
    return largest


class _OtherProcesses:
    """Measures the CPU time of this process's descendants."""

    def __init__(self, read_tree: Callable[[int], float]) -> None:
        self.read_tree = read_tree
        self.begin_s = self._read()

    def _read(self) -> float:
        own = os.times()
        return self.read_tree(os.getpid()) - own.user - own.system

    def stop(self) -> float:
        spent_s = self._read() - self.begin_s
        return spent_s if spent_s != spent_s else max(0.0, spent_s)  # NaN: it is not known


def main() -> None:
    """Execute commands until the input ends."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what steps print goes to stderr: stdout holds answers only
    child = Child(sys.argv[1])
    _answer(channel, {"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(child, command.pop("do"))(**command)
        except (Exception, SystemExit) as error:  # the parent marks the point as failed
            answer = {"error": f"{type(error).__name__}: {error}"}
        _answer(channel, answer)


def _answer(channel: Any, values: dict[str, Any]) -> None:
    channel.write(json.dumps(values) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
