"""Controls for the ranges and the time budget of a benchmark."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as w
from traitlets import link

from facet_nb.benchmark.grid import list_compared_backends, list_compared_modes
from facet_nb.core.errors import FacetError
from facet_nb.models.tune_model import TuneModel
from facet_nb.widgets.controls import TOOLTIPS, make_control, make_row, of_width
from facet_nb.widgets.fragments import write_duration, write_text

_LISTS = ("n_jobs", "n_workers", "batch_sizes")
_REPEATS = [("until intervals are narrow", 0), ("1", 1), ("3", 3), ("5", 5), ("10", 10)]

make_field = partial(make_control, label_width="90px")


class TuneRanges:
    """Controls for the ranges of a benchmark.

    Parameters
    ----------
    model : TuneModel
        The benchmark.
    """

    def __init__(self, model: TuneModel) -> None:
        self.model = model
        self.modes = _make_checks("modes", list_compared_modes(), model)
        self.backends = _make_checks("backends", list_compared_backends(), model)
        self.lists = {name: self._make_list(name) for name in _LISTS}
        self.repeats = make_field(w.Dropdown, "Repeats", width="250px", options=_REPEATS)
        self.repeats.tooltip = "Timed runs of each configuration"
        self.budget = make_field(
            w.BoundedFloatText, "At most (s)", width="170px", min=5, max=36_000, step=5
        )
        self.budget.tooltip = "Time budget of the benchmark"
        self.memory = w.Checkbox(description="measure memory", indent=False)
        self.problem = w.HTML()
        # A dropdown cannot show the value None: 0 stands for it.
        self.repeats.observe(self._set_repeats, "value")
        model.observe(self._show_repeats, "repeats")
        self._show_repeats()
        link((model, "time_budget_s"), (self.budget, "value"))
        link((model, "memory"), (self.memory, "value"))
        for name in _LISTS:
            model.observe(self._show_lists, name)
        self.widget = w.VBox(
            [
                make_row([_title("Modes"), *self.modes]),
                make_row([_title("Backends"), *self.backends]),
                make_row(list(self.lists.values())),
                make_row([self.repeats, self.budget, self.memory]),
                self.problem,
            ]
        ).add_class("fnb-ranges")

    def _set_repeats(self, change: Any) -> None:
        self.model.repeats = change["new"] or None

    def _show_repeats(self, _change: Any = None) -> None:
        wanted = self.model.repeats or 0
        known = [value for _, value in self.repeats.options]
        if wanted not in known:
            self.repeats.options = [*self.repeats.options, (str(wanted), wanted)]
        self.repeats.value = wanted

    def _make_list(self, name: str) -> w.Text:
        css = f"fnb-range-{name.replace('_', '-')}"
        value = _write(getattr(self.model, name))
        box = make_field(w.Text, name, css, width="210px", value=value, placeholder="1, 2, 4")
        box.tooltip = TOOLTIPS[name.replace("sizes", "size")]
        box.observe(lambda change: self._read(name, change["new"]), "value")
        return box

    def _read(self, name: str, text: str) -> None:
        try:
            values = tuple(int(word) for word in text.replace(",", " ").split())
        except ValueError:
            values = ()
        if not values or min(values) < 1:
            said = f"{name}: enter whole numbers of at least 1, such as 1, 2, 4."
            self.problem.value = f'<span class="fnb-wrong" role="alert">{write_text(said)}</span>'
            return
        self.problem.value = ""
        setattr(self.model, name, values)

    def _show_lists(self, change: Any) -> None:
        box = self.lists[change["name"]]
        if _write(change["new"]) != _write(tuple(box.value.replace(",", " ").split())):
            box.value = _write(change["new"])


def write_tune_forecast(model: TuneModel) -> str:
    """Return the number of configurations and the expected duration, as HTML."""
    try:
        n = len(model.configurations())
    except FacetError as error:
        return f'<span class="fnb-wrong">{write_text(error)}</span>'
    time_s = model.predict_time_s()
    limit = write_duration(model.time_budget_s)
    how_long = f"at most {limit}" if time_s is None else f"about {write_duration(time_s)}"
    if time_s is not None and time_s >= model.time_budget_s:
        how_long = f"all of {limit}: allow more time or fewer settings"
    points = f"{n} configuration" + ("" if n == 1 else "s")
    return f"<strong>Forecast</strong> {points}, {write_text(how_long)}."


def _make_checks(name: str, options: list[str], model: TuneModel) -> list[w.Checkbox]:
    boxes = []
    for option in options:
        box = w.Checkbox(value=option in getattr(model, name), description=option, indent=False)
        box.layout.close()  # closes the default layout, which would otherwise stay in the kernel
        box.layout = of_width("auto")
        boxes.append(box)

    def collect(_change: Any) -> None:
        chosen = tuple(box.description for box in boxes if box.value)
        setattr(model, name, chosen or tuple(options[:1]))

    for box in boxes:
        box.observe(collect, "value")
    return boxes


def _write(values: Any) -> str:
    return ", ".join(str(v) for v in values)


def _title(text: str) -> w.HTML:
    return w.HTML(f'<span class="fnb-range-title">{write_text(text)}</span>')
