"""Panel of a study: recordings, progress, and the page of the study while it grows."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w

from facet_nb.batch import BatchResult
from facet_nb.models.batch_model import BatchModel
from facet_nb.report import make_study_report
from facet_nb.report.page import RunReport, read_style
from facet_nb.widgets.controls import attempt, make_button, make_control, make_progress, make_row
from facet_nb.widgets.fragments import write_code_block, write_duration, write_error, write_text
from facet_nb.widgets.live_html import LiveHtml
from facet_nb.widgets.panel import Panel

#: Most recordings in the table of the panel: more would slow down updates. The page has all.
_MOST = 200

#: Separator of recordings in the field for inputs.
_BETWEEN = "; "


class BatchPanel(Panel):
    """Runs one pipeline over many recordings, and shows the page of the study while it grows.

    Parameters
    ----------
    chain : Pipeline | RunModel | TuneModel | RunFile | path
        The steps; the model of another panel, whose chain and settings at the start of a study
        count; or a run file.
    inputs : path | sequence of path, ProcessingContext or mne.io.BaseRaw
        Files, patterns, folders or a BIDS data set; or recordings in memory.
    output : path | None
        Folder of the corrected files, of the table and of the page.
    nested : bool
        Whether the panel is part of another one.
    **options
        Options of :class:`facet_nb.Study`, such as ``memory_budget``, ``accept`` or ``retries``.

    Attributes
    ----------
    model : BatchModel
        State: inputs, rows, plan and outcome.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.widgets import BatchPanel
    >>> panel = BatchPanel(Pipeline([CommonReference()]), [example().context()])
    >>> panel.summary()
    'Ready: nothing has run yet.'
    """

    css_files = ("panel.css", "batch.css")

    def __init__(
        self,
        chain: Any,
        inputs: Any = (),
        output: str | Path | None = None,
        *,
        nested: bool = False,
        **options: Any,
    ) -> None:
        if isinstance(chain, BatchModel):
            self.model = chain
        else:
            self.model = BatchModel(chain, inputs, output, **options)
        self.page_id = f"fnb-batch-{id(self)}"
        self._make_fields()
        self._make_controls()
        self.page = LiveHtml(self._write_page, css="fnb-batch-page")
        style = w.HTML(f"<style>{read_style()}</style>", layout=w.Layout(display="none"))
        parts = [
            style,
            make_row([self.places, self.output]),
            make_row([self.start_button, self.cancel_button, self.report_button]),
            make_row([self.bar, self.time]),
            self.status,
            self.said,
            self.plan,
            self.page,
        ]
        super().__init__(parts, nested=nested)
        self.add_class("fnb-batch")
        self.follow(self.model)
        model = self.model
        model.observe(self._show_progress, ["status", "elapsed_s", "remaining_range_s", "error"])
        model.observe(self._show_rows, ["rows", "plan", "status"])
        model.observe(self._show_places, ["places", "output"])
        model.observe(self.refresh_report, "status")
        self._show_places()
        self._show_progress()

    # -------------------------------------------------------------------- without a display
    def run(self) -> BatchResult:
        """Run the study to its end, and return its outcome."""
        return self.model.run()

    def stop(self) -> bool:
        """Cancel the study; return whether there was one."""
        busy = self.model.busy
        self.model.cancel()
        return busy

    def save(self, path: str | Path | None = None) -> Path:
        """Write the page about the study.

        Parameters
        ----------
        path : path | None
            The file; None for ``study.html`` in the output.

        Raises
        ------
        FacetError
            If it cannot be written.
        """
        target = Path(path or Path(self.model.output or ".") / "study.html")
        self._make_page(path=target)
        return target

    def to_html(self) -> str:
        """Return the page about the study as plain HTML."""
        code = write_code_block(self.model.code())
        more = f"<details><summary>The same in Python</summary>{code}</details>"
        status = f"<p><strong>{write_text(self.summary())}</strong></p>"
        if not self.model.rows:
            return status + more
        return status + _mark(self._make_page(_MOST)._repr_html_(), f"{self.page_id}-saved") + more

    def summary(self) -> str:
        """Return the state of the study in one line."""
        return describe_study(self.model)

    # ------------------------------------------------------------------------------------ parts
    def _make_fields(self) -> None:
        make_text = partial(make_control, w.Text, width="420px", continuous_update=False)
        tip = "Folders, patterns, files or a BIDS data set, separated by semicolons"
        self.places = make_text("Recordings", "fnb-batch-places", tooltip=tip)
        tip = "Folder of the corrected files, of the table and of the page"
        self.output = make_text("Output", "fnb-batch-output", tooltip=tip)
        self.places.observe(self._set_places, "value")
        self.output.observe(self._set_output, "value")

    def _make_controls(self) -> None:
        model = self.model
        self.start_button = make_button(
            "Start",
            "fnb-batch-start",
            lambda: attempt(self.said, model.start),
            width="130px",
            icon="play",
            style="primary",
        )
        self.cancel_button = make_button(
            "Cancel", "fnb-batch-cancel", model.cancel, width="130px", icon="stop"
        )
        self.report_button = make_button(
            "Write page", "fnb-batch-report", self._save, width="130px", icon="file-text-o"
        )
        self.report_button.tooltip = "Write study.html into the output"
        self.bar = make_progress("fnb-batch-progress")
        self.time = w.HTML().add_class("fnb-batch-time")
        self.status = w.HTML().add_class("fnb-batch-status")
        self.said = w.HTML().add_class("fnb-batch-said")
        self.plan = w.HTML().add_class("fnb-batch-plan")

    # ---------------------------------------------------------------------------------- actions
    def _set_places(self, change: Any) -> None:
        if not self.places.disabled:
            parts = (part.strip() for part in change["new"].split(_BETWEEN.strip()))
            self.model.places = tuple(filter(None, parts))

    def _set_output(self, change: Any) -> None:
        self.model.output = change["new"].strip()

    def _save(self) -> None:
        attempt(self.said, lambda: f"Written: {self.save()}")

    # ---------------------------------------------------------------------------------- showing
    def _show_places(self, _change: Any = None) -> None:
        """Show the inputs; recordings in memory, and long lists, cannot be edited."""
        places = self.model.places
        editable = len(places) <= 3 and all(isinstance(p, (str, Path)) for p in places)
        with self.places.hold_trait_notifications():
            self.places.disabled = not editable
            count = f"{len(places)} recording{'s' if len(places) > 1 else ''}"
            self.places.value = _BETWEEN.join(map(str, places)) if editable else count
        self.output.value = self.model.output

    def _show_progress(self, _change: Any = None) -> None:
        model = self.model
        self.start_button.disabled = model.busy
        self.cancel_button.disabled = model.status != "running"
        self.report_button.disabled = not model.rows
        self.bar.value = 1.0 if model.status == "done" else model.fraction
        left = model.remaining_range_s
        rest = f", {write_duration(left[0])} to {write_duration(left[1])} left" if left else ""
        took = f"{write_duration(model.elapsed_s)}{rest}" if model.elapsed_s else ""
        self.time.value = write_text(took)
        if model.status == "failed":
            self.status.value = write_error("The study could not run", model.error, "")
        else:
            text = write_text(describe_study(model))
            self.status.value = f'<p role="status"><strong>{text}</strong></p>'

    def _show_rows(self, _change: Any = None) -> None:
        model = self.model
        self._show_progress()
        plan = write_text(model.plan) if model.plan is not None else ""
        self.plan.value = (
            f"<details><summary>What runs at once</summary><pre>{plan}</pre></details>"
            if plan
            else ""
        )
        self.page.refresh()

    def _write_page(self) -> str:
        if not self.model.table:
            return ""
        body = _mark(self._make_page(_MOST).body, self.page_id)
        return f'<div class="fnb-report">{body}</div>'

    def _make_page(self, most: int | None = None, path: Path | None = None) -> RunReport:
        model = self.model
        headers = [model.header] if model.header else []
        return make_study_report(model.table, headers, path, most)


def _mark(html: str, name: str) -> str:
    """Return HTML with unique identifiers: the saved state may be on the same page."""
    return re.sub(r'\b(id="|aria-labelledby="|href="#)', rf"\g<1>{name}-", html)


def describe_study(model: BatchModel) -> str:
    """Return the state of a study in one line."""
    if model.status == "idle":
        return "Ready: nothing has run yet."
    if model.status == "failed":
        return f"The study could not run: {model.error}"
    if model.plan is None:
        return "Planning: headers are read …"
    total = len(model.plan.files)
    bad = sum(not row.success for row in model.rows)
    told = f"{len(model.rows)} of {total} finished" + (
        f", {bad} of them not corrected" if bad else ""
    )
    if model.status == "cancelling":
        return f"Cancelling: {told} …"
    if model.status == "running":
        return f"Running: {told}."
    if model.status == "cancelled":
        done = sum(row.success for row in model.rows)
        return f"Cancelled: {done} of {total} are corrected. Start goes on with the rest."
    return f"Done: {total - bad} of {total} corrected" + (f", {bad} not." if bad else ".")
