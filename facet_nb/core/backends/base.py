"""What a backend is: where calls run, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import PlanError


class WorkerDied(Exception):
    """A worker process ended without an answer."""


class Backend:
    """A place where calls run.

    Attributes
    ----------
    name : str
        Name for ``run(backend=…)``.
    label : str
        What its workers are called, in plans ("processes").
    short_label : str
        The same in figures, where there is little room ("proc").
    rank : int
        Position in tables and figures.
    color : str
        Colour of its series in figures (Okabe and Ito's palette).
    isolates : bool
        Whether workers are other processes, which share no memory with this one.
    local : bool
        Whether workers run on this machine.
    kills : bool
        Whether cancelling a run ends tasks that are being computed.
    compared : bool
        Whether benchmarks measure it unless they are told what to measure.
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
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, in any order.

        If the caller does not take all results, `cancel` is set: pass a token of its own.
        """
        for call in calls:
            cancel.check()
            yield function(*call)

    def count_cores(self) -> int:
        """Return the cores that the workers may use (affinity and container limits count)."""
        from joblib import cpu_count

        return int(cpu_count())


def dumps(value: Any) -> bytes:
    """Return `value` as a pickle, including classes and functions of a notebook."""
    try:
        import cloudpickle  # joblib's own, from 1.6 on
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle.dumps(value)


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


def until_cancelled(calls: Sequence[tuple], cancel: CancelToken) -> Iterator[tuple]:
    """Yield `calls` until the run is cancelled."""
    for call in calls:
        if cancel.cancelled:
            return
        yield call
