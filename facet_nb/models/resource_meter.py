"""Memory and CPU of this process and its workers, while something runs."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

#: Looking at one process costs about 0.2 ms: twice a second that is nothing.
INTERVAL_S = 0.5

#: Searching for workers costs 4 to 10 ms, as all processes of the machine are listed: it is done
#: when a new one has been heard of, and at times, if there are any.
SEARCH_S = 5.0

#: How many samples are kept; when there are more, every other one goes.
LENGTH = 150


@dataclass(frozen=True)
class ResourceSample:
    """What was used at one moment.

    Attributes
    ----------
    time_s : float
        When, in seconds since the epoch.
    rss_bytes : int
        Resident memory, summed over this process and its children; pages that they share count in
        each of them.
    cpu_percent : float
        CPU since the sample before, in percent of one core.
    n_processes : int
        Processes that were counted.
    """

    time_s: float
    rss_bytes: int
    cpu_percent: float
    n_processes: int


class ResourceMeter:
    """Takes samples, not more often than it is told.

    Parameters
    ----------
    interval_s : float
        Shortest time between two samples, in s.

    Attributes
    ----------
    looks_for_workers : bool
        Whether child processes are counted, too.
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
        """Return what is used now; None if the last look was too short a time ago."""
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
                continue  # it has just ended
            cpu_s[process.pid] = times.user + times.system
        spent_s = sum(s - self._cpu_s.get(pid, s) for pid, s in cpu_s.items())
        percent = 0.0 if self._last_s is None else 100.0 * spent_s / (now_s - self._last_s)
        self._last_s, self._cpu_s = now_s, cpu_s
        return ResourceSample(now_s, rss, percent, len(cpu_s))

    def watch(self, pids: Collection[int]) -> None:
        """Hear of processes that work; new ones are searched for with the next look."""
        if not self._heard.issuperset(pids):
            self._heard |= set(pids)
            self._search_s = 0.0

    def _list(self, now_s: float) -> list[psutil.Process]:
        if now_s >= self._search_s:
            try:
                children = self._own.children(recursive=True)
            except psutil.Error:
                children = []
            # A psutil.Process remembers what it has read: keep those that are still there.
            self._known = {c.pid: self._known.get(c.pid, c) for c in children}
            self._search_s = now_s + SEARCH_S if children else float("inf")
        return [self._own, *self._known.values()]


def extend(samples: tuple[ResourceSample, ...], new: ResourceSample) -> tuple[ResourceSample, ...]:
    """Return `samples` with a new one, bounded."""
    longer = (*samples, new)
    return longer if len(longer) <= LENGTH else longer[::2]
