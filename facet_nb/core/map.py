"""Run one pipeline on many recordings."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facet_nb.core.backends import registry
from facet_nb.core.backends.base import Backend, WorkerDied, check_picklable
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext, is_recording
from facet_nb.core.defaults import defaults
from facet_nb.core.errors import FacetError, StepError, ValidationError, check_pandas, read_message
from facet_nb.core.execution.timeouts import check_timeout
from facet_nb.core.findings import find_worst
from facet_nb.core.planning.planner import check_numbers, choose_mode
from facet_nb.core.processor import Processor
from facet_nb.core.progress import wanted
from facet_nb.core.quality import Accept, check_accept
from facet_nb.core.registry import get_processor
from facet_nb.core.result import PipelineResult

if TYPE_CHECKING:
    import pandas as pd


Result = tuple[int, PipelineResult]


class Chain(Protocol):
    """The part of :class:`~facet_nb.core.pipeline.Pipeline` that :func:`map_runs` uses."""

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


@dataclass
class BatchResult:
    """Results of :meth:`Pipeline.map`, in the order of the inputs.

    Attributes
    ----------
    inputs : tuple of str
        Path or position of each input.
    results : tuple of PipelineResult
        The result of each input.
    outputs : tuple of str or None
        The file that was written for each input, if any.
    """

    inputs: tuple[str, ...]
    results: tuple[PipelineResult, ...]
    outputs: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[PipelineResult]:
        return iter(self.results)

    def __getitem__(self, index: int) -> PipelineResult:
        return self.results[index]

    @property
    def summary_df(self) -> pd.DataFrame:
        """Table with a row per input.

        Its columns are ``input, success, time_s, output, error``, ``findings`` (their number),
        ``worst`` (their highest severity), ``quality`` (the verdict) with ``quality_sentence``, and
        the metrics.
        """
        check_pandas()
        import pandas as pd

        rows = []
        for name, result, output in zip(self.inputs, self.results, self.outputs, strict=True):
            row: dict[str, Any] = {
                "input": name,
                "success": result.success,
                "time_s": result.execution_time,
                "output": output,
                "error": None if result.error is None else str(result.error),
                "findings": len(result.findings),
                "worst": find_worst(result.findings),
                "quality": result.quality.verdict,
                "quality_sentence": result.quality.sentence,
            }
            numbers = {k: v for k, v in result.metrics.items() if isinstance(v, Real)}
            rows.append(row | numbers)
        return pd.DataFrame(rows, columns=None if rows else ["input", "success", "time_s"])

    def summary(self) -> str:
        """Return the outcome as text."""
        good = sum(r.success for r in self.results)
        lines = [f"{good} of {len(self)} succeeded"]
        for name, result in zip(self.inputs, self.results, strict=True):
            what = "done" if result.success else f"failed: {result.error}"
            lines.append(f"  {name}: {what} ({result.execution_time:.2f} s)")
            lines += [f"    {result.quality}"] if result.quality.measures else []
            lines += [f"    {finding}" for finding in result.findings]
        return "\n".join(lines)

    def print_summary(self) -> None:
        """Print the outcome."""
        print(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary_df.to_html(index=False, escape=True))


def map_runs(
    pipeline: Chain,
    inputs: Iterable[Any],
    *,
    n_jobs: int | None = None,
    parallel: bool | None = None,
    backend: str = "multiprocessing",
    on_error: str = "continue",
    keep_raw: bool = True,
    output: str | Path | None = None,
    loader_factory: Callable[[str], Processor] | None = None,
    show_progress: bool | None = None,
    checkpoint: str | Path | None = None,
    anonymize: bool = False,
    accept: Accept | None = None,
    **run_options: Any,
) -> BatchResult:
    """Run `pipeline` on each input.

    Parameters
    ----------
    pipeline : Pipeline
        The steps; a loader is put before them for inputs that are paths.
    inputs : iterable of path, ProcessingContext or mne.io.BaseRaw
        What to process.
    n_jobs : int | None
        Recordings in flight at once; -1 for all cores. None for 1, or the number of
        :func:`facet_nb.set_defaults`.
    parallel : bool | None
        FACETpy's flag: False means ``n_jobs=1``; True means all cores, unless `n_jobs` is given.
    backend : {"multiprocessing", "threading", "serial", "dask"}
        The kind of workers. Workers of a Dask cluster must see the files under the same paths.
    on_error : {"continue", "raise"}
        Whether to continue with the other inputs after one has failed, or to raise its error.
    keep_raw : bool
        Whether results keep their samples; use False for many or long recordings.
    output : path | None
        Folder for corrected files, which are named ``<name>_corrected<suffix>``; or a pattern with
        ``{stem}``.
    loader_factory : callable | None
        Creates a loader from a path; ``Loader(path)`` by default.
    show_progress : bool | None
        Whether to show a progress bar; None shows it in notebooks and terminals.
    checkpoint : path | None
        Folder in which finished channels are kept, with a subfolder per input: after an
        interruption, the same call resumes where it was.
    anonymize : bool
        Whether recordings are loaded and written without what their headers say about a person, by
        the rules of ``mne.io.Raw.anonymize``.
    accept : "good" | dict of str to float | callable | None
        Which results are accepted, as in :meth:`Pipeline.run`. The file of another one is not
        written, and the table says why.
    **run_options
        Options of :meth:`Pipeline.run`: ``mode``, ``channel_sequential``, ``n_workers``,
        ``batch_size``, ``dtype``, ``timeout``, ``oversubscribe``. The batches of a recording run
        one after another. Recordings in flight divide the cores among them.

    Returns
    -------
    BatchResult
        The result of each input, in the order of `inputs`.

    Raises
    ------
    ValidationError
        If an option cannot be used.
    PlanError
        If a mode or a number of workers cannot be used, or the pipeline cannot be sent to workers.
    FacetError
        The first failure, with ``on_error="raise"``.
    """
    if on_error not in ("continue", "raise"):
        raise ValidationError(f"on_error={on_error!r}: use 'continue' or 'raise'.")
    if isinstance(inputs, (str, Path)):
        raise ValidationError("inputs is a single path: pass a list of paths, or use run().")
    cores = registry.count_cores(backend)
    if n_jobs is None:
        n_jobs = defaults.n_jobs or (-1 if parallel else 1)
    show_progress = defaults.progress if show_progress is None else show_progress
    n_jobs, _ = check_numbers(1 if parallel is False else n_jobs, 1, 1, backend, cores)
    _check_options(pipeline, run_options)
    if anonymize and loader_factory is not None:
        raise ValidationError(
            "anonymize=True is for the loader of map: give it to the loaders of loader_factory."
        )
    if accept is not None:
        check_accept(accept)
        run_options["accept"] = accept
    inputs = [ProcessingContext(item) if is_recording(item) else item for item in inputs]
    names = tuple(_name(i, item) for i, item in enumerate(inputs))
    targets = _targets(names, inputs, output)
    steps = [_first_step(item, loader_factory, anonymize) for item in inputs]
    runner = registry.get_backend(backend if n_jobs > 1 else "serial")
    if runner.isolates:
        check_picklable([(p.name, p) for p in pipeline.processors])
        check_picklable([("accept", accept)])
    folders = _folders(names, checkpoint)
    in_flight = max(1, min(n_jobs, len(inputs)))
    calls = [
        (i, in_flight, pipeline, item, steps[i], _absolute(target), keep_raw, run_options | folder)
        for i, (item, target, folder) in enumerate(zip(inputs, targets, folders, strict=True))
    ]
    results: dict[int, PipelineResult] = {}
    for i, result in _progress(_runs(runner, calls, n_jobs, names), len(calls), show_progress):
        if on_error == "raise" and result.error is not None:
            raise result.error
        results[i] = result
    written = tuple(t if results[i].success else None for i, t in enumerate(targets))
    return BatchResult(names, tuple(results[i] for i in range(len(calls))), written)


def _check_options(pipeline: Chain, options: dict[str, Any]) -> None:
    """Raise the error that every single run would raise, before any of them starts."""
    known = {"mode", "channel_sequential", "n_workers", "batch_size", "fuse", "dtype", "timeout"}
    known.add("oversubscribe")
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValidationError(
            f"map has no option {', '.join(unknown)}; the options for the runs are "
            f"{', '.join(sorted(known))}."
        )
    numbers = {k: options[k] for k in ("n_workers", "batch_size", "dtype") if k in options}
    check_timeout(options.get("timeout"))
    flag = options.get("channel_sequential", False)
    pipeline.plan(choose_mode(options.get("mode"), False, flag), **numbers)


def _runs(
    runner: Backend, calls: list[tuple[Any, ...]], n_jobs: int, names: Sequence[str]
) -> Iterator[tuple[int, PipelineResult]]:
    """Yield results as they are ready; inputs that may have killed a worker run one by one."""
    left = {call[0]: call for call in calls}
    suspects = 0
    while left:
        todo = list(left.values())[: 1 if suspects else None]
        alone, suspects = suspects > 0, max(0, suspects - 1)
        try:
            for i, result in runner.run(_run_one, todo, n_jobs, CancelToken()):
                del left[i]
                yield i, result
        except WorkerDied:
            if alone:
                i = todo[0][0]
                del left[i]
                yield i, _dead(names[i])
            else:
                # At most these had started: joblib sends n_jobs calls, and one more for each that
                # has finished.
                suspects = 2 * n_jobs


def _dead(name: str) -> PipelineResult:
    error = StepError(
        f"{name}: the worker process ended twice without returning a result. A step calls "
        "os._exit, crashes in compiled code, or memory ran out: run this input alone with n_jobs=1."
    )
    return PipelineResult(None, success=False, error=error)


def _run_one(
    index: int, in_flight: int, pipeline: Chain, *arguments: Any
) -> tuple[int, PipelineResult]:
    """Run one input, of several at once; an error is returned as a failed result."""
    begin = time.perf_counter()
    try:
        with registry.share_cores(in_flight):
            return index, _run_steps(pipeline, *arguments)
    except Exception as problem:
        error = FacetError(f"{type(problem).__name__}: {read_message(problem)}")
        error.__cause__ = problem
        spent = time.perf_counter() - begin
        return index, PipelineResult(None, success=False, error=error, execution_time=spent)


def _run_steps(
    pipeline: Chain,
    item: Any,
    loader: Processor | None,
    target: str | None,
    keep_raw: bool,
    options: dict[str, Any],
) -> PipelineResult:
    steps = list(pipeline.processors)
    if loader is not None:
        steps.insert(0, loader)
    if target is not None:
        exporter: Any = get_processor("exporter")
        steps.append(exporter(path=target, overwrite=True))
    make_pipeline: Any = type(pipeline)
    context = item if isinstance(item, ProcessingContext) else None
    # Defaults of the session apply to recordings in flight, not to the batches of each of them.
    options = {"n_jobs": 1, "n_workers": 1, "mode": _find_mode(options), **options}
    result: PipelineResult = make_pipeline(steps, pipeline.name).run(
        initial_context=context, show_progress=False, **options
    )
    # Here, in the worker, and before the samples are released: the table of the batch shows it.
    result._quality = result.quality
    if not keep_raw:
        result.release_raw()
    if result.context is not None:
        result.context = result.context._portable()
    if result.last_context is not None:
        result.last_context = result.last_context._portable()
    return result


def _find_mode(options: dict[str, Any]) -> str:
    """Return the mode of a run whose options name none."""
    return choose_mode(None, False, options.get("channel_sequential", False))


def _name(index: int, item: Any) -> str:
    if isinstance(item, (str, Path)):
        return str(item)
    if isinstance(item, ProcessingContext):
        return f"input {index}"
    raise ValidationError(
        f"input {index} is a {type(item).__name__}: give paths, ProcessingContext or Raw objects."
    )


def _first_step(
    item: Any, factory: Callable[[str], Processor] | None, anonymize: bool
) -> Processor | None:
    # By name: core must not import io.
    if isinstance(item, ProcessingContext):
        return get_processor("anonymizer")() if anonymize else None
    if factory is not None:
        return factory(str(item))
    loader: Callable[..., Processor] = get_processor("auto_loader")
    return loader(path=_absolute(item), preload=True, anonymize=anonymize)


def _absolute(path: str | Path | None) -> str | None:
    """Return `path` for workers, whose working folder may be another one."""
    return None if path is None else str(Path(path).expanduser().absolute())


def _targets(
    names: Sequence[str], inputs: Sequence[Any], output: str | Path | None
) -> list[str | None]:
    if output is None:
        return [None] * len(names)
    pattern = str(output)
    if "{stem}" not in pattern:
        folder = pattern.replace("{", "{{").replace("}", "}}")
        pattern = str(Path(folder) / "{stem}_corrected{suffix}")
    targets: list[str | None] = []
    for name, item in zip(names, inputs, strict=True):
        path = Path(
            name.replace(" ", "_") + ".fif" if isinstance(item, ProcessingContext) else name
        )
        stem = path.name.removesuffix("".join(path.suffixes[-1:]))
        suffix = {".set": ".fif", ".gdf": ".edf"}.get(path.suffix, path.suffix)
        try:
            targets.append(pattern.format(stem=stem, suffix=suffix))
        except (KeyError, IndexError, ValueError) as error:
            raise ValidationError(
                f"output={str(output)!r}: a pattern may contain only {{stem}} and {{suffix}}; "
                "double all other braces."
            ) from error
    count = Counter(_list_keys(target)[0] for target in targets if target)
    repeated = [target for target in targets if target and count[_list_keys(target)[0]] > 1]
    if repeated:
        raise ValidationError(
            f"several inputs would be written to {', '.join(sorted(map(str, repeated)))}: use "
            "different names or folders."
        )
    _check_inputs_stay(names, inputs, targets)
    return targets


def _check_inputs_stay(
    names: Sequence[str], inputs: Sequence[Any], targets: Sequence[str | None]
) -> None:
    """Raise if the output of one input would replace another input, or itself."""
    known: dict[Any, str] = {}
    for name, item in zip(names, inputs, strict=True):
        if not isinstance(item, ProcessingContext):
            known.update(dict.fromkeys(_list_keys(name), name))
    for name, target in zip(names, targets, strict=True):
        same = [known[key] for key in _list_keys(target or "") if key in known] if target else []
        if same:
            raise ValidationError(
                f"the output of {name} would replace {same[0]}, which is an input: choose another "
                "folder for output=, and leave out files that an earlier call has written."
            )


def _list_keys(name: str) -> list[Any]:
    """Return what identifies a file under any of its names: its path, and its inode if any."""
    path = Path(name).expanduser()
    # Files of one BrainVision recording are written together.
    if path.suffix.lower() in (".eeg", ".vmrk"):
        path = path.with_suffix(".vhdr")
    keys: list[Any] = [str(path.resolve())]
    try:
        status = path.stat()
    except (OSError, ValueError):  # no such file
        return keys
    return [*keys, (status.st_dev, status.st_ino)]


def _folders(names: Sequence[str], checkpoint: str | Path | None) -> list[dict[str, Any]]:
    """Return the option ``checkpoint`` for each input."""
    if checkpoint is None:
        return [{} for _ in names]
    folders = []
    for name in names:
        # The hash of the whole path: files of different folders may have the same name.
        mark = hashlib.sha256(str(Path(name).absolute()).encode()).hexdigest()[:12]
        stem = re.sub(r"\W+", "_", Path(name).stem)[:40]
        folders.append({"checkpoint": _absolute(Path(checkpoint) / f"{stem}-{mark}")})
    return folders


def _progress(runs: Iterator[Result], total: int, show: bool | None) -> Iterator[Result]:
    if not wanted(show):
        yield from runs
        return
    from tqdm.auto import tqdm

    yield from tqdm(runs, total=total, desc="recordings", unit="file")


__all__ = ["BatchResult", "map_runs"]
