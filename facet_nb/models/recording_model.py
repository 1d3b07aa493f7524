"""Model of the choice of a recording: a file, an example, a simulation or a given object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any as AnyValue

from traitlets import Any, Bool, CInt, Enum, Float, HasTraits, Instance, Unicode

from facet_nb.core import ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.models.background_tasks import BackgroundTasks, Notifier, Outcome
from facet_nb.models.recording_summary import RecordingSummary
from facet_nb.models.sources import as_context, describe_source

KINDS = ("given", "example", "simulation", "file")


class RecordingModel(Notifier, HasTraits):
    """The choice of a recording, and its content.

    Parameters
    ----------
    source : object
        As for :func:`facet_nb.models.as_context`; None for the example.

    Attributes
    ----------
    kind : {"given", "example", "simulation", "file"}
        Kind of source to load.
    path : str
        Path of the file.
    n_channels, n_slices, seed : int
        Parameters of a simulation; see :func:`facet_nb.datasets.simulate`.
    sfreq, duration_s, tr_s : float
        Parameters of a simulation, in Hz and s.
    pulse : bool
        Whether the simulation has a heartbeat artifact.
    status : {"empty", "loading", "ready", "failed"}
        Progress of loading.
    source, context : object
        The loaded source and its context.
    summary : RecordingSummary | None
        Content of the recording.
    loaded : tuple of str
        Kind and path of the loaded recording: a choice that cannot be read leaves it.
    error : str
        Why loading failed.

    Examples
    --------
    >>> from facet_nb.models import RecordingModel
    >>> recording = RecordingModel()
    >>> recording.load().summary.n_channels
    6
    """

    kind = Enum(KINDS, "example")
    path = Unicode("")
    n_channels = CInt(8)
    sfreq = Float(2000.0)
    duration_s = Float(36.0)
    tr_s = Float(2.0)
    n_slices = CInt(25)
    seed = CInt(0)
    pulse = Bool(False)

    status = Enum(("empty", "loading", "ready", "failed"), "empty")
    source = Any()
    context = Instance(ProcessingContext, allow_none=True)
    summary = Instance(RecordingSummary, allow_none=True)
    error = Unicode("")

    SIMULATION = ("n_channels", "sfreq", "duration_s", "tr_s", "n_slices", "seed", "pulse")

    def __init__(self, source: AnyValue = None) -> None:
        super().__init__(kind="example" if source is None else "given")
        self.given = source
        self.loaded = (self.kind, "")
        self._background = BackgroundTasks(self._notify)
        self._number = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of source that can be chosen."""
        return KINDS if self.given is not None else KINDS[1:]

    def describe(self) -> str:
        """Return a short description of the loaded recording."""
        return "nothing loaded" if self.context is None else describe_source(self.context)

    # ---------------------------------------------------------------------------------- loading
    def load(self) -> RecordingModel:
        """Load the chosen recording and wait for it.

        Raises
        ------
        FacetError
            If it cannot be loaded.
        """
        self.start()
        self.wait()
        if self.status == "failed":
            raise FacetError(self.error)
        return self

    def start(self) -> None:
        """Start loading the chosen recording on a new thread; return immediately."""
        self._number += 1
        self.status, self.error = "loading", ""
        make, self._wanted = self._choose(), (self.kind, self.path)
        self._background.start(self._number, lambda: _open(make))

    def wait(self) -> None:
        """Wait for the end of loading."""
        self._background.join()
        self.drain()

    def drain(self) -> bool:
        """Set the traits of a loaded recording; return whether loading is in progress."""
        for outcome in self._background.take():
            if outcome.key == self._number:  # older choices are ignored
                self._finish(outcome)
        return self.status == "loading"

    def _finish(self, outcome: Outcome) -> None:
        with self.hold_trait_notifications():
            if outcome.error is not None:
                self.status, self.error = "failed", _explain(outcome.error)
                return
            self.loaded = self._wanted
            self.source, self.context, self.summary = outcome.value
            self.status = "ready"

    def _choose(self) -> Callable[[], AnyValue]:
        """Return a function that makes the source from the current values of the traits."""
        from facet_nb import datasets

        if self.kind == "given":
            given = self.given
            return lambda: given
        if self.kind == "example":
            return datasets.example
        if self.kind == "file":
            path = self.path.strip()
            return lambda: _check_path(path)
        values = {name: getattr(self, name) for name in self.SIMULATION}
        return lambda: datasets.simulate(**values)


def _open(make: Callable[[], AnyValue]) -> tuple[AnyValue, ProcessingContext, RecordingSummary]:
    source = make()
    context = as_context(source)
    return source, context, RecordingSummary.of(context)


def _check_path(path: str) -> str:
    if not path:
        raise ValidationError("no file is given: enter its path (EDF, BDF, GDF, .vhdr, .set, FIF).")
    return path


def _explain(error: Exception) -> str:
    return str(error) if isinstance(error, FacetError) else f"{type(error).__name__}: {error}"
