"""Plot the channels of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core import ProcessingContext
from facet_nb.plots import picture as pic
from facet_nb.plots.comparison import compare, list_channels
from facet_nb.plots.envelope import thin

if TYPE_CHECKING:
    import mne

_MOST = 12


def plot_channels(
    raw: mne.io.BaseRaw | ProcessingContext,
    channels: Sequence[str] | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    *,
    spacing_uv: float | None = None,
) -> pic.Picture:
    """Plot stacked channels on the same scale.

    Parameters
    ----------
    raw : mne.io.BaseRaw | ProcessingContext
        The recording.
    channels : sequence of str | None
        Names; None for the first data channels, at most 12.
    tmin_s, tmax_s : float | None
        Start and end, in s; 5 s by default.
    spacing_uv : float | None
        Distance of neighbouring channels, in µV; None to choose it from the data.

    Returns
    -------
    Picture
        A figure with a caption.

    Raises
    ------
    ValidationError
        If a channel does not exist, or there are no samples between `tmin_s` and `tmax_s`.
    """
    if isinstance(raw, ProcessingContext):
        raw = raw.get_raw()
    names = list(channels) if channels is not None else list_channels(raw)[:_MOST]
    context = ProcessingContext(raw)
    traces = [compare(context, name, tmin_s, tmax_s).after for name in names]
    centred = [1e6 * (t.values_v - np.median(t.values_v)) for t in traces]
    spacing_uv = spacing_uv or _choose_spacing(centred)
    picture = pic.make_picture(9.0, 1.0 + 0.4 * len(names))
    (ax,) = pic.add_axes(picture)
    for row, (trace, values_uv) in enumerate(zip(traces, centred, strict=True)):
        ax.plot(*thin(trace.times_s, values_uv - row * spacing_uv), color=pic.AFTER, linewidth=0.8)
    ax.set_yticks([-row * spacing_uv for row in range(len(names))])
    ax.set_yticklabels(names, parse_math=False)
    ax.margins(x=0)
    ax.set_xlabel("time (s)")
    ax.set_title(f"{spacing_uv:g} µV between two channels", loc="left")
    begin_s, end_s = traces[0].times_s[[0, -1]]
    largest_uv = max(float(np.ptp(v)) for v in centred)
    picture.caption = (
        f"{len(names)} channels from {begin_s:.1f} to {end_s:.1f} s; the largest amplitude is "
        f"{largest_uv:.0f} µV (peak to peak)."
    )
    return picture


def _choose_spacing(traces_uv: list[np.ndarray]) -> float:
    """Return a round distance, in µV, that separates most of the traces."""
    finite = [np.abs(v[np.isfinite(v)]) for v in traces_uv]
    swing = max((float(np.percentile(v, 98)) for v in finite if v.size), default=0.0) or 1.0
    step = 10.0 ** np.floor(np.log10(1.5 * swing))
    return float(step * next(m for m in (1, 2, 5, 10) if m * step >= 1.5 * swing))
