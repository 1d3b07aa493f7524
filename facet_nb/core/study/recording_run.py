"""The run of one recording of a study, in a worker."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facet_nb.core.backends import registry
from facet_nb.core.backends.base import dumps
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, StepError, read_message
from facet_nb.core.plotting import write_report
from facet_nb.core.processor import Processor
from facet_nb.core.registry import get_processor
from facet_nb.core.result import PipelineResult
from facet_nb.core.storage import lossless, scratch
from facet_nb.core.study.rows import StudyRow, describe_result
from facet_nb.core.study.table import now


class Chain(Protocol):
    """The part of :class:`~facet_nb.core.pipeline.Pipeline` that a study uses."""

    processors: list[Processor]
    name: str

    @property
    def run(self) -> Callable[..., PipelineResult]:
        """Method that runs all steps."""
        ...

    @property
    def plan(self) -> Callable[..., Any]:
        """Method that plans a run."""
        ...


@dataclass(frozen=True)
class SpilledContext:
    """A context in a file that workers of another machine read.

    Attributes
    ----------
    path : str
        The file.
    """

    path: str

    @classmethod
    def of(cls, context: ProcessingContext, folder: Path, index: int) -> SpilledContext:
        """Write a context to a file of this study: its samples in as few bytes as hold them."""
        content = dumps(context, _find_packer(context))
        path = folder / f"context-{index}"
        scratch.reserve(path, len(content))
        path.write_bytes(content)
        return cls(str(path))

    def read(self) -> ProcessingContext:
        """Return the context.

        Raises
        ------
        FacetError
            If this worker does not see the file.
        """
        try:
            context: ProcessingContext = pickle.loads(Path(self.path).read_bytes())
        except OSError as error:
            raise FacetError(
                f"the worker does not see {self.path}: set FACET_NB_TMPDIR to a folder that all "
                "workers share, or give paths of files."
            ) from error
        return context


def _find_packer(context: ProcessingContext) -> Callable[[Any], Any]:
    """Return what pickles samples without loss as the counts of a recorder, or as float32."""
    raw: Any = context.get_raw() if context.has_raw() else None
    samples = raw._data if raw is not None and raw.preload else None
    steps = None if samples is None or len(raw._cals) != len(samples) else raw._cals

    def reduce(obj: Any) -> Any:
        if type(obj) is not np.ndarray or obj.dtype != np.float64 or obj.ndim != 2:
            return NotImplemented
        return lossless.unpack, (lossless.pack(obj, steps if obj is samples else None), obj.shape)

    return reduce


@dataclass(frozen=True)
class RecordingRun:
    """The run of one recording.

    Attributes
    ----------
    row : StudyRow
        What is known before.
    pipeline : Pipeline
        The steps.
    item : path | ProcessingContext | SpilledContext
        The input.
    loader : Processor | None
        The step before all others.
    target, report : str | None
        Files to write.
    keep_raw : bool
        Whether the result keeps its samples.
    options : dict
        Options of ``Pipeline.run``.
    at_once : int
        How many run at once, and share the cores.
    limit_s : float | None
        Time limit, in s.
    """

    row: StudyRow
    pipeline: Chain
    item: Any
    loader: Processor | None
    target: str | None
    report: str | None
    keep_raw: bool
    options: dict[str, Any]
    at_once: int = 1
    limit_s: float | None = None


def run_recording(
    task: RecordingRun, cancel: CancelToken | None = None
) -> tuple[PipelineResult, StudyRow]:
    """Run one recording; an error is returned as a failed result."""
    begin = time.perf_counter()
    try:
        with registry.share_cores(task.at_once):
            result = _run_steps(task, cancel)
    except Exception as problem:
        error = FacetError(f"{type(problem).__name__}: {read_message(problem)}")
        error.__cause__ = problem
        spent = time.perf_counter() - begin
        result = PipelineResult(None, success=False, error=error, execution_time=spent)
    row = replace(describe_result(task.row, result), finished=now())
    if task.report is not None:
        row = _write_page(result, task.report, row)
    _make_portable(result, task.keep_raw)
    return result, row


def run_remotely(task: RecordingRun) -> bytes:
    """Run one recording, and return the outcome as few bytes, for the way through a scheduler."""
    return dumps(run_recording(task), _pack_triggers)


def _pack_triggers(obj: Any) -> Any:
    if type(obj) is not np.ndarray or obj.dtype.kind not in "iu" or obj.ndim != 1:
        return NotImplemented
    return lossless.unpack_integers, lossless.pack_integers(obj)


def _run_steps(task: RecordingRun, cancel: CancelToken | None) -> PipelineResult:
    steps = list(task.pipeline.processors)
    if task.loader is not None:
        steps.insert(0, task.loader)
    if task.target is not None:
        exporter: Any = get_processor("exporter")
        steps.append(exporter(path=task.target, overwrite=True))
    make_pipeline: Any = type(task.pipeline)
    item = task.item.read() if isinstance(task.item, SpilledContext) else task.item
    context = item if isinstance(item, ProcessingContext) else None
    with _limit_time(task.limit_s, cancel) as (token, late):
        result: PipelineResult = make_pipeline(steps, task.pipeline.name).run(
            initial_context=context, show_progress=False, cancel=token, **task.options
        )
    if late.is_set() and result.cancelled:
        step = result.state.steps[result.state.stage_steps[0]] if result.state.stage_steps else None
        where = f", at step {step}" if step else ""
        result.error = StepError(
            f"{task.row.input} was not finished after {task.limit_s:g} s{where}: give it a longer "
            "file_timeout, or more threads.",
            step,
            cause_type="TimeoutError",
        )
        result.cancelled = False
    return result


@contextmanager
def _limit_time(
    limit_s: float | None, cancel: CancelToken | None
) -> Iterator[tuple[CancelToken, threading.Event]]:
    """Yield a token that is cancelled after `limit_s`, and an event that tells so."""
    token, late = CancelToken(cancel), threading.Event()
    if limit_s is None:
        yield token, late
        return

    def stop() -> None:
        late.set()
        token.cancel()

    timer = threading.Timer(limit_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield token, late
    finally:
        timer.cancel()


def _write_page(result: PipelineResult, path: str, row: StudyRow) -> StudyRow:
    """Return the row of a recording whose report was written, or why it was not."""
    try:
        write_report(result, path)
    except Exception as problem:  # a corrected recording must not be lost for its report
        told = f"its report was not written ({type(problem).__name__}: {read_message(problem)})"
        return replace(row, error=f"{row.error}; {told}" if row.error else told)
    return replace(row, report=path)


def _make_portable(result: PipelineResult, keep_raw: bool) -> None:
    if not keep_raw:
        result.release_raw()
    if result.context is not None:
        result.context = result.context._portable()
    if result.last_context is not None:
        result.last_context = result.last_context._portable()
