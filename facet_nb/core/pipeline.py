"""Pipelines: an ordered list of processors that can be planned, run, saved and loaded."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.core import limits, progress
from facet_nb.core.backends import registry as backends
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext, apply_to_raw, is_recording
from facet_nb.core.defaults import defaults
from facet_nb.core.errors import (
    FacetError,
    PlanError,
    RunCancelled,
    StepError,
    ValidationError,
    cut,
)
from facet_nb.core.events import Event, EventRecorder
from facet_nb.core.execution.checkpoint import hold_checkpoint
from facet_nb.core.execution.runner import Runner, check_early, check_parameters
from facet_nb.core.execution.timeouts import check_timeout
from facet_nb.core.memory import parse_bytes
from facet_nb.core.parallel import ParallelExecutor, use_executor
from facet_nb.core.parameters import clone_value, list_inner_params, name_steps, split_params
from facet_nb.core.planning.budget import find_input, fit_to_budget
from facet_nb.core.planning.memory_forecast import RunInput
from facet_nb.core.planning.modes.registry import AUTO, list_mode_names
from facet_nb.core.planning.plan import Plan
from facet_nb.core.planning.planner import RunOptions, choose_mode, make_plan
from facet_nb.core.processor import (
    LambdaProcessor,
    Processor,
    as_processor,
)
from facet_nb.core.quality import Accept, add_gates
from facet_nb.core.registry import get_processor
from facet_nb.core.result import PipelineResult
from facet_nb.core.storage.originals import YAML, check_kind_of_file

if TYPE_CHECKING:
    from facet_nb.core.map import StudyPlan

Step = Processor | Callable[[ProcessingContext], ProcessingContext]


class Pipeline:
    r"""An ordered list of processors.

    Parameters
    ----------
    processors : sequence of Processor or callable
        The steps. A plain callable takes a context and returns one.
    name : str | None
        Name for plans, progress bars and files.

    Examples
    --------
    >>> from facet_nb import AASCorrection, Pipeline, TriggerDetector
    >>> pipeline = Pipeline([TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=30)])
    >>> len(pipeline)
    2
    """

    def __init__(self, processors: Sequence[Step] = (), name: str | None = None) -> None:
        self.processors: list[Processor] = list(map(as_processor, processors))
        self.name = name or "Pipeline"

    # ------------------------------------------------------------------------ list of steps
    def add(self, processor: Step) -> Pipeline:
        """Append a step; return the pipeline."""
        self.processors.append(as_processor(processor))
        return self

    def insert(self, index: int, processor: Step) -> Pipeline:
        """Insert a step before position `index`; return the pipeline."""
        self.processors.insert(index, as_processor(processor))
        return self

    def remove(self, index: int) -> Pipeline:
        """Remove the step at position `index`; return the pipeline."""
        if not -len(self.processors) <= index < len(self.processors):
            raise ValidationError(f"no step at position {index}: there are {len(self)} steps.")
        del self.processors[index]
        return self

    def extend(self, processors: Sequence[Step]) -> Pipeline:
        """Append several steps; return the pipeline."""
        self.processors.extend(as_processor(p) for p in processors)
        return self

    def __len__(self) -> int:
        return len(self.processors)

    def __iter__(self) -> Iterator[Processor]:
        return iter(self.processors)

    def __getitem__(self, index: int) -> Processor:
        return self.processors[index]

    def __or__(self, other: Step | Pipeline) -> Pipeline:
        more = other.processors if isinstance(other, Pipeline) else [as_processor(other)]
        return Pipeline([*self.processors, *more], self.name)

    def __call__(self, context: Any) -> Any:
        """Run serially; return the context, or raise. Of a ``Raw`` it makes a new ``Raw``."""
        if is_recording(context):
            return apply_to_raw(self, context)
        # Each is stated: what is left out would come from set_defaults.
        given: dict[str, Any] = {"mode": "serial", "n_jobs": 1, "n_workers": 1}
        result = self.run(context, **given, show_progress=False, raise_on_error=True)
        return result.get_context()

    # -------------------------------------------------------------------------- parameters
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return ``processors`` and ``name``, as scikit-learn's estimators do.

        Parameters
        ----------
        deep : bool
            Whether to add the steps by name, and their parameters as ``<step>__<parameter>``. If
            a name repeats, the second of them is ``<name>-2``, and so on.
        """
        own = {"processors": self.processors, "name": self.name}
        if not deep:
            return own
        steps = name_steps(self.processors)
        return {**own, **steps, **list_inner_params(steps)}

    def set_params(self, **params: Any) -> Pipeline:
        """Change the pipeline or parameters of its steps, in place; return it.

        Parameters
        ----------
        **params
            New values by the names of :meth:`get_params`, for example
            ``highpass_filter__freq=0.5``.

        Raises
        ------
        ValidationError
            If there is no such step or parameter.
        """
        # First, because the other names are those of the new steps.
        if "processors" in params:
            self.processors = list(map(as_processor, params.pop("processors")))
        steps = name_steps(self.processors)
        own = split_params(params, {**steps, "name": self.name}, "the pipeline")
        self.name = own.pop("name", self.name)
        for step, processor in own.items():
            self.processors[list(steps).index(step)] = as_processor(processor)
        return self

    # scikit-learn would compare each argument of the copy with what it passed, and refuse a
    # constructor that makes a list of its own.
    def __sklearn_clone__(self) -> Pipeline:
        """Return a pipeline with copies of the steps, for :func:`sklearn.base.clone`."""
        return type(self)(clone_value(self.processors), self.name)

    # ------------------------------------------------------------------------------- running
    def run(
        self,
        initial_context: Any = None,
        parallel: bool = False,
        n_jobs: int | None = None,
        channel_sequential: bool = False,
        show_progress: bool | None = None,
        *,
        mode: str | None = None,
        n_workers: int | None = None,
        backend: Any = "multiprocessing",
        batch_size: int | str = "auto",
        oversubscribe: bool = False,
        fuse: bool = True,
        on_event: Callable[[Event], None] | None = None,
        cancel: Any = None,
        raise_on_error: bool = False,
        memory_budget: str | int | None = None,
        dtype: str = "float64",
        timeout: float | None = None,
        checkpoint: str | Path | None = None,
        chunk_duration_s: float | None = None,
        accept: Accept | None = None,
    ) -> PipelineResult:
        """Run all steps. Every mode gives the same result, bit for bit.

        Parameters
        ----------
        initial_context : ProcessingContext | mne.io.BaseRaw | path | None
            What to begin with; not needed if the first step is a loader. It does not change. A
            file is read by ``Loader(path)``, which becomes the first step.
        parallel, channel_sequential : bool
            The same as ``mode="parallel"`` and ``mode="channel_sequential"``; with both,
            channel-sequential over several workers.
        n_jobs : int | None
            Batches in flight at once; -1 for all cores, -2 for all but one. None for the number of
            :func:`facet_nb.set_defaults`; without one, all cores if the run is parallel, else 1.
        show_progress : bool | None
            Whether to show a progress bar; None shows it in notebooks and terminals.
        mode : {"serial", "channel_sequential", "parallel", "auto"} | None
            How to run. None follows the two flags; without them "serial", or the mode of
            :func:`facet_nb.set_defaults`.
        n_workers : int | None
            Threads inside one batch; None for 1, or the number of :func:`facet_nb.set_defaults`.
        backend : {"multiprocessing", "threading", "serial", "dask"} | object
            The kind of workers if ``n_jobs`` is above 1. ``"dask"`` uses the current
            ``dask.distributed.Client``; its workers must see the folder ``FACET_NB_TMPDIR``. Or
            workers of your own: a ``concurrent.futures.Executor``, a :class:`ParallelExecutor`
            whose ``execute`` runs each channel-wise step, or a backend.
        batch_size : int | "auto"
            Channels in one batch. ``"auto"`` takes as many as the kernels process at once, 16, but
            leaves a batch to each worker, and takes no more memory than the recording (or 256 MB).
            With a user-defined step, a `timeout` or a `checkpoint` it is one channel.
        oversubscribe : bool
            Whether outer × inner workers may be more than the cores. Otherwise `n_workers` is
            lowered, with a finding.
        fuse : bool
            Whether the plan may replace ``UpSample → align → correct → DownSample`` with one step
            whose result differs by at most 1e-7 of the artifact's peak.
        on_event : callable | None
            Called with each event, from this thread.
        cancel : CancelToken | threading.Event | None
            Set it (from another thread) to stop the run.
        raise_on_error : bool
            Whether to raise an error instead of reporting it in the result.
        memory_budget : str | int | None
            Limit of the memory of the run, including libraries and workers: ``"1.5 GB"``, or a
            number of bytes. As far as needed, there are fewer batches and workers at once, and
            samples are left in files. If `mode` is None, it is chosen automatically.
        dtype : {"float64", "float32"}
            Precision of the samples between steps. float32 takes half of the time and memory; steps
            that are not declared safe for it are still computed in float64, and the plan names
            them. The corrected recording differs from that of float64 by about a millionth of the
            largest sample; its data type is float64.
        timeout : float | None
            Time limit of one task (a batch of channels, or a step over all of them), in s. If it is
            exceeded, the run ends with an error that names step and channel. Processes are killed;
            a thread stops at its next kernel, or is abandoned, which the error then says.
        checkpoint : path | None
            Folder in which finished channels are kept: after an interruption, the same run resumes
            where it was, with the same result. It needs space for one recording per stage. Stages
            that changed since (a parameter, the input, a version) are computed again.
        chunk_duration_s : float | None
            Process each channel in chunks of about this length, in s: memory is then independent of
            the number of channels and the length of the recording. The result is the same, bit for
            bit. Stages with a step that needs the whole length of a channel run without chunks; the
            plan names them.
        accept : "good" | dict of str to float | callable | None
            Which results are accepted: those with this verdict, whose measures are at most these
            (``{"untouched_artifact": 0}``), or for whose :class:`facet_nb.Quality` the function
            returns True. No file is written of another result; ``success`` is False, and the
            finding ``result_rejected`` has the reason. None accepts all.

        Returns
        -------
        PipelineResult
            ``success``, ``error``, ``context``, ``metrics`` and measured step times.

        Raises
        ------
        PlanError
            If mode, flags or numbers of workers are not valid, or the budget is too small: the
            message names the smallest sufficient one.
        FacetError
            If the disk has no space for scratch files; and any error of the run, if
            `raise_on_error`.
        """
        # Copies: steps may be added, removed and given other arguments during the run. Not of
        # steps of a user's own, which may count or collect.
        own = list(self.processors)
        for i, processor in enumerate(own):
            if processor.built_in:
                own[i] = copy.copy(processor)
        processors: Sequence[Processor] = tuple(own)
        if not isinstance(backend, str):
            processors, backend = _use_backend(processors, backend)
        if isinstance(initial_context, str | Path):
            processors, initial_context = _read_first(processors, initial_context), None
        if accept is not None:
            processors = add_gates(processors, accept)
        context = _as_context(initial_context)
        if batch_size == "auto" and not (timeout is None and checkpoint is None):
            batch_size = 1  # the limit holds for a batch; and only whole batches are kept
        options = _choose_options(
            (mode, parallel, channel_sequential, memory_budget is not None),
            *(n_jobs, n_workers, backend, batch_size, fuse, dtype, chunk_duration_s),
            oversubscribe,
        )
        if memory_budget is not None or options.mode == AUTO:
            # Only a budget cannot do without the size. If a file cannot be read, the run itself
            # says so, with the name of the step.
            plan = _fit(processors, options, context, memory_budget)
        else:
            # Counting cores takes longer than planning a short chain.
            one = options.n_jobs == options.n_workers == 1
            plan = make_plan(processors, options, 1 if one else backends.count_cores(backend))
        recorder = EventRecorder([on_event] if on_event else [])
        runner = Runner(
            processors,
            plan,
            recorder,
            None if cancel is None else as_token(cancel),
            None if timeout is None else check_timeout(timeout),
            # Not opened yet: the lock on the folder belongs to the run, which opens and closes it.
            None if checkpoint is None else partial(hold_checkpoint, checkpoint),
        )
        show_progress = defaults.progress if show_progress is None else show_progress
        with progress.bar(show_progress, self.name, recorder):
            # The plan has replaced "auto" with the mode that it chose, so it is asked of the
            # options.
            advised = options.mode == AUTO
            return self._attempt(runner, context, recorder, raise_on_error, advised)

    def _attempt(
        self,
        runner: Runner,
        context: ProcessingContext,
        recorder: EventRecorder,
        raise_on_error: bool,
        advised: bool,
    ) -> PipelineResult:
        begin = time.perf_counter()
        error: Exception | None = None
        done: ProcessingContext | None = None
        try:
            done = runner.run(context)
            if advised:
                done = _note_advice(done, len(context.get_history()), runner.plan)
        except Exception as problem:
            # Failures of steps, files and the system arrive as FacetError. Anything else is a fault
            # of ours or of a listener, and a result would hide it.
            if raise_on_error or not isinstance(problem, FacetError):
                raise
            error = problem
        step = error if isinstance(error, StepError) else None
        return PipelineResult(
            context=done,
            success=error is None,
            error=error,
            execution_time=time.perf_counter() - begin,
            failed_processor=step.step if step else None,
            failed_processor_index=step.index if step else None,
            state=recorder.state,
            plan=runner.plan,
            cancelled=isinstance(error, RunCancelled),
            last_context=runner.last if error is not None else None,
        )

    def plan(
        self,
        subject: Any = None,
        *,
        mode: str | None = None,
        n_jobs: int | None = None,
        n_workers: int | None = None,
        backend: str = "multiprocessing",
        batch_size: int | str = "auto",
        oversubscribe: bool = False,
        memory_budget: str | int | None = None,
        fuse: bool = True,
        dtype: str = "float64",
        chunk_duration_s: float | None = None,
    ) -> Plan:
        """Return the plan of a run: its stages, their reasons, and a forecast.

        Parameters
        ----------
        subject : ProcessingContext | mne.io.BaseRaw | path | None
            The recording to look at; of a file the header is read. With it the
            plan says how much memory each stage will need. (The name of a mode is taken as `mode`.)
        mode : {"serial", "channel_sequential", "parallel", "auto", "lazy"} | None
            As in :meth:`run`. ``"lazy"`` says which steps :meth:`lazy` computes in windows, and
            why others need whole channels.
        batch_size : int | "auto"
            As in :meth:`run`. Without a `subject`, ``"auto"`` stays open.
        memory_budget : str | int | None
            As in :meth:`run`; it needs a `subject`, or a pipeline that begins with a loader.
        n_jobs, n_workers, backend, oversubscribe, fuse, dtype, chunk_duration_s
            As in :meth:`run`.

        Raises
        ------
        PlanError
            As :meth:`run`.
        ValidationError
            If the file cannot be used.
        StepError
            If a step is certain to fail, e.g. an output file exists and may not be replaced.
        """
        # The mode was once the first argument: plan("parallel") goes on to work.
        if isinstance(subject, str) and subject in list_mode_names():
            if mode is not None and mode != subject:
                raise PlanError(f"plan({subject!r}, mode={mode!r}): pass only one mode.")
            subject, mode = None, subject
        if mode == "lazy":
            # Imported here, as are the modules in the methods below, because neither a run nor
            # import facet_nb needs them.
            from facet_nb.core.lazy.explain import explain

            options = RunOptions("channel_sequential", fuse=fuse)
            return explain(self.processors, make_plan(self.processors, options, 1))
        if subject is not None and not isinstance(subject, str | Path):
            subject = _as_context(subject)
        options = _choose_options(
            (mode, False, False, memory_budget is not None),
            *(n_jobs, n_workers, backend, batch_size, fuse, dtype, chunk_duration_s),
            oversubscribe,
        )
        check_early(self.processors, subject if isinstance(subject, ProcessingContext) else None)
        known = subject is not None or memory_budget is not None
        run_input = _measure(self.processors, subject) if known else None
        check_parameters(self.processors, None if run_input is None else run_input.shape)
        return fit_to_budget(self.processors, options, run_input, memory_budget)

    def lazy(
        self,
        raw: Any = None,
        *,
        n_workers: int | None = None,
        cache: str | int = "256 MB",
        fuse: bool = True,
        oversubscribe: bool = False,
    ) -> Any:
        """Return the corrected recording as an MNE ``Raw`` that is computed where it is read.

        The decisions (triggers, alignment, courses, beats) are made now, once. Samples follow when
        ``get_data``, ``plot``, :class:`mne.Epochs`, ``compute_psd`` or ``save`` read them, and they
        are those of :meth:`run` to the bit, for every window and order of reading.

        Parameters
        ----------
        raw : mne.io.BaseRaw | ProcessingContext | path | None
            The recording. A file is not loaded. Do not change the samples of a loaded recording
            while the result is in use: they are not copied.
        n_workers : int | None
            Threads that share one read. None for 1, or the number of
            :func:`facet_nb.set_defaults`.
        cache : str | int
            The most memory that computed samples may take: ``"256 MB"``, or bytes. What has no
            room is computed again.
        fuse : bool
            As in :meth:`run`.
        oversubscribe : bool
            Whether `n_workers` may be more than the cores; otherwise it is lowered, and the log
            says so.

        Returns
        -------
        LazyRaw
            The recording, ``preload=False``. Its ``describe_steps()`` says which steps are
            computed in windows, and why others need whole channels; ``context`` has triggers and
            history. Steps that only measure, write or show something (metrics, exporters) are not
            run.

        Raises
        ------
        StepError
            If a decision cannot be made.
        PlanError
            If the size of the cache or the number of workers cannot be used.
        ValidationError
            If there is no recording.

        Notes
        -----
        NaN in a data channel is an error when that part is read. A step that takes whole channels,
        and the first pass of a correction behind a filter, make the first window of a channel take
        as long as the whole channel.
        """
        from facet_nb.core.lazy.engine import make_lazy

        processors = self.processors
        if isinstance(raw, str | Path):
            processors, raw = _read_first(processors, raw), None
        n_workers = defaults.n_workers if n_workers is None else n_workers
        workers = RunOptions(
            "channel_sequential", 1, n_workers, fuse=fuse, oversubscribe=oversubscribe
        )
        return make_lazy(processors, workers, _as_context(raw), parse_bytes(cache, "cache"))

    def apply(self, epochs: Any) -> Any:
        """Run the steps on epochs, each of which is processed by itself.

        It suits what follows a correction: a reference, a filter for long epochs, a lower rate.

        Parameters
        ----------
        epochs : mne.Epochs
            The epochs; they are not changed.

        Returns
        -------
        mne.EpochsArray
            New epochs with the same events, metadata, selection and beginning.

        Raises
        ------
        PlanError
            If a step needs triggers or whole recordings; the message names each one.
        """
        from facet_nb.core.epochs import apply_to_epochs

        return apply_to_epochs(self.processors, epochs)

    def stream(self, source: Any, block_s: float = 1.0) -> Any:
        """Correct a recording while it arrives.

        Parameters
        ----------
        source : mne.io.BaseRaw, path, or iterable
            A recording that is replayed; a BrainVision file that is still written; or an iterable
            of ``(samples, events)`` with an attribute ``info``: samples in V, shape
            (n_channels, n), and events as (position from the first sample of all, text).
        block_s : float
            Length of a block, in s; an iterable chooses its own.

        Returns
        -------
        LiveStream
            Iterator, also asynchronous, of :class:`facet_nb.core.live.LiveBlock`.

        Raises
        ------
        PlanError
            If a step needs later samples; the message names each one and the reason.
        ValidationError
            If the source cannot be used.

        Notes
        -----
        The samples are those of :meth:`run`, bit for bit, as long as TriggerDetector repairs
        nothing: a stream takes all matching events as they are.
        """
        from facet_nb.core.live import LiveStream

        return LiveStream(self.processors, source, block_s)

    def map(self, inputs: Sequence[Any], **kwargs: Any) -> Any:
        """Run the pipeline on many files or contexts; see :class:`facet_nb.Study`.

        Parameters
        ----------
        inputs : sequence of path or ProcessingContext
            The inputs.
        **kwargs
            ``n_jobs``, ``on_error``, ``keep_raw``, ``output``, ``loader_factory``, ….

        Returns
        -------
        BatchResult
            The result of each input, in the order of `inputs`.
        """
        from facet_nb.core.map import map_runs  # a run of one recording does not need it

        return map_runs(self, inputs, **kwargs)

    def plan_map(self, inputs: Sequence[Any], **kwargs: Any) -> StudyPlan:
        """Return which recordings :meth:`map` would run at once, and how, without running them.

        Parameters
        ----------
        inputs : sequence of path or ProcessingContext
            The inputs.
        **kwargs
            As for :meth:`map`.

        Returns
        -------
        StudyPlan
            The groups, with the forecast of each recording's memory; print it.
        """
        from facet_nb.core.map import Study

        return Study(self, inputs, **kwargs).plan()

    def validate_all(self, context: ProcessingContext) -> list[str]:
        """Return the validation errors of all steps for `context`."""
        errors = []
        for i, processor in enumerate(self.processors):
            try:
                processor.validate(context)
            except FacetError as error:
                errors.append(f"Step {i + 1} ({processor.name}): {error}")
        return errors

    # ---------------------------------------------------------------------------- description
    def describe(self) -> str:
        """Return the steps with their parameters and flags, one per line."""
        lines = [f"{self.name} ({len(self)} steps)"]
        for i, p in enumerate(self.processors, 1):
            flags = [f for f in ("channel_wise", "parallel_safe", "run_once") if getattr(p, f)]
            lines.append(f"{i:>3}. {p!r}  [{', '.join(flags) or 'global'}]")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the pipeline as plain Python values."""
        return {"name": self.name, "processors": [p.to_dict() for p in self.processors]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pipeline:
        """Create a pipeline from the output of :meth:`to_dict`.

        Raises
        ------
        ValidationError
            If a step is unknown or its parameters are not valid.
        """
        try:
            entries = list(values["processors"])
        except (KeyError, TypeError) as error:
            raise ValidationError(
                "a pipeline is {'name': …, 'processors': [{'processor': name, 'parameters': …}]}."
            ) from error
        return cls([_make_step(i, e) for i, e in enumerate(entries)], values.get("name"))

    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return the pipeline as YAML text; also write it to `path`."""
        import yaml

        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        if path is not None:
            # A name such as x.fif is a slip, and the text would take the place of a recording.
            check_kind_of_file(path, YAML)
            # Stated, because the default is another one on Windows.
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_yaml(cls, source: str | Path) -> Pipeline:
        """Create a pipeline from a YAML file, or from YAML text. Nothing in it is executed.

        Raises
        ------
        ValidationError
            If the file or text cannot be read.
        """
        import yaml

        # A pipeline takes several lines of YAML, and the path of a file has no line break.
        is_text = isinstance(source, str) and "\n" in source
        try:
            text = str(source) if is_text else limits.read_text(source)
            values = limits.load_yaml(text)  # creates plain values only
        except OSError as error:
            raise ValidationError(f"cannot read {source}: {error.strerror}.") from error
        except ValueError as error:  # not text, not a path, or too much
            named = cut(str(source), 80)
            raise ValidationError(
                f"{named!r} is not a YAML pipeline: {error}. Write one with Pipeline.to_yaml()."
            ) from error
        except yaml.YAMLError as error:
            raise ValidationError(
                f"not a YAML pipeline: {error}. Write one with Pipeline.to_yaml()."
            ) from error
        return cls.from_dict(values)

    def __repr__(self) -> str:
        return f"<Pipeline {self.name!r}: {' → '.join(p.name for p in self.processors) or 'empty'}>"

    def _repr_html_(self) -> str:
        # Arguments may come from a YAML file of somebody else: nothing in them may become markup.
        rows = "".join(
            f"<tr><td>{i}</td><td style='text-align:left'><code>{escape(repr(p))}</code></td>"
            f"<td>{'yes' if p.channel_wise else 'no'}</td>"
            f"<td>{'yes' if p.parallel_safe else 'no'}</td></tr>"
            for i, p in enumerate(self.processors, 1)
        )
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.name)}</b></caption>"
            "<thead><tr><th>#</th><th>step</th><th>channel-wise</th><th>parallel-safe</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
        )


def _measure(
    processors: Sequence[Processor], given: Any, *, strict: bool = True
) -> RunInput | None:
    """Return what :func:`find_input` does; of two errors, that of an argument comes first."""
    try:
        return find_input(processors, given, strict=strict)
    except FacetError:
        check_parameters(processors, None)
        raise


def _fit(
    processors: Sequence[Processor],
    options: RunOptions,
    context: ProcessingContext,
    memory_budget: str | int | None,
) -> Plan:
    """Return the plan of a run whose size decides."""
    found = _measure(processors, context, strict=memory_budget is not None)
    try:
        return fit_to_budget(processors, options, found, memory_budget)
    except PlanError:
        # A step with an absurd argument may need any memory: its own error is the one to tell.
        check_parameters(processors, None if found is None else found.shape)
        raise


def _choose_options(
    how: tuple[str | None, bool, bool, bool],
    n_jobs: int | None,
    n_workers: int | None,
    *more: Any,
) -> RunOptions:
    """Return the options of a run, with the defaults of :func:`facet_nb.set_defaults`.

    `how` are the mode, FACETpy's two flags for it, and whether there is a memory budget.
    """
    mode, parallel, channel_sequential, has_budget = how
    # The mode of a session would contradict a flag of this call, which is an error, and would keep
    # a budget from choosing one.
    if not (parallel or channel_sequential or has_budget):
        mode = defaults.mode if mode is None else mode
    chosen = choose_mode(mode, parallel, channel_sequential)
    if n_jobs is None:
        n_jobs = defaults.n_jobs or (-1 if parallel or chosen == "parallel" else 1)
    # Nobody has asked for "serial", so that the budget may choose.
    if has_budget and mode is None and chosen == "serial":
        chosen = AUTO
    n_workers = defaults.n_workers if n_workers is None else n_workers
    return RunOptions(chosen, n_jobs, n_workers, *more)


def _use_backend(processors: Sequence[Processor], backend: Any) -> tuple[Sequence[Processor], str]:
    """Return the steps of a run, and the name of a backend that was given as an object."""
    if isinstance(backend, ParallelExecutor):
        # The executor spreads the channels of each step by itself: the run around it has one
        # worker.
        return use_executor(processors, backend), "serial"
    return processors, backends.name_backend(backend)


def _note_advice(done: ProcessingContext, first: int, plan: Plan) -> ProcessingContext:
    """Return `done` with the choice of ``mode="auto"`` in the history, at the first step."""
    history = list(done._history)
    # A pipeline without steps adds no entry.
    if first >= len(history):
        return done
    history[first] = replace(history[first], advice=plan.to_advice())
    new = done._derive()
    new._history = tuple(history)
    return new


def _as_context(given: Any) -> ProcessingContext:
    context = ProcessingContext() if given is None else given
    if isinstance(context, ProcessingContext):
        return context
    if is_recording(context):
        return ProcessingContext(context)
    raise ValidationError(
        "a run begins with a ProcessingContext, an MNE Raw object or the path of a file, not "
        f"{type(context).__name__}. Make a Raw of an array with mne.io.RawArray(data, info)."
    )


def _read_first(processors: Sequence[Processor], path: str | Path) -> list[Processor]:
    """Return `processors` behind a loader of the file `path`."""
    # Loaders belong to a floor above and cannot be imported here: they are known by what only they
    # have, and found by their names.
    own = next((step for step in processors if hasattr(step, "forecast")), None)
    if own is not None:
        raise ValidationError(
            f"the pipeline loads a recording by itself ({own!r}): run it without a path, or leave "
            "that step out."
        )
    loader: Any = get_processor("auto_loader")
    return [loader(path=path), *processors]


def as_token(cancel: Any) -> CancelToken:
    """Return a :class:`CancelToken` for `cancel` (a token, a ``threading.Event`` or None)."""
    if cancel is None:
        return CancelToken()
    if isinstance(cancel, CancelToken):
        return cancel
    if hasattr(cancel, "is_set") and hasattr(cancel, "wait"):
        token = CancelToken()
        token._event = cancel  # the caller may set it at any time
        return token
    raise ValidationError(
        f"cancel must be a CancelToken or a threading.Event, not {type(cancel).__name__}."
    )


def _make_step(index: int, entry: Any) -> Processor:
    if not isinstance(entry, Mapping) or "processor" not in entry:
        raise ValidationError(f"step {index + 1} needs a 'processor' name: {entry!r}.")
    name = str(entry["processor"])
    # The file has the name of the function, and not its code.
    if name == LambdaProcessor.name:
        raise ValidationError(
            f"step {index + 1} is a plain function, which cannot be saved: write a Processor class "
            "with @register_processor."
        )
    cls = get_processor(name)
    # "parameters:" with nothing behind it is None in YAML.
    parameters = entry.get("parameters") or {}
    try:
        return cls(**parameters)
    except TypeError as error:
        raise ValidationError(f"step {index + 1} ({cls.name}): {error}.") from error
