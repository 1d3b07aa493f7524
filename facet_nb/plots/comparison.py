"""One channel before and after a run: the data of plots and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.recording import Header, channel_kinds, data_picks, load_array

if TYPE_CHECKING:
    import mne

_LEAD_S = 1.0
_SPAN_S = 5.0


@dataclass(frozen=True, eq=False)
class Trace:
    """Samples of one channel.

    Attributes
    ----------
    times_s : ndarray, shape (n_times,)
        Time from the start of the original recording, in s.
    values_v : ndarray, shape (n_times,)
        Samples, in V.
    """

    times_s: np.ndarray
    values_v: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """One channel before and after a run, and the removed part.

    Attributes
    ----------
    channel : str
        Name of the channel.
    before, after : Trace | None
        The original and the corrected recording; `before` is None if the original lacks the
        channel.
    removed : Trace | None
        The removed part, as `removed_by` says; None if it is not available.
    removed_by : {"difference", "noise", ""}
        Difference of the two, or noise estimated by corrections.
    """

    channel: str
    before: Trace | None
    after: Trace
    removed: Trace | None
    removed_by: str

    def rows(self) -> list[tuple[str, float, float]]:
        """Return name, RMS (µV, mean removed) and peak-to-peak (µV) of each trace."""
        named = [("before", self.before), ("after", self.after), (self.label, self.removed)]
        return [(n, *_measure_uv(t.values_v)) for n, t in named if t is not None]

    @property
    def label(self) -> str:
        """Description of the removed part."""
        return "removed (estimated noise)" if self.removed_by == "noise" else "before − after"

    @property
    def caption(self) -> str:
        """Caption: one sentence with channel, time and amplitudes."""
        begin, end = self.after.times_s[0], self.after.times_s[-1]
        rms = {name: value for name, value, _ in self.rows()}
        if "before" not in rms:
            return (
                f"Channel {self.channel} from {begin:.1f} to {end:.1f} s after the run: "
                f"{rms['after']:.1f} µV RMS."
            )
        return (
            f"Channel {self.channel} from {begin:.1f} to {end:.1f} s: {rms['before']:.1f} µV RMS "
            f"before, {rms['after']:.1f} µV RMS after the run."
        )


def compare(
    context: ProcessingContext,
    channel: str | int | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    *,
    removed: str = "auto",
) -> Comparison:
    """Compare one channel of `context` with the original recording.

    Sampling rate, length and start of the two may differ: they are aligned in time.

    Parameters
    ----------
    context : ProcessingContext
        Result of a run.
    channel : str | int | None
        Name or position; None for the first good data channel.
    tmin_s, tmax_s : float | None
        Start and end, in s from the start of the original recording. By default 5 s, starting
        1 s before the first trigger.
    removed : {"auto", "difference", "noise"}
        The removed part: before minus after (needs the same sample times in both), the noise
        estimated by corrections, or the first of the two that is available.

    Returns
    -------
    Comparison
        Traces in V.

    Raises
    ------
    ValidationError
        If there is no such channel, or no samples between `tmin_s` and `tmax_s`.
    """
    if removed not in ("auto", "difference", "noise"):
        raise ValidationError(f"removed={removed!r}: use 'auto', 'difference' or 'noise'.")
    raw = context.get_raw()
    original = context.get_raw_original()
    original = raw if original is None else original
    index = _find_channel(raw, channel)
    name = raw.ch_names[index]
    begin_s, end_s = _choose_window(context, raw, original, tmin_s, tmax_s)
    after = _cut(raw, index, original, begin_s, end_s)
    before = None
    if name in original.ch_names:
        before = _cut(original, original.ch_names.index(name), original, begin_s, end_s)
    taken, how = _find_removed(context, index, before, after, removed)
    return Comparison(name, before, after, taken, how)


def _find_channel(raw: mne.io.BaseRaw, channel: str | int | None) -> int:
    names = list(raw.ch_names)
    if channel is None:
        picks = data_picks(raw)
        return int(picks[0]) if len(picks) else 0
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, (int, np.integer)) and -len(names) <= channel < len(names):
        return int(channel) % len(names)
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    raise ValidationError(f"there is no channel {channel!r}: the recording has {shown}.")


def list_channels(raw: mne.io.BaseRaw) -> list[str]:
    """Return the names of the data channels, good ones first; all names if there are none."""
    kinds = channel_kinds(raw)
    good = [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "data"]
    bad = [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "bad"]
    return good + bad or list(raw.ch_names)


def _offset_s(raw: mne.io.BaseRaw, original: mne.io.BaseRaw) -> float:
    """Return the start of `raw`, in s from the start of `original`."""
    here, there = float(raw.info["sfreq"]), float(original.info["sfreq"])
    return raw.first_samp / here - original.first_samp / there


def _choose_window(
    context: ProcessingContext,
    raw: mne.io.BaseRaw,
    original: mne.io.BaseRaw,
    tmin_s: float | None,
    tmax_s: float | None,
) -> tuple[float, float]:
    offset_s, sfreq = _offset_s(raw, original), float(raw.info["sfreq"])
    last_s = offset_s + (raw.n_times - 1) / sfreq
    if tmin_s is None:
        triggers = context.get_triggers()
        first_s = 0.0 if triggers is None or not len(triggers) else triggers[0] / sfreq
        tmin_s = max(offset_s, offset_s + min(first_s - _LEAD_S, raw.n_times / sfreq - _SPAN_S))
    if tmax_s is None:
        tmax_s = min(tmin_s + _SPAN_S, last_s)
    if not tmin_s < tmax_s or tmin_s >= last_s or tmax_s <= offset_s:
        raise ValidationError(
            f"no samples between tmin_s={tmin_s:g} and tmax_s={tmax_s:g}: the recording lasts "
            f"from {offset_s:g} to {last_s:g} s."
        )
    return float(tmin_s), float(tmax_s)


def _cut(
    raw: mne.io.BaseRaw, index: int, original: mne.io.BaseRaw, begin_s: float, end_s: float
) -> Trace:
    """Return samples from `begin_s` to `end_s`, in s from the start of the original."""
    sfreq, offset_s = float(raw.info["sfreq"]), _offset_s(raw, original)
    start, stop = _span(raw, sfreq, offset_s, begin_s, end_s)
    values = raw.get_data(picks=[index], start=start, stop=stop)[0]
    return Trace(offset_s + np.arange(start, stop) / sfreq, np.asarray(values))


def _span(
    raw: mne.io.BaseRaw, sfreq: float, offset_s: float, begin_s: float, end_s: float
) -> tuple[int, int]:
    start = int(np.clip(np.ceil((begin_s - offset_s) * sfreq - 1e-6), 0, raw.n_times - 1))
    stop = int(np.clip(np.floor((end_s - offset_s) * sfreq + 1e-6) + 1, start + 1, raw.n_times))
    return start, stop


def _find_removed(
    context: ProcessingContext, index: int, before: Trace | None, after: Trace, wish: str
) -> tuple[Trace | None, str]:
    same = (
        before is not None
        and before.times_s.shape == after.times_s.shape
        and np.allclose(before.times_s, after.times_s, rtol=0.0, atol=1e-7)
    )
    if wish != "noise" and same and before is not None:
        return Trace(after.times_s, before.values_v - after.values_v), "difference"
    if wish != "difference" and context.has_estimated_noise():
        return _cut_noise(context, index, after), "noise"
    if wish == "auto":
        return None, ""
    remedy = {
        "difference": "the run changed the sample times; use removed='noise'.",
        "noise": "no correction estimated noise; use removed='difference'.",
    }
    raise ValidationError(f"removed={wish!r} is not possible: {remedy[wish]}")


def _cut_noise(context: ProcessingContext, index: int, after: Trace) -> Trace:
    """Return the estimated noise of one channel, without computing that of the others."""
    raw = context.get_raw()
    original = context.get_raw_original()
    row = load_array(raw)[index : index + 1]
    single = context._selected(Header.of(raw).attach(row, picks=[index]), [index])
    noise = single.get_estimated_noise()
    assert noise is not None  # the caller checked has_estimated_noise()
    sfreq, offset_s = float(raw.info["sfreq"]), _offset_s(raw, original)
    start = round((after.times_s[0] - offset_s) * sfreq)
    return Trace(after.times_s, noise[0, start : start + len(after.times_s)])


def _measure_uv(values_v: np.ndarray) -> tuple[float, float]:
    """Return RMS around the mean and peak-to-peak, in µV."""
    return 1e6 * float(np.std(values_v)), 1e6 * float(np.ptp(values_v))
