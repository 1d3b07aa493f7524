"""Model of the studio: connects recording, chain, run, benchmark and comparison."""

from __future__ import annotations

from typing import Any

from facet_nb.core import Pipeline
from facet_nb.models.chain_model import ChainModel, make_default_chain
from facet_nb.models.compare_model import CompareModel
from facet_nb.models.recording_model import RecordingModel
from facet_nb.models.run_model import RunModel
from facet_nb.models.signal_model import SignalModel
from facet_nb.models.tune_model import TuneModel


class StudioModel:
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

    Examples
    --------
    >>> from facet_nb.models import StudioModel
    >>> studio = StudioModel()
    >>> studio.run.run().success
    True
    """

    def __init__(
        self,
        source: Any = None,
        pipeline: Pipeline | None = None,
        *,
        cores: int | None = None,
        **settings: Any,
    ) -> None:
        first = make_default_chain() if pipeline is None else pipeline
        self.recording = RecordingModel(source)
        self.signal = SignalModel()
        self.chain = ChainModel(first)
        self.run = RunModel(self.chain.pipeline, source, cores=cores, **settings)
        self.tune = TuneModel(self.run)
        self.compare = CompareModel()
        self.tune.observe(self._judge, "status")
        self.recording.observe(self._take_recording, "summary")
        self.recording.observe(self._judge, "status")
        self.chain.observe(self._take_chain, ["pipeline", "problem"])
        self.run.observe(self._take_result, "result")
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
        busy = self.run.running or self.tune.busy
        for model in (self.run, self.tune, self.compare):
            model.cancel()
        return busy

    # ----------------------------------------------------------------------------------- wiring
    def _take_recording(self, _change: Any) -> None:
        recording = self.recording
        if recording.context is None:
            return
        self.signal.set_recording(recording.context)
        self.run.take_source(recording.source, recording.context)
        self.chain.set_context(recording.context)
        self._judge()

    def _take_chain(self, _change: Any) -> None:
        self.run.pipeline = self.chain.pipeline
        self._judge()

    def _take_result(self, _change: Any) -> None:
        result = self.run.result
        self.signal.set_corrected(None if result is None else result.context)

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
