"""Events reach the loop coalesced, on the loop's thread, and not more than ten times a second."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

from facet_nb.widgets.pump import Pump


def run(coroutine):
    """Run a coroutine in a loop and a thread of its own: this thread may have a loop already."""
    results = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(coroutine())))
    thread.start()
    thread.join()
    return results[0]


def test_many_calls_are_few_drains():
    async def scenario():
        times_s, threads = [], set()

        def drain():
            times_s.append(time.monotonic())
            threads.add(threading.current_thread())
            return False

        pump = Pump(drain)
        assert pump.attached

        def shout():
            for _ in range(5000):
                pump.wake()
                time.sleep(0.0001)

        worker = threading.Thread(target=shout)
        begin = time.monotonic()
        worker.start()
        while worker.is_alive():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        return times_s, threads, time.monotonic() - begin, threading.current_thread()

    times_s, threads, took_s, loop_thread = run(scenario)
    assert threads == {loop_thread}
    assert 2 <= len(times_s) <= took_s / 0.1 + 2
    gaps_s = [b - a for a, b in itertools.pairwise(times_s)]
    assert min(gaps_s) > 0.09


def test_the_last_word_is_not_lost():
    """What comes while a drain is under way is drained afterwards."""

    async def scenario():
        counts = []
        pump = Pump(lambda: counts.append(len(counts)) or (len(counts) == 1 and wake()), 0.01)

        def wake():
            pump.wake()
            return False

        pump.wake()
        await asyncio.sleep(0.2)
        return counts

    assert run(scenario) == [0, 1]


def test_it_ticks_while_there_is_more_to_come():
    async def scenario():
        calls = []
        pump = Pump(lambda: calls.append(1) or len(calls) < 4, 0.01, tick_s=0.03)
        pump.wake()
        await asyncio.sleep(0.3)
        return len(calls)

    assert run(scenario) == 4


def test_without_a_loop_nothing_happens():
    results = []

    def build_and_wake():
        pump = Pump(lambda: results.append("drained"))
        pump.wake()
        results.append(pump.attached)

    thread = threading.Thread(target=build_and_wake)
    thread.start()
    thread.join()
    assert results == [False]


def test_a_loop_that_has_ended_is_left_alone():
    pumps = []

    async def scenario():
        pumps.append(Pump(lambda: False))

    run(scenario)
    pumps[0].wake()
    assert not pumps[0].attached


def test_what_is_dear_is_done_less_often():
    async def scenario():
        times_s = []

        def drain():
            times_s.append(time.monotonic())
            end_s = time.thread_time() + 0.02
            while time.thread_time() < end_s:
                pass
            return False

        pump = Pump(drain)
        end_s = time.monotonic() + 1.6
        while time.monotonic() < end_s:
            pump.wake()
            await asyncio.sleep(0.01)
        return times_s

    gaps_s = [b - a for a, b in itertools.pairwise(run(scenario))]
    assert len(gaps_s) >= 2 and min(gaps_s) > 0.45
