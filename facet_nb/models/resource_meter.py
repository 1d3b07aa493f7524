"""Measure memory and CPU of this process and its workers during a run."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

#: Interval between samples, in s. Reading one process takes about 0.2 ms.
INTERVAL_S = 0.5

#: Interval between searches for workers, in s. A search lists all processes of the machine, which
#: takes 4 to 10 ms; it is also done when an event names a new process.
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
        self._own = psutil.Process()
        self._heard = {self._own.pid}
        self._search_s = float("inf")
        self._known: dict[int, psutil.Process] = {}
        self._cpu_s: dict[int, float] = {}
        self._last_s: float | None = None

    def sample(self) -> ResourceSample | None:
        """Return a sample; None if the interval has not passed since the last one."""
        now_s = time.time()
        if self._last_s is not None and now_s - self._last_s < self.interval_s:
            return None
        rss, cpu_s = 0, {}
        for process in self._list(now_s):
            try:
                with process.oneshot():
                    rss += process.memory_info().rss
                    times = process.cpu_times()
            except psutil.Error:
                continue  # the process has just ended
            cpu_s[process.pid] = times.user + times.system
        spent_s = sum(s - self._cpu_s.get(pid, s) for pid, s in cpu_s.items())
        percent = 0.0 if self._last_s is None else 100.0 * spent_s / (now_s - self._last_s)
        self._last_s, self._cpu_s = now_s, cpu_s
        return ResourceSample(now_s, rss, percent, len(cpu_s))

    def watch(self, pids: Collection[int]) -> None:
        """Announce worker processes; unknown ones are searched for at the next sample."""
        if not self._heard.issuperset(pids):
            self._heard |= set(pids)
            self._search_s = 0.0

    def _list(self, now_s: float) -> list[psutil.Process]:
        if now_s >= self._search_s:
            try:
                children = self._own.children(recursive=True)
            except psutil.Error:
                children = []
            # A psutil.Process caches what it has read: keep the objects of known processes.
            self._known = {c.pid: self._known.get(c.pid, c) for c in children}
            self._search_s = now_s + SEARCH_S if children else float("inf")
        return [self._own, *self._known.values()]


def extend(samples: tuple[ResourceSample, ...], new: ResourceSample) -> tuple[ResourceSample, ...]:
    """Return `samples` with a new one, of limited length."""
    longer = (*samples, new)
    return longer if len(longer) <= LENGTH else longer[::2]
