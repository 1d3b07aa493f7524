"""Measure memory and CPU of this process and its workers during a run."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass

from facet_nb.benchmark import process_usage
from facet_nb.benchmark.measurement import MB

#: Interval between samples, in s. Reading one process takes about 0.2 ms.
INTERVAL_S = 0.5

#: Interval between searches for workers, in s. Where the system does not list the children of a
#: process, a search takes 4 to 10 ms; it is also done when an event names a new process.
SEARCH_S = 5.0

#: Largest number of samples; if there are more, every other one is dropped.
LENGTH = 150


@dataclass(frozen=True)
class ResourceSample:
    """Memory and CPU at one moment.

    Attributes
    ----------
    time_s : float
        Time, in seconds since the epoch.
    rss_bytes : int
        Resident memory of this process and its children; shared pages count in each process.
    cpu_percent : float
        CPU time since the previous sample, in percent of one core.
    n_processes : int
        Number of processes.
    """

    time_s: float
    rss_bytes: int
    cpu_percent: float
    n_processes: int


class ResourceMeter:
    """Takes samples at a limited rate.

    Parameters
    ----------
    interval_s : float
        Shortest time between two samples, in s.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self.interval_s = interval_s
        self._own = os.getpid()
        self._heard = {self._own}
        self._search_s = float("inf")
        self._known: list[int] = []
        self._cpu_s: dict[int, float] = {}
        self._last_s: float | None = None

    def sample(self) -> ResourceSample | None:
        """Return a sample.

        None if the interval has not passed since the last one, or nothing can be measured here.
        """
        now_s = time.time()
        if self._last_s is not None and now_s - self._last_s < self.interval_s:
            return None
        if not process_usage.can_measure():
            return None
        rss, cpu_s = 0, {}
        for pid in self._list(now_s):
            size, times = process_usage.read_rss_mb(pid), process_usage.read_times(pid)
            if size is None or times is None:
                continue  # the process has just ended
            rss += round(size * MB)
            cpu_s[pid] = times.own_s
        spent_s = sum(s - self._cpu_s.get(pid, s) for pid, s in cpu_s.items())
        percent = 0.0 if self._last_s is None else 100.0 * spent_s / (now_s - self._last_s)
        self._last_s, self._cpu_s = now_s, cpu_s
        return ResourceSample(now_s, rss, percent, len(cpu_s))

    def watch(self, pids: Collection[int]) -> None:
        """Announce worker processes; unknown ones are searched for at the next sample."""
        if not self._heard.issuperset(pids):
            self._heard |= set(pids)
            self._search_s = 0.0

    def _list(self, now_s: float) -> list[int]:
        if now_s >= self._search_s:
            self._known = process_usage.list_tree(self._own)[1:]
            self._search_s = now_s + SEARCH_S if self._known else float("inf")
        return [self._own, *self._known]


def extend(samples: tuple[ResourceSample, ...], new: ResourceSample) -> tuple[ResourceSample, ...]:
    """Return `samples` with a new one, of limited length."""
    longer = (*samples, new)
    return longer if len(longer) <= LENGTH else longer[::2]
