"""Editor of a chain: add, remove, move and disable steps; arguments are checked while typing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from facet_nb.core import Pipeline, Plan
from facet_nb.core.errors import FacetError
from facet_nb.models.chain_model import ChainModel, ChainStep, list_chains
from facet_nb.models.sources import as_context
from facet_nb.widgets.controls import attempt, make_button, make_control, make_row
from facet_nb.widgets.fragments import write_code_block, write_text
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.plan_view import write_plan
from facet_nb.widgets.step_form import StepForm, list_flags

make_field = partial(make_control, label_width="initial")


class ChainEditor(Panel):
    """Edits a pipeline.

    Parameters
    ----------
    pipeline : Pipeline | ChainModel | None
        The initial chain, or the model of another editor.
    recording : object | None
        The recording on which arguments are checked, as for :func:`facet_nb.models.as_context`.
    plan : callable | None
        Returns the plan to draw; None for the plan of the default settings.
    nested : bool
        Whether the editor is part of another panel.

    Attributes
    ----------
    model : ChainModel
        State of the chain; ``model.pipeline`` is the chain on screen.

    Examples
    --------
    >>> from facet_nb import HighPassFilter, Pipeline
    >>> from facet_nb.widgets import ChainEditor
    >>> editor = ChainEditor(Pipeline([HighPassFilter(1.0)]))
    >>> editor.model.add("common_reference")
    >>> len(editor.pipeline)
    2
    """

    def __init__(
        self,
        pipeline: Pipeline | ChainModel | None = None,
        recording: Any = None,
        *,
        plan: Callable[[], Plan] | None = None,
        nested: bool = False,
    ) -> None:
        if isinstance(pipeline, ChainModel):
            self.model = pipeline
        else:
            context = None if recording is None else as_context(recording)
            self.model = ChainModel(pipeline, context)
        self.make_plan = plan or (lambda: self.model.pipeline.plan())
        self._make_list()
        self._make_yaml()
        self.form = StepForm(self.model)
        self.problem = w.HTML().add_class("fnb-chain-problem")
        self.drawing = w.HTML().add_class("fnb-plan-drawing")
        body = w.HBox([self.left, self.form.widget]).add_class("fnb-chain-body")
        super().__init__([body, self.problem, self.drawing, *self.yaml_parts], nested=nested)
        self.add_class("fnb-chain-editor")
        self.model.observe(self.refresh, ["steps", "selected", "problem"])
        self.refresh()

    # ------------------------------------------------------------------------------------ public
    @property
    def pipeline(self) -> Pipeline:
        """The chain on screen."""
        return self.model.pipeline

    def close_spares(self) -> None:
        """Close the rows of steps that are not shown any more."""
        self.form.close_spares()

    def refresh(self, _change: Any = None) -> None:
        """Update all widgets from the model."""
        model = self.model
        self._busy = True
        try:
            options = [(_describe(i, step), i) for i, step in enumerate(model.steps)]
            if tuple(self.steps.options) != tuple(options):
                self.steps.options = options
            self.steps.index = model.selected if 0 <= model.selected < len(options) else None
            self.steps.rows = max(4, min(14, len(options) + 1))
            self._show_buttons()
        finally:
            self._busy = False
        self.form.refresh()
        self.problem.value = (
            f'<p class="fnb-wrong" role="status">{write_text(model.problem)}</p>'
            if model.problem
            else '<p class="fnb-quiet" role="status">The chain can run.</p>'
            if model.steps
            else ""
        )
        self.refresh_plan()
        if self.yaml.layout.display != "none":
            self._write_yaml()

    def refresh_plan(self, _change: Any = None) -> None:
        """Redraw the plan after a change of the chain or the settings."""
        try:
            self.drawing.value = write_plan(self.make_plan())
        except FacetError as error:
            self.drawing.value = f'<p class="fnb-wrong">{write_text(error)}</p>'

    def to_html(self) -> str:
        """Return plan and YAML as plain HTML."""
        return self.drawing.value + write_code_block(self.model.to_yaml())

    def summary(self) -> str:
        """Return the chain in one line."""
        return " → ".join(p.name for p in self.pipeline) or "an empty chain"

    # ---------------------------------------------------------------------------- list of steps
    def _make_list(self) -> None:
        self._busy = False
        self.steps = make_field(w.Select, "Steps", "fnb-steps", width="290px")
        self.new = make_field(
            w.Combobox,
            "New step",
            "fnb-new-step",
            width="220px",
            options=list(self.model.list_classes()),
            placeholder="type or choose",
            ensure_option=False,
        )
        self.add = make_button("Add", "fnb-add", self._add, width="70px")
        self.up = make_button("Up", "fnb-up", lambda: self.model.move(-1), width="70px")
        self.down = make_button("Down", "fnb-down", lambda: self.model.move(1), width="70px")
        self.toggle = make_button("Off", "fnb-toggle", self._toggle, width="70px")
        self.remove = make_button("Remove", "fnb-remove", self.model.remove, width="70px")
        self.said = w.HTML()
        self.steps.observe(self._select, "index")
        bar = w.HBox([self.up, self.down, self.toggle, self.remove])
        more = w.HBox([self.new, self.add])
        ready = w.HBox([self._make_chain_button(name) for name in list_chains()])
        for row in (bar, more, ready):
            row.add_class("fnb-bar")
        self.left = w.VBox([self.steps, bar, more, ready, self.said]).add_class("fnb-chain-list")

    def _make_chain_button(self, name: str) -> w.Button:
        """Return a button that replaces all steps by a ready-made chain."""
        label = f"{name.capitalize()} chain"
        tip = f"Replace all steps by the {name} chain; the trigger expression stays"
        act = partial(self.model.use_chain, name)
        return make_button(label, f"fnb-chain-{name}", act, width="145px", tooltip=tip)

    def _show_buttons(self) -> None:
        model, last = self.model, len(self.model.steps) - 1
        self.up.disabled = model.selected <= 0
        self.down.disabled = not 0 <= model.selected < last
        self.remove.disabled = self.toggle.disabled = not model.steps
        enabled = not model.steps or model.steps[model.selected].enabled
        self.toggle.description = "Off" if enabled else "On"
        self.toggle.tooltip = "Disable this step" if enabled else "Enable this step"

    def _select(self, change: Any) -> None:
        if not self._busy and change["new"] is not None:
            self.model.selected = change["new"]

    def _toggle(self) -> None:
        self.model.enable(not self.model.steps[self.model.selected].enabled)

    def _add(self) -> None:
        try:
            self.model.add(self.new.value.strip())
        except FacetError as error:
            self.said.value = f'<span class="fnb-wrong" role="alert">{write_text(error)}</span>'
            return
        self.new.value = self.said.value = ""

    # ------------------------------------------------------------------------------------- YAML
    def _make_yaml(self) -> None:
        self.yaml_switch = w.ToggleButton(
            description="Save and load", icon="file", layout=w.Layout(width="150px")
        ).add_class("fnb-yaml-switch")
        self.yaml = make_field(w.Textarea, "YAML", "fnb-yaml", width="99%", rows=12)
        self.file = make_field(w.Text, "File", "fnb-yaml-file", width="260px", value="chain.yaml")
        save = make_button("Save file", "fnb-yaml-save", self.save, width="120px")
        load = make_button(
            "Load file", "fnb-yaml-load", lambda: self._take(self.file.value.strip()), width="120px"
        )
        use = make_button(
            "Use this text",
            "fnb-yaml-use",
            lambda: self._take(self.yaml.value + "\n"),
            width="120px",
        )
        self.yaml_said = w.HTML()
        bar = make_row([self.file, save, load, use])
        self.yaml_parts = [self.yaml_switch, bar, self.yaml, self.yaml_said]
        self._show_yaml()
        self.yaml_switch.observe(self._show_yaml, "value")

    def _show_yaml(self, _change: Any = None) -> None:
        for part in self.yaml_parts[1:]:
            part.layout.display = "" if self.yaml_switch.value else "none"
        if self.yaml_switch.value:
            self._write_yaml()

    def _write_yaml(self) -> None:
        self.yaml.value = self.model.to_yaml()

    def save(self) -> None:
        """Write the chain to the named file."""
        name = self.file.value.strip()

        def write() -> None:
            if not name:
                raise FacetError("no file is given: enter its name.")
            self.model.to_yaml(name)

        attempt(self.yaml_said, write, f"Saved to {name}.", refused="Not saved")

    def _take(self, source: str) -> None:
        attempt(
            self.yaml_said, lambda: self.model.load_yaml(source), "Loaded.", refused="Not loaded"
        )


def _describe(index: int, step: ChainStep) -> str:
    mark = "⚠ " if step.problems and step.enabled else ""
    off = "(off) " if not step.enabled else ""
    scope = "" if list_flags(step)[0].startswith("channel") else "  · all channels"
    return f"{index + 1}. {off}{mark}{step.name}{scope}"
