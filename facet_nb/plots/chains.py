"""Plot several chains on one recording: spectra, slice harmonics and maps of the error."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.evaluation.chains import ChainComparison, ChainReport, Spectrum
from facet_nb.plots import picture as pic
from facet_nb.plots.side_by_side import choose_color, choose_dash
from facet_nb.plots.sketch import Curve, Sketch, SketchRow
from facet_nb.plots.style import use_style

#: Okabe and Ito's colours, ordered by contrast on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", "-.", (0, (3, 1, 1, 1, 1, 1)))
_BEFORE, _TRUTH = "#8C8C8C", "#000000"
#: Largest number of maps in a row; the table shows the other chains.
_MOST_MAPS = 5
#: More harmonics, such as those of volumes, are drawn as lines.
_MOST_BARS = 24
#: Compared quantity with and without the truth: column of the table and description.
_KEYS = {"µV": ("snr_db", "dB SNR"), "dB": ("slice_off_db", "dB off at harmonics of the slices")}
_ERRORS = {"µV": "error (µV RMS)", "dB": "harmonics off (dB)"}


def plot_chains(comparison: ChainComparison, *, width_in: float = 10.0) -> pic.Picture:
    """Plot several chains side by side.

    Parameters
    ----------
    comparison : ChainComparison
        Result of :func:`facet_nb.compare`.
    width_in : float
        Width, in inches.

    Returns
    -------
    Picture
        Spectra before, after and of the truth; peaks at slice harmonics; and maps of the error, or
        bars where electrode positions are unknown.
    """
    with use_style():
        picture = pic.make_picture(width_in, 8.2)
        parts: Any = picture.subfigures(3, 1, height_ratios=[3.0, 2.4, 2.4])
        upper, middle, lower = parts
        draw_spectra(comparison, upper.subplots())
        draw_peaks(comparison, middle.subplots())
        if not draw_maps(comparison, lower):
            lower.clear()
            draw_errors(comparison, lower.subplots())
    picture.caption = describe(comparison)
    return picture


def describe(comparison: ChainComparison) -> str:
    """Return the caption: one sentence with the figures of each chain."""
    key, unit = _KEYS[comparison.unit]
    scored = [f"{c.name} {c.scores.get(key, np.nan):.1f}" for c in comparison.chains]
    return f"{len(scored)} chains on one recording, {unit} (median): {', '.join(scored)}."


def draw_spectra(comparison: ChainComparison, ax: Any) -> Any:
    """Draw the spectra before, after each chain and of the truth into `ax`; return `ax`."""
    _draw_spectrum(ax, comparison.before.spectrum, color=_BEFORE, label="before")
    for i, chain in enumerate(comparison.chains):
        line = {"color": COLORS[i % len(COLORS)], "linestyle": _LINES[i % len(_LINES)]}
        _draw_spectrum(ax, chain.spectrum, label=chain.name, **line)
    if comparison.truth is not None:
        _draw_spectrum(ax, comparison.truth, color=_TRUTH, label="truth", linewidth=0.8, alpha=0.7)
    fmax = comparison.before.spectrum.freqs_hz[-1]
    harmonics = np.arange(comparison.slice_hz, fmax, comparison.slice_hz)
    if len(harmonics) <= _MOST_BARS:
        ax.set_xticks(harmonics, minor=True)
        ax.tick_params(axis="x", which="minor", length=8, color=_BEFORE)
    ax.set(xlabel="frequency (Hz; long ticks: slices)", ylabel="power (µV²/Hz)")
    ax.set_title("Spectrum, median of channels\n", loc="left")
    ax.legend(
        ncols=5, fontsize="small", frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0)
    )
    ax.margins(x=0)
    return ax


def _draw_spectrum(ax: Any, spectrum: Spectrum, **style: Any) -> None:
    shown = (spectrum.freqs_hz > 0) & (spectrum.density_v2 > 0)
    style = {"linewidth": 1.2} | style
    ax.semilogy(spectrum.freqs_hz[shown], 1e12 * spectrum.density_v2[shown], **style)


def draw_peaks(comparison: ChainComparison, ax: Any) -> Any:
    """Draw the power at slice harmonics relative to its neighbourhood into `ax`; return `ax`."""
    reports = (comparison.before, *comparison.chains)
    n = len(comparison.before.harmonics_db)
    width = 0.8 / len(reports)
    for i, report in enumerate(reports):
        values = report.harmonics_db[:n]
        at = np.arange(1, len(values) + 1)
        color = _BEFORE if i == 0 else COLORS[(i - 1) % len(COLORS)]
        if n <= _MOST_BARS:
            ax.bar(at + (i - (len(reports) - 1) / 2) * width, values, width, color=color)
        else:
            ax.plot(at, values, color=color, linewidth=0.8)
    ax.axhline(0.0, color=_TRUTH, linewidth=0.8)
    ax.set(xlabel=f"harmonic of the slices ({comparison.slice_hz:.2f} Hz)", ylabel="off (dB)")
    ax.set_title(
        "Harmonics of the slices, above (artifact left) or below (EEG gone) what is beside them",
        loc="left",
    )
    if n <= _MOST_BARS:
        ax.set_xticks(np.arange(1, n + 1))
    return ax


def draw_maps(comparison: ChainComparison, figure: Any) -> bool:
    """Draw a map of the error for each chain into `figure`; return False without positions."""
    chains = comparison.chains[:_MOST_MAPS]
    placed = [_place(comparison, chain) for chain in chains]
    if any(len(values) < 4 for _, values in placed):
        return False
    import mne

    highest = max(float(np.max(values)) for _, values in placed)
    axes = np.atleast_1d(figure.subplots(1, len(chains)))
    for ax, chain, (picks, values) in zip(axes, chains, placed, strict=True):
        info = mne.pick_info(comparison.info, picks)
        image, _ = mne.viz.plot_topomap(
            values, info, axes=ax, show=False, cmap="viridis", vlim=(0.0, highest), contours=0
        )
        title = f"{chain.name}: {np.median(values):.3g} {comparison.unit}"
        ax.set_title(title, fontsize="medium")
    figure.colorbar(image, ax=list(axes), shrink=0.8, label=_ERRORS[comparison.unit])
    return True


def _place(comparison: ChainComparison, chain: ChainReport) -> tuple[list[int], np.ndarray]:
    """Return the EEG channels with a position, and their values."""
    picks, values = [], []
    kinds = comparison.info.get_channel_types()
    for name, value in zip(chain.ch_names, chain.per_channel, strict=True):
        i = comparison.info["ch_names"].index(name) if name in comparison.info["ch_names"] else -1
        if (
            i >= 0
            and kinds[i] == "eeg"
            and np.any(np.nan_to_num(comparison.info["chs"][i]["loc"][:3]))
        ):
            picks.append(i)
            values.append(value)
    return picks, np.array(values)


def sketch_chains(comparison: ChainComparison) -> Sketch:
    """Return spectra and slice harmonics as SVG, which takes a few milliseconds.

    Maps and bars of single channels are only in the figure of :func:`plot_chains`.
    """
    spectra = [Curve(*_in_microvolts(comparison.before.spectrum), _BEFORE, "before")]
    peaks = []
    for i, chain in enumerate(comparison.chains):
        style = (choose_color(i), chain.name, choose_dash(i))
        spectra.append(Curve(*_in_microvolts(chain.spectrum), *style))
        at_hz = comparison.slice_hz * np.arange(1, len(chain.harmonics_db) + 1)
        peaks.append(Curve(at_hz, chain.harmonics_db, *style))
    rows = [SketchRow(tuple(spectra), "power (µV²/Hz)", "frequency (Hz)", log=True, height=200)]
    if any(np.isfinite(curve.y).any() for curve in peaks):
        off = "harmonic of the slices (Hz)"
        rows.append(SketchRow(tuple(peaks), "off (dB)", off, height=120))
    return Sketch("Median of all good channels", tuple(rows), describe(comparison))


def _in_microvolts(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    shown = spectrum.freqs_hz > 0
    return spectrum.freqs_hz[shown], 1e12 * spectrum.density_v2[shown]


def draw_errors(comparison: ChainComparison, ax: Any) -> Any:
    """Draw the error of each channel as bars into `ax`; return `ax`."""
    width = 0.8 / len(comparison.chains)
    for i, chain in enumerate(comparison.chains):
        at = np.arange(len(chain.ch_names)) + (i - (len(comparison.chains) - 1) / 2) * width
        ax.bar(at, chain.per_channel, width, color=COLORS[i % len(COLORS)], label=chain.name)
    names = comparison.chains[0].ch_names
    ax.set_xticks(np.arange(len(names)), names, rotation=90 if len(names) > 12 else 0)
    ax.set_ylabel(_ERRORS[comparison.unit])
    ax.set_title("Channel by channel", loc="left")
    return ax
