"""Time a pipeline with increasing numbers of workers."""

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
    """Time `pipeline` in parallel mode with 1, 2, … `max_workers` jobs.

    Each number of jobs runs once, so the times have no spread: a difference of a few per cent is
    not meaningful. `max_workers` may exceed the number of cores, which shows the effect of
    oversubscription. The first run with several processes includes the time to start them.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    context : ProcessingContext
        The recording; it is not changed.
    max_workers : int
        Largest number of jobs.
    backend : str
        Where the jobs run, e.g. ``"multiprocessing"`` or ``"threading"``.

    Returns
    -------
    dict of int to float
        Wall time of each number of jobs, in s.

    Raises
    ------
    PlanError
        If `max_workers` is not a positive number.
    FacetError
        If a run fails: its time would have no meaning.

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
