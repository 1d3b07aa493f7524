"""Predict and reveal: the user guesses speed-ups before the results are shown."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.models.tune_model import TuneModel
from facet_nb.models.verdict import Score, write_score
from facet_nb.widgets.controls import make_button, make_control, make_row
from facet_nb.widgets.fragments import write_table, write_text


class PredictionView:
    """Asks for the expected speed-up at each number of workers, and hides the results until then.

    Parameters
    ----------
    model : TuneModel
        The benchmark.
    """

    def __init__(self, model: TuneModel) -> None:
        self.model = model
        self.switch = w.ToggleButton(
            description="Predict first", icon="pencil", layout=w.Layout(width="140px")
        )
        self.switch.tooltip = "Guess the speed-ups before they are shown"
        self.switch.add_class("fnb-predict")
        self.reveal = make_button("Reveal", "fnb-reveal", self._reveal, width="100px")
        self.boxes: dict[int, w.BoundedFloatText] = {}
        self.row, self.score = make_row([]), w.HTML().add_class("fnb-score")
        self.hint = w.HTML(
            '<span class="fnb-quiet">How many times as fast as one worker will each be?</span>'
        )
        self.widget = w.VBox([self.switch, self.hint, self.row, self.score])
        self.switch.observe(self._toggle, "value")
        model.observe(self._fill, ["n_jobs", "n_workers"])
        model.observe(self._show, ["state", "hidden", "status"])
        self._fill()
        self._toggle()

    def _fill(self, _change: Any = None) -> None:
        """Create an input box for each number of workers above one."""
        levels = sorted({j * n for j in self.model.n_jobs for n in self.model.n_workers} - {1})
        if list(self.boxes) == levels:
            return
        for box in self.boxes.values():
            box.close()
        self.boxes = {level: self._make_box(level) for level in levels}
        self.row.children = [*self.boxes.values(), self.reveal]

    def _make_box(self, level: int) -> w.BoundedFloatText:
        box = make_control(
            w.BoundedFloatText,
            f"{level} workers",
            f"fnb-guess-{level}",
            width="170px",
            label_width="90px",
            value=self.model.guess.get(level, 1.0),
            min=0.05,
            max=1000.0,
            step=0.1,
        )
        box.observe(self._guess, "value")
        return box

    def _guess(self, _change: Any = None) -> None:
        if self.switch.value:
            self.model.guess = {1: 1.0, **{p: b.value for p, b in self.boxes.items()}}

    def _toggle(self, _change: Any = None) -> None:
        on = self.switch.value
        for part in (self.hint, self.row):
            part.layout.display = "" if on else "none"
        self.model.hidden = on
        self.model.guess = {}
        self._guess()
        self._show()

    def _reveal(self) -> None:
        self.model.hidden = False
        self._show()

    def _show(self, _change: Any = None) -> None:
        self.reveal.disabled = not self.model.hidden
        scores = [s for s in self.model.scores() if s.workers > 1] if self.model.guess else []
        over = self.model.status in ("done", "cancelled")
        self.score.value = write_scores(tuple(scores)) if over and self.model.guess else ""


def write_scores(scores: tuple[Score, ...]) -> str:
    """Return guesses and measurements as an HTML table."""
    rows = [
        (
            f"{s.workers} workers",
            f"{s.guess:.2f}",
            f"{s.value:.2f} ({s.low:.2f} to {s.high:.2f})",
            "in the interval" if s.hit else "outside",
        )
        for s in scores
    ]
    if not rows:
        return ""
    table = write_table("", ["", "guess", "measured (95 %)", ""], rows)
    return f'<p role="status"><strong>{write_text(write_score(scores))}</strong></p>{table}'
