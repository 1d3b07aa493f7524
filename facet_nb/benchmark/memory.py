"""Measure the memory of a process tree from another process, at a bounded cost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from facet_nb.benchmark import process_usage
from facet_nb.benchmark.measurement import Band, MemoryUse, ProcessTimeline

#: Intervals at which resident memory is read, and new processes are searched for, in s.
PERIOD_S, SEARCH_S = 0.02, 0.1
#: Upper bound of the meter's CPU time, as a share of the wall time of the run.
MAX_SHARE = 0.015
_KEPT_SAMPLES = 400


@dataclass
class _Process:
    """Readings of one process."""

    times_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    pss_times_s: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    uss_mb: list[float] = field(default_factory=list)
    hwm_mb: float = 0.0

    def freeze(self, name: str) -> ProcessTimeline:
        times, rss = _thin(self.times_s, self.rss_mb)
        pss_times, uss = _thin(self.pss_times_s, self.uss_mb)
        _, pss = _thin(self.pss_times_s, self.pss_mb)  # empty where PSS is not reported
        return ProcessTimeline(name, times, rss, pss_times, pss, uss, round(self.hwm_mb, 3))


class MemoryMeter:
    """Measures the memory of a process and its descendants during a run.

    Resident memory is read every 20 ms. Reading PSS takes the kernel up to tens of milliseconds,
    so it is read only as often as the meter's own CPU time stays below 1.5 % of the wall time; in
    between, it is estimated from resident memory and the share measured last. The exact
    high-water marks of the processes cover what happens between two readings. The meter runs in
    another process than those it measures, so that its own memory does not count.

    Parameters
    ----------
    pid : int
        Process id of the root of the process tree.

    Examples
    --------
    >>> import os, subprocess, sys
    >>> child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
    >>> with MemoryMeter(child.pid) as meter:
    ...     _ = child.poll()
    >>> child.kill(); _ = child.wait()
    >>> meter.result().peak_rss_mb > 0
    True
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.own_cpu_s = 0.0
        self.wall_s = 0.0
        self.base_mb = 0.0
        self.peak_pss_mb: float | None = None
        self.peak_rss_mb = self.peak_uss_mb = 0.0
        self.n_samples = 0
        self._found: dict[int, _Process] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="facet_nb-meter", daemon=True)
        self._begin = 0.0
        self._counts_pss = process_usage.counts_pss()
        self._cost_s_per_mb = 0.0
        self._rss_mb = 0.0  # at the last reading
        self._times_s: list[float] = []

    def __enter__(self) -> MemoryMeter:
        # Loading the recording may have used more memory than the run will: start with new peaks.
        for pid in process_usage.list_tree(self.pid):
            process_usage.reset_peak(pid)
        self._begin = time.perf_counter()
        before = time.thread_time()
        self._look(self._search(), shares=True)
        self._cost_s_per_mb = (time.thread_time() - before) / max(1.0, self._rss_mb)
        self.base_mb = self.peak_rss_mb if self.peak_pss_mb is None else self.peak_pss_mb
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall_s = time.perf_counter() - self._begin
        # A last reading after the run: processes that still live report their exact peaks.
        self._done.set()
        self._thread.join()
        self._look(self._search(), shares=True)

    def result(self, bands: Sequence[Band] = ()) -> MemoryUse:
        """Return the memory that was measured.

        Parameters
        ----------
        bands : sequence of Band
            Stages of the run, to be shown in plots.
        """
        return MemoryUse(
            peak_pss_mb=None if self.peak_pss_mb is None else round(self._estimate_peak(), 3),
            peak_hwm_mb=round(sum(p.hwm_mb for p in self._found.values()), 3),
            peak_rss_mb=round(self.peak_rss_mb, 3),
            peak_uss_mb=round(self.peak_uss_mb, 3),
            base_mb=round(self.base_mb, 3),
            method=process_usage.EXACT if self._counts_pss else process_usage.COARSE,
            sampler_cpu_share=round(self.own_cpu_s / self.wall_s, 5) if self.wall_s else 0.0,
            n_samples=self.n_samples,
            processes=tuple(
                p.freeze("main" if pid == self.pid else f"worker {i}")
                for i, (pid, p) in enumerate(self._found.items())
            ),
            bands=tuple(bands),
        )

    def _estimate_peak(self) -> float:
        """Return the largest sum of PSS, read or estimated between two readings, in MB."""
        total = np.zeros(len(self._times_s))
        for process in self._found.values():
            at = np.searchsorted(self._times_s, process.times_s)
            total[at] += estimate_pss(
                process.times_s, process.rss_mb, process.pss_times_s, process.pss_mb
            )
        return max(self.peak_pss_mb or 0.0, float(total.max(initial=0.0)))

    # -------------------------------------------------------------------------- on its thread
    def _watch(self) -> None:
        began = time.thread_time()
        pids = list(self._found)
        searched_s = time.perf_counter()
        while not self._done.wait(PERIOD_S):
            now = time.perf_counter()
            spent_s = self.own_cpu_s = time.thread_time() - began
            allowed_s = MAX_SHARE * (now - self._begin)
            if spent_s > allowed_s:
                continue
            if now - searched_s > SEARCH_S:
                pids, searched_s = self._search(), now
            self._look(pids, shares=False)
            # The cost of PSS grows with the number of pages: predict it from the last reading.
            before = time.thread_time()
            if before - began + self._cost_s_per_mb * self._rss_mb <= allowed_s:
                self._look(pids, shares=True)
                self._cost_s_per_mb = (time.thread_time() - before) / max(1.0, self._rss_mb)
        self.own_cpu_s = time.thread_time() - began

    def _search(self) -> list[int]:
        return [pid for pid in process_usage.list_tree(self.pid) if pid != os.getpid()]

    def _look(self, pids: Sequence[int], shares: bool) -> None:
        """Read the memory of all processes once."""
        total_mb, now_s = 0.0, time.perf_counter() - self._begin
        self._times_s.append(now_s)
        for pid in pids:
            size = process_usage.read_rss_mb(pid)
            if size is None:
                continue
            entry = self._found.setdefault(pid, _Process())
            entry.times_s.append(now_s)
            entry.rss_mb.append(size)
            peak = process_usage.read_peak_mb(pid) if shares else None
            entry.hwm_mb = max(entry.hwm_mb, size, peak or 0.0)
            total_mb += size
        self._rss_mb = total_mb
        self.peak_rss_mb = max(self.peak_rss_mb, total_mb)
        if shares:
            self._share(pids)

    def _share(self, pids: Sequence[int]) -> None:
        """Read PSS and USS of all processes; a new peak must be confirmed by a second reading."""
        # While pages move from one process to another, one order of reading counts them in both
        # processes and the opposite order in neither: the smaller sum never exceeds the truth.
        found = {pid: process_usage.read_shares(pid) for pid in pids}
        now_s = time.perf_counter() - self._begin
        pss, uss = _add(found.values())
        if pss > (self.peak_pss_mb or 0.0):
            again_pss, again_uss = _add([process_usage.read_shares(pid) for pid in reversed(pids)])
            pss, uss = min(pss, again_pss), min(uss, again_uss)
        for pid, part in found.items():
            if part is not None and pid in self._found:
                entry = self._found[pid]
                entry.pss_times_s.append(now_s)
                entry.uss_mb.append(part.uss_mb)
                if part.pss_mb is not None:
                    entry.pss_mb.append(part.pss_mb)
        self.peak_uss_mb = max(self.peak_uss_mb, uss)
        if pss:
            self.n_samples += 1
            self.peak_pss_mb = max(self.peak_pss_mb or 0.0, pss)


def _add(shares: Iterable[process_usage.Shares | None]) -> tuple[float, float]:
    parts = [s for s in shares if s is not None]
    return sum(s.pss_mb or 0.0 for s in parts), sum(s.uss_mb for s in parts)


def estimate_pss(
    times_s: Sequence[float] | np.ndarray,
    rss_mb: Sequence[float] | np.ndarray,
    pss_times_s: Sequence[float],
    pss_mb: Sequence[float],
) -> np.ndarray:
    """Estimate proportional memory at the times of resident memory, which is read more often.

    The estimate is resident memory minus its shared part. The shared part is the larger one of
    the readings of PSS before and after, so that the estimate is a lower bound.

    Parameters
    ----------
    times_s, rss_mb : sequence of float
        Resident memory of a process, in MB, at times in s.
    pss_times_s, pss_mb : sequence of float
        Its proportional memory, in MB, at times in s.

    Returns
    -------
    ndarray, shape (n_times,)
        Proportional memory, in MB; zeros if PSS was never read.
    """
    if not len(pss_times_s):
        return np.zeros(len(times_s))
    times, rss = np.asarray(times_s), np.asarray(rss_mb)
    shared = np.interp(pss_times_s, times, rss) - np.asarray(pss_mb)
    after = np.searchsorted(pss_times_s, times)
    before = np.clip(after - 1, 0, len(shared) - 1)
    after = np.clip(after, 0, len(shared) - 1)
    return np.maximum(0.0, rss - np.maximum(shared[before], shared[after]))


def _thin(times: list[float], values: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return at most a few hundred samples: the maximum of each interval, at its start."""
    step = -(-len(times) // _KEPT_SAMPLES) or 1
    starts = range(0, min(len(times), len(values)), step)
    kept = tuple(round(max(values[i : i + step]), 3) for i in starts)
    return tuple(round(times[i], 4) for i in starts), kept
