"""Per-task timeouts.

A process can be killed, a thread cannot. A late task in this process is cancelled at its next
kernel, or abandoned if it does not stop in time. The run then ends, and its error says so.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from facet_nb.core.backends.registry import get_backend
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import StepError, ValidationError, describe_failure
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.processor import ArrayProcessor, Processor

if TYPE_CHECKING:
    from facet_nb.core.backends.base import Backend
    from facet_nb.core.planning.plan import Plan


T = TypeVar("T")

#: Interval at which the heartbeats are read, in s.
POLL_S = 0.05

#: Time that a late task of this process has to reach its next kernel, in s.
_GRACE_S = 0.3


#: If so much time has passed between two readings, in s, this process had been suspended.
_GAP_S = 2.0


class TaskTimeout(Exception):
    """A task took too long.

    Parameters
    ----------
    task, position : int
        The task, and its current step in the stage.
    ended : bool
        Whether the task was actually stopped.
    """

    def __init__(self, task: int, position: int, ended: bool) -> None:
        super().__init__(task, position, ended)
        self.task = task
        self.position = position
        self.ended = ended


class Watch:
    """A watchdog that cancels `stop` when a task takes too long; a context manager.

    Parameters
    ----------
    heartbeats : HeartbeatTable
        Table in which tasks record their start.
    limit_s : float
        Time limit of each task, in s.
    stop : CancelToken
        Token to cancel.

    Attributes
    ----------
    late : tuple of int | None
        The late task, and its current step in the stage.
    """

    def __init__(self, heartbeats: HeartbeatTable, limit_s: float, stop: CancelToken) -> None:
        self.heartbeats = heartbeats
        self.limit_s = limit_s
        self.stop = stop
        self.late: tuple[int, int] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="facet_nb-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        seen: dict[int, tuple[float, float]] = {}
        looked, spent = time.monotonic(), time.process_time()
        while not self._done.wait(POLL_S):
            gap_s, cpu_s = time.monotonic() - looked, time.process_time() - spent
            # Not where a task of this process computed and held the interpreter lock.
            if gap_s > _GAP_S and cpu_s < 0.1 * gap_s:
                self.shift(seen, gap_s)
            looked, spent = looked + gap_s, spent + cpu_s
            self.late = self._find_late(seen)
            if self.late is not None:
                self.stop.cancel()
                return

    def shift(self, seen: dict[int, tuple[float, float]], gap_s: float) -> None:
        """Do not count a time in which this process was stopped or suspended."""
        for task, (begin, since) in seen.items():
            seen[task] = begin, since + gap_s

    def _find_late(self, seen: dict[int, tuple[float, float]]) -> tuple[int, int] | None:
        """Return a late task and its step; `seen` holds when each start was first seen."""
        # By this machine's clock: a task may run on another machine, whose clock differs.
        now = time.monotonic()
        for task, (position, begin) in enumerate(self.heartbeats.read()):
            if position < 0:
                continue
            if seen.get(task, (None,))[0] != begin:
                seen[task] = begin, now
            elif now - seen[task][1] > self.limit_s:
                return task, int(position)
        return None


def check_timeout(timeout: Any) -> float | None:
    """Return `timeout` in s, or None.

    Raises
    ------
    ValidationError
        If it is not a positive number.
    """
    if timeout is None:
        return None
    number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not number or not 0 < float(timeout) < float("inf"):
        raise ValidationError(f"timeout={timeout!r}: give seconds above 0, or None for no limit.")
    return float(timeout)


def tell_unbounded(processors: Sequence[Processor], plan: Plan) -> list[Finding]:
    """Return a finding about user-defined steps that a time limit may not bound."""
    # What is built in returns to the interpreter often enough, and searches text in a process.
    inside: list[str] = []
    for stage in plan.stages:
        bounded = stage.kind == "channel_wise" and get_backend(stage.backend).kills
        steps = [processors[i] for i in stage.steps]
        own = [step for step in steps if not step.built_in]
        inside += [step.name for step in own if not bounded or isinstance(step, ArrayProcessor)]
    if not inside:
        return []
    detail = (
        f"{', '.join(dict.fromkeys(inside))}: this runs in the calling process, at least in part. "
        "A call into C that holds Python's interpreter lock can be neither interrupted nor noticed "
        "there; other steps are left alone when they are late."
    )
    return [make_finding("timeout_not_certain", detail, steps=inside)]


def collect(
    results: Iterator[T],
    heartbeats: HeartbeatTable | None,
    limit_s: float | None,
    stop: CancelToken,
    backend: Backend | None = None,
) -> Iterator[T]:
    """Yield results of tasks, each of which may take `limit_s` seconds.

    Parameters
    ----------
    results : iterator
        The results of a backend.
    heartbeats : HeartbeatTable | None
        Table in which the tasks record their start.
    limit_s : float | None
        Time limit, in s; None for no limit.
    stop : CancelToken
        The token of `results`.
    backend : Backend | None
        The backend; None for a task in this process.

    Raises
    ------
    TaskTimeout
        If a task takes longer.
    """
    if limit_s is None or heartbeats is None:
        yield from results
        return
    with Watch(heartbeats, limit_s, stop) as watch:
        if backend is not None and backend.isolates:
            yield from watch_subprocess(results, watch, backend.kills)
        else:
            yield from watch_local(results, watch)


def watch_subprocess(results: Iterator[T], watch: Watch, kills: bool = True) -> Iterator[T]:
    """Yield results of worker processes, which are stopped when `watch` cancels.

    Raises
    ------
    TaskTimeout
        If a task was late; it was killed if the backend `kills`.
    """
    try:
        yield from results
    except Exception as error:
        # Once a task is late, its workers are killed: the backend's error is a consequence.
        if watch.late is None:
            raise
        raise TaskTimeout(*watch.late, ended=kills) from error


def watch_local(results: Iterator[T], watch: Watch) -> Iterator[T]:
    """Yield results that another thread collects, so that a hung task does not block this one.

    Raises
    ------
    TaskTimeout
        If a task is late; it may continue until the process ends.
    """
    box: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    arguments = (_take, results, box)  # in a copy of the context, which holds numpy.errstate
    # daemon: a task that hangs must not keep the process from ending.
    thread = threading.Thread(
        target=copy_context().run, args=arguments, name="facet_nb-task", daemon=True
    )
    thread.start()
    try:
        while True:
            kind, value = _wait(box, watch)
            if kind == "end":
                return
            if kind == "error":
                if watch.late is not None:
                    raise TaskTimeout(*watch.late, ended=True) from value
                raise value
            yield value
    finally:
        # The run ends only after its task: an abandoned task would write to arrays of the caller.
        watch.stop.cancel()
        while thread.is_alive() and watch.late is None:
            thread.join(POLL_S)


def _take(results: Iterator[Any], box: queue.SimpleQueue[tuple[str, Any]]) -> None:
    try:
        for result in results:
            box.put(("result", result))
    except BaseException as error:  # SystemExit, e.g., must not end in this thread unnoticed
        box.put(("error", error))
    else:
        box.put(("end", None))


def _wait(box: queue.SimpleQueue[tuple[str, Any]], watch: Watch) -> tuple[str, Any]:
    while watch.late is None:
        try:
            return box.get(timeout=POLL_S)
        except queue.Empty:
            continue
    try:
        while True:
            kind, value = box.get(timeout=_GRACE_S)
            # A result that is late does not count: whether a run ends must not depend on chance.
            if kind != "result":
                return "error", value
    except queue.Empty:
        raise TaskTimeout(*watch.late, ended=False) from None


def call(
    function: Callable[[HeartbeatTable], T],
    limit_s: float | None,
    cancel: CancelToken | None = None,
) -> T:
    """Return ``function(heartbeats)``, which records its steps as task 0.

    Raises
    ------
    TaskTimeout
        If it takes longer than `limit_s`.
    """
    heartbeats = HeartbeatTable.of(1)
    if limit_s is None:
        return function(heartbeats)

    def work() -> Iterator[T]:
        heartbeats.begin(0)
        try:
            yield function(heartbeats)
        finally:
            heartbeats.end(0)

    with Watch(heartbeats, limit_s, CancelToken(cancel)) as watch:
        return next(watch_local(work(), watch))


def explain_late(late: TaskTimeout, step: Any, channel: str | None, limit_s: float) -> StepError:
    """Return the error for a task that was late at `step`."""
    what = f"the task took longer than timeout={limit_s:g} s"
    if late.ended:
        what += " and was ended. Use a longer timeout, or find out with one channel where it hangs."
    else:
        what += (
            ". A thread (or a cluster's worker) cannot be killed: it continues to its next kernel, "
            "or until its process ends (in a notebook: restart the kernel). Batches in processes "
            "can be killed: backend='multiprocessing' with n_jobs=2 or more."
        )
    name = step.processor.name
    message = describe_failure(name, step.index, channel, "TimeoutError", what)
    return StepError(message, name, channel, step.index, "TimeoutError")
