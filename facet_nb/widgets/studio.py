"""The studio: recording, chain, run, cost and files on one screen, the signal always in view."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from typing import Any

import ipywidgets as w
from traitlets import TraitError

from facet_nb.core import Pipeline, PipelineResult
from facet_nb.core.errors import FacetError
from facet_nb.core.planning.modes.registry import list_job_modes
from facet_nb.models import RunModel, StudioModel
from facet_nb.models.remedies import find_chain_remedy, find_failure_remedy, find_remedy
from facet_nb.models.saving_model import KINDS
from facet_nb.models.session_states import list_findings
from facet_nb.models.studio_model import SCREENS
from facet_nb.models.study_scripts import TARGETS
from facet_nb.widgets import studio_parts as parts
from facet_nb.widgets.chain_cards import write_chain
from facet_nb.widgets.chain_editor import ChainEditor
from facet_nb.widgets.code_view import CodeView
from facet_nb.widgets.compare_panel import ComparePanel
from facet_nb.widgets.compare_view import write_pair
from facet_nb.widgets.controls import close_parts
from facet_nb.widgets.cost_view import write_charts, write_tune
from facet_nb.widgets.files_view import write_files
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.live_html import LiveHtml
from facet_nb.widgets.panel import Panel, read_css
from facet_nb.widgets.progress_view import describe_status
from facet_nb.widgets.recording_view import RecordingView
from facet_nb.widgets.run_panel import RunPanel, write_report, write_summary
from facet_nb.widgets.signal_view import SignalView
from facet_nb.widgets.tune_panel import TunePanel

#: Height of the signal on each screen, in pixels.
_HEIGHTS = {"Recording": 200, "Run": 206, "Compare": 206, "Tune": 112}
_LOW = 150

#: When the views in detail are made, in s after the rest: the first picture comes before them.
_LATER_S = 1.5


class _Details:
    """The views in detail, which are folded at first: three quarters of all widgets."""

    def __init__(self, model: StudioModel) -> None:
        self.recording = RecordingView(model.recording, model.chain.use_trigger)
        self.chain = ChainEditor(model.chain, plan=model.run.plan, nested=True)
        self.run = RunPanel(model.run, nested=True)
        self.tune = TunePanel(model.tune, nested=True)
        self.compare = ComparePanel(model.run, model.compare, nested=True)
        self.code = CodeView(model.run)


class Studio(Panel):
    """Recording, chain, run, cost and files on one screen, below the signal.

    The signal shows the recording and, where one looks, its correction: a run is needed for the
    whole recording only. Keys, with the focus in the studio: 1 to 5 for the states, R to run,
    Escape to cancel.

    Parameters
    ----------
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        The initial recording; None for the example.
    pipeline : Pipeline | None
        The initial chain; None for that of :func:`facet_nb.gradient_correction`.
    cores : int | None
        Largest number of workers to offer; None for all cores that this process may use.
    **settings
        Initial ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``.

    Attributes
    ----------
    model : StudioModel
        State: ``model.recording``, ``model.signal``, ``model.chain``, ``model.run``.
    signal, chain, run_panel, tune_panel, compare_panel, code_view : object
        Views in detail.

    Examples
    --------
    >>> from facet_nb.widgets import Studio
    >>> studio = Studio()
    >>> studio.run().success
    True
    """

    css_files = ("panel.css", "studio.css")
    _made: _Details | None = None
    _retired = False

    def __init__(
        self,
        source: Any = None,
        pipeline: Pipeline | None = None,
        *,
        cores: int | None = None,
        **settings: Any,
    ) -> None:
        self.model = StudioModel(source, pipeline, cores=cores, **settings)
        model = self.model
        self.signal = SignalView(model.signal, nested=True)
        self.head = self._live(parts.write_head, "fnb-headline")
        self.rail = self._live(parts.write_rail, "fnb-rail")
        self.transport = self._live(parts.write_transport, "fnb-transport")
        self.picture = self._live(parts.write_run, "fnb-run-picture")
        self.cards = self._live(write_chain, "fnb-chain-cards")
        self.findings = self._live(parts.write_findings, "fnb-findings-card")
        self.browser = self._live(write_files, "fnb-browser")
        self.cost = self._live(write_tune, "fnb-cost-curves")
        self.pair = self._live(write_pair, "fnb-side-by-side")
        self.files = self._live(parts.write_save, "fnb-files")
        self.said = w.HTML().add_class("fnb-said")
        self.stage = w.Box().add_class("fnb-lower")
        self._fill_stage()
        main = w.Box([self.signal, self.transport, self.said, self.stage]).add_class("fnb-main")
        shell = w.Box([self.head, self.rail, main]).add_class("fnb-shell")
        super().__init__([shell])
        self.add_class("fnb-studio")
        self.follow(model.recording, model.run, model, model.quick, model.pair)
        self.follow(model.machines)
        self._observe()
        self._show_screen()
        self._make_details_later()

    def _make_details_later(self) -> None:
        """Make the views in detail when the first picture has been drawn; without a page, now.

        Voila's page comes when all cells have run, and misses widgets that are made meanwhile.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or any(name.startswith("VOILA_") for name in os.environ):
            self._make_details()
        else:
            loop.call_later(_LATER_S, self._make_details)

    def _make_details(self, _change: Any = None) -> None:
        if not self._retired:
            self._find_details()

    def _find_details(self) -> _Details:
        if self._made is None:
            self._made = _Details(self.model)
            self._show_details(self._made)
        return self._made

    def _show_details(self, details: _Details) -> None:
        facts = w.VBox([details.recording.widget, self.signal.channels])
        panels = {
            "Recording": facts,
            "Chain": details.chain,
            "Run": details.run,
            "Tune": details.tune,
            "Compare": details.compare,
        }
        for name, panel in panels.items():
            self.folds[name].children = [panel]
        self.pages["Save"].children = [self.files, _own(details.code.widget)]
        self.model.run.observe(details.chain.refresh_plan, [*RunModel.SETTINGS, "pipeline"])
        if self.width.value:
            self._fit({"new": self.width.value})
        self._show_curves()

    @property
    def recording(self) -> RecordingView:
        """Properties, events and channels of the recording."""
        return self._find_details().recording

    @property
    def chain(self) -> ChainEditor:
        """All settings of the chain."""
        return self._find_details().chain

    @property
    def run_panel(self) -> RunPanel:
        """All settings of a run, and its result."""
        return self._find_details().run

    @property
    def tune_panel(self) -> TunePanel:
        """Measurements in fresh processes."""
        return self._find_details().tune

    @property
    def compare_panel(self) -> ComparePanel:
        """Results that were kept."""
        return self._find_details().compare

    @property
    def code_view(self) -> CodeView:
        """The run as code."""
        return self._find_details().code

    def _live(self, write: Callable[[StudioModel], str], css: str) -> LiveHtml:
        return LiveHtml(lambda: write(self.model), self._act, css)

    def _fill_stage(self) -> None:
        titles = {
            "Recording": "Properties, events, channels, simulation",
            "Chain": "All settings of a step, order, new steps, YAML",
            "Run": "All settings, steps and channels, pictures, log",
            "Tune": "Measure in fresh processes",
            "Compare": "Keep by name, metrics, spectra",
        }
        folds = {}
        # Until the views in detail are made. It stays: a page may be about to show it.
        self._placeholder = w.Box()
        for name, title in titles.items():
            folds[name] = w.Accordion([self._placeholder], titles=(title,), selected_index=None)
            folds[name].observe(self._make_details, "selected_index")
            folds[name].observe(self._show_screen, "selected_index")
        self.folds = folds
        pages: dict[str, list[w.Widget]] = {
            "Recording": [self.findings, self.browser, folds["Recording"]],
            "Chain": [self.cards, folds["Chain"]],
            "Run": [self.picture, folds["Run"]],
            "Tune": [self.cost, folds["Tune"]],
            "Save": [self.files],
            "Compare": [self.pair, folds["Compare"]],
        }
        self.pages = {}
        for name, content in pages.items():
            page = self.pages[name] = w.VBox(content)
            page.add_class("fnb-tab")
            page.add_class(f"fnb-tab-{name.lower()}")
        self.stage.children = list(self.pages.values())

    def _observe(self) -> None:
        model, run = self.model, self.model.run
        settings = [*RunModel.SETTINGS, "pipeline", "blocked", "records"]
        model.chain.observe(self._refresh, ["steps", "selected"])
        run.observe(self._make_details, "status")
        run.observe(self.signal.refresh, "result")
        run.observe(self.refresh_report, "status")
        run.observe(self._refresh, [*settings, "status", "state", "truth", "timelines"])
        model.recording.observe(self._refresh, "status")
        model.observe(self._show_screen, "screen")
        model.observe(self._refresh, ["words", "preview_note", "remedied", "chart"])
        model.machines.observe(self._refresh, ["tables", "shown"])
        model.pair.observe(self._refresh, ["candidates", "text", "error", "one", "two"])
        model.observe(self._take_preview, "preview")
        model.observe(self._take_verdict, "verdict")
        model.tune.observe(self._keep_table, "status")
        model.tune.observe(self._refresh, "status")
        model.quick.observe(self._refresh, ["status", "points"])
        model.tune.observe(self._refresh, "state")
        model.compare.observe(self._refresh, ["entries", "status"])

    def retire(self) -> bool:
        """Cancel all work and close all views, after the panel's cell has been run again."""
        self._retired = True  # nothing is made later
        close_parts(self._placeholder)
        return super().retire()

    # -------------------------------------------------------------------- without a display
    @property
    def result(self) -> PipelineResult | None:
        """Result of the last run."""
        return self.model.result

    @property
    def status(self) -> str:
        """Status of the run: idle, running, cancelling, done, failed or cancelled."""
        return self.model.run.status

    @property
    def pipeline(self) -> Pipeline:
        """The chain on screen."""
        return self.model.chain.pipeline

    def run(self) -> PipelineResult:
        """Run to the end and return the result."""
        return self.model.run.run()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds; return whether it has ended."""
        return self.model.run.wait(timeout)

    def code(self) -> str:
        """Return Python code that does the same."""
        return self.model.code()

    def show(self, title: str) -> None:
        """Show a screen: Recording, Chain, Run, Tune, Save or Compare."""
        self.model.screen = title

    def stop(self) -> bool:
        """Cancel all work; return whether there was any."""
        return self.model.close()

    def to_html(self) -> str:
        """Return the state of the studio as plain HTML, for the saved notebook."""
        drawn = parts.write_run(self.model, live=False) + write_charts(self.model)
        drawn = re.sub(r"<button.*?</button>", "", drawn)  # they need a kernel
        made = self._made
        report = write_report(self.model.run, None if made is None else made.run.results)
        html = [
            f'<div class="fnb-studio fnb-saved"><style>{read_css("studio.css")}</style>',
            f"<p>{self._describe()}</p>{drawn}</div>{report}",
        ]
        if self.model.tune.table is not None:
            html.append(self.tune_panel.to_html())
        if self.model.compare.entries:
            html.append(self.compare_panel.to_html())
        return "".join(html)

    def summary(self) -> str:
        """Return status and settings in one line of text."""
        return write_summary(self.model.run)

    # ----------------------------------------------------------------------------------- actions
    def _act(self, act: str, name: str, value: Any) -> bool:
        """Handle an action of the page; show the reason if it is not possible."""
        done = False
        self._make_details()
        try:
            self._ACTS[act](self, name, value)
        except (FacetError, TraitError, OSError) as error:
            self._say(str(error))
        else:
            done = True
            self._say("")
        if act == "upload_chunk" and done and self.model.files.uploading:
            self.browser.refresh()  # thousands of chunks
        else:
            self._refresh()
        return done

    def _say(self, text: str) -> None:
        html = f'<p class="fnb-wrong" role="status">{write_text(text)}</p>' if text else ""
        self.said.value = html
        self.said.layout.display = "" if html else "none"

    def _set_setting(self, name: str, value: Any) -> None:
        run, text = self.model.run, str(value).strip()
        if name == "mode":
            run.mode = text
        elif name == "memory_budget":
            run.memory_budget = "" if text == "none" else text
        elif name == "batch_size":
            if text and text != "auto" and not text.isdigit():
                raise TraitError(f"batch {text!r} is neither a number of channels nor auto.")
            run.batch_size = int(text) if text.isdigit() else 0

    def _step_setting(self, name: str, value: Any) -> None:
        run = self.model.run
        if name in ("n_jobs", "n_workers"):
            self.model.ask(name, min(max(getattr(run, name) + int(value), 1), run.cores))

    def _ask(self, name: str, value: Any) -> None:
        text = str(value).strip().replace("−", "-")
        if name not in ("n_jobs", "n_workers") or not re.fullmatch("-?[0-9]{1,6}", text):
            raise TraitError(f"{name}: {text!r} is not a number of workers; -1 is for all cores.")
        self.model.ask(name, int(text))

    def _go(self, _name: str, value: Any) -> None:
        """Change the state; the first time in Tune, a quick look begins."""
        self.show(str(value))
        if value == "Tune":
            self.model.look()

    def _choose_pair(self, name: str, value: Any) -> None:
        self.model.pair.choose(**{"one" if name == "A" else "two": str(value)})

    def _remedy(self, _name: str, value: Any) -> None:
        model = self.model
        if value == "chain":
            remedy = find_chain_remedy(model)
        elif value == "failure":
            remedy = find_failure_remedy(model)
        else:
            remedy = find_remedy(model, list_findings(model)[int(value)])
        if remedy is not None:
            model.apply(remedy.label, remedy.apply)

    def _check(self, _name: str, _value: Any) -> None:
        compare, run = self.model.compare, self.model.run
        if not any(entry.result is run.result for entry in compare.entries):
            compare.keep(run)
        compare.check()

    def _look(self, _name: str, value: Any) -> None:
        signal = self.model.signal
        last_s = max(0.0, signal.duration_s - signal.span_s)
        signal.begin_s = min(max(0.0, float(value) - 1.0), last_s)

    def _open_example(self, _name: str, _value: Any) -> None:
        self.model.recording.kind = "example"
        self.model.recording.start()

    def _begin_upload(self, _name: str, value: Any) -> None:
        self.model.files.begin_upload([(str(name), int(size)) for name, size in value])

    def _take_chunk(self, name: str, value: Any) -> None:
        files = self.model.files
        if files.receive(name, value):
            self.model.open(files.find_uploaded())

    def _measure(self, _name: str, _value: Any) -> None:
        """Measure the settings of the quick look in fresh processes."""
        tune, cores = self.model.tune, self.model.run.cores
        tune.modes = tuple(list_job_modes())
        tune.n_jobs = tuple(sorted({1, min(2, cores), cores}))
        tune.start()

    def _use(self, _name: str, value: Any) -> None:
        mode, n_jobs, n_workers = str(value).split("/")
        run = self.model.run
        with run.hold_trait_notifications():
            run.mode, run.n_jobs, run.n_workers = mode, int(n_jobs), int(n_workers)

    def _write_study(self, _name: str, _value: Any) -> None:
        model = self.model
        with model.saving.hold_trait_notifications():
            model.saving.study = model.study.script()
            model.saving.study_file = TARGETS[model.study.target].file
        model.screen = "Save"

    def _set_argument(self, name: str, value: Any) -> None:
        """Set an argument of a step; `name` is the position of the step, and the argument."""
        index, _, argument = name.partition(" ")
        self.model.chain.set_text(argument, str(value), int(index))

    def _choose_kind(self, name: str, value: Any) -> None:
        saving = self.model.saving
        chosen = {*saving.kinds, name} if value else set(saving.kinds) - {name}
        saving.kinds = tuple(kind for kind in KINDS if kind in chosen)

    _ACTS: dict[str, Callable[[Studio, str, Any], Any]] = {
        "show": _go,
        "ask": _ask,
        "pair": _choose_pair,
        "machine": lambda self, name, value: self.model.machines.show(name, bool(value)),
        "machines_folder": lambda self, _name, value: self.model.machines.watch(str(value).strip()),
        "machine_replay": lambda self, _name, value: self.model.tune.replay(
            self.model.machines.find(str(value))
        ),
        "chart": lambda self, _name, value: self.model.set_trait("chart", value),
        "words": lambda self, _name, value: self.model.set_trait("words", value),
        "set": _set_setting,
        "step": _step_setting,
        "run": lambda self, _name, _value: self.model.run.start(),
        "cancel": lambda self, _name, _value: self.stop(),
        "remedy": _remedy,
        "quick": lambda self, _name, _value: self.model.quick.start(),
        "measure": _measure,
        "use": _use,
        "study": lambda self, name, value: self.model.study.set_trait(name, float(value)),
        "study_target": lambda self, _name, value: self.model.study.set_trait("target", value),
        "study_script": _write_study,
        "study_save": lambda self, _name, _value: self.model.saving.save_study(),
        "chain_use": lambda self, _name, value: self.model.chain.use_chain(str(value)),
        "chain_pick": lambda self, _name, value: self.model.chain.set_trait("selected", int(value)),
        "chain_set": _set_argument,
        "kind": _choose_kind,
        "save_as": lambda self, name, value: self.model.saving.set_trait(name, str(value)),
        "save": lambda self, _name, value: self.model.saving.save(replace=value == "replace"),
        "open": lambda self, _name, value: self.model.open(str(value)),
        "example": _open_example,
        "folder": lambda self, _name, value: self.model.files.go(str(value)),
        "upload_begin": _begin_upload,
        "upload_chunk": _take_chunk,
        "upload_stop": lambda self, _name, _value: self.model.files.cancel_upload(),
        "undo": lambda self, _name, _value: self.model.undo(),
        "check": _check,
        "look": _look,
    }

    # ------------------------------------------------------------------------------------ inner
    def _refresh(self, _change: Any = None) -> None:
        """Write the visible parts again."""
        seen = [self.head, self.rail, self.transport]
        screen = self.model.screen
        more = {
            "Recording": self.findings,
            "Chain": self.cards,
            "Run": self.picture,
            "Tune": self.cost,
            "Save": self.files,
            "Compare": self.pair,
        }
        if screen in more:
            seen.append(more[screen])
        if screen == "Recording":
            seen.append(self.browser)
        for part in seen:
            part.refresh()

    def _show_screen(self, _change: Any = None) -> None:
        screen = self.model.screen
        for name in SCREENS:
            self.pages[name].layout.display = "" if name == screen else "none"
        self.signal.canvas.height_px = _HEIGHTS.get(screen, _LOW)
        self._show_curves()
        self._refresh()

    def _show_curves(self) -> None:
        if self._made is not None:
            is_open = self.folds["Tune"].selected_index is not None
            self._made.tune.curves.drawing.set_visible(self.model.screen == "Tune" and is_open)

    def _take_preview(self, _change: Any) -> None:
        self.signal.refresh()
        self._refresh()

    def _take_verdict(self, change: Any) -> None:
        self._refresh()
        if change["new"]:
            self.refresh_report()

    def _keep_table(self, change: Any) -> None:
        if change["new"] != "replaying":
            self.refresh_report()

    def _describe(self) -> str:
        model = self.model
        steps = len(model.run.pipeline)
        chain = f"{model.chain.name}, {steps} step{'' if steps == 1 else 's'}"
        words = [model.recording.describe(), chain]
        if model.run.status != "idle":
            words.append(describe_status(model.run))
        return " · ".join(write_text(word) for word in words)

    def __repr__(self) -> str:
        return f"<Studio: {self.summary()}>"


def _own(*content: w.Widget) -> w.VBox:
    """Return a card around widgets that bring their own style."""
    box = w.VBox(list(content)).add_class("fnb-own")
    return box
