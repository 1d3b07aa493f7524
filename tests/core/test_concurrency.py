"""Several runs at once, runs inside workers, and what the engine limits meanwhile."""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
import types
import weakref

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from facet_nb.core import CancelToken, Pipeline
from facet_nb.core.execution import threads as inner
from tests.contract.equality import assert_same
from tests.core import toys
from tests.core.toys import PLACES, ids
from tests.faults.test_failures import run_program


@pytest.fixture(scope="module")
def ctx():
    return toys.make_context()


def short_chain():
    return [toys.Demeaned(), toys.ZScore(), toys.Halved()]


@pytest.fixture(scope="module")
def expected(ctx):
    return Pipeline(short_chain()).run(ctx, raise_on_error=True).context


def blas_threads():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]


# -------------------------------------------------------------------------------- several at once
@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_two_runs_at_once(ctx, expected, options):
    def run(_):
        return Pipeline(short_chain()).run(ctx, raise_on_error=True, **options).context

    before = blas_threads()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for result in pool.map(run, range(4)):
            assert_same(result, expected)
    assert blas_threads() == before


@pytest.mark.slow
def test_different_numbers_of_workers_at_once(ctx):
    """loky has one set of workers: unguarded, these runs wait for one another for ever."""
    steps = [toys.Halved(), toys.ZScore()]
    expected = Pipeline(steps).run(ctx, raise_on_error=True).context

    def run(n_jobs):
        options = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": n_jobs}
        return Pipeline(steps).run(ctx, raise_on_error=True, **options).context

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for result in pool.map(run, [2, 3]):
            assert_same(result, expected)


def test_a_cancelled_run_leaves_its_neighbour_alone(expected):
    wide = toys.wide_context(6)
    options = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2}
    token = CancelToken()
    results = {}

    def run(name, seconds, cancel=None):
        steps = [toys.Sleeping(seconds), toys.ZScore()]
        results[name] = Pipeline(steps).run(wide, cancel=cancel, **options)

    threads = [
        threading.Thread(target=run, args=("cancelled", 5.0, token)),
        threading.Thread(target=run, args=("neighbour", 0.2)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    token.cancel()
    for thread in threads:
        thread.join(60)
    assert results["cancelled"].cancelled
    assert results["neighbour"].success, results["neighbour"].error


def test_blas_is_limited_while_runs_overlap_and_restored_after():
    before = blas_threads()
    inside, leave = threading.Barrier(3), threading.Event()
    seen = []

    def hold(first):
        with inner.one_thread():
            inside.wait(10)
            seen.append(set(blas_threads()))
            if not first:
                leave.wait(10)

    threads = [threading.Thread(target=hold, args=(i == 0,)) for i in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    threads[0].join(10)
    assert set(blas_threads()) == {1}, "the other run is still on"
    leave.set()
    threads[1].join(10)
    assert seen == [{1}, {1}]
    assert blas_threads() == before
    with pytest.raises(ValueError, match="x"), inner.one_thread():
        raise ValueError("x")
    assert blas_threads() == before


def test_libraries_are_looked_for_again_only_after_an_import(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl", minversion="3.8")
    monkeypatch.setattr(threadpoolctl, "_CACHED_SYS_MODULES_LEN", -1)
    look, found = threadpoolctl.ThreadpoolController, []
    monkeypatch.setattr(
        threadpoolctl, "ThreadpoolController", lambda: found.append(look()) or found[-1]
    )
    for name in (None, None, "came_later"):
        if name:
            assert len(found) == 1
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        with inner.one_thread():
            threads = {p["num_threads"] for p in look().info() if p["user_api"] == "blas"}
        assert threads == {1}
    assert len(found) == 2


def test_log_level_of_mne_survives_threads(ctx):
    import mne

    class Chatty(toys.ChannelWise):
        def process(self, context):
            raw = context.get_raw().copy()
            for _ in range(10):
                raw.copy().crop(0, 1, verbose="error")
                mne.io.RawArray(raw.get_data(), raw.info, verbose="critical")
            return context.with_raw(raw)

    level = logging.getLogger("mne").level
    for _ in range(3):
        Pipeline([Chatty()]).run(
            ctx, mode="parallel", backend="threading", n_jobs=4, raise_on_error=True
        )
        assert logging.getLogger("mne").level == level


# --------------------------------------------------------------------------- runs inside workers
def run_inside(options):
    ctx = toys.make_context()
    return Pipeline(short_chain()).run(ctx, raise_on_error=True, **options).context


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["loky", "daemon", "futures"])
def test_a_run_inside_a_worker(expected, pool):
    options = PLACES[2]
    if pool == "loky":
        from joblib import Parallel, delayed

        results = Parallel(2)(delayed(run_inside)(options) for _ in range(2))
    elif pool == "daemon":
        with multiprocessing.get_context("spawn").Pool(1) as workers:
            results = workers.map(run_inside, [options])
    else:
        with concurrent.futures.ProcessPoolExecutor(2) as workers:
            results = list(workers.map(run_inside, [options] * 2))
    for result in results:
        assert_same(result, expected)


@pytest.mark.slow
def test_a_run_inside_a_step(ctx):
    def nested(context):
        inner = Pipeline([toys.Halved(), toys.ZScore()])
        return inner.run(context, raise_on_error=True, **PLACES[2]).context

    flat = Pipeline([toys.Demeaned(), toys.Halved(), toys.ZScore()]).run(ctx, raise_on_error=True)
    for options in PLACES:
        result = Pipeline([toys.Demeaned(), nested]).run(ctx, raise_on_error=True, **options)
        assert np.array_equal(result.get_raw().get_data(), flat.get_raw().get_data())
        noise = flat.context.get_estimated_noise()
        assert np.array_equal(result.context.get_estimated_noise(), noise)
        again = Pipeline([toys.Demeaned(), Pipeline([toys.Halved(), toys.ZScore()])])
        assert np.array_equal(
            again.run(ctx, raise_on_error=True, **options).get_raw().get_data(),
            flat.get_raw().get_data(),
        )


# ---------------------------------------------------------------------------- classes of a program
PROGRAM = """
    import warnings
    warnings.simplefilter("error")
    import numpy as np
    from facet_nb.core import *
    from tests.core import toys

    FACTOR = 2.0

    class Mine(Processor):
        requires_raw = True
        channel_wise = True

        def process(self, context):
            raw = context.get_raw().copy()
            raw._data = raw._data * FACTOR
            return context.with_raw(raw)

    class MyArray(ArrayProcessor):
        linear = True

        def prepare(self, view):
            return Prepared(Payload(FACTOR))

        def compute(self, x, prepared, out=None):
            return np.multiply(x, prepared.payload.factor, out=out)

    class Payload:
        def __init__(self, factor):
            self.factor = factor

    if __name__ == "__main__":
        ctx = toys.make_context()
        kept = Mine.process, MyArray.compute, Payload.__init__
        pipeline = Pipeline([toys.Demeaned(), Mine(), MyArray(), toys.Demeaned()])
        serial = pipeline.run(ctx, raise_on_error=True)
        runs = [pipeline.run(ctx, mode="parallel", n_jobs=2, raise_on_error=True)]
        batch = pipeline.map([ctx, ctx], n_jobs=2, show_progress=False)
        runs += list(batch)
        for run in runs:
            assert run.success, run.error
            assert np.array_equal(run.get_raw().get_data(), serial.get_raw().get_data())
            noise = run.context.get_estimated_noise()
            assert np.array_equal(noise, serial.context.get_estimated_noise())
        assert kept == (Mine.process, MyArray.compute, Payload.__init__), "a class was overwritten"
        FACTOR = 3.0
        first = pipeline.run(ctx, raise_on_error=True).get_raw().get_data("E1")
        second = pipeline.run(ctx, mode="parallel", n_jobs=2, raise_on_error=True)
        assert np.array_equal(second.get_raw().get_data("E1"), first)
        print("fine")
"""


@pytest.mark.slow
def test_classes_of_the_main_program(tmp_path):
    """They run in processes, without any warning, and stay the program's own."""
    done = run_program(PROGRAM, tmp_path)
    assert "fine" in done.stdout, done.stderr
    assert done.stderr == ""
    assert not list(tmp_path.glob("facet_nb-*"))


# ------------------------------------------------------------------------------------ inner pool
def inner_threads():
    return [t for t in threading.enumerate() if t.name.startswith("facet_nb-inner")]


def test_one_pool_for_each_calling_thread():
    pools = {}

    def ask(name):
        pools[name] = inner.get_pool(2)
        assert inner.get_pool(2) is pools[name]
        assert inner.get_pool(1) is pools[name]
        pools[name].submit(int).result()

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(p) for p in pools.values()}) == 3


def test_a_pool_grows_and_never_shrinks():
    """In a thread of its own: this one may have a large pool already."""

    def ask():
        small = inner.get_pool(1)
        large = inner.get_pool(3)
        return small is not large and inner.get_pool(2) is large

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(ask).result()


def test_pool_ends_with_its_thread():
    before = len(inner_threads())

    def work():
        inner.run_blocks(lambda block: time.sleep(0.01), inner.split(4, 4))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    seen = weakref.ref(thread)
    del thread
    gc.collect()
    assert seen() is None
    deadline = time.monotonic() + 5
    while len(inner_threads()) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(inner_threads()) <= before


def test_exceptions_of_blocks_come_out_when_all_have_ended():
    ended = []

    def work(block):
        if block.start == 1:
            raise ValueError("block 1")
        time.sleep(0.05)
        ended.append(block.start)

    with pytest.raises(ValueError, match="block 1"):
        inner.run_blocks(work, inner.split(4, 4))
    assert sorted(ended) == [0, 2, 3]


def test_cpu_time_of_blocks_is_summed():
    def work(block):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    assert 0.06 <= inner.run_blocks(work, inner.split(3, 3)) < 0.2


@pytest.mark.parametrize(
    ("n", "n_blocks", "smallest", "lengths"),
    [(10, 3, 1, [3, 3, 4]), (2, 4, 1, [1, 1]), (100, 4, 60, [100]), (100, 4, 50, [50, 50])],
)
def test_split(n, n_blocks, smallest, lengths):
    blocks = inner.split(n, n_blocks, smallest)
    assert [b.stop - b.start for b in blocks] == lengths
    assert [i for b in blocks for i in range(n)[b]] == list(range(n))


def forked():
    """In a fork: pools of the parent are not there, and its own work."""
    total = []
    inner.run_blocks(lambda b: total.append(b.start), inner.split(4, 3))
    with inner.one_thread():
        limited = set(blas_threads())
    return len(total), limited, threading.current_thread() in inner._pools


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork():
    inner.get_pool(2).submit(int).result()
    # A run is on in the parent when it forks.
    with inner.one_thread(), multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(forked).get(timeout=30) == (3, {1}, True)
