"""View for the choice of a recording, with its content."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as w
from traitlets import link

from facet_nb.models.recording_model import RecordingModel
from facet_nb.widgets.controls import make_button, make_control, make_row
from facet_nb.widgets.fragments import write_error, write_table, write_text

_KINDS = {
    "given": "the recording of this cell",
    "example": "the example (6 channels, 36 s)",
    "simulation": "a simulation",
    "file": "a file",
}
_NUMBERS: dict[str, tuple[str, Any, dict[str, float]]] = {
    "n_channels": ("Channels", w.BoundedIntText, {"min": 1, "max": 335}),
    "sfreq": ("Rate (Hz)", w.BoundedFloatText, {"min": 250, "max": 50_000}),
    "duration_s": ("Length (s)", w.BoundedFloatText, {"min": 5, "max": 3600}),
    "tr_s": ("Volume (s)", w.BoundedFloatText, {"min": 0.2, "max": 10}),
    "n_slices": ("Slices", w.BoundedIntText, {"min": 1, "max": 120}),
    "seed": ("Seed", w.BoundedIntText, {"min": 0, "max": 2**31 - 1}),
}


class RecordingView:
    """Controls for the choice of a recording.

    Parameters
    ----------
    model : RecordingModel
        Model of the choice.
    use_trigger : callable | None
        Called with the description of the events that are chosen as triggers.
    """

    def __init__(self, model: RecordingModel, use_trigger: Any = None) -> None:
        self.model = model
        self.use_trigger = use_trigger
        make_field = partial(make_control, label_width="110px")
        kinds = [(_KINDS[k], k) for k in model.kinds]
        self.kind = make_field(
            w.Dropdown, "Recording", "fnb-recording", width="360px", options=kinds
        )
        hint = "recording.vhdr, .edf, .bdf, .gdf, .set, .fif"
        self.path = make_field(w.Text, "File", "fnb-path", width="520px", placeholder=hint)
        self.numbers = {name: _number(name, model) for name in _NUMBERS}
        self.pulse = w.Checkbox(description="with heartbeat artifact", indent=False)
        self.simulation = make_row([*self.numbers.values(), self.pulse])
        self.load = make_button(
            "Load", "fnb-load", model.start, icon="folder-open", style="primary"
        )
        self.events = make_field(w.Dropdown, "Trigger", "fnb-events", width="360px")
        self.use = make_button("Use in the chain", "fnb-use-trigger", self._use, width="150px")
        self.use.tooltip = "Set the trigger detector to these events"
        self.facts = w.HTML().add_class("fnb-facts")
        self.status = w.HTML().add_class("fnb-load-status")
        self.trigger_row = make_row([self.events, self.use])
        self._connect()
        self.widget = w.VBox(
            [
                make_row([self.kind, self.load]),
                self.path,
                self.simulation,
                self.status,
                self.facts,
                self.trigger_row,
            ]
        )
        self._show_kind()
        self._show()

    def _connect(self) -> None:
        model = self.model
        link((model, "kind"), (self.kind, "value"))
        link((model, "path"), (self.path, "value"))
        link((model, "pulse"), (self.pulse, "value"))
        model.observe(self._show_kind, "kind")
        model.observe(self._show, ["status", "summary", "error"])

    def _show_kind(self, _change: Any = None) -> None:
        _show_if(self.path, self.model.kind == "file")
        _show_if(self.simulation, self.model.kind == "simulation")

    def _show(self, _change: Any = None) -> None:
        model = self.model
        self.load.disabled = model.status == "loading"
        self.status.value = self._describe()
        if model.summary is None:
            _show_if(self.trigger_row, False)
            return
        self.facts.value = write_facts(model)
        options = [(f"{text}  ({n}×)", text) for text, n in model.summary.events]
        if tuple(self.events.options) != tuple(options):
            self.events.options = options
            self.events.index = 0 if options else None
        _show_if(self.trigger_row, bool(options) and self.use_trigger is not None)

    def _describe(self) -> str:
        model = self.model
        if model.status == "loading":
            return '<span role="status">Loading …</span>'
        if model.status == "failed":
            kept = "" if model.context is None else " The previous recording is still in use."
            return write_error("Not loaded", model.error + kept, "")
        return f'<span role="status">Loaded: {write_text(model.describe())}</span>'

    def _use(self) -> None:
        if self.use_trigger is not None and self.events.value is not None:
            self.use_trigger(self.events.value)


def write_facts(model: RecordingModel) -> str:
    """Return tables of the recording's properties and of its events, as HTML."""
    summary = model.summary
    if summary is None:
        return ""
    facts = write_table("", ["recording", ""], summary.rows(), "fnb-table fnb-facts-table")
    if not summary.events:
        return facts + '<p class="fnb-quiet">The recording has no annotations or stim codes.</p>'
    events = write_table("", ["events by description", "count"], summary.events)
    return facts + events


def _number(name: str, model: RecordingModel) -> Any:
    label, kind, limits = _NUMBERS[name]
    value = getattr(model, name)
    box = make_control(partial(kind, **limits), label, width="180px", value=value)
    link((model, name), (box, "value"))
    return box


def _show_if(widget: w.Widget, wanted: bool) -> None:
    widget.layout.display = "" if wanted else "none"
