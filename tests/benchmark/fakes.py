"""Processes that are none: their runs take as long as they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from facet_nb.benchmark.machine_load import LoadGauge
from facet_nb.benchmark.measured_process import MeasurementFailed
from facet_nb.benchmark.measurement import Configuration, RunTrace
from tests.benchmark.samples import make_memory


class FakeClock:
    """A clock that only runs when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeProcess:
    """One configuration whose n-th run takes ``cost(configuration, n)``; the first is cold.

    With a clock among its quirks it takes that time there, and 0.6 s to start.
    """

    cold_s = 5.0

    def __init__(self, configuration: Configuration, cost: Callable, journal: list, **quirks):
        self.clock = quirks.pop("clock", FakeClock())
        self.clock.now_s += 0.6
        self.configuration, self.cost, self.journal = configuration, cost, journal
        self.start_s, self.load_s, self.pid, self.n = 0.5, 0.1, 0, 0
        self.quirks = quirks
        journal.append(("start", configuration))

    def run(self, timeout_s):
        if self.quirks.get("fails"):
            raise MeasurementFailed("ValidationError: no luck")
        wall_s = self.cost(self.configuration, self.n) + (0 if self.n else self.cold_s)
        self.journal.append(("run", self.configuration, wall_s))
        self.n += 1
        self.clock.now_s += wall_s
        return wall_s, 2 * wall_s, RunTrace(wall_s)

    def run_watched(self, timeout_s):
        self.journal.append(("memory", self.configuration))
        return self.run(timeout_s)[0], make_memory(100.0 * self.configuration.workers)

    def save(self, path: Path):
        self.journal.append(("save", self.configuration))

    def compare(self, path: Path):
        return self.quirks.get("difference", 0.0)

    def read_memory_mb(self):
        return 100.0

    def request_end(self):
        self.journal.append(("dismiss", self.configuration))

    def close(self):
        self.journal.append(("close", self.configuration))


class QuietGauge(LoadGauge):
    """Knows without looking that nothing else goes on."""

    def probe(self):
        return None

    def watch(self, pid):
        return contextlib.nullcontext(SimpleNamespace(other_cores=0.0))
