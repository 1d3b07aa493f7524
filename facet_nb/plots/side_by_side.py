"""Plot several results in one picture: one channel and its spectrum."""

from __future__ import annotations

from collections.abc import Mapping

from facet_nb.core import ProcessingContext
from facet_nb.plots import picture as pic
from facet_nb.plots.comparison import compare
from facet_nb.plots.sketch import Curve, Sketch, SketchRow
from facet_nb.plots.spectra import find_shown

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56B4E9", "#595959", "#000000")
_FMAX_HZ = 100.0
#: Where curves coincide, the lower ones show in the gaps of the upper ones.
_DASHES = ("", "14 7", "7 7", "3 5")


def plot_side_by_side(
    contexts: Mapping[str, ProcessingContext],
    channel: str | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    picture: pic.Picture | None = None,
    *,
    width_in: float = 9.0,
) -> pic.Picture:
    """Plot one channel of several results, and below it the spectra.

    Parameters
    ----------
    contexts : mapping of str to ProcessingContext
        Results by label.
    channel : str | None
        Name; None for the first good data channel.
    tmin_s, tmax_s : float | None
        Start and end of the signal, in s; by default 5 s, starting 1 s before the first trigger.
    picture : Picture | None
        A picture to be cleared and reused.
    width_in : float
        Width of a new one, in inches.

    Returns
    -------
    Picture
        A figure with a caption.

    Raises
    ------
    ValidationError
        If a result lacks the channel.
    """
    sketch = sketch_side_by_side(contexts, channel, tmin_s, tmax_s)
    return pic.render(sketch, picture, (width_in, 4.6))


def sketch_side_by_side(
    contexts: Mapping[str, ProcessingContext],
    channel: str | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
) -> Sketch:
    """Return the figure of :func:`plot_side_by_side` as SVG, which takes a few milliseconds."""
    pieces, wholes, said = [], [], []
    for i, (label, context) in enumerate(contexts.items()):
        piece = compare(context, channel, tmin_s, tmax_s)
        channel = piece.channel
        whole = compare(context, channel, 0.0, 1e9).after
        style = (choose_color(i), label, choose_dash(i))
        pieces.append(Curve(piece.after.times_s, 1e6 * piece.after.values_v, *style))
        wholes.append(Curve(*find_shown(whole, _FMAX_HZ), *style))
        rms_uv = next(rms for name, rms, _ in piece.rows() if name == "after")
        said.append(f"{label}: {rms_uv:.1f} µV RMS")
    rows = (
        SketchRow(tuple(pieces), "µV", "time (s)", height=180),
        SketchRow(tuple(wholes), "power (µV²/Hz)", "frequency (Hz)", log=True, height=180),
    )
    caption = f"Channel {channel}, {'; '.join(said)}." if said else "No result is kept yet."
    return Sketch(f"Channel {channel}", rows, caption)


def choose_color(number: int) -> str:
    """Return the colour of a curve by its number."""
    return _COLORS[number % len(_COLORS)]


def choose_dash(number: int) -> str:
    """Return the SVG dash pattern of a curve by its number."""
    return _DASHES[number % len(_DASHES)]
