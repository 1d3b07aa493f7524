"""The chain as a row of cards: each step with its main setting, picture and share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facet_nb.models.chain_model import ChainStep, list_chains
from facet_nb.models.remedies import find_chain_remedy
from facet_nb.models.step_pictures import StepPicture, find_picture
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.studio_parts import write_button
from facet_nb.widgets.timeline_view import find_kind

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

#: What the steps of the ready-made chains do, in plain words.
_EXPLAIN = {
    "trigger_detector": "Which events are slices or volumes?",
    "gradient_correction": "Subtracts the artifact, as it changes.",
    "aas_correction": "Averages nearby artifacts, and subtracts the mean.",
    "highpass_filter": "Takes slow drift away.",
    "lowpass_filter": "Keeps what EEG is made of.",
    "upsample": "More samples, to align between them.",
    "downsample": "Back to the rate of the recording.",
    "trigger_aligner": "Moves each marker to its artifact.",
}


def write_chain(model: StudioModel) -> str:
    """Return the ready-made chains, whether this one can run, and a card for each step."""
    chain = model.chain
    problem, context = chain.problem, model.preview_context
    found = None if context is None else context.get_triggers()
    says = "✓ valid" if found is None else f"✓ valid: {len(found)} markers"
    badge = f'<span class="fnb-ok" role="status">{says}</span>'
    if problem:
        remedy = find_chain_remedy(model)
        button = "" if remedy is None else write_button(remedy.label, "remedy", "chain")
        badge = f'<span class="fnb-bad" role="status">■ {write_text(problem)}</span> {button}'
    same = [name for name in list_chains() if _is_ready_made(model, name)]
    choices = "".join(
        f'<button type="button" class="fnb-b" role="radio" data-act="chain_use" '
        f'data-value="{name}" aria-checked="{str(name in same).lower()}">{name.capitalize()}'
        "</button>"
        for name in list_chains()
    )
    own = "" if same or not chain.steps else '<span class="fnb-small">my own</span>'
    shares = _find_shares(model)
    names = tuple(step.name for step in chain.steps)
    cards = "".join(
        _write_card(model, i, step, find_kind(names, i), shares.get(i))
        for i, step in enumerate(chain.steps)
    )
    none = "<p>No step yet: choose a chain, or add a step below.</p>"
    return (
        '<section class="fnb-card"><header class="fnb-chain-head"><h3>Chain</h3>'
        f'<span class="fnb-seg" role="radiogroup" aria-label="Ready-made chains">{choices}</span>'
        f'{own}{badge}</header><ol class="fnb-steps-row">{cards}</ol>{"" if cards else none}'
        "</section>"
    )


def _is_ready_made(model: StudioModel, name: str) -> bool:
    """Whether the chain on screen is this ready-made one, with any trigger expression."""

    def describe(step: ChainStep) -> object:
        return step.name, step.enabled, step.name == "trigger_detector" or step.texts

    ready = type(model.chain)(list_chains()[name]())
    return [*map(describe, ready.steps)] == [*map(describe, model.chain.steps)]


def _find_shares(model: StudioModel) -> dict[int, float]:
    """Return the share of the CPU time of the last run that each step took."""
    run = model.run
    enabled = [i for i, step in enumerate(model.chain.steps) if step.enabled]
    done = run.finished
    if done is None or done.pipeline is not run.pipeline or not run.records:
        return {}
    cpu_s = run.records[-1].step_cpu_s
    if len(cpu_s) != len(enabled) or not sum(cpu_s):
        return {}
    return {i: s / sum(cpu_s) for i, s in zip(enabled, cpu_s, strict=True)}


def _write_card(model: StudioModel, i: int, step: ChainStep, kind: str, share: float | None) -> str:
    title = step.name.replace("_", " ").capitalize()
    own = (step.cls.__doc__ or "").strip().partition("\n")[0].partition("; see")[0]
    sentence = own if model.words == "expert" else _EXPLAIN.get(step.name, own)
    problem = next((text for _, text in step.problems), "") if step.enabled else ""
    if not step.enabled:
        sentence = "Off: this step is left out."
    picture, context = None, model.recording.context
    if step.processor is not None and step.enabled and context is not None:
        picture = find_picture(step.processor, context, model.preview_context)
    time = ""
    if share is not None:
        time = (
            f'<span class="fnb-small">{100 * share:.0f} % of the time, measured</span>'
            f'<span class="fnb-share"><i class="fnb-{kind}" style="width:{100 * share:.0f}%">'
            "</i></span>"
        )
    here = i == model.chain.selected
    wrong = f'<span class="fnb-bad">■ {write_text(problem)}</span>' if problem else ""
    return (
        f'<li class="fnb-step-card{" fnb-chosen" if here else ""}">'
        f'<button type="button" class="fnb-step-name" data-act="chain_pick" data-value="{i}" '
        f'aria-pressed="{str(here).lower()}"><i class="fnb-key fnb-{kind}"></i>'
        f"{i + 1}. {write_text(title)}</button><span>{write_text(sentence)}</span>"
        f"{_write_setting(i, step)}{wrong}{_draw(picture, kind)}{time}</li>"
    )


def _write_setting(i: int, step: ChainStep) -> str:
    """Return the main setting of a step, which is the first one."""
    field = next(iter(step.fields), None)
    if field is None or field.is_switch:
        return ""
    label = field.name.replace("_", " ")
    return (
        f'<label class="fnb-setting"><span>{write_text(label)}</span><input type="text" '
        f'data-act="chain_set" name="{i} {field.name}" value="{write_text(step.text(field.name))}" '
        f'aria-label="Step {i + 1}: {write_text(label)}"><span>{write_text(field.unit)}</span>'
        "</label>"
    )


def _draw(picture: StepPicture | None, kind: str) -> str:
    if picture is None:
        return ""
    low, high = float(picture.y.min()), float(picture.y.max())
    x = 200 * picture.x
    if picture.kind == "markers":
        path = "".join(f"M{v:.1f},40V8" for v in x)
    else:
        y = 40 - 36 * (picture.y - low) / max(high - low, 1e-30)
        every = max(1, len(x) // 200)
        points = zip(x[::every], y[::every], strict=True)
        path = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in points)
    text = write_text(picture.text)
    return (
        f'<svg class="fnb-step-picture fnb-line-{kind}" viewBox="-2 0 204 42" '
        f'preserveAspectRatio="none" role="img" aria-label="{text}"><path d="{path}"/></svg>'
        f'<span class="fnb-small">{text}</span>'
    )
