"""View of a plan: its stages, with steps, batches and reasons."""

from __future__ import annotations

from facet_nb.core import Plan, Stage
from facet_nb.core.backends.registry import get_backend
from facet_nb.models.event_log import count
from facet_nb.widgets.fragments import write_text


def write_plan(plan: Plan) -> str:
    """Return the plan as a row of boxes, one for each stage, as HTML."""
    boxes = "".join(f"<li>{_write_stage(i, stage)}</li>" for i, stage in enumerate(plan.stages, 1))
    head = write_text(describe_plan(plan))
    return f'<p class="fnb-plan-head">{head}</p><ol class="fnb-stages">{boxes}</ol>'


def describe_plan(plan: Plan) -> str:
    """Return the plan in one line."""
    stages = count(len(plan.stages), "stage")
    jobs, threads = count(plan.n_jobs, "job"), count(plan.n_workers, "thread")
    where = f" ({plan.backend})" if plan.n_jobs > 1 else ""
    why = f" — {plan.reason}" if plan.reason else ""
    return f"{plan.mode}, {stages}, {jobs}{where}, {threads} in each{why}"


def _write_stage(number: int, stage: Stage) -> str:
    kind = "all channels at once" if stage.kind == "global" else "channel by channel"
    if stage.kind == "channel_wise" and stage.n_jobs > 1:
        kind = f"{stage.n_jobs} batches at once ({get_backend(stage.backend).label})"
    steps = "".join(
        f"<li>{i + 1}. {write_text(name)}</li>"
        for i, name in zip(stage.steps, stage.names, strict=True)
    )
    css = "fnb-stage-global" if stage.kind == "global" else "fnb-stage-wise"
    return (
        f'<div class="fnb-stage {css}"><strong>Stage {number}</strong> '
        f'<span class="fnb-quiet">{write_text(kind)}</span><ul>{steps}</ul>'
        f'<div class="fnb-quiet fnb-why">{write_text(stage.reason)}</div></div>'
    )
