"""Results side by side: both ready-made chains and the kept runs, two of which are subtracted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from traitlets import HasTraits, Tuple, Unicode

from facet_nb.core import ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.models.background_tasks import BackgroundTasks, Notifier
from facet_nb.models.chain_model import list_chains
from facet_nb.models.compare_model import CompareModel
from facet_nb.models.recording_model import RecordingModel
from facet_nb.models.saved_result import SavedResult
from facet_nb.models.signal_model import SignalModel
from facet_nb.models.signal_spectrum import compute_spectrum
from facet_nb.models.signal_tiles import GROUP, TiledSignal

_NAN = float("nan")
#: Shortest window that is scored, in s, and samples that are compared at once.
_SHORTEST_S, _CHUNK = 4.0, 1 << 20
#: Memory for the samples of a chain that is computed for the window in view only.
_CACHE = "64 MB"


@dataclass(frozen=True, eq=False)
class ComparedResult:
    """A result, or a chain that is computed for the window in view only.

    Attributes
    ----------
    name : str
        Its name.
    context : ProcessingContext | None
        The corrected recording; None if it cannot be computed.
    whole : bool
        Whether the whole recording has been computed.
    time_s, memory_mb : float
        Time of the run, and the memory that it takes in a fresh process beyond what the process
        had; NaN if not measured.
    rms_uv, harmonics_db, snr_db : float
        In the window: RMS, level at the harmonics of the slices above what is between them, and
        agreement with the truth; NaN if not known.
    note : str
        Why it cannot be computed.
    """

    name: str
    context: ProcessingContext | None
    whole: bool = False
    time_s: float = _NAN
    memory_mb: float = _NAN
    rms_uv: float = _NAN
    harmonics_db: float = _NAN
    snr_db: float = _NAN
    note: str = ""


@dataclass(frozen=True)
class SampleDifference:
    """How two results differ.

    Attributes
    ----------
    n_differ, n_samples : int
        Samples that differ, of all that were compared.
    largest_uv : float
        The largest difference, in µV.
    channel : str
        Where it is; empty without one.
    at_s : float
        When it is, in s.
    """

    n_differ: int
    n_samples: int
    largest_uv: float = 0.0
    channel: str = ""
    at_s: float = 0.0

    def describe(self, one: str, two: str, whole: bool) -> tuple[str, str]:
        """Return a headline and a line with details."""
        where = "" if whole else " in this window"
        big = f"{self.n_differ:,} of {self.n_samples:,} samples differ{where}".replace(",", " ")
        if not self.n_differ:
            return big, f"{one} − {two}: the same, bit for bit"
        most = f"by {self.largest_uv:.3g} µV at most, in {self.channel} at {self.at_s:.2f} s"
        return big, f"{one} − {two}: {most}"


class PairModel(Notifier, HasTraits):
    """Compares both ready-made chains with each other, and the runs that are kept.

    The chains are computed in the window that is shown, so that they can be compared before
    anything has run.

    Parameters
    ----------
    recording : RecordingModel
        The recording.
    signal : SignalModel
        The view whose window is compared, and that shows the difference.
    compare : CompareModel
        The kept runs.
    find_memory_mb : callable
        Returns the measured memory of a kept run, in MB; NaN if it was not measured.

    Attributes
    ----------
    candidates : tuple of ComparedResult
        What can be compared.
    one, two : str
        Names of the candidates of which the second is subtracted from the first.
    text : tuple of str
        How they differ: a headline and a line with details; empty while that is not known.
    error : str
        Why it is not known.
    """

    candidates = Tuple()
    one = Unicode("")
    two = Unicode("")
    text = Tuple()
    error = Unicode("")

    def __init__(
        self,
        recording: RecordingModel,
        signal: SignalModel,
        compare: CompareModel,
        find_memory_mb: Callable[[SavedResult], float],
    ) -> None:
        super().__init__()
        self._recording, self._signal, self._compare = recording, signal, compare
        self._find_memory_mb = find_memory_mb
        self._background = BackgroundTasks(self._notify)
        self._chains: dict[str, ComparedResult] = {}
        self._made_for: Any = None
        self._number = 0
        self.active = False

    def open(self) -> None:
        """Begin to compute scores and the difference for the window in view."""
        self.active = True
        self.refresh()

    def close(self) -> None:
        """Leave the difference: the signal shows before and after again."""
        self.active = False
        self._number += 1
        self._signal.set_difference()

    def choose(self, one: str = "", two: str = "") -> None:
        """Choose what is subtracted; an empty name keeps the one before."""
        with self.hold_trait_notifications():
            self.one, self.two = one or self.one, two or self.two
        self.refresh()

    def refresh(self, _change: Any = None) -> None:
        """Compute scores and difference again, in the background."""
        context, signal = self._recording.context, self._signal
        if not self.active or context is None:
            return
        self._number += 1
        self._list()
        places = [signal.names.index(name) for name in signal.channels][:GROUP]
        window = signal.begin_s, max(signal.span_s, _SHORTEST_S)
        known = self.candidates
        tiles = [None if c.context is None else signal.tile(c.context.get_raw()) for c in known]
        truth, markers_s = signal.tiled_truth(), signal.markers_s()
        pair = [next((i for i, c in enumerate(known) if c.name == n), -1) for n in self.names]
        self._background.start(
            self._number,
            lambda: _measure(known, tiles, truth, markers_s, places, window, pair, signal.names),
        )
        self.text = ()

    @property
    def names(self) -> tuple[str, str]:
        """Names of what is subtracted."""
        return self.one, self.two

    def wait(self) -> None:
        """Wait until everything is known."""
        self._background.join()
        self.drain()

    def drain(self) -> bool:
        """Show what has been computed; return whether more will come."""
        for outcome in self._background.take():
            if outcome.key != self._number:
                continue
            if outcome.error is not None:
                self.error = str(outcome.error)
                continue
            scored, difference = outcome.value
            self.error, self.candidates = "", scored
            if difference is not None:
                self._show(difference)
        return self.active and not self.text and not self.error

    # ------------------------------------------------------------------------------------ inner
    def _show(self, difference: SampleDifference) -> None:
        by_name = {c.name: c for c in self.candidates}
        pair = [by_name[name] for name in self.names]
        whole = all(c.whole for c in pair)
        self.text = difference.describe(self.one, self.two, whole)
        contexts = [c.context for c in pair if c.context is not None]
        self._signal.set_difference(*contexts, text=self.text)

    def _list(self) -> None:
        """List the chains and the kept runs, and choose two if none are chosen."""
        context = self._recording.context
        assert context is not None  # checked by refresh()
        if self._made_for is not context:
            self._made_for = context
            self._chains = {}
            for name, make in list_chains().items():
                self._chains[name] = _preview(f"{name} chain", make(), context)
        runs = [
            ComparedResult(
                e.label,
                e.context,
                whole=True,
                time_s=e.result.execution_time,
                memory_mb=self._find_memory_mb(e),
            )
            for e in self._compare.entries
            if e.before is context
        ]
        before = len(self.candidates)
        self.candidates = (*self._chains.values(), *runs)
        names = [c.name for c in self.candidates]
        grown = len(runs) > 1 and len(names) > before
        if grown:
            self.one, self.two = names[-1], runs[0].name
        for trait, place in (("one", 0), ("two", 1)):
            if getattr(self, trait) not in names:
                setattr(self, trait, names[place])


def _preview(name: str, pipeline: Any, context: ProcessingContext) -> ComparedResult:
    try:
        return ComparedResult(name, pipeline.lazy(context, cache=_CACHE).context)
    except FacetError as error:
        return ComparedResult(name, None, note=str(error))


def _measure(
    candidates: Sequence[ComparedResult],
    tiles: Sequence[TiledSignal | None],
    truth: TiledSignal | None,
    markers_s: np.ndarray,
    places: Sequence[int],
    window: tuple[float, float],
    pair: Sequence[int],
    names: Sequence[str],
) -> tuple[tuple[ComparedResult, ...], SampleDifference | None]:
    """Return the candidates with their scores, and the difference of two of them."""
    scored = tuple(
        c if tile is None else _score(c, tile, truth, markers_s, places, window)
        for c, tile in zip(candidates, tiles, strict=True)
    )
    one, two = (tiles[i] if i >= 0 else None for i in pair)
    if one is None or two is None:
        return scored, None
    whole = all(candidates[i].whole for i in pair)
    span = (0.0, float("inf")) if whole else window
    return scored, compare_tiles(one, two, range(len(names)) if whole else places, span, names)


def _score(
    candidate: ComparedResult,
    tile: TiledSignal,
    truth: TiledSignal | None,
    markers_s: np.ndarray,
    places: Sequence[int],
    window: tuple[float, float],
) -> ComparedResult:
    begin_s, span_s = window
    x = 1e6 * _read(tile, places, begin_s, span_s)
    x = x - x.mean(axis=1, keepdims=True)
    spectrum = compute_spectrum({"": tile}, markers_s, places, begin_s, span_s)
    harmonics_db = _NAN
    if spectrum.slice_hz:
        level, at = spectrum.density_db[""], spectrum.freqs_hz / spectrum.slice_hz
        step = (at[1] - at[0]) / 2
        on, off = ((np.abs(at - np.rint(at + s) + s) <= step) & (at > 0.7) for s in (0.0, 0.5))
        if on.any() and off.any():
            harmonics_db = float(np.median(level[on]) - np.median(level[off]))
    snr_db = _NAN
    if truth is not None:
        clean = 1e6 * _read(truth, places, begin_s, span_s)
        clean = clean - clean.mean(axis=1, keepdims=True)
        if clean.shape == x.shape:
            with np.errstate(divide="ignore"):
                ratio = clean.var(axis=1) / (x - clean).var(axis=1)
                snr_db = float(np.nanmedian(10 * np.log10(ratio)))
    return replace(
        candidate,
        rms_uv=float(np.sqrt(np.nanmean(x**2))),
        harmonics_db=harmonics_db,
        snr_db=snr_db,
    )


def _read(tile: TiledSignal, places: Sequence[int], begin_s: float, span_s: float) -> np.ndarray:
    start = max(0, round((begin_s - tile.offset_s) * tile.sfreq))
    return tile.read(places, start, start + round(span_s * tile.sfreq))


def compare_tiles(
    one: TiledSignal,
    two: TiledSignal,
    places: Sequence[int],
    span: tuple[float, float],
    names: Sequence[str],
) -> SampleDifference | None:
    """Return how two signals differ; None if their samples are at different times.

    Parameters
    ----------
    one, two : TiledSignal
        The signals.
    places : sequence of int
        Positions of the channels.
    span : tuple of float
        Start and length, in s; infinite for the rest of the recording.
    names : sequence of str
        Names of the channels by position.
    """
    if one.minus(two) is None:
        return None
    sfreq, n_times = one.sfreq, min(one.n_times, two.n_times)
    start = max(0, round((span[0] - one.offset_s) * sfreq))
    stop = n_times if np.isinf(span[1]) else min(n_times, start + round(span[1] * sfreq))
    found = SampleDifference(0, 0)
    for place in places:
        for at in range(start, stop, _CHUNK):
            a, b = (s.read([place], at, min(at + _CHUNK, stop))[0] for s in (one, two))
            differs = (a != b) & ~(np.isnan(a) & np.isnan(b))
            size = 1e6 * np.abs(np.where(differs, a - b, 0.0))
            most = int(np.argmax(np.nan_to_num(size)))
            n_differ = found.n_differ + int(np.count_nonzero(differs))
            found = replace(found, n_differ=n_differ, n_samples=found.n_samples + len(a))
            if size[most] > found.largest_uv:
                at_s = one.offset_s + (at + most) / sfreq
                largest_uv = float(size[most])
                found = replace(found, largest_uv=largest_uv, channel=names[place], at_s=at_s)
    return found
