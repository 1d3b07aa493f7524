"""Inner threads (``n_workers``), and the limit of BLAS threads.

Each calling thread has its own pool, so that outer workers never queue behind one another (as in
SpikeInterface's pull request 4564). Forked children do not inherit pools.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from typing import Any

import numpy as np

#: Values (channels times samples) of a block of time that is worth a thread: to hand it over takes
#: 0.05 to 0.2 ms, and to compute it 0.3 to 0.5 ms. Smaller blocks, which stay in the CPU's cache,
#: are not faster: the kernels divide their work themselves.
MIN_VALUES = 1 << 17

#: Weak keys: a pool ends with its thread.
_pools: weakref.WeakKeyDictionary[threading.Thread, tuple[int, ThreadPoolExecutor]]

_pools = weakref.WeakKeyDictionary()

_lock = threading.Lock()


def _forget() -> None:
    # In a forked child, the threads of the pools do not exist, and the lock may be held for good.
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
            finalizer.atexit = False  # the interpreter shuts its executors down itself
        return pool


def run_blocks(work: Callable[[slice], None], blocks: Sequence[slice]) -> float:
    """Call `work` for each block, on the calling thread's pool; return CPU seconds.

    The calling thread runs the first block itself. An exception of any block is raised after all
    blocks have ended.
    """

    def timed(block: slice) -> float:
        begin = time.thread_time()
        work(block)
        return time.thread_time() - begin

    if len(blocks) == 1:
        return timed(blocks[0])
    # Each thread runs in a copy of the caller's context: numpy.errstate, the choice of kernels.
    pool = get_pool(len(blocks) - 1)
    futures = [pool.submit(copy_context().run, timed, block) for block in blocks[1:]]
    try:
        first = timed(blocks[0])
    finally:
        # A block that still runs would write to arrays of a caller that goes on.
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


def split_times(n_channels: int, n_times: int, n_workers: int) -> list[slice]:
    """Cut samples of all channels into at most `n_workers` even slices that are worth a thread."""
    return split(n_times, n_workers, -(-MIN_VALUES // max(1, n_channels)))


_blas_lock = threading.Lock()

_owners = 0

_limits: Any = None


def _forget_blas() -> None:
    # A forked child does not run what the parent's other threads were running.
    global _blas_lock, _owners, _limits
    _blas_lock, _owners, _limits = threading.Lock(), 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_blas)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any run is active; the last run to end restores it."""
    import threadpoolctl

    # BLAS threads in each of several workers would exceed the cores.
    global _owners, _limits
    with _blas_lock:
        _owners += 1
        if _owners == 1:
            # To look for libraries takes some milliseconds. Since 3.8 it looks again only once
            # there are other modules than before.
            look = getattr(
                threadpoolctl, "get_cached_controller", threadpoolctl.ThreadpoolController
            )
            with _control(threadpoolctl):
                _limits = look().limit(limits=1, user_api="blas")
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
    """Let this thread set a limit, and any other thread the next one."""
    # Since 3.7, threadpoolctl lets only the first thread that set a limit change it: the thread of
    # a panel could neither limit BLAS after a run in a cell, nor remove the limit of a cell.
    controller = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(controller, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    try:
        yield
    finally:
        clear(force=True)
