"""Stages that run in chunks of time: which can, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from facet_nb.core.errors import PlanError
from facet_nb.core.plan import Plan, Stage
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples


def set_chunks(plan: Plan, processors: Sequence[Processor], chunk_duration_s: Any) -> Plan:
    """Return `plan` with stages in chunks of time, where all their steps can.

    Parameters
    ----------
    plan : Plan
        A plan of `processors`.
    processors : sequence of Processor
        The pipeline's steps.
    chunk_duration_s : float | None
        Length of a chunk, in s; None for none.

    Raises
    ------
    PlanError
        If it is no length.
    """
    if chunk_duration_s is None:
        return plan
    seconds = chunk_duration_s
    if not isinstance(seconds, Real) or isinstance(seconds, bool) or not 0 < float(seconds) < 1e9:
        raise PlanError(f"chunk_duration_s={seconds!r} is no length: give seconds, 30.0 say.")
    stages = tuple(_cut(stage, plan, processors, float(seconds)) for stage in plan.stages)
    return replace(plan, stages=stages)


def _cut(stage: Stage, plan: Plan, processors: Sequence[Processor], seconds: float) -> Stage:
    if stage.kind != "channel_wise":
        return stage
    steps = [unit.processor for unit in plan.fusions.replace(processors, stage.steps)]
    if not any(changes_samples(step) for step in steps):
        return stage
    reasons = [f"{step.name} {why}" for step in steps if (why := _explain(step))]
    if reasons:
        return replace(stage, reason=f"{stage.reason}; not in chunks: {', '.join(reasons)}")
    reason = f"{stage.reason}, in chunks of {seconds:g} s"
    return replace(stage, chunk_duration_s=seconds, reason=reason)


def _explain(step: Processor) -> str | None:
    """Return why a step cannot run in chunks; None if it can."""
    if not changes_samples(step):
        return None
    if not isinstance(step, ArrayProcessor):
        return "is not one of ours"
    return step.find_obstacle()
