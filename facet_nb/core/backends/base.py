"""What a backend is: where calls run, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import PlanError


class WorkerDied(Exception):
    """A worker process ended without an answer."""


class Backend:
    """Runs calls in this process, one after another."""

    name = "serial"
    isolates = False
    kills = False
    near = True

    def run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, in any order.

        If the caller does not take all results, `cancel` is set: give a token of its own.
        """
        for call in calls:
            cancel.check()
            yield function(*call)


def dumps(thing: Any) -> bytes:
    """Return `thing` as a pickle, classes and functions of a notebook included."""
    try:
        import cloudpickle  # joblib's own, from 1.6 on
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle.dumps(thing)


def check_picklable(named: Sequence[tuple[str, Any]]) -> None:
    """Raise :class:`PlanError` that names every object which cannot go to another process."""
    failed = []
    for name, thing in named:
        try:
            dumps(thing)
        except Exception as error:  # whatever its __reduce__ raises
            failed.append(f"{name} ({error})")
    if failed:
        raise PlanError(
            f"cannot be sent to worker processes: {'; '.join(failed)}. Use backend='threading', "
            "or keep open files, locks and connections out of the processor's attributes."
        )


def _until(calls: Sequence[tuple], cancel: CancelToken) -> Iterator[tuple]:
    for call in calls:
        if cancel.cancelled:
            return
        yield call
