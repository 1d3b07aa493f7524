"""The page about a study: a row for each recording, the ones to look at first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.findings import SEVERITIES, Finding
from facet_nb.core.study.rows import STATES, StudyRow
from facet_nb.report.page import RunReport, Section, write_body, write_table

#: Size of a course and of a distribution, in pixels.
_COURSE, _STRIP = (120, 26), (560, 44)
#: Modified z-score from which a recording is named as unusual (Iglewicz and Hoaglin, 1993).
_UNUSUAL = 3.5
#: Recordings that a list names.
_NAMED = 8
#: States in the order of the page; a study that is going on has two more.
_ORDER = (*STATES[:3], "running", *STATES[3:], "waiting")
#: States of recordings that have a result.
_ENDED = ("done", "skipped", "rejected")


def make_study_report(
    rows: Sequence[StudyRow],
    headers: Sequence[Mapping[str, Any]] = (),
    path: str | Path | None = None,
    most: int | None = None,
) -> RunReport:
    """Return the page about a study, and write it if there is a `path`.

    Parameters
    ----------
    rows : sequence of StudyRow
        The recordings, as in ``BatchResult.rows`` or read from a table. Those of a study that is
        going on may be ``"running"`` or ``"waiting"``.
    headers : sequence of dict
        What all of them have in common, one for each call; the last one counts.
    path : path | None
        Where to write the page; its links lead from there to the reports of recordings.
    most : int | None
        Most recordings in the table; None for all.

    Returns
    -------
    RunReport
        The page.

    Raises
    ------
    FacetError
        If it cannot be written.
    """
    folder = None if path is None else Path(path).expanduser().absolute().parent
    report = _StudyWriter(rows, headers[-1] if headers else {}, folder, most).write()
    if path is not None:
        report.save(path)
    return report


def sort_rows(rows: Iterable[StudyRow]) -> list[StudyRow]:
    """Return rows with the ones to look at first: by state, quality, findings and residual."""

    def rank(row: StudyRow) -> tuple[Any, ...]:
        checks = sum(measure.verdict == "check" for measure in row.quality.measures)
        worst = SEVERITIES.index(row.worst) if row.worst in SEVERITIES else -1
        state = _ORDER.index(row.state) if row.state in _ORDER else 0
        return state, row.quality.verdict != "check", -checks, -worst, -max(row.course_uv or [0.0])

    return sorted(rows, key=rank)


class _StudyWriter:
    """Writes the sections of the page."""

    def __init__(
        self,
        rows: Sequence[StudyRow],
        header: Mapping[str, Any],
        folder: Path | None,
        most: int | None,
    ) -> None:
        self.rows = sort_rows(rows)
        self.most = len(self.rows) if most is None else most
        self.header = header
        self.folder = folder
        self.names = _shorten_names(self.rows)
        highest = [max(row.course_uv) for row in rows if row.course_uv]
        self.top_uv = float(np.quantile(highest, 0.9)) * 1.1 if highest else 1.0

    def write(self) -> RunReport:
        """Return the page."""
        name = str(self.header.get("name") or "Study")
        made = (self._recordings, self._failures, self._distributions, self._settings)
        sections = [section for make in made for section in make()]
        body = write_body("report of a study", name, self._outcome(), sections)
        return RunReport(f"{name}: study", f"<div class='fnb-study'>{body}</div>")

    def _outcome(self) -> str:
        states = Counter(row.state for row in self.rows)
        verdicts = Counter(row.quality.verdict for row in self.rows if row.state == "done")
        order = ("done", "skipped", *STATES[:3], "running", "waiting")
        words = [f"{states[s]} {s}" for s in order if states[s]]
        told = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
        total_s = sum(row.time_s for row in self.rows)
        text = f"{len(self.rows)} recordings: {', '.join(words) or 'none'}."
        text += f" Quality of those done: {told}." if told else ""
        text += f" {_write_time(total_s)} of computation, summed over recordings."
        return f'<p class="fnb-outcome">{escape(text)}</p>'

    # ------------------------------------------------------------------------------- recordings
    def _recordings(self) -> Iterable[Section]:
        heads = ("recording", "state", "quality", "findings", "residual", "time", "memory")
        head = "".join(f'<th scope="col">{text}</th>' for text in heads)
        lines = "".join(map(self._write_row, self.rows[: self.most]))
        left = len(self.rows) - self.most
        rest = f" {left} more recordings are not shown." if left > 0 else ""
        note = (
            "<p class='fnb-docs'>The ones to look at first. Residual: RMS of the result in windows "
            "of 1 s over the recording, median over channels, without drifts; one scale for all, "
            f"0 to {self.top_uv:.3g} µV. Memory: the largest of the process, libraries included "
            f"(measured).{rest}</p>"
        )
        table = (
            '<div class="fnb-wide" tabindex="0" role="region" aria-label="Recordings"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
        )
        yield "recordings", "Recordings", note + table

    def _write_row(self, row: StudyRow) -> str:
        name = escape(self.names[row.input])
        link = self._link(row.report)
        name = f'<a href="{escape(link)}">{name}</a>' if link else name
        kinds = Counter(finding.severity for finding in row.findings)
        found = ", ".join(f"{kinds[s]} {s}" for s in reversed(SEVERITIES) if kinds[s])
        verdict = row.quality.verdict if row.state in _ENDED else "–"
        peak = f"{row.peak_bytes / 1e6:.0f} MB" if row.peak_bytes else "–"
        cells = [
            f'<span class="fnb-badge fnb-{row.state}">{row.state}</span>',
            f'<span title="{escape(row.quality.sentence)}">{verdict}</span>',
            _write_findings(found, row.findings) or ("none" if row.state in _ENDED else "–"),
            draw_course(row.course_uv, self.top_uv),
            _write_time(row.time_s) if row.time_s else "–",
            peak,
        ]
        return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'

    def _link(self, path: str | None) -> str:
        """Return the link from the page to a report; without a page, there is none."""
        if path is None or self.folder is None or not Path(path).exists():
            return ""
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # on Windows: on another drive
            return Path(path).as_uri()

    # --------------------------------------------------------------------------------- failures
    def _failures(self) -> Iterable[Section]:
        bad = [row for row in self.rows if row.error and row.state in STATES[:3]]
        if not bad:
            return
        groups: dict[tuple[str, str], list[StudyRow]] = {}
        for row in bad:
            groups.setdefault((row.state, row.error_type or ""), []).append(row)
        items = []
        for (state, kind), members in groups.items():
            texts = "".join(
                f"<p><strong>{escape(self.names[row.input])}</strong>: "
                f"{escape(row.error or '')}</p>"
                for row in members
            )
            title = f"{len(members)} {state}: {escape(kind)}"
            items.append(f'<li class="fnb-finding fnb-error"><h3>{title}</h3>{texts}</li>')
        yield "failures", "Failures", f'<ul class="fnb-findings">{"".join(items)}</ul>'

    # ---------------------------------------------------------------------------- distributions
    def _distributions(self) -> Iterable[Section]:
        done = [row for row in self.rows if row.state == "done"]
        series: dict[str, tuple[str, str, float | None, dict[str, float]]] = {}
        for row in done:
            for m in row.quality.measures:
                if m.value is not None and np.isfinite(m.value):
                    kept = series.setdefault(m.name, (m.title, m.unit, m.limit, {}))
                    kept[3][row.input] = m.value
            for key, title, unit, value in (
                ("course", "residual, median over time", "µV", _median(row.course_uv)),
                ("time", "time", "s", row.time_s or None),
                ("memory", "memory", "MB", row.peak_bytes / 1e6 or None),
            ):
                if value is not None:
                    series.setdefault(key, (title, unit, None, {}))[3][row.input] = value
        drawn = [self._draw(*entry) for entry in series.values() if len(entry[3]) > 1]
        if drawn:
            yield "distributions", "Distributions", "".join(drawn)

    def _draw(self, title: str, unit: str, limit: float | None, values: dict[str, float]) -> str:
        numbers = np.array(list(values.values()))
        middle = float(np.median(numbers))
        unusual = [name for name, value in values.items() if is_unusual(value, numbers)]
        text = f"{title}: median {middle:.3g} {unit}".strip()
        text += f", from {numbers.min():.3g} to {numbers.max():.3g}"
        text += "" if limit is None else f"; limit {limit:g}"
        if unusual:
            more = len(unusual) - _NAMED
            text += f". Unusual: {', '.join(self.names[name] for name in unusual[:_NAMED])}"
            text += f", … {more} more" if more > 0 else ""
        marked = [values[name] for name in unusual]
        picture = draw_strip(numbers, limit, marked, text) if np.ptp(numbers) else ""
        caption = f"<figcaption>{escape(text)}.</figcaption>"
        return f'<figure class="fnb-figure">{picture}{caption}</figure>'

    # --------------------------------------------------------------------------------- settings
    def _settings(self) -> Iterable[Section]:
        steps = self.header.get("steps", ())
        made = "".join(
            f"<li><strong>{escape(str(step.get('processor')))}</strong> "
            f"<span>{escape(_write_parameters(step))}</span></li>"
            for step in steps
        )
        body = f"<ol class='fnb-steps'>{made}</ol>" if made else ""
        named = ("began", "backend", "n_jobs", "memory_budget", "file_timeout")
        known = {key: self.header.get(key) for key in named}
        rows = [(key, str(value)) for key, value in known.items() if value is not None]
        rows += [(key, str(value)) for key, value in self.header.get("options", {}).items()]
        body += write_table([], rows) if rows else ""
        versions = [(key, str(value)) for key, value in self.header.get("versions", {}).items()]
        body += write_table([], versions, "Versions") if versions else ""
        if body:
            yield "settings", "Settings and versions", body


def _write_findings(count: str, findings: Sequence[Finding]) -> str:
    """Return their number as a summary that expands to titles and remedies."""
    items = "".join(
        f"<li><strong>{escape(f.title)}</strong> {escape(f.remedy)}</li>" for f in findings
    )
    return f"<details><summary>{count}</summary><ul>{items}</ul></details>" if items else ""


def _write_parameters(step: Mapping[str, Any]) -> str:
    given = step.get("parameters") or {}
    text = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return text or str(step.get("text", ""))


def _shorten_names(rows: Sequence[StudyRow]) -> dict[str, str]:
    """Return short names: file names, with their folders where a name occurs more than once."""
    count = Counter(Path(row.input).name for row in rows)
    paths = [os.path.abspath(row.input) for row in rows]
    try:
        shared = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    except ValueError:  # on Windows: on several drives
        shared = ""
    names = {}
    for row, path in zip(rows, paths, strict=True):
        name = Path(row.input).name
        names[row.input] = os.path.relpath(path, shared) if count[name] > 1 and shared else name
    return names


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def is_unusual(value: float, values: np.ndarray) -> bool:
    """Whether a value is far from the others, by their median absolute deviation.

    Parameters
    ----------
    value : float
        One of them.
    values : ndarray, shape (n_values,)
        All of them.
    """
    if len(values) < 8:  # the deviation of fewer values is too uncertain
        return False
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return bool(spread > 0 and abs(value - np.median(values)) > _UNUSUAL * spread)


def _write_time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def draw_course(course_uv: Sequence[float], top_uv: float) -> str:
    """Return the course of a residual as a small picture; a dash without one."""
    if len(course_uv) < 2:
        return "–"
    width, height = _COURSE
    x = np.linspace(1, width - 1, len(course_uv))
    y = height - 2 - (height - 4) * np.clip(np.asarray(course_uv) / top_uv, 0.0, 1.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    label = f"{np.median(course_uv):.3g} µV, at most {max(course_uv):.3g} µV"
    return (
        f'<svg class="fnb-course" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f'<title>{label}</title><polyline points="{points}"/></svg>'
    )


def draw_strip(values: np.ndarray, limit: float | None, marked: Sequence[float], label: str) -> str:
    """Return a distribution as dots on a line, with its quartiles, its limit, and marked dots."""
    width, height = _STRIP
    ends = [float(values.min()), float(values.max())]
    # A distant limit would squeeze all dots into a corner: it is then given in the text only.
    room = 2 * float(np.ptp(values))
    near = limit is not None and ends[0] - room <= limit <= ends[1] + room
    if near and limit is not None:
        ends = [min(ends[0], limit), max(ends[1], limit)]
    span = (ends[1] - ends[0]) or 1.0

    def place(value: float) -> float:
        return 10 + (width - 20) * (value - ends[0]) / span

    low, middle, high = (place(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
    parts = [
        f'<rect x="{low:.1f}" y="12" width="{max(high - low, 1):.1f}" height="20"/>',
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="8" y2="36"/>',
    ]
    if near and limit is not None:
        at = place(limit)
        parts.append(f'<line class="fnb-limit" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="42"/>')
    # Dots of equal values lie side by side: golden-ratio steps need no random numbers.
    for i, value in enumerate(np.sort(values)):
        y = 15 + 14 * ((i * 0.618) % 1.0)
        kind = ' class="fnb-marked"' if value in marked else ""
        parts.append(f'<circle{kind} cx="{place(float(value)):.1f}" cy="{y:.1f}" r="3.2"/>')
    return (
        f'<svg class="fnb-strip" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
