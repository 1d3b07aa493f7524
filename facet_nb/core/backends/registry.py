"""Registry of the backends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from facet_nb.core.backends.base import Backend
from facet_nb.core.backends.dask import DaskBackend, connect
from facet_nb.core.backends.executors import ExecutorBackend
from facet_nb.core.backends.processes import ProcessBackend
from facet_nb.core.backends.serial import SerialBackend
from facet_nb.core.backends.threads import ThreadBackend
from facet_nb.core.errors import PlanError

BACKENDS: dict[str, type[Backend]] = {}

#: Objects that users have given instead of a name.
_own: dict[str, Backend] = {}


def register_backend(backend: type[Backend]) -> type[Backend]:
    """Register a backend under its name; a class decorator.

    Raises
    ------
    PlanError
        If it has no name, or no label for plans.
    """
    if not backend.name or not backend.label:
        raise PlanError(f"{backend.__name__} needs a name and a label to be registered.")
    BACKENDS[backend.name] = backend
    return backend


# In this order: the first one is the default (list_backend_names).
register_backend(ProcessBackend)
register_backend(ThreadBackend)
register_backend(SerialBackend)
register_backend(DaskBackend)


def name_backend(backend: Any) -> str:
    """Return the name of a backend; a class or an object of one is registered by this.

    Raises
    ------
    PlanError
        If there is none of this name, or it is no backend.
    """
    if isinstance(backend, str):
        get_backend(backend)  # raises
        return backend
    if isinstance(backend, type) and issubclass(backend, Backend):
        return register_backend(backend).name
    if isinstance(backend, Executor):
        backend = ExecutorBackend(backend)
    if isinstance(backend, Backend) and backend.name:
        _own[backend.name] = backend
        return backend.name
    raise PlanError(
        f"backend={backend!r}: use one of {', '.join(BACKENDS)}, a Backend with a name, or a "
        "concurrent.futures.Executor."
    )


def get_backend(name: str) -> Backend:
    """Return a backend by name.

    Raises
    ------
    PlanError
        If there is none.
    """
    if name in _own:
        return _own[name]
    if name not in BACKENDS:
        raise PlanError(f"unknown backend {name!r}: use one of {', '.join(BACKENDS)}.")
    return BACKENDS[name]()


def connect_cluster(address: str) -> None:
    """Make the Dask scheduler at `address` the one that ``backend="dask"`` uses.

    Raises
    ------
    PlanError
        If Dask is missing, or no scheduler answers there.
    """
    connect(address)


def list_backends() -> list[type[Backend]]:
    """Return all backends, in the order of tables and figures."""
    return sorted(BACKENDS.values(), key=lambda backend: (backend.rank, backend.name))


def list_backend_names() -> list[str]:
    """Return the names that ``run(backend=…)`` accepts; the default is the first."""
    return list(BACKENDS)


#: Runs that share the cores, in this context.
_runs: ContextVar[int] = ContextVar("facet_nb_runs", default=1)


@contextmanager
def share_cores(n_runs: int) -> Iterator[None]:
    """Make :func:`count_cores` return the share of one of `n_runs` runs at once."""
    token = _runs.set(n_runs)
    try:
        yield
    finally:
        _runs.reset(token)


def count_cores(backend: str = "serial") -> int:
    """Return the number of cores that the workers of a backend may use."""
    return max(1, get_backend(backend).count_cores() // _runs.get())
