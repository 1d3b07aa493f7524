"""The page about a run: verdict and findings first, then recording, figures, steps and code."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.benchmark.environment import Environment
from facet_nb.core import PipelineResult
from facet_nb.core.errors import FacetError
from facet_nb.core.findings import Finding
from facet_nb.core.quality import Measure
from facet_nb.core.storage.originals import PAGES, check_kind_of_file, list_files
from facet_nb.io.atomic_write import check_target, stage
from facet_nb.io.provenance import hash_file, read_provenance
from facet_nb.report import figures
from facet_nb.report.code import list_parameters, list_settings, repeat_run
from facet_nb.report.measure import TriggerTrain, read_train
from facet_nb.report.pair import Pair

if TYPE_CHECKING:
    import mne

#: Channels and spans of a finding that are listed.
_LISTED = 12

Section = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class RunReport:
    """One self-contained page about a run; a notebook shows it inline.

    Attributes
    ----------
    title : str
        Title of the page.
    body : str
        Its content as HTML, without scripts, and without anything that would be loaded.
    """

    title: str
    body: str

    def to_html(self) -> str:
        """Return the page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{read_style()}</style></head>"
            f'<body class="fnb-page"><main class="fnb-report">{self.body}</main></body></html>\n'
        )

    def save(self, path: str | Path, overwrite: bool = True) -> Path:
        """Write the page; it appears under its name when it is complete.

        Parameters
        ----------
        path : path
            The file; missing folders are created.
        overwrite : bool
            Whether to replace an existing file.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FacetError
            If it cannot be written.
        """
        target = Path(path).expanduser()
        check_target(target, overwrite)
        check_kind_of_file(target, PAGES)
        content = self.to_html().encode(errors="backslashreplace")
        with stage(target, len(content)) as folder:
            (folder / target.name).write_bytes(content)
        return target

    def _repr_html_(self) -> str:
        return f'<style>{read_style()}</style><div class="fnb-report">{self.body}</div>'

    def __repr__(self) -> str:
        return f"<RunReport | {self.title}>"


def read_style() -> str:
    """Return the style sheet of the pages."""
    return resources.files("facet_nb.report").joinpath("report.css").read_text("utf-8")


def make_report(result: PipelineResult, path: str | Path | None = None) -> RunReport:
    """Return the page about a result, and write it if there is a `path`.

    Parameters
    ----------
    result : PipelineResult
        The result of a run, good or failed. Of samples in files, only the windows that are shown
        or measured are read.
    path : path | None
        Where to write the page.

    Returns
    -------
    RunReport
        The page.

    Raises
    ------
    FacetError
        If it cannot be written.
    """
    if path is not None:
        check_kind_of_file(path, PAGES)  # before the work, not after it
    report = _RunWriter(result).write()
    if path is not None:
        report.save(path)
    return report


class _RunWriter:
    """Writes the sections of a page."""

    def __init__(self, result: PipelineResult) -> None:
        self.result = result
        self.pair = Pair.of(result)

    @cached_property
    def train(self) -> TriggerTrain | None:
        """The triggers of the run."""
        return read_train(self.pair)

    def write(self) -> RunReport:
        """Return the page."""
        named = self.pair.target or self.pair.source
        name = Path(named).name if named else "recording in memory"
        sections = [section for make in self._list_makers() for section in make()]
        body = write_body("report of a run", name, self._write_outcome(), sections)
        return RunReport(f"{name}: report", body)

    def _list_makers(self) -> list[Callable[[], Iterable[Section]]]:
        return [
            self._quality,
            self._findings,
            self._recording,
            self._triggers,
            lambda: figures.show_signals(self.pair, self.train),
            self._steps,
            self._origin,
            self._code,
        ]

    # -------------------------------------------------------------------------------- in words
    def _write_outcome(self) -> str:
        result = self.result
        counts = Counter(finding.severity for finding in result.findings)
        words = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()]
        told = ", ".join(words) or "no findings"
        state = "done" if result.success else ("cancelled" if result.cancelled else "failed")
        badge = f'<span class="fnb-badge fnb-{state}">{state}</span>'
        error = (
            "" if result.error is None else f'<p class="fnb-error">{escape(str(result.error))}</p>'
        )
        text = f"{badge} in {result.execution_time:.2f} s; {told}."
        return f'<p class="fnb-outcome">{text}</p>{error}'

    def _quality(self) -> Iterable[Section]:
        quality = self.result.quality
        if quality.verdict == "not measured" and not quality.measures:
            return
        word, text = escape(quality.verdict), escape(quality.sentence)
        # What exceeds its limit comes first.
        measures = sorted(quality.measures, key=lambda measure: measure.verdict != "check")
        rows = [_list_cells(measure) for measure in measures]
        heads = ["measure", "value", "limit", "verdict"]
        n_marked = sum(measure.verdict == "check" for measure in measures)
        table = write_table(heads, rows, n_marked=n_marked) if rows else ""
        kind = "fnb-verdict fnb-check" if quality.verdict == "check" else "fnb-verdict"
        yield "verdict", "Verdict", f'<p class="{kind}"><strong>{word}</strong>: {text}</p>{table}'

    def _findings(self) -> Iterable[Section]:
        items = "".join(map(write_finding, self.result.findings))
        text = f'<ul class="fnb-findings">{items}</ul>' if items else "<p>Nothing was found.</p>"
        yield "findings", "Findings", text

    def _recording(self) -> Iterable[Section]:
        rows = [("file", Path(self.pair.source).name if self.pair.source else "none: in memory")]
        for label, raw in (("recorded", self.pair.before), ("result", self.pair.after)):
            if raw is not None:
                rows.append((label, _describe(raw)))
        raw = self.pair.before if self.pair.before is not None else self.pair.after
        if raw is not None:
            types = Counter(raw.get_channel_types())
            rows.append(("channels", ", ".join(f"{n} {kind}" for kind, n in types.items())))
            rows.append(("bad channels", ", ".join(raw.info["bads"]) or "none"))
            marks = Counter(map(str, raw.annotations.description)).most_common(8)
            rows.append(("annotations", ", ".join(f"{t} × {n}" for t, n in marks) or "none"))
        if self.pair.target:
            rows.append(("written to", Path(self.pair.target).name))
        note = ""
        if self.pair.after is None:
            note = (
                "<p>The samples of the result are neither in memory nor in a file that is still "
                "there: there are no figures of it.</p>"
            )
        yield "recording", "Recording", write_table([], rows) + note

    def _triggers(self) -> Iterable[Section]:
        if self.train is not None:
            yield "triggers", "Triggers", figures.show_train(self.train)

    # ------------------------------------------------------------------------ how it was made
    def _steps(self) -> Iterable[Section]:
        result, state = self.result, self.result.state
        history = [] if self.pair.context is None else self.pair.context.get_history()
        made = "".join(f"<li>{_write_step(step)}</li>" for step in history)
        times = zip(state.steps, state.step_wall_s, state.step_cpu_s, strict=True)
        rows = [(name, f"{wall:.3f}", f"{cpu:.3f}") for name, wall, cpu in times]
        body = f"<ol class='fnb-steps'>{made}</ol>" if made else ""
        if rows:
            caption = "Measured time, summed over batches: with several workers times overlap."
            body += write_table(["step", "wall (s)", "CPU (s)"], rows, caption)
        settings = [(name, str(value)) for name, value in list_settings(result).items()]
        if result.plan is not None and result.plan.reason:
            settings.append(("chosen because", result.plan.reason))
        settings.append(("duration", f"{result.execution_time:.2f} s"))
        if state.peak_rss_bytes:
            peak = f"{state.peak_rss_bytes / 1e6:.0f} MB, resident, libraries included (measured)"
            settings.append(("peak memory of one process", peak))
        forecast = getattr(result.plan, "forecast", None)
        if forecast is not None:
            settings.append(
                ("memory beforehand", f"{forecast.peak_bytes / 1e6:.0f} MB (predicted)")
            )
        yield "steps", "Steps, settings and times", body + write_table([], settings)

    def _origin(self) -> Iterable[Section]:
        machine = Environment.of_this_machine()
        rows = [("report", f"{datetime.datetime.now():%Y-%m-%d %H:%M}")]
        rows += [("machine of the report", machine.label)]
        rows += [(name, version) for name, version in machine.packages]
        body = write_table([], rows)
        hashes = self._list_inputs()
        if hashes:
            cells = [(str(e["file"]), f"{e['bytes']:,}", str(e["sha256"])) for e in hashes]
            body += write_table(["input file", "bytes", "SHA-256"], cells)
        else:
            body += "<p>The recording was made in memory: there is no input file.</p>"
        yield "origin", "Versions and input", body

    def _list_inputs(self) -> Sequence[Any]:
        """Return names and hashes of the input files; from the provenance of the output if any."""
        if self.pair.target and Path(self.pair.target).is_file():
            try:
                return read_provenance(self.pair.target).inputs
            except FacetError:
                pass  # written without provenance: the files are hashed here
        paths = [self.pair.source] if self.pair.source else []
        return [hash_file(file) for file in list_files([self.pair.before], paths)]

    def _code(self) -> Iterable[Section]:
        code = escape(repeat_run(self.result, self.pair))
        note = "<p>In the folder of the recording; folders are not written in reports.</p>"
        yield "code", "The same in Python", f'{note}<pre tabindex="0"><code>{code}</code></pre>'


def _describe(raw: mne.io.BaseRaw) -> str:
    sfreq = float(raw.info["sfreq"])
    date = raw.info["meas_date"]
    begin = "" if date is None else f", begun {date:%Y-%m-%d %H:%M:%S} UTC"
    return f"{len(raw.ch_names)} channels × {raw.n_times / sfreq:.1f} s at {sfreq:g} Hz{begin}"


def write_finding(finding: Finding) -> str:
    """Return a finding as an item of a list."""
    places = []
    if finding.channels:
        more = len(finding.channels) - _LISTED
        names = ", ".join(finding.channels[:_LISTED]) + (f", … {more} more" if more > 0 else "")
        places.append(f"Channels: {names}.")
    if finding.span_s:
        more = len(finding.span_s) - _LISTED
        spans = ", ".join(_write_span(*span) for span in finding.span_s[:_LISTED])
        places.append(f"At {spans}" + (f", … {more} more." if more > 0 else "."))
    step = f" <span class='fnb-where'>{escape(finding.step)}</span>" if finding.step else ""
    detail = escape(" ".join(filter(None, [finding.detail, *places])))
    remedy = f"<p class='fnb-remedy'>{escape(finding.remedy)}</p>" if finding.remedy else ""
    return (
        f'<li class="fnb-finding fnb-{finding.severity}"><h3>'
        f'<span class="fnb-severity">{finding.severity}</span> {escape(finding.title)}{step}</h3>'
        f"<p>{detail}</p>{remedy}"
        f'<p class="fnb-docs">Documentation: Findings, {escape(finding.code)}</p></li>'
    )


def _write_span(begin_s: float, end_s: float) -> str:
    return f"{begin_s:.2f} s" if end_s - begin_s < 0.01 else f"{begin_s:.2f}–{end_s:.2f} s"


def _write_step(step: Any) -> str:
    text = ", ".join(f"{k}={_shorten(v)}" for k, v in list_parameters(step).items())
    return f"<strong>{escape(step.name)}</strong> <span>{escape(text)}</span>"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _list_cells(measure: Measure) -> tuple[str, ...]:
    """Return title, value, limit and verdict of a measure as text; the latter with its reason."""
    value, limit = (_write_value(v, measure.unit) for v in (measure.value, measure.limit))
    why = f": {measure.detail}" if measure.verdict != "good" and measure.detail else ""
    return measure.title, value, limit, measure.verdict + why


def _write_value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}".strip()


def write_body(kind: str, name: str, outcome: str, sections: Sequence[Section]) -> str:
    """Return the content of a page: its title and outcome, links to the sections, the sections."""
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in sections)
    parts = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>'
        f"{text}</section>"
        for key, title, text in sections
    )
    return (
        f"<header><p class='fnb-kind'>facet_nb, {kind}</p><h1>{escape(name)}</h1>{outcome}</header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{parts}'
    )


def write_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", n_marked: int = 0
) -> str:
    """Return a table; without heads, the first cell of each row is its head.

    The first `n_marked` rows stand out.
    """
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    head = f"<thead><tr>{head}</tr></thead>" if heads else ""
    lines = []
    for i, (first, *rest) in enumerate(rows):
        cells = "".join(f"<td>{escape(text)}</td>" for text in rest)
        mark = ' class="fnb-check"' if i < n_marked else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
    label = escape(caption or (heads[0] if heads else "Properties"))
    return (
        f'<div class="fnb-wide" role="group" aria-label="{label}"><table>{title}{head}'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
