"""Explain which steps a lazy recording computes in windows, and why others need more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples

#: How a step is computed.
WINDOWS, WHOLE, AT_ONCE, SKIPPED = "windows", "whole channels", "at once", "not run"

#: A step with the way it is computed and the reason.
Explained = tuple[str, str, str]


def count_eager(processors: Sequence[Processor], plan: Plan) -> tuple[int, str]:
    """Return how many stages must run as a whole first, and why.

    A step over all channels that may load the recording, and one that needs the noise which
    earlier stages removed, end the part that runs in full before the recording can be lazy.
    """
    eager, reason = 0, ""
    for number, stage in enumerate(plan.stages):
        steps = [unit.processor for unit in plan.fusions.replace(processors, stage.steps)]
        first = steps[0]
        if is_output(processors, stage):
            continue
        if stage.kind == "global" and not isinstance(first, ArrayProcessor):
            if not first.accepts_lazy:
                eager, reason = number + 1, f"{first.name} may need the whole recording"
        # Stages before `eager` run in full, and keep the noise that they remove.
        elif any(getattr(step, "uses_noise", False) for step in steps) and any(
            _changes(processors, earlier) for earlier in plan.stages[eager:number]
        ):
            # Not this one: with that noise at hand, it can compute a channel when it is read.
            eager, reason = number, f"{stage.names[0]} needs what was removed before"
    return eager, reason


def is_output(processors: Sequence[Processor], stage: Stage) -> bool:
    """Whether a stage only measures, writes or shows something."""
    return all(processors[i].output_only for i in stage.steps)


def _changes(processors: Sequence[Processor], stage: Stage) -> bool:
    return any(changes_samples(processors[i]) for i in stage.steps)


def explain(processors: Sequence[Processor], plan: Plan) -> Plan:
    """Return the plan of a lazy recording: each stage says how its steps are computed."""
    eager, reason = count_eager(processors, plan)
    stages = []
    for number, stage in enumerate(plan.stages):
        if is_output(processors, stage):
            text = f"{SKIPPED}: only measures, writes or shows something"
        elif number < eager:
            text = f"{AT_ONCE}, before the recording is lazy: {reason}"
        else:
            units = plan.fusions.replace(processors, stage.steps)
            text = "; ".join(_explain_step(unit.processor) for unit in units)
        stages.append(replace(stage, reason=text))
    return replace(plan, mode="lazy", stages=tuple(stages))


def _explain_step(step: Processor) -> str:
    if not isinstance(step, ArrayProcessor):
        if step.channel_wise:
            return f"{step.name}: {WHOLE} (a user-defined step)"
        return f"{step.name}: {AT_ONCE}, before the first window"
    if not changes_samples(step):
        return f"{step.name}: {AT_ONCE}, on the reference channel"
    if step.splits == "times" and not step.channel_wise:
        return f"{step.name}: {WINDOWS}, over all channels of a sample"
    why = step.why_not_windowed()
    return f"{step.name}: {WINDOWS}" if why is None else f"{step.name}: {WHOLE} ({why})"
