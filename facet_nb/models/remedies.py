"""Remedies of findings that a button applies, and another one takes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facet_nb.core.findings import Finding

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel


@dataclass(frozen=True)
class Remedy:
    """A change that answers a finding or a problem.

    Attributes
    ----------
    label : str
        What it does, as on a button.
    apply : callable
        Does it.
    """

    label: str
    apply: Callable[[], None]


def find_remedy(model: StudioModel, finding: Finding) -> Remedy | None:
    """Return the remedy that a button can apply; None if a person must decide.

    Parameters
    ----------
    model : StudioModel
        The session.
    finding : Finding
        What was found.
    """
    make = _BY_CODE.get(finding.code)
    return None if make is None else make(model, finding)


def find_chain_remedy(model: StudioModel) -> Remedy | None:
    """Return the remedy of a trigger expression that matches nothing; None if there is none."""
    problem = model.chain.problem
    if "trigger_detector" not in problem:
        return None
    return _use_commonest_event(model)


def find_failure_remedy(model: StudioModel) -> Remedy | None:
    """Return the remedy of a run that failed on a channel; None if there is none."""
    channel = model.run.state.failed_channel or ""
    context = model.recording.context
    if model.run.status != "failed" or context is None:
        return None
    if channel not in context.get_raw().ch_names:
        return None
    return Remedy(f"Leave {channel} out", lambda: model.leave_out([channel]))


def _use_commonest_event(model: StudioModel, _finding: Finding | None = None) -> Remedy | None:
    summary = model.recording.summary
    if summary is None or not summary.events:
        return None
    name, n = max(summary.events, key=lambda event: event[1])
    return Remedy(f"Use {name!r} ({n} events)", lambda: model.chain.use_trigger(name))


def _leave_out(model: StudioModel, finding: Finding) -> Remedy | None:
    names = list(finding.channels)
    if not names or len(names) > 4:
        return None
    return Remedy(f"Leave {', '.join(names)} out", lambda: model.leave_out(names))


def _complete_triggers(model: StudioModel, _finding: Finding) -> Remedy | None:
    names = [step.name for step in model.chain.steps]
    if "trigger_detector" not in names or "missing_trigger_detector" in names:
        return None

    def apply() -> None:
        model.chain.selected = names.index("trigger_detector")
        model.chain.add("missing_trigger_detector")

    return Remedy("Add the missing markers", apply)


def _widen_search(model: StudioModel, finding: Finding) -> Remedy | None:
    now = finding.evidence.get("search_window")
    index = next((i for i, s in enumerate(model.chain.steps) if s.name == finding.step), -1)
    if not now or index < 0:
        return None
    wide = 2 * int(now)
    return Remedy(
        f"Search {wide} samples wide",
        lambda: model.chain.set_text("search_window", str(wide), index),
    )


def _use_default_chain(model: StudioModel, _finding: Finding) -> Remedy | None:
    from facet_nb.models.chain_model import make_default_chain

    return Remedy("Use the default chain", lambda: model.chain.set_pipeline(make_default_chain()))


_BY_CODE: dict[str, Callable[[StudioModel, Finding], Remedy | None]] = {
    "channels_saturated": _leave_out,
    "triggers_missing": _complete_triggers,
    "triggers_stray": _use_commonest_event,
    "triggers_other_train": _use_commonest_event,
    "alignment_at_edge": _widen_search,
    "gradient_left": _use_default_chain,
    "epochs_few": _use_default_chain,
}
