"""How long a pipeline takes with more and more workers."""

from __future__ import annotations

import time

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import PlanError


def benchmark_scaling(
    pipeline: Pipeline,
    context: ProcessingContext,
    max_workers: int = 8,
    *,
    backend: str = "multiprocessing",
) -> dict[int, float]:
    """Run `pipeline` in parallel mode with 1, 2, … `max_workers` jobs and take the time of each.

    Each number of jobs runs once, so the times have no spread: a difference of a few per cent says
    nothing. `max_workers` may exceed the cores of this machine, and then shows what that costs.
    With processes, the first run that needs more than one also pays for starting them.

    Parameters
    ----------
    pipeline : Pipeline
        What to run.
    context : ProcessingContext
        What to run it on; it does not change.
    max_workers : int
        Largest number of jobs.
    backend : {"multiprocessing", "threading"}
        Where the jobs run.

    Returns
    -------
    dict of int to float
        Wall time of each number of jobs, in s.

    Raises
    ------
    PlanError
        If `max_workers` is not a positive number.
    FacetError
        What went wrong, if a run fails: the time of a failed run is worth nothing.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> times_s = benchmark_scaling(Pipeline([CommonReference()]), example().context(), 2)
    >>> sorted(times_s)
    [1, 2]
    """
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise PlanError(f"max_workers={max_workers!r} must be 1 or more.")
    times_s = {}
    for n_jobs in range(1, max_workers + 1):
        begin = time.perf_counter()
        pipeline.run(
            context,
            parallel=True,
            n_jobs=n_jobs,
            backend=backend,
            show_progress=False,
            raise_on_error=True,
        )
        times_s[n_jobs] = time.perf_counter() - begin
    return times_s
