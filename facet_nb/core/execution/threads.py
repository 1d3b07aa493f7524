"""Threads inside one kernel call: ``n_workers``.

Each calling thread has its own pool, weakly kept, so that outer workers never queue behind one
another (the idea of SpikeInterface's pull request 4564). Pools are not inherited by forks.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

#: Below this a block of time is not worth a thread (the pull request's figure).
MIN_BLOCK = 8192

_pools: weakref.WeakKeyDictionary[threading.Thread, tuple[int, ThreadPoolExecutor]]

_pools = weakref.WeakKeyDictionary()

_lock = threading.Lock()


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def get_pool(n_workers: int) -> ThreadPoolExecutor:
    """Return the calling thread's pool, of at least `n_workers` threads."""
    thread = threading.current_thread()
    with _lock:
        size, pool = _pools.get(thread, (0, None))
        if pool is None or size < n_workers:
            if pool is not None:
                pool.shutdown(wait=False)
            pool = ThreadPoolExecutor(n_workers, thread_name_prefix="facet_nb-inner")
            _pools[thread] = n_workers, pool
            finalizer = weakref.finalize(thread, pool.shutdown, wait=False)
            finalizer.atexit = False  # the interpreter ends its executors by itself
        return pool


def run_blocks(work: Callable[[slice], None], blocks: Sequence[slice]) -> float:
    """Call `work` for each block, over the calling thread's pool; return CPU seconds.

    The calling thread takes the first block itself. An exception of any block is raised once all
    have ended.
    """

    def timed(block: slice) -> float:
        begin = time.thread_time()
        work(block)
        return time.thread_time() - begin

    if len(blocks) == 1:
        return timed(blocks[0])
    futures = [get_pool(len(blocks) - 1).submit(timed, block) for block in blocks[1:]]
    try:
        first = timed(blocks[0])
    finally:
        done = [f.exception() for f in futures]
    for error in done:
        if error is not None:
            raise error
    return first + sum(f.result() for f in futures)


def split(n: int, n_blocks: int, smallest: int = 1) -> list[slice]:
    """Cut ``range(n)`` into at most `n_blocks` even slices of at least `smallest`."""
    n_blocks = max(1, min(n_blocks, n // max(1, smallest)))
    edges = np.linspace(0, n, n_blocks + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


_blas_lock = threading.Lock()

_owners = 0

_limits: Any = None


def _forget_blas() -> None:
    """After a fork: runs of the parent's other threads are none of the child's."""
    global _blas_lock, _owners, _limits
    _blas_lock, _owners, _limits = threading.Lock(), 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_blas)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any run is on; the last run to end restores it."""
    import threadpoolctl

    global _owners, _limits
    with _blas_lock:
        _owners += 1
        if _owners == 1:
            with _control(threadpoolctl):
                _limits = threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _blas_lock:
            _owners -= 1
            if _owners == 0:
                with _control(threadpoolctl):
                    _limits.restore_original_limits()
                _limits = None


@contextmanager
def _control(threadpoolctl: Any) -> Iterator[None]:
    """Let this thread set a limit, and any other one the next.

    From 3.7 on, threadpoolctl lets only the first thread that set a limit change it: the thread of
    a panel could neither limit BLAS after a run in a cell, nor restore what a cell had limited.
    """
    controller = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(controller, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    try:
        yield
    finally:
        clear(force=True)
