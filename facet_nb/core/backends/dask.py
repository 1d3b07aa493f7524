"""Batches on a Dask cluster; the only module that imports Dask.

joblib's Dask backend waits forever if the scheduler reports an error (a killed worker, an argument
that cannot be unpickled). Here, tasks are futures, whose errors are raised.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from typing import Any

from facet_nb.core.backends.base import Backend, WorkerDied
from facet_nb.core.backends.caller import CallerState, borrow, call_with_modes, find_difference
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import FacetError, PlanError, read_message

#: Interval at which a run checks for cancellation, in s.
_INTERVAL_S = 0.1

#: Interval at which a run that waits asks how many workers there are, in s.
_LOOK_S = 1.0

#: Time without any worker after which a run gives up, in s: an adaptive cluster begins with none.
_PATIENCE_S = 60.0

_log = logging.getLogger("facet_nb")

_SCHEDULER_GONE = (
    "the Dask scheduler does not answer any more, or its client was closed. Start a cluster, and "
    "make the same call again: with resume=True a study goes on where it was."
)

_REMEDY = (
    "Install it with pip install 'facet-nb[dask]', and create a client first: "
    "from dask.distributed import Client; client = Client(n_workers=2, threads_per_worker=1, "
    "dashboard_address='127.0.0.1:0')."
)


def find_client() -> Any:
    """Return the current Dask client, or one of the scheduler in Dask's settings.

    Raises
    ------
    PlanError
        If Dask is missing, there is no client, or the scheduler does not answer.
    """
    client = _look_up_client()
    if client is None:
        raise PlanError(f"backend='dask' finds no Dask client. {_REMEDY}")
    return client


def _look_up_client() -> Any:
    try:
        import dask
        from distributed import Client, get_client
    except ImportError as error:
        raise PlanError(f"backend='dask' needs Dask. {_REMEDY}") from error
    with contextlib.suppress(ValueError):  # there is no client yet
        return get_client()
    address = dask.config.get("scheduler-address", None)
    if address is None:
        return None
    try:
        client: Any = Client
        return client(address)
    except OSError as error:
        raise PlanError(f"no Dask scheduler answers at {address}.") from error


def connect(address: str) -> Any:
    """Return a client of the scheduler at `address`, which is the current one from now on.

    Raises
    ------
    PlanError
        If Dask is missing, or no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise PlanError(f"--dask needs Dask. {_REMEDY}") from error
    make: Any = Client
    try:
        return make(address)
    except (OSError, ValueError) as error:
        raise PlanError(f"no Dask scheduler answers at {address}.") from error


def count_threads() -> int | None:
    """Return the number of threads of the current cluster's workers; None without a cluster.

    An adaptive cluster that has no worker yet is asked for one.

    Raises
    ------
    PlanError
        If none comes.
    """
    client = _look_up_client()
    if client is None:
        return None
    return max(1, sum(client.ncores().values()) or _wait_for_worker(client))


def _wait_for_worker(client: Any) -> int:
    """Return the number of threads of the first worker of a cluster that has none."""
    # An adaptive cluster starts workers for tasks only.
    task = client.submit(int, pure=False)
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while not client.ncores():
            if time.monotonic() > deadline:
                raise PlanError(_tell_no_worker())
            time.sleep(_INTERVAL_S)
        return int(sum(client.ncores().values()))
    except OSError as error:
        raise PlanError(_SCHEDULER_GONE) from error
    finally:
        with contextlib.suppress(OSError):
            client.cancel([task], force=True)


def _tell_no_worker() -> str:
    return (
        f"the Dask cluster has had no worker for {_PATIENCE_S:g} s: start some, e.g. with "
        "client.cluster.scale(2), or use backend='multiprocessing'."
    )


# Kept, as each task asks for them: metadata.version reads files.
@functools.lru_cache(maxsize=1)
def _list_versions() -> dict[str, str]:
    """Return the versions on which the bits of a result depend."""
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    for name in ("facet_nb", "numpy", "scipy", "mne"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@dataclass(frozen=True)
class _Origin:
    """What a worker needs to know of the client.

    Attributes
    ----------
    versions : dict of str to str
        Versions on which bits depend.
    floats : dict of str to str
        ``numpy.geterr()``.
    lent : dict
        State of the client's process (:meth:`~.caller.CallerState.lend`).
    process : tuple of str and int
        Machine and number of that process.
    """

    versions: dict[str, str]
    floats: dict[str, Any]
    lent: dict[str, Any]
    process: tuple[str, int]

    @classmethod
    def here(cls) -> _Origin:
        state = CallerState.take()
        return cls(_list_versions(), state.floats, state.lend(), (platform.node(), os.getpid()))


def _call(origin: _Origin, function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, called on a worker in the state of the client."""
    here, there = _list_versions(), origin.versions
    other = [f"{k} {here.get(k)} instead of {v}" for k, v in there.items() if here.get(k) != v]
    if other:
        return _Mismatch(f"a Dask worker on {platform.node()} has {', '.join(other)}")
    if origin.process == (platform.node(), os.getpid()):  # of Client(processes=False)
        return call_with_modes(origin.floats, function, *args)
    if _count_threads_here() > 1:
        # Folder and environment belong to the process, in which other tasks run at this moment.
        told = find_difference(origin.lent)
        hint = "; start workers with one thread each"
        answer = call_with_modes(origin.floats, function, *args)
        return _Told(told + hint, answer) if told else answer
    with borrow(origin.lent) as problem:
        answer = call_with_modes(origin.floats, function, *args)
    return _Told(problem, answer) if problem else answer


# Kept: a program is told once, and not in each stage of each run.
@functools.lru_cache(maxsize=128)
def _warn(problem: str) -> None:
    _log.warning(
        "a Dask worker %s: steps of your own that use relative paths or variables may find "
        "something else.",
        problem,
    )


def _count_threads_here() -> int:
    """Return how many tasks this worker runs at once."""
    from distributed import get_worker

    worker: Any = get_worker
    return int(worker().state.nthreads)


@dataclass(frozen=True)
class _Told:
    """An answer of a worker that could not take over the state of the client."""

    problem: str
    answer: Any


class _Mismatch(str):
    """A worker's answer if its versions differ from those of the client."""


def run_calls(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    n_jobs: int,
    cancel: CancelToken,
) -> Iterator[Any]:
    """Yield ``function(*call)`` for each call as they finish, `n_jobs` at a time.

    Raises
    ------
    WorkerDied
        If a worker ended, or could not unpickle its task.
    RunCancelled
        If `cancel` is set; tasks that have not started are withdrawn.
    """
    client, origin = find_client(), _Origin.here()
    waiting = iter(calls)
    running: set[Any] = set()
    try:
        while True:
            # No more than can run: a call that is taken may have its recording in a store.
            for call in islice(waiting, max(0, n_jobs - len(running))):
                # pure=False: a file may have changed since a call with the same arguments.
                task = (_call, origin, function, *call)
                running.add(client.submit(*task, pure=False))
            if not running:
                return
            done = _wait(client, running, cancel)
            running -= done
            for future in done:
                answer = _answer(future, client)
                if isinstance(answer, _Told):
                    _warn(answer.problem)
                    answer = answer.answer
                yield answer
    finally:
        if running:
            cancel.cancel()
            with contextlib.suppress(OSError):  # the cluster was closed, and its tasks with it
                client.cancel(list(running), force=True)


def _wait(client: Any, running: set[Any], cancel: CancelToken) -> set[Any]:
    """Return the finished futures: at least one."""
    import distributed

    wait: Any = distributed.wait
    alive = looked = told = time.monotonic()
    while True:
        cancel.check()
        now = time.monotonic()
        if now - looked > _LOOK_S:
            looked = now
            with contextlib.suppress(OSError):  # of a closed cluster: its tasks report it
                alive = now if client.ncores() else alive
        # A client without its scheduler tries to connect again: neither running nor closed.
        told = now if client.status == "running" else told
        if client.status == "closed" or now - told > _PATIENCE_S:
            raise FacetError(_SCHEDULER_GONE)
        if now - alive > max(_PATIENCE_S, 2 * _LOOK_S):
            raise FacetError(_tell_no_worker())
        try:
            return set(wait(list(running), timeout=_INTERVAL_S, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            continue
        except distributed.CancelledError:  # client.restart(), or a dead scheduler
            return {future for future in running if future.done()}


def _answer(future: Any, client: Any) -> Any:
    """Return the result of a finished future."""
    from distributed import CancelledError, KilledWorker

    try:
        # A result that is lost while it is fetched (its worker has died) is computed again.
        answer = future.result(timeout=_PATIENCE_S)
    except KilledWorker as error:
        raise WorkerDied(str(error)) from error
    except CancelledError as error:
        lost = "connection-lost" in str(getattr(error, "reason", ""))
        if client.status == "running" and not lost:  # client.restart(): only tasks are lost
            raise WorkerDied("the cluster was restarted") from error
        raise FacetError(_SCHEDULER_GONE) from error
    except FacetError:
        raise
    except TimeoutError as error:
        raise WorkerDied("a result could not be fetched") from error
    except Exception as error:  # calls return their own errors: the task could not be unpickled
        raise FacetError(
            f"a Dask worker could not run a task ({type(error).__name__}: {read_message(error)}): "
            "install the same environment on all workers, and put steps of your own into a module "
            "that they can import."
        ) from error
    if isinstance(answer, _Mismatch):
        raise FacetError(
            f"{answer}: results may differ in their last bits. Install the same versions on all "
            "workers."
        )
    return answer


class DaskBackend(Backend):
    """Workers of a Dask cluster, on machines that share a file system."""

    name = "dask"
    label = "tasks of the Dask cluster"
    short_label = "dask"
    rank = 3
    color = "#009E73"
    isolates = True
    local = False

    def run(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        n_jobs: int,
        cancel: CancelToken,
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call as they finish."""
        return run_calls(function, calls, n_jobs, cancel)

    def find_memory(self) -> int | None:
        """Return the least ``memory_limit`` of a worker for each of its threads, in bytes."""
        client = _look_up_client()
        workers = {} if client is None else client.scheduler_info()["workers"]
        shares = [w["memory_limit"] // max(1, w["nthreads"]) for w in workers.values()]
        # The scheduler may give a task to any worker: the smallest one counts.
        return min((share for share in shares if share), default=None)

    def count_cores(self) -> int:
        """Return the threads of the cluster's workers; without a cluster, the local cores."""
        threads = count_threads()
        return super().count_cores() if threads is None else threads
