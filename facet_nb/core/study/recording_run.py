"""The run of one recording of a study, in a worker."""

from __future__ import annotations

import pickle
import shutil
import tempfile
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
from facet_nb.core.errors import FacetError, RunCancelled, StepError, read_message
from facet_nb.core.plotting import write_report
from facet_nb.core.processor import Processor
from facet_nb.core.registry import get_processor
from facet_nb.core.result import PipelineResult
from facet_nb.core.storage import lossless, scratch
from facet_nb.core.storage.file_store import FileStore
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
        # A full disk is then one error, which comes before anything is written.
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
    """Return a ``reduce`` for pickles that stores samples as integers or float32, without loss."""
    raw: Any = context.get_raw() if context.has_raw() else None
    samples = raw._data if raw is not None and raw.preload else None
    # MNE's _cals are the recorder's steps, in V: what it has written are multiples of them.
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
    store : FileStore | None
        Where a worker of another machine finds the input, and leaves what it writes.
    problem : FacetError | None
        Why the input could not be sent.
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
    store: FileStore | None = None
    problem: FacetError | None = None

    def send(self, store: FileStore) -> RecordingRun:
        """Return this run with its input in a store, or with why it could not be sent."""
        task = replace(self, store=store)
        loader: Any = self.loader
        try:
            spilled = isinstance(self.item, SpilledContext)
            files = [Path(self.item.path)] if spilled else loader.list_files()
            if len({file.parent.resolve() for file in files}) > 1:
                raise FacetError(
                    f"{self.row.input} has files in several folders; a store takes those of one."
                )
            store.part("input").send(files)
        except FacetError as error:
            return replace(task, problem=error)
        return task


def receive_files(row: StudyRow, store: FileStore) -> None:
    """Put what a worker has written to its place.

    Parameters
    ----------
    row : StudyRow
        The outcome, which names the places.
    store : FileStore
        Where the worker has left the files.

    Raises
    ------
    FacetError
        If the store cannot be read, or a file not be written.
    """
    for name, place in (("output", row.output), ("report", row.report)):
        if place is not None:
            _fetch(store.part(name), Path(place))


def _fetch(store: FileStore, target: Path) -> None:
    """Write the files of a store beside `target`: each one is whole under its name."""
    folder = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: files are renamed in one step within one file system only.
        folder = Path(tempfile.mkdtemp(prefix=".facet_nb-", dir=target.parent))
        for path in store.receive(folder):
            path.replace(target.parent / path.name)
    except OSError as error:
        raise FacetError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def run_recording(
    task: RecordingRun, cancel: CancelToken | None = None
) -> tuple[PipelineResult, StudyRow]:
    """Run one recording; an error is returned as a failed result."""
    begin = time.perf_counter()
    try:
        if task.problem is not None:
            raise task.problem
        with registry.share_cores(task.at_once):
            result = _run_steps(task, cancel)
    except Exception as problem:
        error = problem
        if not isinstance(problem, FacetError):
            error = FacetError(f"{type(problem).__name__}: {read_message(problem)}")
            error.__cause__ = problem
        spent = time.perf_counter() - begin
        result = PipelineResult(None, success=False, error=error, execution_time=spent)
    # Row and report come first: both need the samples, which a result may have to give up.
    row = replace(describe_result(task.row, result), finished=now())
    if task.report is not None:
        row = _write_page(result, task.report, row)
    _make_portable(result, task.keep_raw)
    return result, row


def run_remotely(task: RecordingRun) -> bytes:
    """Run one recording; return the outcome in few bytes, which pass through a scheduler."""
    outcome = run_recording(task) if task.store is None else _run_on_copy(task, task.store)
    return dumps(outcome, _pack_triggers)


def _run_on_copy(task: RecordingRun, store: FileStore) -> tuple[PipelineResult, StudyRow]:
    """Run one recording on a copy from a store, and send what was written there."""
    copy = scratch.make_folder()
    try:
        places = {name: copy / name for name in ("input", "output", "report")}
        for place in places.values():
            place.mkdir()
        written = {"output": task.target, "report": task.report}
        moved = {
            name: path and str(places[name] / Path(path).name) for name, path in written.items()
        }
        result, row = run_recording(
            replace(
                _receive_input(task, store, places["input"]),
                target=moved["output"],
                report=moved["report"],
            )
        )
        for name, path in written.items():
            if getattr(row, name) is None or path is None:
                continue
            try:
                store.part(name).send(_list_written(places[name], Path(path).name))
            except FacetError as error:
                return fail(replace(row, output=None, report=None), error)
            named: Any = {name: path}
            row = replace(row, **named)
        return result, row
    finally:
        scratch.remove_folder(copy)


def _receive_input(task: RecordingRun, store: FileStore, folder: Path) -> RecordingRun:
    """Return a run whose input is in a folder, or with the problem that it is not."""
    if task.problem is not None:
        return task
    loader: Any = task.loader
    try:
        received = store.part("input").receive(folder)
    except FacetError as error:
        return replace(task, problem=error)
    if isinstance(task.item, SpilledContext):
        return replace(task, item=SpilledContext(str(received[0])))
    return replace(task, loader=loader.moved_to(folder))


def _list_written(folder: Path, header: str) -> list[Path]:
    """Return the files in a folder, the header after the samples that it names."""
    return sorted(folder.iterdir(), key=lambda path: (path.name == header, path.name))


def _pack_triggers(obj: Any) -> Any:
    if type(obj) is not np.ndarray or obj.dtype.kind not in "iu" or obj.ndim != 1:
        return NotImplemented
    return lossless.unpack_integers, lossless.pack_integers(obj)


def fail(row: StudyRow, error: FacetError) -> tuple[PipelineResult, StudyRow]:
    """Return the outcome of a recording that was not corrected."""
    cancelled = isinstance(error, RunCancelled)
    result = PipelineResult(None, success=False, error=error, cancelled=cancelled)
    return result, describe_result(row, result)


def _run_steps(task: RecordingRun, cancel: CancelToken | None) -> PipelineResult:
    steps = list(task.pipeline.processors)
    if task.loader is not None:
        steps.insert(0, task.loader)
    if task.target is not None:
        exporter: Any = get_processor("exporter")
        # overwrite: no target is an input (targets.list_targets), and skip_existing is done.
        steps.append(exporter(path=task.target, overwrite=True))
    # Its class is taken from it: pipeline.py imports this module, and cannot be imported here.
    make_pipeline: Any = type(task.pipeline)
    item = task.item.read() if isinstance(task.item, SpilledContext) else task.item
    context = item if isinstance(item, ProcessingContext) else None
    with _limit_time(task.limit_s, cancel) as (token, late):
        result: PipelineResult = make_pipeline(steps, task.pipeline.name).run(
            initial_context=context, show_progress=False, cancel=token, **task.options
        )
    # Both: a run may have finished just before the timer ended.
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
        # In this order: the run may end as soon as the token is cancelled, and then asks why.
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
