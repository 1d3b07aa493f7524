"""A matplotlib figure with a caption, without pyplot state; see :mod:`facet_nb.plots.picture`."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

from facet_nb.plots.sketch import write_figure
from facet_nb.plots.style import use_style

_DPI = 110


class Picture(Figure):
    """A matplotlib figure with a caption.

    Attributes
    ----------
    caption : str
        Description of the figure, in one sentence.
    """

    caption: str = ""

    def to_svg(self) -> str:
        """Return the figure as SVG text."""
        buffer = io.BytesIO()
        with use_style():
            self.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue().decode()

    def to_png(self) -> bytes:
        """Return the figure as PNG."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()

    def to_html(self) -> str:
        """Return the figure as a self-contained HTML ``<figure>`` with its caption."""
        return write_figure(self.to_svg(), self.caption)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        width, height = (round(v * _DPI) for v in self.get_size_inches())
        data = {"image/png": self.to_png(), "text/plain": self.caption or repr(self)}
        details = {"width": width, "height": height, "alt": self.caption}
        return data, {"image/png": details}
