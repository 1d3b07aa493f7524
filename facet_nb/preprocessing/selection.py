"""Select a part of the recording: a span of time, some of the channels, or a reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Prepared, Processor, View
from facet_nb.core.recording import REFERENCE_SPAN, Header
from facet_nb.core.registry import register_processor
from facet_nb.core.storage.transpose import take_rows
from facet_nb.kernels.windows import SpanWindows
from facet_nb.preprocessing.triggers import annotate

if TYPE_CHECKING:
    import mne

ON_MISSING = ("ignore", "raise")


@register_processor
class Crop(ArrayProcessor):
    """Keep a span of time.

    The span is that of ``raw.crop(tmin, tmax)``: times are rounded to the nearest sample, and the
    sample at `tmax` is kept. Triggers, the limits of the acquisition, annotations, ``first_samp``
    and the estimated noise are adjusted; triggers outside the span are dropped, and the history
    states how many. The original recording is not cropped.

    Parameters
    ----------
    tmin, tmax : float | None
        First and last time, in s from the first sample; None for the ends of the recording.
    """

    name = "crop"
    description = "Keep a span of time"
    channel_wise = False
    parallel_safe = False
    linear = True

    def __init__(self, tmin: float | None = None, tmax: float | None = None) -> None:
        self.tmin = tmin
        self.tmax = tmax

    def prepare(self, view: View) -> Prepared:
        """Find the samples of the span, and the triggers in it."""
        start, stop = self._span(view.n_times, view.sfreq)
        changes, n_dropped = _crop_metadata(view.metadata, start, stop)
        return Prepared(
            payload=(start, stop),
            n_times=stop - start,
            start=start,
            metadata=changes,
            notes={"n_triggers_dropped": n_dropped},
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        start, stop = prepared.payload
        if out is None:
            return x[:, start:stop].copy()
        out[...] = x[:, start:stop]
        return out

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        start, stop = prepared.payload
        return x[:, start:stop]

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        return None if type(self).compute is Crop.compute else "computes in a way of its own"

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the span over windows; see :class:`ArrayProcessor`."""
        if self.why_not_windowed() is not None:
            return None
        start, stop = prepared.payload
        return SpanWindows(start, stop - start)

    def resize(self, n_times: int, sfreq: float) -> tuple[int, float]:
        """Return the number of samples and the rate (Hz) after the step."""
        start, stop = self._span(n_times, sfreq)
        return stop - start, sfreq

    def _span(self, n_times: int, sfreq: float) -> tuple[int, int]:
        """Return the first sample, and the one after the last."""
        tmin = 0.0 if self.tmin is None else float(self.tmin)
        longest = (n_times - 1) / sfreq
        tmax = longest if self.tmax is None else float(self.tmax)
        if not 0 <= tmin <= tmax or tmax > longest + 0.5 / sfreq:
            raise ValidationError(
                f"Crop(tmin={self.tmin!r}, tmax={self.tmax!r}): choose 0 ≤ tmin ≤ tmax ≤ "
                f"{longest:.6g} s, the time of the last sample (None for the end)."
            )
        start, stop = round(tmin * sfreq), min(n_times, round(tmax * sfreq) + 1)
        return min(start, n_times - 1), stop


@register_processor
class PickChannels(Processor):
    """Keep some of the channels.

    They stay in the order of the recording; bad channels that are picked stay bad. Triggers,
    annotations, history and estimated noise are kept. The original recording keeps all channels.

    Parameters
    ----------
    picks : str | int | sequence of these
        Names, positions, or channel types (``"eeg"``, ``"stim"``, …); ``"data"`` for all
        electrodes (EEG, EOG, ECG, EMG …), ``"all"`` for everything.
    on_missing : {"ignore", "raise"}
        How to treat a name or type that is not in the recording.
    """

    name = "pick_channels"
    description = "Keep some of the channels"
    requires_raw = True
    accepts_lazy = True

    def __init__(self, picks: str | int | Sequence[str | int], on_missing: str = "ignore") -> None:
        self.picks = picks
        self.on_missing = on_missing

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        found, missing = find_rows(self.picks, raw)
        _check_missing(self, missing, raw)
        return select_rows(context, sorted(found), self)


@register_processor
class DropChannels(Processor):
    """Drop some of the channels.

    Parameters
    ----------
    channels : str | int | sequence of these
        Names, positions or channel types, as in :class:`PickChannels`.
    on_missing : {"ignore", "raise"}
        How to treat a name or type that is not in the recording.
    """

    name = "drop_channels"
    description = "Drop some of the channels"
    requires_raw = True
    accepts_lazy = True

    def __init__(
        self, channels: str | int | Sequence[str | int], on_missing: str = "ignore"
    ) -> None:
        self.channels = channels
        self.on_missing = on_missing

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        dropped, missing = find_rows(self.channels, raw)
        _check_missing(self, missing, raw)
        kept = [i for i in range(len(raw.ch_names)) if i not in dropped]
        return select_rows(context, kept, self)


def find_rows(
    picks: str | int | Sequence[str | int], raw: mne.io.BaseRaw
) -> tuple[set[int], list[str | int]]:
    """Return the rows of names, positions or types, and the picks without a match."""
    names, kinds = list(raw.ch_names), raw.get_channel_types()
    rows: set[int] = set()
    missing: list[str | int] = []
    several = [picks] if isinstance(picks, (str, int, np.integer)) else list(picks)
    for pick in several:
        if isinstance(pick, (int, np.integer)):
            found = {int(pick)} & set(range(len(names)))
        elif pick in names:
            found = {names.index(pick)}
        else:
            found = {i for i, kind in enumerate(kinds) if pick in ("all", kind)}
            if pick == "data":
                found = {i for i, kind in enumerate(kinds) if kind in recording.DATA_TYPES}
        if not found:
            missing.append(pick)
        rows |= found
    return rows, missing


def select_rows(
    context: ProcessingContext, rows: list[int], processor: Processor
) -> ProcessingContext:
    """Return a context with some of the channels.

    Raises
    ------
    ValidationError
        If `rows` is empty.
    """
    raw = context.get_raw()
    if not rows:
        raise ValidationError(
            f"{processor!r} leaves no channel. The recording has {_list_channels(raw)}."
        )
    if len(rows) == len(raw.ch_names):
        return context._derive()
    return arrange_rows(context, rows)


def arrange_rows(context: ProcessingContext, rows: list[int]) -> ProcessingContext:
    """Return a context with some of the channels, in the given order."""
    raw = context.get_raw()
    data = take_rows(raw, rows)
    marks = prune_annotations(raw.annotations, {raw.ch_names[i] for i in rows})
    new = Header(raw.info, int(raw.first_samp), marks).attach(data, picks=rows)
    return context._selected(new, rows)


def _crop_metadata(
    metadata: ProcessingMetadata, start: int, stop: int
) -> tuple[dict[str, Any], int]:
    """Return metadata fields of positions after cropping, and the number of dropped triggers."""
    if metadata.triggers is None:
        return {}, 0
    triggers = np.asarray(metadata.triggers, dtype=np.int64)
    kept = triggers[(triggers >= start) & (triggers < stop)] - start
    changes: dict[str, Any] = {"triggers": kept}
    for name in ("acq_start_sample", "acq_end_sample"):
        value = getattr(metadata, name)
        if value is not None:
            inside = int(np.clip(value, start, stop - 1)) - start
            changes[name] = inside if len(kept) else None
    return changes, len(triggers) - len(kept)


def prune_annotations(annotations: Any, names: set[str]) -> Any:
    """Return annotations without those of dropped channels only; `names` are kept."""
    marks = annotations.copy()
    theirs = [tuple(n for n in own if n in names) for own in marks.ch_names]
    gone = [i for i, own in enumerate(marks.ch_names) if own and not theirs[i]]
    for i, own in enumerate(theirs):
        marks.ch_names[i] = own
    marks.delete(gone)
    return marks


def _check_missing(processor: Processor, missing: list[str | int], raw: mne.io.BaseRaw) -> None:
    on_missing = getattr(processor, "on_missing", "ignore")
    if on_missing not in ON_MISSING:
        raise ValidationError(f"on_missing={on_missing!r}: use one of {', '.join(ON_MISSING)}.")
    if missing and on_missing == "raise":
        raise ValidationError(
            f"{processor.name}: not in the recording: {', '.join(map(repr, missing))}. It has "
            f"{_list_channels(raw)}. Use on_missing='ignore' to skip them."
        )


def _list_channels(raw: mne.io.BaseRaw) -> str:
    names = raw.ch_names
    more = f", … ({len(names)} in all)" if len(names) > 12 else ""
    types = ", ".join(sorted(set(raw.get_channel_types())))
    return f"channels {', '.join(names[:12])}{more} of types {types}"


@register_processor
class SignalIntervalSelector(Processor):
    """Select a span without artifact as the reference of metrics.

    By default, metrics use all time before and after the acquisition, as given by the triggers. The
    span becomes an annotation ``REFERENCE``, which is kept on cropping, resampling and saving, and
    can also be drawn with the mouse in ``raw.plot()``. Several spans are combined.

    Parameters
    ----------
    tmin, tmax : float
        Start and end of the span, in s from the first sample.

    Raises
    ------
    ValidationError
        If the span is not within the recording.
    """

    name = "signal_interval_selector"
    description = "Select a span without artifact as reference"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

    def __init__(self, tmin: float, tmax: float) -> None:
        self.tmin = tmin
        self.tmax = tmax

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not 0 <= self.tmin < self.tmax < np.inf:
            raise ValidationError(
                f"{self.name}: choose 0 ≤ tmin < tmax, not {self.tmin!r} to {self.tmax!r}."
            )

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        self.check_parameters(float(raw.info["sfreq"]))
        longest = float(raw.n_times / raw.info["sfreq"])
        if not self.tmax <= longest + 0.5 / raw.info["sfreq"]:
            raise ValidationError(
                f"{self.name}: choose 0 ≤ tmin < tmax ≤ {longest:.6g} s, not "
                f"{self.tmin!r} to {self.tmax!r}."
            )
        start = np.array([round(self.tmin * raw.info["sfreq"])])
        return annotate(context, start, REFERENCE_SPAN, self.tmax - self.tmin)


#: FACETpy's second name of the same class.
ReferenceIntervalSelector = SignalIntervalSelector
