"""Plot power spectra before and after a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.core import ProcessingContext
from facet_nb.plots import picture as pic
from facet_nb.plots.comparison import Comparison, Trace, compare
from facet_nb.plots.sketch import Curve, Sketch, SketchRow

_RESOLUTION_HZ = 0.5


def estimate_psd(trace: Trace, resolution_hz: float = _RESOLUTION_HZ) -> tuple:
    """Return frequencies (Hz) and power spectral density (µV²/Hz), by Welch's method.

    Hann windows of ``1 / resolution_hz`` seconds, or of the whole trace if it is shorter, overlap
    by half; their mean is removed. Source: Welch 1967, doi:10.1109/TAU.1967.1161901.
    """
    from scipy.signal import welch

    step_s = float(trace.times_s[1] - trace.times_s[0])
    size = min(len(trace.values_v), round(1.0 / (resolution_hz * step_s)))
    return welch(1e6 * trace.values_v, fs=1.0 / step_s, nperseg=size)


def draw_spectrum(trace: Trace, ax: Any, *, color: str, label: str, fmax_hz: float) -> Any:
    """Draw the power spectrum of a trace into `ax`, on a logarithmic scale; return `ax`."""
    curve = Curve(*find_shown(trace, fmax_hz), color, label)
    return pic.draw_row(_make_row([curve]), ax)


def plot_psd(
    context: ProcessingContext,
    channel: str | int | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    *,
    fmax_hz: float = 100.0,
) -> pic.Picture:
    """Plot the power spectrum of one channel before and after a run.

    Parameters
    ----------
    context : ProcessingContext
        Result of a run.
    channel : str | int | None
        Name or position; None for the first good data channel.
    tmin_s, tmax_s : float | None
        Start and end, in s; None for the whole recording.
    fmax_hz : float
        Highest frequency shown, in Hz.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    raw = context.get_raw()
    begin_s = 0.0 if tmin_s is None else tmin_s
    end_s = raw.n_times / float(raw.info["sfreq"]) + 1e6 if tmax_s is None else tmax_s
    return spectrum_of(compare(context, channel, begin_s, end_s), fmax_hz=fmax_hz)


def spectrum_of(
    comparison: Comparison,
    picture: pic.Picture | None = None,
    *,
    fmax_hz: float = 100.0,
    width_in: float = 9.0,
) -> pic.Picture:
    """Return the power spectra of a comparison; a given picture is cleared and reused."""
    return pic.render(sketch_spectrum(comparison, fmax_hz=fmax_hz), picture, (width_in, 3.2))


def sketch_spectrum(comparison: Comparison, *, fmax_hz: float = 100.0) -> Sketch:
    """Return the same figure as SVG, which takes a few milliseconds."""
    both = [("before", comparison.before, pic.BEFORE), ("after", comparison.after, pic.AFTER)]
    curves = [
        Curve(*find_shown(trace, fmax_hz), color, label)
        for label, trace, color in both
        if trace is not None
    ]
    title = f"Channel {comparison.channel}"
    caption = (
        f"Power spectrum of channel {comparison.channel} up to {fmax_hz:g} Hz, before and after "
        "the run."
    )
    return Sketch(title, (_make_row(curves, height=220),), caption)


def _make_row(curves: Sequence[Curve], **options: Any) -> SketchRow:
    return SketchRow(tuple(curves), "power (µV²/Hz)", "frequency (Hz)", log=True, **options)


def find_shown(trace: Trace, fmax_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (Hz) up to `fmax_hz` with power above 0 (µV²/Hz), for a log scale."""
    freqs_hz, power = estimate_psd(trace)
    shown = (freqs_hz > 0) & (freqs_hz <= fmax_hz) & (power > 0)
    return freqs_hz[shown], power[shown]
