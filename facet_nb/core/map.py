"""Run one pipeline on many recordings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from facet_nb.core.study.outcome import BatchResult
from facet_nb.core.study.recording_run import Chain
from facet_nb.core.study.rows import StudyRow
from facet_nb.core.study.schedule import StudyPlan
from facet_nb.core.study.study import Study


def map_runs(pipeline: Chain, inputs: Iterable[Any], **options: Any) -> BatchResult:
    """Run `pipeline` on each input.

    Parameters
    ----------
    pipeline : Pipeline
        The steps; a loader is put before them for inputs that are paths.
    inputs : iterable of path, ProcessingContext or mne.io.BaseRaw
        What to process.
    **options
        The parameters of :class:`facet_nb.Study`.

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
    return Study(pipeline, inputs, **options).run()


__all__ = ["BatchResult", "Study", "StudyPlan", "StudyRow", "map_runs"]
