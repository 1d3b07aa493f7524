"""The precision of a run: float64, or float32 where that is as good as it needs to be.

In a run with ``dtype="float32"`` samples are float32 between the steps of a channel-wise stage.
Steps that declare it (:attr:`ArrayProcessor.single`) compute in float32; recursive filters among
them sum in float64; all others are given float64, and their result is rounded. Rounding stands
before and after each step, never where a mode puts the border of a stage, so that the answer is the
same in all of them. Steps that see the whole recording get float64, and the resulting recording is
float64, as MNE's are: its data channels hold float32 values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facet_nb.core.errors import PlanError
from facet_nb.core.plan import Plan, Stage
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples


def check_dtype(dtype: Any) -> str:
    """Return the name of `dtype`: "float64" or "float32".

    Raises
    ------
    PlanError
        If it is neither.
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in ("float64", "float32"):
        raise PlanError(f"dtype={dtype!r} is not offered: use 'float64' or 'float32'.")
    return name


def set_precision(plan: Plan, processors: Sequence[Processor], dtype: Any) -> Plan:
    """Return `plan` in the precision `dtype`; each stage says which of its steps keep float64.

    Parameters
    ----------
    plan : Plan
        A plan of `processors`.
    processors : sequence of Processor
        The pipeline's steps.
    dtype : {"float64", "float32"}
        The precision.
    """
    if check_dtype(dtype) == "float64":
        return plan
    return replace(plan, stages=tuple(_round(stage, processors) for stage in plan.stages))


def _round(stage: Stage, processors: Sequence[Processor]) -> Stage:
    steps = [processors[i] for i in stage.steps]
    if not steps[0].channel_wise and not isinstance(steps[0], ArrayProcessor):
        return replace(stage, reason=f"{stage.reason}; float64")
    steps = [step for step in steps if changes_samples(step)]
    if not steps:
        return stage
    double = [step.name for step in steps if not getattr(step, "single", False)]
    kept = f", {', '.join(double)} computed in float64 and rounded" if double else ""
    return replace(stage, dtype="float32", reason=f"{stage.reason}; float32{kept}")
