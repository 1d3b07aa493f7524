"""Model of the signal view: channels, time window and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any as AnyValue

import numpy as np
from traitlets import Bool, Enum, Float, HasTraits, Tuple

from facet_nb.core import ProcessingContext
from facet_nb.core.recording import channel_kinds, load_array
from facet_nb.kernels.measures.envelope import bound
from facet_nb.models.signal_tiles import is_lazy

if TYPE_CHECKING:
    import mne

    from facet_nb.models.signal_tiles import TiledSignal

#: What can be shown.
SHOWN = ("recording", "corrected", "both", "removed", "difference")
#: Bins of a trace: at least one for each pixel of the view.
N_BINS = 900
#: Number of channels shown initially.
N_FIRST = 8
_MOST_MARKERS = 400
#: A lazy recording that is longer may take seconds to decide about a channel, in s.
_LONG_S = 300.0
#: Time from the start of the initial window to the first trigger, in s.
_LEAD_S = 1.0


@dataclass(frozen=True, eq=False)
class Layer:
    """One recording in the view.

    Attributes
    ----------
    label : str
        Name of the recording.
    times_s : ndarray, shape (n_bins,)
        Start of each bin, in s.
    low_uv, high_uv : ndarray, shape (n_channels, n_bins)
        Lowest and highest sample of each bin relative to the channel's median, in µV; NaN for
        missing channels.
    """

    label: str
    times_s: np.ndarray
    low_uv: np.ndarray
    high_uv: np.ndarray


@dataclass(frozen=True, eq=False)
class SignalWindow:
    """Content of the view.

    Attributes
    ----------
    channels : tuple of str
        Names, from top to bottom.
    begin_s, end_s : float
        Start and end of the window, in s.
    scale_uv : float
        Distance between neighbouring channels, in µV.
    layers : tuple of Layer
        The recordings.
    markers_s : ndarray, shape (n_markers,)
        Times of triggers, in s.
    """

    channels: tuple[str, ...]
    begin_s: float
    end_s: float
    scale_uv: float
    layers: tuple[Layer, ...]
    markers_s: np.ndarray

    def rows(self) -> list[tuple[str, ...]]:
        """Return channel and peak-to-peak amplitude in µV in each layer, as text."""
        return [
            (name, *(f"{_swing(layer, i):.1f}" for layer in self.layers))
            for i, name in enumerate(self.channels)
        ]

    @property
    def caption(self) -> str:
        """Description of the view, in one sentence."""
        names = " and ".join(layer.label for layer in self.layers) or "nothing"
        n = len(self.channels)
        return (
            f"{names}: {n} channel{'' if n == 1 else 's'} from {self.begin_s:.2f} to "
            f"{self.end_s:.2f} s, {self.scale_uv:g} µV from one to the next"
            + (f", {len(self.markers_s)} triggers" if len(self.markers_s) else "")
            + "."
        )


class SignalModel(HasTraits):
    """A time window over a recording and its corrected version.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels to show.
    begin_s, span_s : float
        Start and length of the window, in s.
    scale_uv : float
        Distance between neighbouring channels, in µV; 0 to choose it from the data.
    shown : {"recording", "corrected", "both", "removed", "difference"}
        Which recordings to show: before, after or both sides of the handle; what was removed; or
        the difference of two results.
    with_truth : bool
        Whether the known truth of a simulation is drawn under the corrected recording.
    difference : tuple of str
        What the difference of two results says, in large and in small letters; empty without one.
    names : tuple of str
        Names of all channels.

    Examples
    --------
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import SignalModel
    >>> view = SignalModel()
    >>> view.set_recording(example().context())
    >>> view.window().layers[0].low_uv.shape[0]
    6
    """

    channels = Tuple()
    begin_s = Float(0.0)
    span_s = Float(5.0)
    scale_uv = Float(0.0)
    shown = Enum(SHOWN, "both")
    with_truth = Bool(False)
    difference = Tuple()
    names = Tuple()

    def __init__(self) -> None:
        super().__init__()
        self._contexts: dict[str, ProcessingContext] = {}
        self._preview: ProcessingContext | None = None
        self._truth: AnyValue = None
        self._pair: tuple[ProcessingContext, ...] = ()

    # ---------------------------------------------------------------------------------- content
    def set_recording(self, context: ProcessingContext | None, truth: AnyValue = None) -> None:
        """Set the recording; the window moves to its first trigger.

        Parameters
        ----------
        context : ProcessingContext | None
            The recording.
        truth : mne.io.BaseRaw | None
            The recording without artifacts, if it is known.
        """
        self._contexts = {} if context is None else {"recording": context}
        self._preview, self._truth = None, truth
        self.set_difference()
        with self.hold_trait_notifications():
            names = () if context is None else tuple(_list_names(context.get_raw()))
            kept = tuple(n for n in self.channels if n in names)
            self.names, self.channels = names, kept or names[:N_FIRST]
            last = max(0.0, self.duration_s - self.span_s)
            self.begin_s = min(max(0.0, round(_first_event_s(context) - _LEAD_S, 1)), last)

    def set_corrected(self, context: ProcessingContext | None) -> None:
        """Set the corrected recording, which is drawn over the original."""
        self._contexts.pop("corrected", None)
        self._preview = None
        if context is not None and context.has_raw() and "recording" in self._contexts:
            self._contexts["corrected"] = context

    def set_preview(self, context: ProcessingContext) -> None:
        """Show a recording that is corrected where it is looked at, in place of a result."""
        self._contexts.pop("corrected", None)
        self._preview = context

    def set_difference(self, *pair: ProcessingContext, text: Sequence[str] = ()) -> None:
        """Offer the first of two results minus the second as a view; without any, take it back.

        Parameters
        ----------
        *pair : ProcessingContext
            The two results, or none.
        text : sequence of str
            What it says, in large and in small letters.
        """
        new = bool(pair) and not self._pair
        self._pair = pair
        self.difference = tuple(text)
        if new:
            self.shown = "difference"
        elif not pair and self.shown == "difference":
            self.shown = "both"

    @property
    def has_truth(self) -> bool:
        """Whether the truth is known."""
        return self._truth is not None

    def recordings(self) -> tuple[AnyValue, ...]:
        """Return what identifies the recordings in the view: a viewer shows others anew."""
        return self.names, self._truth, *self._pair, *self._list().items()

    def _list(self) -> dict[str, ProcessingContext]:
        """Return the recordings of a viewer by their label, the preview among them."""
        preview = {} if self._preview is None else {"preview": self._preview}
        return {**self._contexts, **preview}

    def tiled(self) -> dict[str, TiledSignal]:
        """Return the recordings in pieces for a viewer, by their label.

        After the recording and its correction come, as far as they are known, ``"truth"``,
        ``"removed"`` and ``"difference"``.
        """
        if not self._contexts:
            return {}
        raws = {label: c.get_raw() for label, c in self._list().items()}
        if self._truth is not None:
            raws["truth"] = self._truth
        found = {label: self.tile(raw) for label, raw in raws.items()}
        before, after = found["recording"], found.get("preview", found.get("corrected"))
        one, two = [self.tile(c.get_raw()) for c in self._pair] or (None, None)
        more = {
            "removed": None if after is None else before.minus(after),
            "difference": None if one is None or two is None else one.minus(two),
        }
        return found | {label: signal for label, signal in more.items() if signal is not None}

    def tiled_truth(self) -> TiledSignal | None:
        """Return the truth in pieces; None if it is not known."""
        return None if self._truth is None else self.tile(self._truth)

    def tile(self, raw: mne.io.BaseRaw) -> TiledSignal:
        """Return another version of the recording in pieces, on the clock of the viewer."""
        from facet_nb.models.signal_tiles import TiledSignal

        return TiledSignal(raw, self.names, _offset_s(raw, self._contexts["recording"].get_raw()))

    def list_findings(self) -> list[dict[str, AnyValue]]:
        """Return the findings that concern a span of time: begin and end in s, severity, title."""
        context = self._contexts.get("corrected") or self._preview
        context = context or self._contexts.get("recording")
        found = () if context is None else context.get_findings()
        return [
            {"begin_s": begin_s, "end_s": end_s, "severity": f.severity, "title": f.title}
            for f in found
            for begin_s, end_s in f.span_s
        ]

    @property
    def has_corrected(self) -> bool:
        """Whether there is a corrected recording, or a preview of one."""
        return "corrected" in self._contexts or self._preview is not None

    @property
    def duration_s(self) -> float:
        """Length of the recording, in s."""
        context = self._contexts.get("recording")
        return 0.0 if context is None else float(context.get_raw().n_times / context.get_sfreq())

    @property
    def takes_long(self) -> bool:
        """Whether a window may need seconds of decisions: a long lazy recording is among them."""
        return any(map(_takes_long, self._contexts.values()))

    # ----------------------------------------------------------------------------------- moving
    def scroll(self, windows: float) -> None:
        """Move the window by a number of its lengths, backwards if negative."""
        last = max(0.0, self.duration_s - self.span_s)
        self.begin_s = min(max(self.begin_s + windows * self.span_s, 0.0), last)

    def zoom(self, factor: float) -> None:
        """Enlarge the traces by `factor`."""
        self.scale_uv = _round(self.window().scale_uv / factor)

    # ------------------------------------------------------------------------------- the window
    def window(self, n_bins: int = N_BINS, computed: bool = True) -> SignalWindow:
        """Return the content of the view.

        Parameters
        ----------
        n_bins : int
            Largest number of bins of a trace.
        computed : bool
            Whether to compute what a long lazy recording has to compute first.
        """
        end_s = min(self.begin_s + self.span_s, self.duration_s)
        alone = self.shown in ("recording", "corrected")
        wanted = {self.shown} if alone else {"recording", "corrected"}
        layers = tuple(
            self._layer(label, context, end_s, n_bins)
            for label, context in self._contexts.items()
            if (label in wanted or len(self._contexts) == 1)
            and (computed or not _takes_long(context))
        )
        scale_uv = self.scale_uv or _choose_scale(layers)
        markers_s = self._markers_s(end_s)
        return SignalWindow(self.channels, self.begin_s, end_s, scale_uv, layers, markers_s)

    def _layer(self, label: str, context: ProcessingContext, end_s: float, n_bins: int) -> Layer:
        raw, sfreq = context.get_raw(), context.get_sfreq()
        offset_s = _offset_s(raw, self._contexts["recording"].get_raw())
        start = int(np.clip(round((self.begin_s - offset_s) * sfreq), 0, raw.n_times - 1))
        stop = int(np.clip(round((end_s - offset_s) * sfreq), start + 1, raw.n_times))
        size = max(1, -(-(stop - start) // n_bins))
        times_s = offset_s + np.arange(start, stop, size) / sfreq
        low = np.full((len(self.channels), len(times_s)), np.nan)
        high = low.copy()
        known = {name: i for i, name in enumerate(raw.ch_names)}
        for place, name in enumerate(self.channels):
            if name in known:
                x = _read_row(raw, known[name], start, stop)
                centre = np.median(x[0, :: max(1, size // 4)])
                low[place], high[place] = (1e6 * (b[0] - centre) for b in bound(x, n_bins))
        return Layer(label, times_s, low, high)

    def _markers_s(self, end_s: float) -> np.ndarray:
        """Return the markers in the window, in s; none if there are too many to tell apart."""
        found_s = self.markers_s()
        inside = found_s[(found_s >= self.begin_s) & (found_s <= end_s)]
        return inside if len(inside) <= _MOST_MARKERS else np.zeros(0)

    def markers_s(self) -> np.ndarray:
        """Return the triggers, or all events if no triggers were detected, in s."""
        from facet_nb.preprocessing.triggers import read_annotations

        context = self._contexts.get("recording")
        if context is None:
            return np.zeros(0)
        if context.has_triggers():
            return np.asarray(context.get_triggers()) / context.get_sfreq()
        positions = [p for p, _ in read_annotations(context.get_raw())]
        return np.asarray(positions, dtype=float) / context.get_sfreq()


def _takes_long(context: ProcessingContext) -> bool:
    """Whether decisions of a lazy recording may hold up a notebook."""
    raw = context.get_raw()
    return is_lazy(raw) and bool(raw.n_times > _LONG_S * raw.info["sfreq"])


def _read_row(raw: mne.io.BaseRaw, row: int, start: int, stop: int) -> np.ndarray:
    """Return samples of one channel, shape (1, n_times); a view if they are in memory."""
    if raw.preload:
        return load_array(raw)[row : row + 1, start:stop]
    return raw.get_data(picks=[row], start=start, stop=stop)


def _list_names(raw: mne.io.BaseRaw) -> list[str]:
    """Return channel names: data channels first, then bad ones, then others."""
    rank = {"data": 0, "bad": 1}
    kinds = channel_kinds(raw)
    order = sorted(range(len(kinds)), key=lambda i: rank.get(kinds[i], 2))
    return [raw.ch_names[i] for i in order]


def _offset_s(raw: mne.io.BaseRaw, original: mne.io.BaseRaw) -> float:
    """Return the start of `raw`, in s from the start of `original`."""
    here, there = float(raw.info["sfreq"]), float(original.info["sfreq"])
    return raw.first_samp / here - original.first_samp / there


def _first_event_s(context: ProcessingContext | None) -> float:
    """Return the time of the first trigger or event, in s; 0 without any."""
    from facet_nb.preprocessing.triggers import read_annotations

    if context is None:
        return 0.0
    positions: AnyValue = context.get_triggers() if context.has_triggers() else None
    if positions is None:
        positions = [p for p, _ in read_annotations(context.get_raw())]
    return max(0.0, min(positions) / context.get_sfreq()) if len(positions) else 0.0


def _swing(layer: Layer, row: int) -> float:
    if np.isnan(layer.low_uv[row]).all():
        return float("nan")
    return float(np.nanmax(layer.high_uv[row]) - np.nanmin(layer.low_uv[row]))


def _choose_scale(layers: Sequence[Layer]) -> float:
    """Return a distance that separates most traces of the largest layer, in µV."""
    swings = [
        float(np.nanpercentile(layer.high_uv[row] - np.nanmin(layer.low_uv[row]), 98))
        for layer in layers
        for row in range(len(layer.low_uv))
        if np.isfinite(layer.low_uv[row]).any()
    ]
    return _round(0.8 * max(swings, default=0.0) or 100.0)


def _round(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 … that is not below `value`."""
    step = 10.0 ** np.floor(np.log10(max(value, 1e-3)))
    return float(step * next(m for m in (1, 2, 5, 10) if m * step >= value * (1 - 1e-9)))
