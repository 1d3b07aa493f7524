"""Results side by side as HTML: both ready-made chains from the start, and the kept runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from facet_nb.models.pair_model import ComparedResult
from facet_nb.models.session_states import write_duration
from facet_nb.widgets.fragments import write_text

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

_EXPLAIN = {
    "explain": "The mode changes how long you wait and how much memory it takes. It never changes "
    "the EEG. Change the chain instead, and the difference shows what the chain did.",
    "expert": "Scores are those of the window and channels in view. Memory is the growth over the "
    "start of a run in a fresh process: Measure in Tune, with this setting.",
}
_HEADS = ("A", "B", "", "time", "memory added", "RMS", "at slices", "to the truth")


def write_pair(model: StudioModel) -> str:
    """Return the table of results, and the difference of two of them."""
    pair = model.pair
    if not pair.candidates:
        return '<section class="fnb-card"><p>Load a recording first.</p></section>'
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = "".join(_write_row(c, pair.one, pair.two) for c in pair.candidates)
    if pair.error:
        said = f'<h3 class="fnb-bad">■ Not compared</h3><p>{write_text(pair.error)}</p>'
    elif pair.text:
        big, small = map(write_text, pair.text)
        said = f'<p class="fnb-verdict" role="status">{big}</p><p>{small}</p>'
    else:
        said = '<p role="status">Comparing …</p>'
    return (
        '<section class="fnb-card"><header><h3>Side by side</h3><span class="fnb-small">A − B is '
        'what the signal shows</span></header><div class="fnb-scroll" tabindex="0" role="region" '
        f'aria-label="Results"><table class="fnb-pair"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
        f'<section class="fnb-card fnb-outcome">{said}<p class="fnb-small">{_EXPLAIN[model.words]}'
        "</p></section>"
    )


def _write_row(c: ComparedResult, one: str, two: str) -> str:
    radios = "".join(
        f'<td><input type="radio" name="{side}" data-act="pair" data-value="{write_text(c.name)}" '
        f'aria-label="{write_text(c.name)} as {side}"{" checked" if c.name == chosen else ""}'
        f"{' disabled' if c.context is None else ''}></td>"
        for side, chosen in (("A", one), ("B", two))
    )
    name = write_text(c.name)
    if c.context is None:
        why = f'<td colspan="5" class="fnb-limited">{write_text(c.note)}</td>'
        return f'<tr>{radios}<th scope="row">{name}</th>{why}</tr>'
    where = "" if c.whole else ' <span class="fnb-small">where you look</span>'
    cells = (
        "–" if math.isnan(c.time_s) else write_duration(c.time_s),
        _write(c.memory_mb, "+.0f", " MB"),
        _write(c.rms_uv, ".1f", " µV"),
        _write(c.harmonics_db, "+.1f", " dB"),
        _write(c.snr_db, ".1f", " dB"),
    )
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr>{radios}<th scope="row">{name}{where}</th>{row}</tr>'


def _write(value: float, form: str, unit: str) -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else "–"
