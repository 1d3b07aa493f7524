"""Python code that repeats a run, from its history."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facet_nb.core import LambdaProcessor, Pipeline, PipelineResult, Processor, get_processor
from facet_nb.core.errors import FacetError
from facet_nb.core.metadata import ProcessingStep
from facet_nb.models.codegen import write_code
from facet_nb.report.pair import Pair


def repeat_run(result: PipelineResult, pair: Pair) -> str:
    """Return Python code that repeats a run; comments name what the reader has to supply.

    Parameters
    ----------
    result : PipelineResult
        The result of the run.
    pair : Pair
        Its recordings.
    """
    steps = [] if pair.context is None else pair.context.get_history()
    loads = any("loader" in step.name for step in steps[:1])
    source = None if loads else (pair.before if pair.before is not None else pair.context)
    return write_code(Pipeline(rebuild_steps(steps)), source, list_settings(result))


def list_settings(result: PipelineResult) -> dict[str, Any]:
    """Return the arguments of a run: its mode, and those that differ from their defaults."""
    plan = result.plan
    if plan is None:
        return {}
    usual = {"n_jobs": 1, "n_workers": 1, "batch_size": 1}
    found: dict[str, Any] = {"mode": plan.mode}
    found |= {k: getattr(plan, k) for k, v in usual.items() if getattr(plan, k) != v}
    if plan.n_jobs > 1:
        found["backend"] = plan.backend
    if any(stage.dtype == "float32" for stage in plan.stages):
        found["dtype"] = "float32"
    chunks = [s.chunk_duration_s for s in plan.stages if s.chunk_duration_s is not None]
    return found | ({"chunk_duration_s": max(chunks)} if chunks else {})


def rebuild_steps(history: Sequence[ProcessingStep]) -> list[Processor]:
    """Return the steps of a history; unknown ones become functions of that name."""
    return [_rebuild(step) for step in history]


def list_parameters(step: ProcessingStep) -> dict[str, Any]:
    """Return the parameters of a step that differ from their defaults, and what it decided.

    Of absolute paths only the last part is kept: a report is read by others.
    """
    known = _find_arguments(step.name)
    return {
        key: hide_folder(value)
        for key, value in step.parameters.items()
        if value not in (None, [], {}, "")
        and not (key in known and repr(known[key].default) == repr(value))
    }


def hide_folder(value: Any) -> Any:
    """Return the last part of an absolute path, and any other value as it is."""
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if is_path else value


def _find_arguments(name: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(get_processor(name)).parameters
    except FacetError:
        return {}  # a step of the user's own


def _rebuild(step: ProcessingStep) -> Processor:
    try:
        cls = get_processor(step.name)
        known = inspect.signature(cls).parameters
        # The history also has what the step decided.
        return cls(**{k: hide_folder(v) for k, v in step.parameters.items() if k in known})
    except (FacetError, TypeError, ValueError):

        def stand_in(context: Any) -> Any:
            return context

        stand_in.__name__ = step.processor_type or step.name
        stand_in.__module__ = "__main__"
        return LambdaProcessor(stand_in)
