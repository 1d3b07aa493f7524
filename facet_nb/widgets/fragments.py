"""Fragments of HTML. All texts are escaped in this module, and only here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

from facet_nb.models.event_log import Entry


def write_text(text: object) -> str:
    """Return a text as HTML."""
    return escape(str(text), quote=True)


def _write_head(text: str) -> str:
    """Return a table head as HTML; names may wrap after an underscore."""
    return write_text(text).replace("_", "_<wbr>")


def write_table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]], css: str = "fnb-table"
) -> str:
    """Return a table whose first column holds the row heads."""
    # An empty head is written as a cell: screen readers would announce an empty head.
    head = "".join(f'<th scope="col">{_write_head(h)}</th>' if h else "<td></td>" for h in heads)
    body = "".join(
        f'<tr><th scope="row">{write_text(first)}</th>'
        + "".join(f"<td>{write_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    title = f'<caption style="text-align:left">{write_text(caption)}</caption>' if caption else ""
    return (
        f'<table class="{css}">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def write_scrolling(label: str, inner: str) -> str:
    """Return HTML that scrolls horizontally if needed, also by keyboard."""
    name = write_text(label)
    return f'<div class="fnb-scroll" tabindex="0" role="region" aria-label="{name}">{inner}</div>'


def write_log(log: Sequence[Entry], n_lines: int = 100) -> str:
    """Return the newest lines of a log, the newest first."""
    lines = "".join(
        f'<div class="fnb-log-{entry.kind}">'
        f"<time>{time.strftime('%H:%M:%S', time.localtime(entry.time_s))}</time> "
        f"{write_text(entry.text)}</div>"
        for entry in log[:n_lines]
    )
    empty = '<div class="fnb-quiet">No events yet.</div>'
    return (
        '<div class="fnb-quiet">Log, newest first</div>'
        '<div class="fnb-log-lines" tabindex="0" role="region" aria-label="Log">'
        f"{lines or empty}</div>"
    )


def write_error(headline: str, message: str, traceback: str) -> str:
    """Return an error with headline, message and collapsed traceback."""
    details = (
        f"<details><summary>Traceback</summary><pre>{write_text(traceback)}</pre></details>"
        if traceback
        else ""
    )
    return (
        f'<div class="fnb-error-box" role="alert"><strong>{write_text(headline)}</strong>'
        f"<p>{write_text(message)}</p>{details}</div>"
    )


def write_code_block(code: str) -> str:
    """Return source code as preformatted HTML."""
    return f'<pre class="fnb-code-text">{write_text(code)}</pre>'


def write_duration(seconds: float | None) -> str:
    """Return a duration as text: ``40 ms``, ``3.2 s``, ``1 min 05 s``."""
    if seconds is None:
        return "–"
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
