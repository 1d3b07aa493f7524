"""Base class of the backends, which run calls in threads, processes or a cluster."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from facet_nb.core.backends.cores import count_allowed
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import PlanError

#: A function that workers run, and the arguments of its calls.
Function = Callable[..., Any]
CallArgs = Sequence[tuple[Any, ...]]


class WorkerDied(Exception):
    """A worker process ended without returning a result."""


class Backend:
    """Base class: runs calls in this thread, one after another.

    Attributes
    ----------
    name : str
        Name for ``run(backend=…)``.
    label : str
        Name of its workers in plans ("processes").
    short_label : str
        Name of its workers in figures ("proc").
    rank : int
        Position in tables and figures.
    color : str
        Colour of its series in figures (Okabe and Ito's palette).
    isolates : bool
        Whether workers are other processes, which do not share this one's memory.
    local : bool
        Whether workers run on this machine.
    kills : bool
        Whether cancelling a run also ends the tasks that are running.
    compared : bool
        Whether benchmarks include it by default.
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    short_label: ClassVar[str] = ""
    rank: ClassVar[int] = 100
    color: ClassVar[str] = "#595959"
    isolates: ClassVar[bool] = False
    local: ClassVar[bool] = True
    kills: ClassVar[bool] = False
    compared: ClassVar[bool] = False

    def run(
        self, function: Function, calls: CallArgs, n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, in any order.

        If the caller stops before the last result, `cancel` is set: pass a separate token.
        """
        for call in calls:
            cancel.check()
            yield function(*call)

    def find_memory(self) -> int | None:
        """Return the memory that one call may use where it does not run on this machine, in bytes.

        None if it is not known, or calls run on this machine.
        """
        return None

    def count_cores(self) -> int:
        """Return the number of cores that the workers may use."""
        return count_allowed()


def dumps(value: Any, reduce: Callable[[Any], Any] | None = None) -> bytes:
    """Return `value` as a pickle that includes classes and functions defined in a notebook.

    Parameters
    ----------
    value : Any
        An object.
    reduce : callable | None
        Returns for an object inside what ``__reduce__`` returns, or ``NotImplemented``.
    """
    try:
        import cloudpickle  # a dependency of joblib from 1.6 on; contained in it before
    except ImportError:
        from joblib.externals import cloudpickle
    if reduce is None:
        return bytes(cloudpickle.dumps(value))
    replace = reduce

    # Defined here: cloudpickle is imported only where something is sent to a worker.
    class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            found = replace(obj)
            return super().reducer_override(obj) if found is NotImplemented else found

    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def check_picklable(named: Sequence[tuple[str, Any]]) -> None:
    """Raise :class:`PlanError` naming every object that cannot be sent to another process."""
    failed = []
    for name, value in named:
        try:
            dumps(value)
        except Exception as error:  # __reduce__ may raise anything
            failed.append(f"{name} ({error})")
    if failed:
        raise PlanError(
            f"cannot be sent to worker processes: {'; '.join(failed)}. Use backend='threading', "
            "or keep open files, locks and connections out of the processor's attributes."
        )


def until_cancelled(calls: CallArgs, cancel: CancelToken) -> Iterator[tuple[Any, ...]]:
    """Yield `calls` until the run is cancelled."""
    for call in calls:
        # No error here: the threads that take the calls would lose it. The reader of the results
        # checks the token.
        if cancel.cancelled:
            return
        yield call
