"""Model of the studio: connects recording, chain, run, benchmark and comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from traitlets import Enum, HasTraits, Unicode

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor
from facet_nb.models.background_tasks import BackgroundTasks, Notifier, Outcome
from facet_nb.models.chain_model import ChainModel, make_default_chain
from facet_nb.models.compare_model import CompareModel
from facet_nb.models.files_model import FilesModel
from facet_nb.models.machines_model import MachinesModel
from facet_nb.models.pair_model import PairModel
from facet_nb.models.quick_look import QuickLook
from facet_nb.models.recording_model import RecordingModel
from facet_nb.models.run_model import RunModel
from facet_nb.models.saved_result import SavedResult
from facet_nb.models.saving_model import SavingModel
from facet_nb.models.signal_model import SignalModel
from facet_nb.models.study_model import StudyModel
from facet_nb.models.truth import find_truth
from facet_nb.models.tune_model import TuneModel

#: The states of a session, in order, and the view that compares kept results.
STATES = ("Recording", "Chain", "Run", "Tune", "Save")
SCREENS = (*STATES, "Compare")
#: The charts of costs, of which one is large.
CHARTS = ("speedup", "memory", "both", "grid", "time")
#: Longest wait for the end of a quick look, in s: its current batch has to finish.
_WAY_S = 5.0
#: Memory for the samples of a preview.
_PREVIEW_CACHE = "96 MB"


class StudioModel(Notifier, HasTraits):
    """State of a studio, in which choices in one part apply to the others.

    Parameters
    ----------
    source : object
        As for :func:`facet_nb.models.as_context`; None for the example.
    pipeline : Pipeline | None
        The initial chain; None for the default one.
    cores : int | None
        Number of cores to use; None for all that this process may use.
    **settings
        As for :class:`RunModel`.

    Attributes
    ----------
    recording : RecordingModel
        Choice of the recording.
    files : FilesModel
        Recordings on this machine, and uploads.
    signal : SignalModel
        View of the recording.
    chain : ChainModel
        Steps of the chain.
    run : RunModel
        Settings and runs.
    tune : TuneModel
        Benchmarks of settings.
    compare : CompareModel
        Kept results.
    machines : MachinesModel
        Measurements of other machines.
    pair : PairModel
        Two results that are subtracted.
    quick : QuickLook
        First look at the cost of settings.
    saving : SavingModel
        What is saved of a result.
    study : StudyModel
        What a whole study would take.
    screen : {"Recording", "Chain", "Run", "Tune", "Save", "Compare"}
        What the stage shows.
    words : {"explain", "expert"}
        How settings are described.
    preview : {"none", "computing", "ready", "failed"}
        Whether the signal shows the chain of the screen without a run.
    preview_note : str
        Why there is no preview; empty if there is one.
    remedied : str
        The remedy that was applied last and can be taken back; empty if there is none.
    chart : {"speedup", "memory", "both", "grid", "time"}
        The chart that is large: speed-up, memory, time against memory, outer against inner
        workers, or where the time goes.
    verdict : str
        What the quality of the result says, in a sentence; empty until it is known.

    Examples
    --------
    >>> from facet_nb.models import StudioModel
    >>> studio = StudioModel()
    >>> studio.run.run().success
    True
    """

    screen = Enum(SCREENS, "Run")
    words = Enum(("explain", "expert"), "explain")
    preview = Enum(("none", "computing", "ready", "failed"), "none")
    preview_note = Unicode("")
    remedied = Unicode("")
    verdict = Unicode("")
    chart = Enum(CHARTS, CHARTS[0])

    def __init__(
        self,
        source: Any = None,
        pipeline: Pipeline | None = None,
        *,
        cores: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        first = make_default_chain() if pipeline is None else pipeline
        self._background = BackgroundTasks(self._notify)
        self._number = 0
        self._before: tuple[Any, ...] = ()
        self._lazy: ProcessingContext | None = None
        self._asked: dict[str, tuple[int, int]] = {}
        self._looked_at: Any = None
        self.expected: tuple[Any, tuple[Any, ...]] | None = None
        self._made: tuple[Any, ProcessingContext] | None = None  # the last preview, and of what
        self.recording = RecordingModel(source)
        self.files = FilesModel()
        self.signal = SignalModel()
        self.chain = ChainModel(first)
        self.run = RunModel(self.chain.pipeline, source, cores=cores, **settings)
        for name in ("n_jobs", "n_workers"):
            if settings.get(name, 1) < 0:
                self.ask(name, settings[name])
        self.tune = TuneModel(self.run)
        self.compare = CompareModel()
        self.pair = PairModel(self.recording, self.signal, self.compare, self.find_measured_mb)
        self.machines = MachinesModel()
        self.run.make_way = self.tune.make_way = self._stop_looking
        self.quick = QuickLook(self.run)
        self.saving = SavingModel(self.run)
        self.study = StudyModel(self.run, self.tune, self.quick)
        self.tune.observe(self._judge, "status")
        self.quick.observe(self._judge, "status")
        self.recording.observe(self._take_recording, "summary")
        self.recording.observe(self._judge, "status")
        self.chain.observe(self._take_chain, ["pipeline", "problem"])
        self.run.observe(self._take_result, "result")
        self.observe(self._follow_screen, "screen")
        self.signal.observe(self.pair.refresh, ["begin_s", "span_s", "channels"])
        self.compare.observe(self.pair.refresh, "entries")
        self._judge()
        self.recording.start()
        self.recording.wait()

    @property
    def result(self) -> Any:
        """Result of the last run."""
        return self.run.result

    def code(self) -> str:
        """Return Python code that does the same."""
        return self.run.code()

    def close(self) -> bool:
        """Cancel all work; return whether there was any."""
        busy = self.run.running or self.tune.busy or self.quick.running
        for model in (self.run, self.tune, self.compare, self.quick):
            model.cancel()
        self.machines.close()
        self._number += 1  # a preview that is still being made will be ignored
        return busy

    # ----------------------------------------------------------------------------------- workers
    def ask(self, name: str, value: int) -> None:
        """Ask for a number of workers; -1 is for all cores, and larger numbers are limited to them.

        Parameters
        ----------
        name : {"n_jobs", "n_workers"}
            Outer workers or inner threads.
        value : int
            The number that is asked for.

        Raises
        ------
        ValidationError
            If it is 0, or less than minus the number of cores.
        """
        cores = self.run.cores
        limited = min(value if value > 0 else cores + 1 + value, cores)
        if value == 0 or limited < 1:
            raise ValidationError(
                f"{name}={value} is no number of workers: use 1 to {cores}, or -1."
            )
        self._asked[name] = value, limited
        setattr(self.run, name, limited)

    def asked(self, name: str) -> int:
        """Return the number of workers that was asked for."""
        value, limited = self._asked.get(name, (0, 0))
        now: int = getattr(self.run, name)
        return value if limited == now else now

    def _stop_looking(self) -> None:
        """End a quick look, which starts by itself and must not disturb a run or a benchmark."""
        self.quick.cancel()
        self.quick.wait(_WAY_S)

    def look(self) -> None:
        """Start a quick look, unless this chain had one on this recording or other work goes on."""
        key = self.run.pipeline, self.run.source
        busy = self.run.running or self.quick.running or self.tune.busy or bool(self.run.blocked)
        if not busy and self._looked_at != key:
            self._looked_at = key
            self.quick.start()

    # --------------------------------------------------------------------------------- recording
    def open(self, path: str) -> None:
        """Load a file in the background, and forget the last remedy."""
        self.remedied = ""
        self.recording.path, self.recording.kind = path, "file"
        self.recording.start()

    # ---------------------------------------------------------------------------------- preview
    @property
    def preview_context(self) -> ProcessingContext | None:
        """Triggers, findings and history of the preview; None without one."""
        return self._lazy

    def drain(self) -> bool:
        """Show a preview that is ready; return whether one is being made."""
        for outcome in self._background.take():
            if outcome.key == self._number:
                self._show_preview(outcome)
            elif outcome.key is self.run.result and outcome.error is None:
                self.verdict = outcome.value.sentence
        return self.preview == "computing"

    def wait_for_preview(self) -> bool:
        """Wait until the preview has been made; return whether there is one."""
        self._background.join()
        self.drain()
        return self.preview == "ready"

    def make_preview(self) -> None:
        """Correct the window in view with the chain on screen, without a run."""
        self._number += 1
        self._lazy = None
        context, pipeline = self.recording.context, self.chain.pipeline
        if self._made and self._made[0] is not context:
            self._made = None
        whole = [p.name for p in pipeline if not _is_lazy(p)]
        if context is None or self.chain.problem or not len(pipeline):
            self.preview, self.preview_note = "none", self.chain.problem
        elif whole:
            self.preview = "none"
            self.preview_note = f"{whole[0]} needs a run: it takes the recording as a whole."
        else:
            self.preview, self.preview_note = "computing", ""
            known = None if self._made is None else self._made[1]
            self._background.start(self._number, lambda: _preview(pipeline, context, known))

    def _show_preview(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.preview_note, self.preview = str(outcome.error), "failed"
            return
        self._lazy = outcome.value
        self._made = self.recording.context, outcome.value
        self.signal.set_preview(outcome.value)
        self.preview_note, self.preview = "", "ready"

    # --------------------------------------------------------------------------------- remedies
    def apply(self, label: str, change: Callable[[], None]) -> None:
        """Apply the `change` of a remedy; :meth:`undo` takes it back."""
        recording = self.recording
        self._before = (self.chain.pipeline, recording.kind, recording.given)
        change()
        self.remedied = label

    def undo(self) -> None:
        """Take the last remedy back; do nothing if there was none."""
        if not self.remedied:
            return
        pipeline, kind, given = self._before
        self.remedied = ""
        if self.recording.given is not given:
            self.recording.given, self.recording.kind = given, kind
            self.recording.start()
        self.chain.set_pipeline(pipeline)

    def leave_out(self, channels: Sequence[str]) -> None:
        """Mark channels as bad, in a copy of the recording: steps leave them as they are."""
        assert self.recording.context is not None  # a finding or a failure named the channels
        raw = self.recording.context.get_raw().copy()
        raw.info["bads"] = list(dict.fromkeys([*raw.info["bads"], *channels]))
        self.recording.given, self.recording.kind = raw, "given"
        self.recording.start()

    def find_measured_mb(self, entry: SavedResult) -> float:
        """Return the memory that a run adds to a fresh process, in MB; NaN if not measured."""
        table, plan = self.tune.table, entry.result.plan
        if table is None or plan is None or entry.pipeline is not self.tune.measured_chain:
            return float("nan")
        wanted = plan.mode, plan.n_jobs, plan.n_workers
        for row in table.rows:
            c, memory = row.configuration, row.point.memory
            if (c.mode, c.n_jobs, c.n_workers) == wanted and memory is not None and not row.machine:
                return memory.peak_mb - memory.base_mb
        return float("nan")

    # ----------------------------------------------------------------------------------- wiring
    def _follow_screen(self, change: Any) -> None:
        if change["new"] == "Compare":
            self.pair.open()
        elif change["old"] == "Compare":
            self.pair.close()

    def _take_recording(self, _change: Any) -> None:
        recording = self.recording
        if recording.context is None:
            return
        if recording.kind == "file":
            self.files.remember(recording.path)
        self.signal.set_recording(recording.context, find_truth(recording.source))
        self._lazy = None
        self.run.take_source(recording.source, recording.context)
        self.compare.forget_automatic()
        self.chain.set_context(recording.context)
        self._judge()
        self.make_preview()

    def _take_chain(self, change: Any) -> None:
        self.run.pipeline = self.chain.pipeline
        self._judge()
        if change["name"] == "pipeline":
            self.make_preview()

    def _take_result(self, _change: Any) -> None:
        result = self.run.result
        if result is not None and result.context is not None:
            self._number += 1
            self.preview = "none"
            self.signal.set_corrected(result.context)
            self.compare.keep_for_now(self.run)
            self.verdict = ""
            self._background.start(result, lambda: result.quality)
        elif self._lazy is not None:  # frees the samples of an earlier result
            self.signal.set_preview(self._lazy)
            self.preview = "ready"
        else:
            self.signal.set_corrected(None)

    def _judge(self, _change: Any = None) -> None:
        """Set the reason why no run can be started, if there is one."""
        recording = self.recording
        if recording.context is None:
            self.run.blocked = "the recording has not been loaded"
        elif self.tune.busy:
            self.run.blocked = "a benchmark is in progress: a run would disturb the measurement"
        elif not any(step.enabled for step in self.chain.steps):
            self.run.blocked = "no step of the chain is enabled"
        else:
            self.run.blocked = self.chain.problem


def _preview(pipeline: Pipeline, context: Any, known: ProcessingContext | None) -> Any:
    """Return a lazy correction; it reuses a `known` one of the same recording where it can."""
    if known is None:
        return pipeline.lazy(context, cache=_PREVIEW_CACHE).context
    lazy: Any = known.get_raw()
    return lazy.with_steps(pipeline).context


def _is_lazy(processor: Any) -> bool:
    """Whether a step can be computed for single windows, or changes no samples."""
    return isinstance(processor, ArrayProcessor) or processor.accepts_lazy or processor.output_only
