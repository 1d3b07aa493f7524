"""The backends by name."""

from __future__ import annotations

import os

from facet_nb.core.backends import dask
from facet_nb.core.backends.base import Backend
from facet_nb.core.backends.dask import DaskBackend
from facet_nb.core.backends.processes import ProcessBackend, _begin_anew
from facet_nb.core.backends.threads import ThreadBackend
from facet_nb.core.errors import PlanError

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

_BACKENDS: dict[str, type[Backend]] = {
    "serial": Backend,
    "threading": ThreadBackend,
    "multiprocessing": ProcessBackend,
    "dask": DaskBackend,
}


def get_backend(name: str) -> Backend:
    """Return a backend by name.

    Raises
    ------
    PlanError
        If there is none.
    """
    if name not in _BACKENDS:
        raise PlanError(f"unknown backend {name!r}: use one of {', '.join(_BACKENDS)}.")
    return _BACKENDS[name]()


def count_cores(backend: str = "serial") -> int:
    """Return the cores that this process may use (affinity and container limits count).

    For ``"dask"``: the threads of the cluster's workers.
    """
    from joblib import cpu_count

    threads = dask.count_threads() if backend == "dask" else None
    return int(cpu_count()) if threads is None else threads
