"""Form for the arguments of a step, generated from its signature and docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from facet_nb.models.chain_model import ChainModel, ChainStep
from facet_nb.models.docstrings import first_sentences
from facet_nb.models.fields import Field
from facet_nb.widgets.controls import close_parts, make_control
from facet_nb.widgets.fragments import write_text

_OBSOLETE = "Accepted for compatibility"
#: Previous forms that stay open: the last input may arrive after another step is selected.
_N_KEPT = 3


class StepForm:
    """Edits the selected step of a chain.

    Parameters
    ----------
    model : ChainModel
        The chain.
    """

    def __init__(self, model: ChainModel) -> None:
        self.model = model
        self.head = w.HTML().add_class("fnb-step-head")
        self.rows: dict[str, FieldRow] = {}
        self.widget = w.VBox([self.head]).add_class("fnb-step-form")
        self._shown: Any = None
        self._busy = False
        self._old: deque[list[FieldRow]] = deque()

    def refresh(self) -> None:
        """Show the selected step."""
        model = self.model
        step = model.steps[model.selected] if 0 <= model.selected < len(model.steps) else None
        key = None if step is None else (step.cls, model.selected)
        if key != self._shown:
            self._build(step)
            self._shown = key
        if step is None:
            self.head.value = '<p class="fnb-quiet">The chain is empty: add a step.</p>'
            return
        self.head.value = _write_head(model.selected, step)
        self._busy = True
        try:
            for row in self.rows.values():
                row.show(step)
        finally:
            self._busy = False

    def _build(self, step: ChainStep | None) -> None:
        self._old.append(list(self.rows.values()))
        fields = () if step is None else step.fields
        shown = [f for f in fields if not f.help.startswith(_OBSOLETE)]
        on_type = partial(self._type, self.model.selected, None if step is None else step.cls)
        self.rows = {f.name: FieldRow(f, on_type) for f in shown}
        self.widget.children = [self.head, *(row.widget for row in self.rows.values())]
        while len(self._old) > _N_KEPT:
            for row in self._old.popleft():
                row.close()

    def close_spares(self) -> None:
        """Close the rows of earlier steps."""
        while self._old:
            for row in self._old.popleft():
                row.close()

    def _type(self, index: int, cls: type | None, name: str, text: str) -> None:
        steps = self.model.steps
        if not self._busy and index < len(steps) and steps[index].cls is cls:
            self.model.set_text(name, text, index)


class FieldRow:
    """One argument: its control, its description and its problem.

    Parameters
    ----------
    field : Field
        The argument.
    on_type : callable
        Called with name and text on each change.
    """

    def __init__(self, field: Field, on_type: Callable[[str, str], None]) -> None:
        self.field = field
        self.control = _make_control(field)
        self.control.add_class(f"fnb-field-{field.name.replace('_', '-')}")
        self.control.tooltip = field.help
        self.note = w.HTML().add_class("fnb-field-note")
        self.control.observe(lambda change: on_type(field.name, self._text()), "value")
        self.widget = w.HBox([self.control, self.note]).add_class("fnb-field")

    def show(self, step: ChainStep) -> None:
        """Show the text of the field and its problem."""
        text = step.text(self.field.name)
        if text != self._text():
            self._put(text)
        self.note.value = _write_note(self.field, step.problem(self.field.name))

    def close(self) -> None:
        """Close the widgets."""
        close_parts(self.widget, self.control, self.note)

    def _text(self) -> str:
        return str(self.control.value)

    def _put(self, text: str) -> None:
        if isinstance(self.control, w.Checkbox):
            self.control.value = text == "True"
        elif not isinstance(self.control, w.Dropdown) or text in self.control.options:
            self.control.value = text


def _make_control(field: Field) -> Any:
    size = {"width": "340px", "label_width": "initial" if field.is_switch else "150px"}
    if field.is_switch:
        return make_control(w.Checkbox, field.name, **size, indent=False)
    if field.choices:
        options = [field.write(choice) for choice in field.choices]
        return make_control(w.Dropdown, field.name, **size, options=options)
    return make_control(
        w.Text, field.name, **size, placeholder=field.expected, continuous_update=True
    )


def _write_head(index: int, step: ChainStep) -> str:
    """Return name, flags, description and problem of a step, as HTML."""
    flags = "".join(f'<span class="fnb-flag">{write_text(f)}</span>' for f in list_flags(step))
    off = ' <span class="fnb-flag">off</span>' if not step.enabled else ""
    problem = step.problem()
    wrong = f'<p class="fnb-wrong" role="alert">{write_text(problem)}</p>' if problem else ""
    if problem and not step.enabled:
        wrong = ""
    return (
        f"<strong>{index + 1}. {write_text(step.cls.__name__)}</strong> {flags}{off}"
        f'<div class="fnb-quiet">{write_text(first_sentences(step.cls))}</div>{wrong}'
    )


def list_flags(step: ChainStep) -> list[str]:
    """Return the properties that decide how a step runs, as texts."""
    cls = step.cls
    if not cls.channel_wise:
        return ["all channels at once: runs serially"]
    flags = ["channel by channel"]
    flags.append("may run in parallel" if cls.parallel_safe else "not parallel-safe: runs serially")
    if getattr(cls, "needs", "none") == "reference" or cls.run_once:
        flags.append("decides on a reference channel")
    return flags


def _write_note(field: Field, problem: str) -> str:
    if problem:
        return f'<span class="fnb-wrong" role="alert">{write_text(problem)}</span>'
    unit = f"<b>{write_text(field.unit)}</b> · " if field.unit else ""
    text = field.help if len(field.help) <= 150 else field.help[:147].rsplit(" ", 1)[0] + " …"
    return (
        f'<span class="fnb-quiet" title="{write_text(field.help)}">{unit}{write_text(text)}</span>'
    )
