"""The memory meter beside allocations of known size."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest

from facet_nb.benchmark import process_usage
from facet_nb.benchmark.memory import MemoryMeter
from facet_nb.plots import plot_memory
from tests.benchmark.samples import make_point

MIB = 2**20 / 1e6
linux = pytest.mark.skipif(not process_usage.counts_pss(), reason="PSS is told by Linux only")


def watch(program: str) -> MemoryMeter:
    """Run a program that prints a line when it begins and one when it is through."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdin is not None
    try:
        assert child.stdout.readline() == "ready\n"
        with MemoryMeter(child.pid) as meter:
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    return meter


TALK = """
    import mmap, os, sys, time
    def say(word):
        print(word, flush=True)
    def touch(block):
        for i in range(0, len(block), 4096):
            block[i] = 1
"""


@linux
def test_200_mib_in_one_process_are_found_within_2_percent():
    meter = watch(
        TALK
        + """
    say("ready"); input()
    block = mmap.mmap(-1, 200 * 2**20)
    touch(block)
    time.sleep(1.0)
    say("done"); input()
    """
    )
    use = meter.result()
    assert use.peak_pss_mb - use.base_mb == pytest.approx(200 * MIB, rel=0.02)
    assert use.peak_hwm_mb == pytest.approx(use.peak_rss_mb, rel=0.02)
    assert use.sampler_cpu_share < 0.02
    assert [p.name for p in use.processes] == ["main"] and use.n_samples >= 2


@linux
def test_pages_shared_by_four_workers_count_once():
    meter = watch(
        TALK
        + """
    say("ready"); input()
    block = mmap.mmap(-1, 200 * 2**20)
    touch(block)
    workers = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            total = sum(block[i] for i in range(0, len(block), 4096))
            time.sleep(30); os._exit(0)
        workers.append(pid)
    time.sleep(1.2)
    say("done"); input()
    """
    )
    use = meter.result()
    assert len(use.processes) == 5
    shared = use.peak_pss_mb - use.base_mb
    private = sum(p.uss_mb[-1] for p in use.processes if p.name != "main")  # of interpreters
    assert shared - private == pytest.approx(200 * MIB, rel=0.02), (shared, private)
    assert use.peak_rss_mb - use.base_mb > 4.5 * 200 * MIB
    assert all(p.uss_mb[-1] < 0.1 * shared for p in use.processes if p.name != "main")


@linux
def test_a_peak_between_two_samples_is_in_the_high_water_mark():
    meter = watch(
        TALK
        + """
    say("ready"); input()
    block = mmap.mmap(-1, 100 * 2**20)
    touch(block)
    block.close()
    time.sleep(0.1)
    say("done"); input()
    """
    )
    use = meter.result()
    assert use.peak_hwm_mb > use.base_mb + 98 * MIB


def test_the_tree_of_this_process():
    assert process_usage.list_tree(os.getpid())[0] == os.getpid()
    assert process_usage.read_rss_mb(os.getpid()) > 10
    assert process_usage.read_peak_mb(os.getpid()) >= 0.9 * process_usage.read_rss_mb(os.getpid())
    begin = process_usage.read_cpu_s(os.getpid())
    deadline = time.thread_time() + 0.05
    while time.thread_time() < deadline:
        pass
    assert process_usage.read_cpu_s(os.getpid()) - begin > 0.02


def test_a_process_that_has_ended():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_usage.read_rss_mb(child.pid) is None
    assert process_usage.read_shares(child.pid) is None
    assert process_usage.list_tree(child.pid) == []
    assert not process_usage.reset_peak(child.pid)


def test_without_proc_resident_memory_is_told_and_named(monkeypatch):
    monkeypatch.setattr(process_usage, "_PROC", "/nowhere")
    meter = watch(
        TALK
        + """
    say("ready"); input()
    time.sleep(0.1)
    say("done"); input()
    """
    )
    use = meter.result()
    assert use.peak_pss_mb is None and use.peak_mb == use.peak_rss_mb > 3
    assert "resident memory" in use.method


#: What psutil answers there: sizes in bytes, of a process whose peak was between two looks.
ANSWERS = {
    "macOS": {"rss": 300e6, "vms": 9e9, "pfaults": 4000, "pageins": 20},
    "Windows": {"rss": 300e6, "vms": 310e6, "num_page_faults": 4000, "peak_wset": 450e6},
}


@pytest.mark.parametrize("system", ANSWERS)
def test_what_psutil_tells_on_other_systems(monkeypatch, system):
    import psutil

    class Told:
        """A process and its worker, as psutil shows them on another system."""

        def __init__(self, pid):
            if pid not in (1000, 1001):
                raise psutil.NoSuchProcess(pid)
            self.pid = pid

        def children(self, recursive):
            return [Told(1001)] if self.pid == 1000 else []

        def memory_info(self):
            return SimpleNamespace(**ANSWERS[system])

        def memory_full_info(self):
            return SimpleNamespace(**ANSWERS[system], uss=120e6)

        def cpu_times(self):
            return SimpleNamespace(user=1.5, system=0.5)  # Windows has no times of children

        def create_time(self):
            return 123.0

    monkeypatch.setattr(process_usage, "_PROC", "/nowhere")
    monkeypatch.setattr(psutil, "Process", Told)
    with MemoryMeter(1000) as meter:
        time.sleep(0.15)
    use = meter.result()
    assert use.peak_pss_mb is None and use.method == process_usage.COARSE
    assert use.peak_mb == use.peak_rss_mb == use.base_mb == 600.0 and use.peak_uss_mb == 240.0
    assert use.peak_hwm_mb == (900.0 if system == "Windows" else 600.0)
    assert [p.name for p in use.processes] == ["main", "worker 1"]
    assert all(p.rss_mb[0] == 300.0 and p.uss_mb[0] == 120.0 for p in use.processes)
    assert process_usage.read_cpu_s(1000) == 4.0 and process_usage.read_rss_mb(7) is None
    assert process_usage.read_shares(7) is None and not process_usage.reset_peak(1000)
    picture = plot_memory(make_point(memory=use))
    assert "resident" in picture.caption and picture.to_png()
