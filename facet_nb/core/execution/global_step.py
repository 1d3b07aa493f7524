"""Run a step over all channels, as one task."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facet_nb.core import recording
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.execution import timeouts
from facet_nb.core.execution.batch import apply_step
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.job import FAILURES, Job, fail
from facet_nb.core.noise import NoiseTracker
from facet_nb.core.processor import Processor
from facet_nb.core.samples import COPY_FIRST, check_finite, check_kind, explain_read_only
from facet_nb.core.steps import ArrayStep
from facet_nb.core.storage import scratch
from facet_nb.kernels.views import as_slice, is_finite, protect

if TYPE_CHECKING:
    import mne

#: Values in one piece of a step over all channels: 8 MB.
_VALUES = 2**20


def compute_in_parts(
    step: ArrayStep,
    source: np.ndarray,
    target: np.ndarray,
    picks: list[int],
    names: tuple[str, ...],
) -> None:
    """Run a step that sees all channels piece by piece, on samples in a file.

    Pieces are single channels or spans of time, depending on the step's ``splits``.
    """
    if step.processor.splits == "channels":
        parts = [([channel], slice(None)) for channel in picks]
    else:
        length, n_times = max(_VALUES // len(picks), 1), source.shape[1]
        spans = [slice(i, min(i + length, n_times)) for i in range(0, n_times, length)]
        parts = [(picks, span) for span in spans]
    for channels, span in parts:
        rows = as_slice(channels)
        x = source[rows, span]
        check_finite(x, [names[c] for c in channels])
        target[rows, span] = step.run(x, channels)
        scratch.forget(source, target)


T = TypeVar("T")


def run_task(
    function: Callable[[HeartbeatTable], T],
    step: Any,
    limit_s: float | None,
    cancel: CancelToken | None,
) -> T:
    """Return ``function(heartbeats)``, which runs `step` as a single task in this process.

    Raises
    ------
    StepError
        If it fails, or takes longer than `limit_s`.
    RunCancelled
        If the run was cancelled.
    """
    try:
        return timeouts.call(function, limit_s, cancel)
    except timeouts.TaskTimeout as late:
        assert limit_s is not None
        raise timeouts.explain_late(late, step, None, limit_s) from late
    except KeyboardInterrupt:
        raise
    except FAILURES as error:
        raise fail(error, 0, step, None, None).error() from error


def compute_all_channels(
    job: Job, picks: Sequence[int], limit_s: float | None, cancel: CancelToken | None
) -> tuple[StepTime, dict[int, str]]:
    """Send channels `picks` through the one step of a job, all at once.

    Returns
    -------
    StepTime
        Its duration.
    dict of int to str
        Checksums of the rows, if the job keeps a log.
    """
    step, rows, wall = job.steps[0], list(picks), time.perf_counter()
    mapped = scratch.find_map(job.target.open()) is not None
    if mapped and isinstance(step, ArrayStep) and not job.terms:
        cpu_s = run_task(lambda _: _compute_mapped(job, step, rows), step, limit_s, cancel)
    else:
        cpu_s = run_task(lambda _: _compute(job, rows), step, limit_s, cancel)
    digests: dict[int, str] = {}
    if job.log is not None:
        target = job.target.open()
        for row in rows:
            digests[row] = job.log.note([row], target[row : row + 1])[0]
            scratch.forget(target)
    return StepTime(step.index, time.perf_counter() - wall, cpu_s), digests


def _compute(job: Job, picks: list[int]) -> float:
    """Compute in memory; return CPU seconds."""
    step, rows = job.steps[0], as_slice(picks)
    x, target = job.source.open()[rows], job.target.open()
    if job.check:
        check_finite(x, [job.names[c] for c in picks])
    noise = None
    if step.uses_noise:
        noise = NoiseTracker(x, picks, [step], job.terms).noise()
    out = target[rows] if isinstance(rows, slice) and job.log is None else None
    result, cpu_s = apply_step(step, x, picks, out, job.n_workers, noise)
    if out is None:
        target[rows] = result
    return cpu_s


def _compute_mapped(job: Job, step: ArrayStep, picks: list[int]) -> float:
    """Compute piece by piece, on samples in files; return CPU seconds."""
    begin = time.thread_time()
    source, target = job.source.open(), job.target.open()
    compute_in_parts(step, source, target, picks, job.names)
    return time.thread_time() - begin


def run_read_only(processor: Processor, context: ProcessingContext) -> ProcessingContext:
    """Execute a processor that sees all channels, with read-only input.

    The processor gets a copy of the recording that shares the caller's samples. It may assign
    other samples, annotations or bad channels to the copy; they appear only in the result.
    """
    # Processor.execute guards its input, too: it would be copied twice.
    own = type(processor).execute is not Processor.execute
    execute = processor.execute if own else processor._execute
    new = guard_input(execute, context, private=not processor.built_in)
    if not processor.built_in and new._raw is not None and new._raw is not context._raw:
        _check_recording(new._raw, context._raw)
    return new


def _check_recording(raw: mne.io.BaseRaw, before: mne.io.BaseRaw | None) -> None:
    """Raise :class:`ValidationError` if a user-defined step returned unusable samples."""
    if not raw.preload:
        return
    data, kinds = raw._data, recording.channel_kinds(raw)
    shape = (len(raw.ch_names), int(raw.n_times))
    if data.shape != shape:
        raise ValidationError(
            f"process() returned samples of shape {data.shape} in a recording of {shape[0]} "
            f"channels and {shape[1]} samples. Make a new one: "
            "context.with_raw(mne.io.RawArray(data, info))."
        )
    check_kind(data, "process()")
    if before is not None and before.preload and not _all_finite(before):
        return  # it may have repaired some channels only
    for row, name, kind in zip(data, raw.ch_names, kinds, strict=True):
        if kind == "data":
            scratch.forget(data)
            if not is_finite(row):
                error = ValidationError(
                    "process() returned NaN or infinite samples, from finite ones: check "
                    "divisions, logarithms and empty windows."
                )
                error.channel = name
                raise error


def _all_finite(raw: mne.io.BaseRaw) -> bool:
    """Whether all data channels are finite."""
    kinds = recording.channel_kinds(raw)
    return all(is_finite(row) for row, k in zip(raw._data, kinds, strict=True) if k == "data")


def guard_input(
    execute: Callable[[ProcessingContext], ProcessingContext],
    context: ProcessingContext,
    private: bool = False,
) -> ProcessingContext:
    """Return ``execute(context)``, with read-only input; see :func:`run_read_only`.

    A user-defined step gets `private` samples: C and GPU code may ignore numpy's flag. What it
    writes there in spite of it appears in its own result only.
    """
    raw = context._raw
    if raw is None:
        return execute(context._derive(metadata=context.metadata.copy()))
    samples = raw._data if raw.preload else None
    view = (
        None if samples is None else protect(scratch.make_private(samples) if private else samples)
    )
    own = _copy_recording(raw, view)
    given = context._derive(raw=own, metadata=context.metadata.copy())
    given._noise_array = context._noise_array  # the samples are the same
    original = context._raw_original
    if private and original is not None:
        # The recording before the run is the caller's as well.
        kept = protect(original._data) if original.preload else None
        given._raw_original = own if original is raw else _copy_recording(original, kept)
    with explain_read_only(COPY_FIRST):
        new = execute(given)
    # The step has seen a read-only copy of the original recording: the result gets the original.
    if given._raw_original is not original and new._raw_original is given._raw_original:
        new = new._derive()
        new._raw_original = original
    if private and samples is not None and view is not None and own._data is view:
        # C and GPU code may have changed the samples in spite of the flag.
        own._data = view if _same_samples(view, samples) else np.array(view)
    changed = own._data if own.preload else None
    if changed is view:
        if samples is not None:
            own._data = samples
    elif new._raw is own and new._noise is given._noise:  # samples assigned without with_raw
        new = new.with_raw(own)
    if samples is None:
        return new
    _release(new._raw)
    return new._moved(lambda array: samples if array is view or array is changed else array)


def _same_samples(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether both hold the same samples, compared channel by channel."""
    for a, b in zip(x, y, strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            return False
        scratch.forget(y)
    return True


def _copy_recording(raw: mne.io.BaseRaw, samples: np.ndarray | None) -> mne.io.BaseRaw:
    """Return a copy of `raw` that has `samples` instead of its own, if those are in memory."""
    # deepcopy copies nothing that the memo knows already.
    known: dict[int, Any] = {} if samples is None else {id(raw._data): samples}
    annotations = raw.annotations
    known[id(annotations)] = recording.copy_annotations(annotations)
    result: mne.io.BaseRaw = copy.deepcopy(raw, known)
    return result


def _release(raw: mne.io.BaseRaw | None) -> None:
    """Make samples writable that a processor passed on from its read-only input."""
    if raw is not None and raw.preload and not raw._data.flags.writeable:
        with contextlib.suppress(ValueError):  # read-only memory of another owner
            raw._data.flags.writeable = True
