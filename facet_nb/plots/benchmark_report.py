"""Write a benchmark table as a self-contained HTML page."""

from __future__ import annotations

from html import escape

from facet_nb.benchmark import Advice, BenchmarkTable
from facet_nb.core.errors import ValidationError
from facet_nb.plots import picture as pic
from facet_nb.plots.heat_map import plot_heat_map
from facet_nb.plots.lost_time import plot_step_bars, plot_waterfall
from facet_nb.plots.memory import plot_memory
from facet_nb.plots.pareto import plot_pareto
from facet_nb.plots.scaling import plot_scaling

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: .2rem .45rem; font-size: .9em; border-bottom: 1px solid #ccc; text-align: left; }
caption { text-align: left; padding-bottom: .4rem; }
figure { margin: 0 0 1.5rem; } figcaption { color: #444; }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto; }
"""


def write_benchmark_report(table: BenchmarkTable, advice: Advice | None = None) -> str:
    """Return a page with advice, table and figures.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    advice : Advice | None
        The recommendation to show, if any.

    Returns
    -------
    str
        HTML in which all names are escaped.
    """
    parts = [f"<h1>{escape(table.subject.pipeline)}</h1>"]
    if advice is not None:
        parts += ["<h2>Advice</h2>", advice._repr_html_()]
    parts += ["<h2>Measurements</h2>", table._repr_html_()]
    for title, picture in list_pictures(table):
        parts += [f"<h2>{title}</h2>", picture.to_html()]
    steps = "".join(f"<li><code>{escape(step)}</code></li>" for step in table.subject.steps)
    parts += ["<h2>Steps</h2>", f"<ol>{steps}</ol>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(table.subject.pipeline)}: benchmark</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def list_pictures(table: BenchmarkTable) -> list[tuple[str, pic.Picture]]:
    """Return the figures for which a table holds data, with their titles."""
    if table.base is None:
        raise ValidationError("the table has no serial run, with which figures compare.")
    found = [("Time against memory", plot_pareto(table)), ("Scaling", plot_scaling(table))]
    if len({r.configuration.n_workers for r in table.rows}) > 1:
        found.append(("Outer and inner workers", plot_heat_map(table)))
    if any(r.configuration.workers > 1 and r.point.usable for r in table.rows):
        found.append(("Lost time", plot_waterfall(table)))
    found.append(("Steps", plot_step_bars(table)))
    watched = [r for r in table.rows if r.point.memory is not None]
    if watched:
        largest = max(watched, key=lambda r: r.point.memory.peak_mb)  # type: ignore[union-attr]
        for row in dict.fromkeys([watched[0], largest]):
            found.append(("Memory", plot_memory(row.point)))
    return found
