"""A study: planned, run, and recorded."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facet_nb.core.backends import registry
from facet_nb.core.backends.base import WorkerDied, check_picklable
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext, is_recording
from facet_nb.core.defaults import defaults
from facet_nb.core.errors import FacetError, RunCancelled, StepError, ValidationError
from facet_nb.core.execution.timeouts import check_timeout
from facet_nb.core.memory import describe_bytes
from facet_nb.core.planning.planner import RunOptions, check_numbers, choose_mode
from facet_nb.core.processor import Processor
from facet_nb.core.progress import follow_study
from facet_nb.core.quality import Accept, check_accept
from facet_nb.core.registry import get_processor
from facet_nb.core.result import PipelineResult
from facet_nb.core.storage import scratch
from facet_nb.core.storage.file_store import FileStore
from facet_nb.core.storage.hashing import UnhashableError, list_versions, take_fingerprint
from facet_nb.core.study import targets as names_of
from facet_nb.core.study.outcome import BatchResult
from facet_nb.core.study.recording_run import (
    Chain,
    RecordingRun,
    SpilledContext,
    fail,
    receive_files,
    run_recording,
    run_remotely,
)
from facet_nb.core.study.rows import StudyRow
from facet_nb.core.study.schedule import FilePlan, Scheduler, StudyPlan
from facet_nb.core.study.table import StudyTable, make_key

#: Options of :meth:`Pipeline.run` that a study passes on.
_RUN_OPTIONS = (
    *("mode", "channel_sequential", "n_workers", "batch_size", "fuse", "dtype", "timeout"),
    *("oversubscribe", "chunk_duration_s"),
)

#: Those on which a result depends; the others change where and when it is computed.
_TELLING = ("dtype", "accept")

#: Most tasks in the queue of a cluster.
_QUEUE = 1000

#: What errors about a file that is not there say, in small letters.
_NOT_THERE = ("no such file", "there is no folder")

#: Recordings that are in a store at once, at least: more workers than there are may come.
_SENT = 16

#: Errors that another attempt would repeat.
_LASTING = (ValidationError, RunCancelled)


class Study:
    """One pipeline over many recordings: what runs at once is planned, and each one is recorded.

    Parameters
    ----------
    pipeline : Pipeline
        The steps; a loader is put before them for inputs that are paths.
    inputs : iterable of path, ProcessingContext or mne.io.BaseRaw
        What to process.
    n_jobs : int | None
        Most recordings in flight at once; -1 for all cores. As many run as the memory has room
        for, by their forecasts. None for 1, or the number of :func:`facet_nb.set_defaults`; with a
        memory budget, or on a cluster, for all cores.
    parallel : bool | None
        FACETpy's flag: False means ``n_jobs=1``; True means all cores, unless `n_jobs` is given.
    backend : {"multiprocessing", "threading", "serial", "dask"} | Backend
        The kind of workers. Workers of a Dask cluster must see the files under the same paths;
        there each recording is a task.
    memory_budget : str | int | None
        Limit of the memory of all recordings in flight, with libraries and this process:
        ``"1.5 GB"``, or a number of bytes; with Dask, of one recording on its worker. None for 80 %
        of what is available, or of the worker's ``memory_limit`` for each of its threads. A
        recording that does not fit alone is not run, and its error names the budget that it needs.
    on_error : {"continue", "raise"}
        Whether to continue with the other inputs after one has failed, or to raise its error.
    keep_raw : bool | None
        Whether results keep their samples. None keeps them unless they are written to `output` or
        computed on a cluster. Without them, recordings above 64 MB are processed in their files.
    output : path | sequence of path | None
        A file for each input. Or a folder for corrected files, which are named
        ``<name>_corrected<suffix>``; or a pattern with ``{stem}``, ``{suffix}`` and ``{folder}``.
        Files of equal name are written to folders like those of their inputs.
    loader_factory : callable | None
        Creates a loader from a path; ``Loader(path)`` by default.
    store : path | None
        Folder or URL of a zarr store, such as ``s3://bucket/scratch``, for a cluster whose workers
        do not see the files: each recording is sent there, corrected on the worker's own disk, and
        what was written is brought back to `output`. Needs the extra ``zarr``.
    checkpoint : path | None
        Folder in which finished channels are kept, with a subfolder per input: after an
        interruption, the same call resumes where it was.
    anonymize : bool
        Whether recordings are loaded and written without what their headers say about a person, by
        the rules of ``mne.io.Raw.anonymize``.
    accept : "good" | dict of str to float | callable | None
        Which results are accepted, as in :meth:`Pipeline.run`. The file of another one is not
        written, and the table says why.
    skip_existing : bool
        Whether inputs whose output file exists are left out.
    resume : bool
        Whether inputs that the table says were finished are left out, if neither they nor their
        outputs, the steps, the versions, ``dtype`` or ``accept`` have changed. Failed ones run
        again.
    file_timeout : float | None
        Time limit of one recording, in s. Like ``timeout``, which limits a task, it cannot end C
        code that holds Python's interpreter lock.
    retries : int
        How often a recording that failed is tried again, alone and after all others. Errors of an
        input or option are not.
    table : path | bool | None
        Folder for the table on disk, ``study.jsonl`` and ``study.csv``, to which each recording is
        appended as soon as it is finished. None for the folder of `output`; False for none.
    reports : path | None
        Folder for a report of each recording.
    on_finish : callable | None
        Called with the :class:`facet_nb.StudyRow` of each finished recording, from this thread.
    show_progress : bool | None
        True for a progress bar, False for nothing. None shows a bar in notebooks and terminals, and
        elsewhere a line on stderr for each recording that is finished.
    cancel : CancelToken | None
        Set it from another thread to stop. What is finished is kept.
    **run_options
        Options of :meth:`Pipeline.run`: ``mode``, ``channel_sequential``, ``n_workers``,
        ``batch_size``, ``dtype``, ``timeout``, ``fuse``, ``chunk_duration_s``, ``oversubscribe``.
        The batches of a recording run one after another. Recordings in flight divide the cores.

    Raises
    ------
    ValidationError
        If an option cannot be used.
    PlanError
        If a mode or a number of workers cannot be used, or the pipeline cannot be sent to workers.

    Attributes
    ----------
    current : StudyPlan | None
        The schedule of the run that is going on, or of the last one.
    again : list of int
        Positions of the recordings that have failed and are tried again after all others.
    """

    def __init__(
        self,
        pipeline: Chain,
        inputs: Iterable[Any],
        *,
        n_jobs: int | None = None,
        parallel: bool | None = None,
        backend: Any = "multiprocessing",
        memory_budget: str | int | None = None,
        on_error: str = "continue",
        keep_raw: bool | None = None,
        output: str | Path | Sequence[str | Path] | None = None,
        loader_factory: Callable[[str], Processor] | None = None,
        store: str | Path | None = None,
        checkpoint: str | Path | None = None,
        anonymize: bool = False,
        accept: Accept | None = None,
        skip_existing: bool = False,
        resume: bool = False,
        file_timeout: float | None = None,
        retries: int = 0,
        table: str | Path | bool | None = None,
        reports: str | Path | None = None,
        on_finish: Callable[[StudyRow], Any] | None = None,
        show_progress: bool | None = None,
        cancel: CancelToken | None = None,
        **run_options: Any,
    ) -> None:
        if on_error not in ("continue", "raise"):
            raise ValidationError(f"on_error={on_error!r}: use 'continue' or 'raise'.")
        if isinstance(inputs, (str, Path)):
            raise ValidationError("inputs is a single path: pass a list of paths, or use run().")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValidationError(f"retries={retries!r}: use 0, 1, 2, …")
        if anonymize and loader_factory is not None:
            raise ValidationError(
                "anonymize=True is for the loader of map: give it to the loaders of loader_factory."
            )
        backend = registry.name_backend(backend)
        cores = registry.count_cores(backend)
        runner = registry.get_backend(backend)
        if n_jobs is None:
            everything = parallel or memory_budget is not None or not runner.local
            n_jobs = defaults.n_jobs or (-1 if everything else 1)
            self.in_flight = _QUEUE
        else:
            self.in_flight = n_jobs if n_jobs > 0 else _QUEUE
        n_jobs, _ = check_numbers(1 if parallel is False else n_jobs, 1, 1, backend, cores)
        _check_options(pipeline, run_options)
        if accept is not None:
            check_accept(accept)
            run_options["accept"] = accept
        self.pipeline = pipeline
        self.inputs = [ProcessingContext(i) if is_recording(i) else i for i in inputs]
        self.names = tuple(names_of.name_input(i, item) for i, item in enumerate(self.inputs))
        self.targets = names_of.list_targets(self.names, self.inputs, output)
        if runner.local:
            n_jobs = max(1, min(n_jobs, len(self.inputs)))
        self.n_jobs = n_jobs
        self.runner = runner if n_jobs > 1 or not runner.local else registry.get_backend("serial")
        self.keep_raw = (output is None and runner.local) if keep_raw is None else keep_raw
        self.memory_budget = memory_budget
        self.on_error = on_error
        self.loader_factory = loader_factory
        self.anonymize = anonymize
        self.loaders = [self._make_loader(item) for item in self.inputs]
        self.store = store
        if store is not None:
            self._check_store(checkpoint)
            # What waits in the queue is in the store.
            self.in_flight = min(self.in_flight, max(_SENT, 2 * n_jobs))
        self.skip_existing = skip_existing
        self.resume = resume
        self.file_timeout = check_timeout(file_timeout)
        self.retries = retries
        self.reports = reports
        self.checkpoints = names_of.list_checkpoints(self.names, checkpoint)
        self.table = _find_table(table, output)
        self.on_finish = on_finish
        self.show_progress = defaults.progress if show_progress is None else show_progress
        self.cancel = cancel
        self.run_options = run_options
        if resume and self.table is None:
            raise ValidationError("resume=True needs a table: give output= or table= a folder.")
        if self.runner.isolates:
            # Now: the error names the step before anything has started.
            check_picklable([(p.name, p) for p in pipeline.processors])
            check_picklable([("accept", accept)])
        self.header = self._describe()
        self.current: StudyPlan | None = None
        self.again: list[int] = []

    def _check_store(self, checkpoint: Any) -> None:
        """Raise if recordings cannot be sent through a store."""
        if self.runner.local:
            raise ValidationError(
                "store= is for workers that do not see the files: backend='dask'. Others read them."
            )
        if checkpoint is not None:
            raise ValidationError(
                "checkpoint= needs a folder that all workers share; with store= there is none."
            )
        strange = [loader for loader in self.loaders if loader and not hasattr(loader, "moved_to")]
        if self.loader_factory is not None and strange:
            raise ValidationError(
                f"store= cannot send what {type(strange[0]).__name__} reads: it has no "
                "list_files() and moved_to(folder), as Loader has."
            )

    # ---------------------------------------------------------------------------------- planning
    def plan(self) -> StudyPlan:
        """Return which recordings run at once, from forecasts of their memory."""
        n_workers = self.run_options.get("n_workers")
        options = RunOptions(
            self._choose_mode(True),
            n_workers=1 if n_workers is None else n_workers,
            backend="serial",
            batch_size=self.run_options.get("batch_size", "auto"),
            fuse=self.run_options.get("fuse", True),
            dtype=self.run_options.get("dtype", "float64"),
            chunk_duration_s=self.run_options.get("chunk_duration_s"),
            oversubscribe=self.run_options.get("oversubscribe", False),
        )
        scheduler = Scheduler(
            self._list_steps,
            options,
            self.n_jobs,
            self.memory_budget,
            isolates=self.runner.isolates,
            local=self.runner.local,
            of_worker=self.runner.find_memory(),
            keeps_samples=self.keep_raw,
            divides=n_workers is None and self.runner.local,
            chunks=self.checkpoints[:1] in ([], [None]),
        )
        files = scheduler.plan(self.names, self.inputs)
        given = self.memory_budget is not None
        # Results of recordings in memory count as well: their samples are others.
        kept = sum(file.n_bytes for file in files) if self.keep_raw else 0
        if given and kept > scheduler.limit:
            raise ValidationError(
                f"keep_raw=True would keep {describe_bytes(kept)} of samples, and memory_budget is "
                f"{describe_bytes(scheduler.limit)}: use keep_raw=False, and output=."
            )
        limit, local = scheduler.limit, self.runner.local
        return StudyPlan(files, self.runner.name, self.n_jobs, limit, given, local)

    def _choose_mode(self, is_file: bool) -> str:
        """Return the mode of a run; without a chosen mode, files run channel by channel.

        Samples in files then pass through all steps at once instead of one file for each step.
        """
        flag = self.run_options.get("channel_sequential", False)
        chosen = choose_mode(self.run_options.get("mode"), False, flag)
        free = self.run_options.get("mode") is None and not self.keep_raw and is_file
        return "channel_sequential" if free else chosen

    def _list_steps(self, index: int) -> list[Processor]:
        loader = self.loaders[index]
        return [*([] if loader is None else [loader]), *self.pipeline.processors]

    def _make_loader(self, item: Any) -> Processor | None:
        # By name: core must not import io.
        if isinstance(item, ProcessingContext):
            return get_processor("anonymizer")() if self.anonymize else None
        if self.loader_factory is not None:
            return self.loader_factory(str(item))
        loader: Callable[..., Processor] = get_processor("auto_loader")
        return loader(path=names_of.make_absolute(item), preload=True, anonymize=self.anonymize)

    def _describe(self) -> dict[str, Any]:
        """Return what all recordings have in common, as plain values."""
        options = {name: value for name, value in self.run_options.items() if value is not None}
        if callable(options.get("accept")):
            # The name is for readers of the table; the code of the function counts in `code`.
            options["accept"] = getattr(options["accept"], "__qualname__", "a function")
        try:
            steps = [step.to_dict() for step in self.pipeline.processors]
        except FacetError:  # a step that cannot be written down
            steps = [
                {"processor": step.name, "text": repr(step)} for step in self.pipeline.processors
            ]
        return {
            "name": self.pipeline.name,
            "steps": steps,
            "options": options,
            "anonymize": self.anonymize,
            "backend": self.runner.name,
            "n_jobs": self.n_jobs,
            "memory_budget": self.memory_budget,
            "file_timeout": self.file_timeout,
            "versions": list_versions(),
            "code": self._identify(),
        }

    def _identify(self) -> str:
        """Return a fingerprint of the steps with their code."""
        given = [self.pipeline.processors, self.loader_factory, self.run_options.get("accept")]
        try:
            return take_fingerprint(given)
        except UnhashableError:  # an open file, a lock: their parameters are in the description
            return ""

    # ----------------------------------------------------------------------------------- running
    def run(self) -> BatchResult:
        """Run all recordings.

        Raises
        ------
        FacetError
            The first failure, with ``on_error="raise"``; or if the table cannot be written.
        """
        rows: dict[int, StudyRow] = {}
        results: dict[int, PipelineResult] = {}
        table = None if self.table is None else StudyTable(self.table)
        earlier = self._read_earlier(table)
        self.current = plan = self.plan()
        # Only now: a call that the plan refuses leaves no line in the table.
        if table is not None and self.inputs:
            table.begin(self.header)
        with (
            self._hold_files(),
            self._open_store(),
            follow_study(self.show_progress, len(self.inputs)) as follow,
        ):
            for result, row in self._list_outcomes(plan, earlier):
                rows[row.index], results[row.index] = row, result
                # On the disk first: a callback may raise, and this recording is finished.
                if table is not None and not row.resumed:
                    table.append(row)
                follow(row)
                if self.on_finish is not None:
                    self.on_finish(row)
                if self.on_error == "raise" and result.error is not None:
                    raise result.error
        order = range(len(self.inputs))
        return BatchResult(
            self.names,
            tuple(results[i] for i in order),
            tuple(rows[i].output for i in order),
            tuple(rows[i] for i in order),
            plan,
            self.table,
            self.header,
        )

    def _read_earlier(self, table: StudyTable | None) -> dict[str, StudyRow]:
        if table is None or not self.resume or not table.exists():
            return {}
        # Recordings in memory have no key: nobody knows whether they are the same.
        return {row.key: row for row in table.read()[1] if row.key}

    @contextlib.contextmanager
    def _hold_files(self) -> Iterator[None]:
        """Give contexts that a cluster computes a folder of files, which is removed at the end."""
        self._folder: Path | None = None
        in_memory = [item for item in self.inputs if isinstance(item, ProcessingContext)]
        if self.runner.local or not in_memory:
            yield
            return
        self._folder = scratch.make_folder()
        where = (
            "sent through the store" if self.store is not None else "the workers read them there"
        )
        sys.stderr.write(
            f"facet_nb: {len(in_memory)} recordings in memory are written to {self._folder}, and "
            f"{where}; paths of files would save this.\n"
        )
        try:
            yield
        finally:
            scratch.remove_folder(self._folder)

    @contextlib.contextmanager
    def _open_store(self) -> Iterator[None]:
        """Give this run a part of the store, which is removed at the end."""
        self._sent = None if self.store is None else FileStore.open(self.store)
        try:
            yield
        finally:
            if self._sent is not None:
                self._sent.remove()

    def _list_outcomes(
        self, plan: StudyPlan, earlier: dict[str, StudyRow]
    ) -> Iterator[tuple[PipelineResult, StudyRow]]:
        """Yield the outcome of each input once."""
        first = {file.index: self._begin_row(file.index) for file in plan.files}
        left: list[int] = []
        for file in plan.files:
            row = first[file.index]
            before = earlier.get(row.key)
            if before is not None and _is_finished(before):
                # Position and spelling as in this call: an earlier one may have had other inputs.
                row = replace(before, index=row.index, input=row.input, resumed=True)
                yield row.to_result(), row
            elif self.skip_existing and row.output and Path(row.output).exists():
                row = replace(row, state="skipped")
                yield row.to_result(), row
            # Last: what is finished stays so, even if this call's budget is too little for it.
            elif file.problem is not None:
                yield fail(row, file.problem)
            else:
                left.append(file.index)
        self.again = again = []
        for group in plan.groups:
            tasks = [self._make_task(f, first[f.index]) for f in group if f.index in left]
            for result, row in self._run_group(tasks, group[0].at_once):
                if self.retries and _is_worth_another(result):
                    again.append(row.index)
                else:
                    yield result, row
        files = {file.index: file for file in plan.files}
        for index in sorted(again):
            for attempt in range(2, self.retries + 2):
                row = replace(first[index], attempts=attempt)
                task = self._make_task(replace(files[index], at_once=1), row)
                ((result, row),) = self._run_group([task], 1)
                if result.success or not _is_worth_another(result):
                    break
            yield result, row

    def _begin_row(self, index: int) -> StudyRow:
        name, target = self.names[index], self.targets[index]
        common = {k: self.header[k] for k in ("steps", "anonymize", "versions", "code")}
        # An option that is given as its default changes no sample, and must not change the key.
        common["options"] = {
            name: value
            for name, value in self.header["options"].items()
            if name in _TELLING and value != "float64"
        }
        item = self.inputs[index]
        known = not isinstance(item, ProcessingContext)
        key = make_key(name, names_of.make_absolute(target), common) if known else ""
        return StudyRow(index, name, "failed", target, key=key)

    def _make_task(self, file: FilePlan, row: StudyRow) -> RecordingRun:
        item: Any = self.inputs[file.index]
        loader: Any = self.loaders[file.index]
        if file.in_files and hasattr(loader, "left_in_file"):
            loader = loader.left_in_file()
        if self._folder is not None and isinstance(item, ProcessingContext):
            item = SpilledContext.of(item, self._folder, file.index)
        report = None
        if self.reports is not None:
            report = str(Path(self.reports) / f"{names_of.mark_name(row.input)}.html")
        is_file = not isinstance(self.inputs[file.index], ProcessingContext)
        options = {"n_jobs": 1, "n_workers": 1, "mode": self._choose_mode(is_file)}
        # What the user has chosen takes precedence over what the schedule has.
        options |= {**dict(file.options), **self.run_options}
        # A step that hangs never looks at the token that file_timeout cancels; a task's own limit
        # ends the run all the same.
        if self.file_timeout is not None:
            options["timeout"] = min(
                self.run_options.get("timeout") or self.file_timeout, self.file_timeout
            )
        if self.checkpoints[file.index] is not None:
            options["checkpoint"] = self.checkpoints[file.index]
        return RecordingRun(
            replace(row, forecast_bytes=file.needs_bytes),
            self.pipeline,
            None if loader is not None and is_file else item,
            loader,
            names_of.make_absolute(self.targets[file.index]),
            names_of.make_absolute(report),
            self.keep_raw,
            options,
            file.at_once if self.runner.local else 1,
            self.file_timeout,
        )

    def _run_group(
        self, tasks: Sequence[RecordingRun], at_once: int
    ) -> Iterator[tuple[PipelineResult, StudyRow]]:
        """Yield outcomes as they are ready; what may have killed a worker runs one by one."""
        left = {task.row.index: task for task in tasks}
        suspects = 0
        # A cluster has its own queue: an adaptive one grows with it.
        n_jobs = at_once if self.runner.local else self.in_flight
        while left:
            # A process pool has two workers at least: alone means one call.
            single = suspects > 0 or (n_jobs == 1 and self.runner.local)
            todo = list(left.values())[: 1 if single else None]
            alone, suspects = suspects > 0, max(0, suspects - 1)
            # A backend cancels its token where its caller stops early: the user's stays as it is.
            stop = CancelToken(self.cancel)
            # A token holds a lock, and cannot be sent to another process.
            calls: Any = [(task,) if self.runner.isolates else (task, stop) for task in todo]
            if self._sent is not None:
                calls = _Sent(todo, self._sent)
            call: Callable[..., Any] = run_recording if self.runner.local else run_remotely
            try:
                for answer in self.runner.run(call, calls, n_jobs, stop):
                    result, row = answer if self.runner.local else pickle.loads(answer)
                    task = left.pop(row.index)
                    yield self._check_files(task, result, row)
            except WorkerDied:
                if alone:
                    task = left.pop(todo[0].row.index)
                    yield fail(task.row, _explain_death(task.row.input))
                else:
                    # At most these had started: joblib sends n_jobs calls, and one more for each
                    # that has finished.
                    suspects = 2 * self.n_jobs
            except FacetError as error:  # of the workers as a whole: calls return their own errors
                for task in left.values():
                    yield fail(task.row, error)
                return

    def _check_files(
        self, task: RecordingRun, result: PipelineResult, row: StudyRow
    ) -> tuple[PipelineResult, StudyRow]:
        """Return an outcome, as a failure if a remote worker sees another file system."""
        if self._sent is not None:
            return _bring_back(task, result, row, self._sent.part(str(row.index)))
        if self.runner.local:
            return result, row
        missing = None
        if (
            not result.success
            and _is_here(self.inputs[row.index])
            and any(words in str(result.error).lower() for words in _NOT_THERE)
        ):
            missing = row.input
        elif row.output is not None and not Path(row.output).exists():
            missing = row.output
        if missing is None:
            return result, row
        return fail(
            row,
            FacetError(
                f"{missing}: the worker and this machine do not see the same file under this path. "
                "Put recordings and output into a folder that is mounted on all machines, or use "
                "store=."
            ),
        )


def _bring_back(
    task: RecordingRun, result: PipelineResult, row: StudyRow, store: FileStore
) -> tuple[PipelineResult, StudyRow]:
    """Return an outcome after its files were brought from the store."""
    try:
        receive_files(row, store)
    except FacetError as error:
        return fail(task.row, error)
    finally:
        store.remove()
    return result, row


class _Sent(Sequence[tuple[RecordingRun]]):
    """Calls whose recordings are sent to a store when they are taken."""

    def __init__(self, tasks: Sequence[RecordingRun], store: FileStore) -> None:
        self.tasks = tasks
        self.store = store

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: Any) -> Any:
        task = self.tasks[index]
        return (task.send(self.store.part(str(task.row.index))),)


def _check_options(pipeline: Chain, options: dict[str, Any]) -> None:
    """Raise the error that every single run would raise, before any of them starts."""
    unknown = sorted(set(options) - set(_RUN_OPTIONS))
    if unknown:
        raise ValidationError(
            f"map has no option {', '.join(unknown)}; the options for the runs are "
            f"{', '.join(sorted(_RUN_OPTIONS))}."
        )
    checked = ("n_workers", "batch_size", "dtype", "chunk_duration_s")
    numbers = {k: options[k] for k in checked if k in options}
    check_timeout(options.get("timeout"))
    flag = options.get("channel_sequential", False)
    pipeline.plan(choose_mode(options.get("mode"), False, flag), **numbers)


def _find_table(table: Any, output: Any) -> Path | None:
    """Return the folder of the table."""
    if table is False or (table in (None, True) and not isinstance(output, (str, Path))):
        return None
    if table in (None, True):
        parts = Path(str(output)).expanduser().absolute().parts
        fixed = list(parts)
        # Without {stem} it is a folder, and braces are part of its name. Of a pattern, only the
        # part before the first field is the same for all inputs.
        if "{stem}" in str(output):
            fixed = []
            for part in parts:
                if "{" in part:
                    break
                fixed.append(part)
        return Path(*fixed)
    return Path(table).expanduser().absolute()


def _is_finished(row: StudyRow) -> bool:
    """Whether nothing is left to do for a recording of an earlier call."""
    # It would be rejected again: a row with another `accept` has another key.
    if row.state == "rejected":
        return True
    return row.success and (row.output is None or Path(row.output).exists())


def _is_here(item: Any) -> bool:
    return isinstance(item, (str, Path)) and Path(item).expanduser().exists()


def _is_worth_another(result: PipelineResult) -> bool:
    error = result.error
    # By name as well: a step's error may come from another process, with its cause as text only.
    lasting = isinstance(error, _LASTING) or getattr(error, "cause_type", "") in (
        *("ValidationError", "FindingError", "PlanError"),
    )
    return error is not None and not lasting and not result.cancelled


def _explain_death(name: str) -> StepError:
    return StepError(
        f"{name}: the worker process ended twice without returning a result. A step calls "
        "os._exit, crashes in compiled code, or memory ran out: run this input alone with n_jobs=1."
    )
