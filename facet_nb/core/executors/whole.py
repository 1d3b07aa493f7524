"""Work that is one task: a step over all channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from facet_nb.core.events import StepTime
from facet_nb.core.executors import deadline, scratch, staging
from facet_nb.core.executors.cancel import CancelToken
from facet_nb.core.executors.crumbs import Crumbs
from facet_nb.core.executors.finite import check_finite
from facet_nb.core.executors.passage import apply_step
from facet_nb.core.executors.rows import as_slice
from facet_nb.core.executors.task import FAILURES, Job, fail
from facet_nb.core.lineage import parts_of
from facet_nb.core.steps import ArrayStep
from facet_nb.core.track import Track

T = TypeVar("T")


def run_task(
    function: Callable[[Crumbs], T], step: Any, limit_s: float | None, cancel: CancelToken
) -> T:
    """Return ``function(crumbs)``, the one task of `step`, in this process.

    Raises
    ------
    StepError
        If it fails, or takes longer than `limit_s`.
    RunCancelled
        If the run was cancelled.
    """
    try:
        return deadline.call(function, limit_s, cancel)
    except deadline.Late as late:
        assert limit_s is not None
        raise deadline.explain_late(late, step, None, limit_s) from late
    except FAILURES as error:
        raise fail(error, 0, step, None, None).error() from error


def compute_whole(
    job: Job, picks: Sequence[int], limit_s: float | None, cancel: CancelToken
) -> tuple[StepTime, dict[int, str]]:
    """Take channels `picks` through the one step of a job, all at once.

    Returns
    -------
    StepTime
        What it took.
    dict of int to str
        Checksums of the rows, where the job keeps a log.
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
        noise = Track(x, picks, 1, parts_of(job.terms, picks)).noise()
    out = target[rows] if isinstance(rows, slice) and job.log is None else None
    result, cpu_s = apply_step(step, x, picks, out, job.n_workers, noise)
    if out is None:
        target[rows] = result
    return cpu_s


def _compute_mapped(job: Job, step: ArrayStep, picks: list[int]) -> float:
    """Compute piece by piece, over samples that lie in files; return CPU seconds."""
    begin = time.thread_time()
    source, target = job.source.open(), job.target.open()
    staging.compute_in_parts(step, source, target, picks, job.names)
    return time.thread_time() - begin
