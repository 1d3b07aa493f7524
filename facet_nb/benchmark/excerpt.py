"""Excerpts: a part of a recording that a probe runs instead of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.planning.cost_model import estimate_work_s
from facet_nb.core.recording import Shape, channel_kinds, data_picks
from facet_nb.preprocessing import Crop, PickChannels

if TYPE_CHECKING:
    import mne

_MIN_CHANNELS, _MAX_CHANNELS = 8, 16

#: Shorter excerpts hold too few artifacts for most chains, in s.
_MIN_DURATION_S = 60.0


@dataclass(frozen=True)
class Excerpt:
    """Some channels of a recording, over its whole length or its beginning.

    Attributes
    ----------
    context : ProcessingContext
        The excerpt as a recording.
    n_channels : int
        Number of its data channels.
    channel_scale, time_scale : float
        Data channels and duration of the recording divided by those of the excerpt.
    """

    context: ProcessingContext
    n_channels: int
    channel_scale: float
    time_scale: float

    @property
    def share(self) -> float:
        """Share of the recording's data, 0 to 1."""
        return 1.0 / (self.channel_scale * self.time_scale)


def take_excerpt(
    pipeline: Pipeline, context: ProcessingContext, probe_s: float, cores: int
) -> Excerpt:
    """Return an excerpt whose runs take a small part of `probe_s` seconds.

    It contains the channels that steps name, one of each type, and all channels without data.
    """
    raw = context.get_raw()
    n_data = len(data_picks(raw))
    wanted = min(n_data, max(_MIN_CHANNELS, min(_MAX_CHANNELS, 2 * cores)))
    return _cut(pipeline, context, wanted, _shorten(pipeline, raw, wanted, probe_s))


def take_larger_excerpt(
    pipeline: Pipeline, context: ProcessingContext, excerpt: Excerpt, share: float
) -> Excerpt:
    """Return an excerpt with about `share` of the recording; the whole recording from 1 on.

    It is as long as the recording. If that leaves too few channels, or less than twice the share
    of `excerpt`, `excerpt` is returned.
    """
    n_data = len(data_picks(context.get_raw()))
    if excerpt.share == 1.0:
        return excerpt
    if share >= 1.0:
        return Excerpt(context, n_data, 1.0, 1.0)
    wanted = int(min(share, 0.5) * n_data)  # it is in memory together with the recording
    if wanted < min(_MIN_CHANNELS, n_data) or wanted / n_data < 2 * excerpt.share:
        return excerpt
    return _cut(pipeline, context, wanted, 1.0)


def _cut(
    pipeline: Pipeline, context: ProcessingContext, n_channels: int, time_scale: float
) -> Excerpt:
    raw = context.get_raw()
    data = [int(i) for i in data_picks(raw)]
    chosen = _choose_channels(pipeline, raw, data, n_channels)
    others = [i for i, kind in enumerate(channel_kinds(raw)) if kind != "data"]
    part = context
    if time_scale > 1.0:
        part = Crop(tmin=0.0, tmax=raw.n_times / time_scale / raw.info["sfreq"])(part)
    if len(chosen) < len(data):
        part = PickChannels([raw.ch_names[i] for i in sorted({*chosen, *others})])(part)
    return Excerpt(part, len(chosen), len(data) / len(chosen), time_scale)


def _choose_channels(
    pipeline: Pipeline, raw: mne.io.BaseRaw, data: list[int], wanted: int
) -> list[int]:
    """Return data channels: those that steps name, one of each type, then the first others."""
    named = set()
    for step in pipeline.processors:
        for value in step.get_parameters().values():
            named |= set(_list_texts(value))
    types = raw.get_channel_types()
    firsts = {types[i]: i for i in reversed(data)}  # reversed: the first of each type wins
    must = [i for i in data if raw.ch_names[i] in named or i in firsts.values()]
    more = [i for i in data if i not in must]
    return sorted([*must, *more[: max(0, wanted - len(must))]])


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [v for v in value if isinstance(v, str)]
    return []


def _shorten(pipeline: Pipeline, raw: mne.io.BaseRaw, n_channels: int, probe_s: float) -> float:
    """Return the duration of the recording over that of the excerpt, for about eight runs."""
    shape = Shape(n_channels, n_channels, int(raw.n_times), float(raw.info["sfreq"]))
    rough_s = 8 * 2 * estimate_work_s(pipeline.processors, shape)
    duration_s = shape.n_times / shape.sfreq
    wanted_s = max(_MIN_DURATION_S, duration_s * probe_s / max(rough_s, 1e-9))
    return 1.0 if wanted_s > 0.6 * duration_s else duration_s / wanted_s
