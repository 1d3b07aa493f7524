"""Batches on a Dask cluster; the only module that imports Dask.

joblib's Dask backend waits forever if the scheduler reports an error (a killed worker, an argument
that cannot be unpickled). Here, tasks are futures, whose errors are raised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from facet_nb.core.backends.base import Backend, WorkerDied
from facet_nb.core.backends.caller import call_with_modes, list_float_modes
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import FacetError, PlanError, RunCancelled

#: Interval at which a run checks for cancellation, in s.
_INTERVAL_S = 0.1

#: Interval at which a run that waits asks how many workers there are, in s.
_LOOK_S = 1.0

#: Time without any worker after which a run gives up, in s: an adaptive cluster begins with none.
_PATIENCE_S = 60.0

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


def count_threads() -> int | None:
    """Return the number of threads of the current cluster's workers; None without a cluster."""
    client = _look_up_client()
    return None if client is None else max(1, sum(client.ncores().values()))


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
    client, floats = find_client(), list_float_modes()
    waiting = iter(calls)
    running: set[Any] = set()
    try:
        while True:
            for call in _take(waiting, n_jobs - len(running)):
                # pure=False: a file may have changed since a call with the same arguments.
                running.add(client.submit(call_with_modes, floats, function, *call, pure=False))
            if not running:
                return
            done = _wait(client, running, cancel)
            running -= done
            for future in done:
                yield _answer(future)
    finally:
        if running:
            cancel.cancel()
            with contextlib.suppress(OSError):  # the cluster was closed, and its tasks with it
                client.cancel(list(running), force=True)


def _take(waiting: Iterator[tuple[Any, ...]], n: int) -> list[tuple[Any, ...]]:
    return [call for _, call in zip(range(n), waiting, strict=False)]


def _wait(client: Any, running: set[Any], cancel: CancelToken) -> set[Any]:
    """Return the finished futures: at least one."""
    import distributed

    wait: Any = distributed.wait
    alive = looked = time.monotonic()
    while True:
        cancel.check()
        now = time.monotonic()
        if now - looked > _LOOK_S:
            looked = now
            with contextlib.suppress(OSError):  # of a cluster that was closed, the tasks tell
                alive = now if client.ncores() else alive
        if now - alive > max(_PATIENCE_S, 2 * _LOOK_S):
            raise FacetError(
                f"the Dask cluster has had no worker for {_PATIENCE_S:g} s: start some, e.g. with "
                "client.cluster.scale(2), or use backend='multiprocessing'."
            )
        try:
            return set(wait(list(running), timeout=_INTERVAL_S, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            continue


def _answer(future: Any) -> Any:
    """Return the result of a finished future."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise WorkerDied(str(error)) from error
    except CancelledError as error:
        raise RunCancelled(
            "the cluster dropped the run's tasks: its scheduler or client was closed."
        ) from error


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

    def count_cores(self) -> int:
        """Return the threads of the cluster's workers; without a cluster, the local cores."""
        threads = count_threads()
        return super().count_cores() if threads is None else threads
