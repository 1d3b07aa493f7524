"""Figures of a run: its triggers, and the recording before and after it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from facet_nb.plots import picture as pic
from facet_nb.plots.envelope import thin
from facet_nb.plots.style import STYLE, use_style

#: Width of figures on a page, in inches; a page of this width shows texts in their proper size.
WIDTH_IN = 8.4
#: Harmonics that are drawn as lines; more are ticks.
_HARMONICS = 40
#: Fewest electrodes to whose positions a head is fitted.
_FITTED = 16
#: Colours that a page replaces by those of its theme.
_THEME = {
    "#010203": "currentColor",
    "#000000": "currentColor",
    pic.BEFORE.lower(): "var(--before)",
    pic.AFTER.lower(): "var(--after)",
    pic.REMOVED.lower(): "var(--quiet)",
    pic.EXTRA.lower(): "var(--extra)",
}
_INK = "#010203"
_PAGE_STYLE = STYLE | {
    "font.size": 10.0,
    "svg.fonttype": "none",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def make_page_figure(height_in: float, n_rows: int = 1, *, share_x: bool = False) -> tuple:
    """Return a picture in the style of a page and its axes, from top to bottom."""
    with use_style(_PAGE_STYLE):
        picture = pic.make_picture(WIDTH_IN, height_in)
        picture.set_facecolor("none")
        axes = list(picture.subplots(n_rows, 1, sharex=share_x, squeeze=False)[:, 0])
    return picture, axes


def write_inline(picture: pic.Picture, prefix: str) -> str:
    """Return a picture as SVG that takes the colours of the page around it.

    Parameters
    ----------
    picture : Picture
        The picture; its caption becomes the alternative text.
    prefix : str
        Begins all identifiers, which must occur once on a page.
    """
    buffer = io.BytesIO()
    with use_style(_PAGE_STYLE):
        picture.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="image\w*"', "", svg)  # the same for images of equal content
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for color, themed in _THEME.items():
        svg = re.sub(re.escape(color), themed, svg, flags=re.IGNORECASE)
    size = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg role="img" aria-label="{escape(picture.caption, quote=True)}" {size and size[0]} '
    body = svg[svg.index(">") + 1 :]
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{head}{links}>{body}"


def draw_intervals(
    times_s: np.ndarray,
    missing_s: np.ndarray,
    extra_s: np.ndarray,
    usual_s: float,
    ax: Any,
) -> Any:
    """Draw the intervals of triggers over time, in ms over s, with missing and extra markers.

    Parameters
    ----------
    times_s : ndarray, shape (n_triggers,)
        Triggers, in s.
    missing_s, extra_s : ndarray
        Places of missing triggers, and of markers that were left out, in s.
    usual_s : float
        The usual interval, in s.
    ax : matplotlib.axes.Axes
        Where to draw; it is returned.
    """
    intervals_ms = 1e3 * np.diff(times_s)
    ax.axhline(1e3 * usual_s, color=pic.REMOVED, linewidth=0.8, zorder=1)
    ax.plot(times_s[1:], intervals_ms, ".", color=pic.AFTER, markersize=3.5, label="interval")
    top, bottom = intervals_ms.max(initial=1e3 * usual_s), intervals_ms.min(initial=1e3 * usual_s)
    margin = max(0.15 * (top - bottom), 0.02 * 1e3 * usual_s)
    if top > 4 * max(bottom, 1e-3):
        ax.set_yscale("log")
        low, high = 0.6 * max(bottom, 1e-3), 1.8 * top
    else:
        low, high = bottom - 2 * margin, top + 2 * margin
    ax.set_ylim(low, high)
    marks = [
        (missing_s, "v", pic.BEFORE, "missing", 0.94),
        (extra_s, "x", pic.EXTRA, "left out", 0.06),
    ]
    for places, marker, color, label, height in marks:
        if len(places):
            shown = np.full(len(places), height)
            ax.plot(
                places,
                shown,
                marker,
                color=color,
                markersize=6,
                label=f"{label} ({len(places)})",
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                linestyle="none",
            )
    ax.set_xlabel("time (s)")
    ax.set_ylabel("interval (ms)")
    return ax


def draw_stack(
    times_s: np.ndarray,
    values_v: np.ndarray,
    names: Sequence[str],
    ax: Any,
    *,
    spacing_uv: float,
    color: str = pic.AFTER,
) -> Any:
    """Draw channels one below the other on the same scale; values beyond it are cut.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,)
        Times, in s.
    values_v : ndarray, shape (n_channels, n_times)
        Samples, in V.
    names : sequence of str
        Names of the channels.
    ax : matplotlib.axes.Axes
        Where to draw; it is returned.
    spacing_uv : float
        Distance of neighbouring channels, in µV.
    color : str
        Colour of the lines.
    """
    centred = 1e6 * (values_v - np.median(values_v, axis=1, keepdims=True))
    for row, trace in enumerate(centred):
        x, y = thin(times_s, np.clip(trace, -1.5 * spacing_uv, 1.5 * spacing_uv), 500)
        ax.plot(x, y / spacing_uv - row, color=color, linewidth=0.7)
    ax.set_ylim(-len(names) + 0.2, 0.8)
    ax.set_yticks(-np.arange(len(names)))
    ax.set_yticklabels([_escape(name) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0)
    ax.grid(axis="y", visible=False)
    return ax


def _escape(name: str) -> str:
    """Return a channel name that matplotlib does not take for a formula, and that fits."""
    short = name if len(name) <= 12 else name[:11] + "…"
    return short.replace("$", r"\$")


def draw_density(
    spectra: Sequence[tuple[np.ndarray, np.ndarray, str, str]],
    harmonic_hz: float,
    fmax_hz: float,
    ax: Any,
) -> Any:
    """Draw spectra with the harmonics of the artifact.

    Parameters
    ----------
    spectra : sequence of (freqs, density, colour, label)
        Frequencies in Hz, densities in V²/Hz.
    harmonic_hz : float
        Frequency at whose multiples the artifact has its energy, in Hz; 0 if it is not known.
    fmax_hz : float
        Highest frequency shown, in Hz.
    ax : matplotlib.axes.Axes
        Where to draw; it is returned.
    """
    if harmonic_hz > 0:
        multiples = harmonic_hz * np.arange(1, int(fmax_hz / harmonic_hz) + 1)
        few = len(multiples) <= _HARMONICS  # more would hide the spectrum
        style: dict[str, Any] = {"linestyle": ":", "ymin": 0.0} if few else {"ymin": 0.96}
        label = "harmonic of the artifact"
        for multiple in multiples:
            ax.axvline(multiple, color=pic.REMOVED, linewidth=0.8, label=label, **style)
            label = "_"
    for freqs, density, color, label in spectra:
        shown = (freqs > 0) & (freqs <= fmax_hz) & (density > 0)
        ax.semilogy(freqs[shown], 1e12 * density[shown], color=color, linewidth=1.0, label=label)
    # Beyond a low-pass, tiny values would take up the whole scale.
    usual = [1e12 * np.median(d[(f > 0) & (f < 0.4 * fmax_hz)]) for f, d, _, _ in spectra]
    lowest = 1e-4 * min(usual)
    if lowest > 0 and ax.get_ylim()[0] < lowest:
        ax.set_ylim(bottom=lowest)
    ax.set_xlim(0, fmax_hz)
    ax.set_xlabel("frequency (Hz)")
    ax.set_ylabel("power (µV²/Hz)")
    return ax


def draw_locked(
    times_s: np.ndarray, mean_v: np.ndarray, noise_v: float, ax: Any, *, color: str
) -> Any:
    """Draw what recurs with the volume, with twice the noise of its mean as a band; return `ax`.

    Parameters
    ----------
    times_s, mean_v : ndarray, shape (n_times,)
        Time within the volume in s, and mean over epochs in V.
    noise_v : float
        RMS of the mean if nothing recurred, in V.
    ax : matplotlib.axes.Axes
        Where to draw.
    color : str
        Colour of the line.
    """
    x, y = thin(times_s, 1e6 * mean_v, 900)
    ax.axhspan(-2e6 * noise_v, 2e6 * noise_v, color=pic.REMOVED, alpha=0.25, linewidth=0)
    ax.plot(x, y, color=color, linewidth=0.9)
    ax.set_ylabel("µV")
    ax.margins(x=0)
    return ax


def plot_topographies(maps: Sequence[tuple[str, np.ndarray]], info: Any) -> pic.Picture:
    """Plot values of electrodes on the head, each map on its own scale, from 0 on, in µV.

    Parameters
    ----------
    maps : sequence of (title, values)
        Titles, and values in V, shape (n_channels,).
    info : mne.Info
        Header of these channels, with positions.
    """
    from mne.viz import plot_topomap

    with use_style(_PAGE_STYLE):
        picture = pic.make_picture(WIDTH_IN, 3.0)
        picture.set_facecolor("none")
        axes = picture.subplots(1, len(maps), squeeze=False)[0]
        for ax, (title, values) in zip(axes, maps, strict=True):
            top = max(float(np.max(1e6 * values)), 1e-6)
            image, _ = plot_topomap(
                1e6 * values,
                info,
                axes=ax,
                show=False,
                vlim=(0.0, top),
                cmap="viridis",
                contours=4,
                # No sphere can be fitted to few positions: the usual radius is taken, in m.
                sphere="auto" if len(values) >= _FITTED else 0.095,
                res=96,
            )
            ax.set_title(title, parse_math=False, fontsize=10.0)
            picture.colorbar(image, ax=ax, label="µV (RMS)", shrink=0.8)
    return picture


def write_png(picture: pic.Picture) -> str:
    """Return a picture as an ``img`` element, where SVG would be large."""
    data = base64.b64encode(picture.to_png()).decode()
    text = escape(picture.caption, quote=True)
    return f'<img alt="{text}" src="data:image/png;base64,{data}">'
