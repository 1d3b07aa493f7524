"""Parts of the studio as HTML: head, rail, transport, findings and result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facet_nb.benchmark.measurement import find_mode
from facet_nb.core.errors import FacetError
from facet_nb.core.findings import Finding
from facet_nb.core.planning.modes.registry import describe_mode, list_mode_names
from facet_nb.models.remedies import (
    Remedy,
    find_chain_remedy,
    find_failure_remedy,
    find_remedy,
)
from facet_nb.models.saving_model import FORMATS
from facet_nb.models.session_states import (
    count_channels,
    find_effective,
    is_outdated,
    list_findings,
    list_states,
    write_duration,
)
from facet_nb.models.studio_model import STATES
from facet_nb.models.study_scripts import TARGETS
from facet_nb.models.timeline import Timeline, plan_timeline
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.timeline_view import write_added, write_legend, write_timelines

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

#: Marks of states and severities: colour never stands alone.
_MARKS = {"done": "✓", "look": "!", "wrong": "■", "busy": "…"}
_SEVERITIES = {"error": "■ serious", "warning": "▲ check", "note": "● note"}
_NEXT = {
    "Recording": "Next: chain →",
    "Chain": "Next: run →",
    "Run": "Next: tune →",
    "Tune": "Next: save →",
}
_KINDS = {
    "recording": ("Corrected recording", "with its provenance beside it"),
    "report": ("Report", "one page, without a kernel"),
    "script": ("Script", "takes a recording, stops with an error if it fails"),
    "notebook": ("Notebook", "the same in one cell"),
}
#: Findings that are shown at once, and runs in one picture.
_FINDINGS, _RUNS = 3, 4


def write_button(
    label: str,
    act: str,
    value: object = "",
    *,
    css: str = "",
    key: str = "",
    disabled: bool = False,
    more: str = "",
) -> str:
    """Return a button that reports `act` and `value`; `more` are further attributes."""
    shortcut = f' data-key="{write_text(key)}"' if key else ""
    off = " disabled" if disabled else ""
    return (
        f'<button type="button" class="fnb-b {css}" data-act="{act}" '
        f'data-value="{write_text(value)}"{shortcut}{off}{more}>{write_text(label)}</button>'
    )


# ------------------------------------------------------------------------------------ head, rail
def write_head(model: StudioModel) -> str:
    """Return the top bar: name of the recording, what it is, and the wording."""
    summary = model.recording.summary
    kinds = {"example": "Example recording", "simulation": "Simulation"}
    kind, path = model.recording.loaded
    name = kinds.get(kind, path.rpartition("/")[2] or "Recording")
    truth = ", simulated, truth known" if hasattr(model.recording.source, "snr_db") else ""
    size = model.recording.describe()
    samples = "" if summary is None else f" · {summary.n_channels * summary.n_times:,} samples"
    words = "".join(
        f'<button type="button" class="fnb-b" role="radio" data-act="words" data-value="{value}" '
        f'aria-checked="{str(model.words == value).lower()}">{value.capitalize()}</button>'
        for value in ("explain", "expert")
    )
    return (
        '<div class="fnb-top"><b class="fnb-brand">facet_nb Studio</b>'
        f'<span class="fnb-what"><b>{write_text(name)}</b>{truth} · {write_text(size)}'
        f'<span class="fnb-wide">{samples.replace(",", " ")}</span></span>'
        + write_button("Open…", "show", "Recording")
        + f'<span class="fnb-seg" role="radiogroup" aria-label="Wording">{words}</span>'
        + '<details class="fnb-help"><summary aria-label="Keys">?</summary><p>1 to 5: states · '
        "R: run · Esc: cancel · on the signal: arrows, + and −, [ and ], Space swaps before and "
        "after, A chooses the amplitude.</p></details></div>"
    )


def write_rail(model: StudioModel) -> str:
    """Return the list of states, the button of the next one, and the runs."""
    items = []
    shown = "Run" if model.screen == "Compare" else model.screen
    for number, state in enumerate(list_states(model), 1):
        here = state.name == shown
        mark = _MARKS.get(state.mark, str(number))
        current = ' aria-current="step"' if here else ""
        items.append(
            f'<li class="fnb-state fnb-is-{state.mark or "open"}{" fnb-here" if here else ""}">'
            f'<button type="button" data-act="show" data-value="{state.name}" data-key="{number}"'
            f'{current}><i aria-hidden="true">{mark}</i><b>{state.name}</b>'
            f"<span>{write_text(state.line)}</span></button>"
            + (_write_next(model, state.name) if here and state.name in _NEXT else "")
            + "</li>"
        )
    runs = "".join(
        f'<li><i class="fnb-ring">{t.number}</i>{write_text(_shorten(t))}'
        f"<span>{write_duration(t.stop_s)}</span></li>"
        for t in model.run.timelines[-_RUNS:]
    )
    none = '<p class="fnb-small">None yet. Each run becomes a dot in Tune.</p>'
    return (
        f'<nav aria-label="Session"><ol class="fnb-states" data-arrows>{"".join(items)}</ol></nav>'
        f'<div class="fnb-runs"><b>Your runs</b>{f"<ul>{runs}</ul>" if runs else none}'
        f'<p class="fnb-small">{model.run.cores} core{"" if model.run.cores == 1 else "s"} may be '
        "used</p></div>"
    )


def _shorten(timeline: Timeline) -> str:
    """Return mode and workers of a run, abbreviated."""
    short = find_mode(timeline.mode).short_label or timeline.mode
    return timeline.workers_text.replace(timeline.mode, short, 1)


def _write_next(model: StudioModel, name: str) -> str:
    value = STATES[STATES.index(name) + 1]
    ready = name != "Run" or model.run.status == "done"
    css = "fnb-primary" if ready and not model.run.running else ""
    return write_button(_NEXT[name], "show", value, css=f"fnb-next {css}")


# ------------------------------------------------------------------------------------- transport
def write_transport(model: StudioModel) -> str:
    """Return modes, workers, batch, memory budget, forecast, and the Run button."""
    run, expert = model.run, model.words == "expert"
    names = list_mode_names()
    modes = "".join(
        f'<button type="button" class="fnb-b" role="radio" data-act="set" data-name="mode" '
        f'data-value="{write_text(n)}" tabindex="{0 if n == run.mode else -1}" '
        f'aria-checked="{str(n == run.mode).lower()}"><b>{write_text(n)}</b>'
        f"<span>{write_text(describe_mode(n, expert))}</span></button>"
        for n in names
    )
    found = find_effective(run)
    jobs = found.why_jobs and f"runs as {found.n_jobs}: {found.why_jobs}"
    threads = found.why_workers and f"runs as {found.n_workers}: {found.why_workers}"
    if expert:
        jobs = jobs or f"outer: {run.n_jobs} of {run.cores}"
        threads = threads or f"inner: {run.n_workers} of {run.cores}"
    jobs = jobs or ("one after another" if run.n_jobs == 1 else f"{run.n_jobs} batches at once")
    threads = threads or f"{run.n_workers} thread{'' if run.n_workers == 1 else 's'} in each"
    return (
        '<div class="fnb-strip-row"><span class="fnb-seg fnb-modes" role="radiogroup" '
        f'aria-label="Mode">{modes}</span>'
        + _write_stepper(model, "n_jobs", jobs, bool(found.why_jobs))
        + _write_stepper(model, "n_workers", threads, bool(found.why_workers))
        + '<span class="fnb-fields">'
        + _write_field("batch", "batch_size", run.batch_size or "auto")
        + _write_field("budget", "memory_budget", run.memory_budget or "none")
        + f'</span><span class="fnb-start"><span class="fnb-cost">{_write_forecast(model)}</span>'
        + f"{_write_go(model)}</span></div>"
    )


def _write_stepper(model: StudioModel, name: str, note: str, limited: bool) -> str:
    value, most, asked = getattr(model.run, name), model.run.cores, model.asked(name)
    if asked > value and not limited:
        note, limited = f"runs as {value}: this machine has {most}", True
    elif asked < 0 and not limited:
        note = f"all cores: {value}" if asked == -1 else f"all but {-1 - asked}: {value}"
    field = (
        f'<input type="text" inputmode="numeric" class="fnb-count" data-act="ask" name="{name}" '
        f'value="{asked}" aria-label="{name}; -1 for all cores">'
    )
    down = write_button(
        "−", "step", -1, disabled=value <= 1, more=f' data-name="{name}" aria-label="{name}: less"'
    )
    up = write_button(
        "+",
        "step",
        1,
        disabled=value >= most,
        more=f' data-name="{name}" aria-label="{name}: more"',
    )
    css = "fnb-limited" if limited else "fnb-small"
    return (
        f'<span class="fnb-stepper" role="group" aria-label="{name}"><span>{name}'
        f'<span class="fnb-seg">{down}{field}{up}</span></span>'
        f'<span class="{css}">{write_text(note)}</span></span>'
    )


def _write_field(label: str, name: str, value: object) -> str:
    return (
        f'<label><span>{label}</span><input type="text" data-act="set" name="{name}" '
        f'value="{write_text(value)}"></label>'
    )


def _write_forecast(model: StudioModel) -> str:
    try:
        forecast = model.run.forecast()
    except FacetError as error:
        return f'<span class="fnb-limited">{write_text(error)}</span>'
    time = "time unknown" if forecast.time_s is None else _write_range(*forecast.time_s)
    memory = forecast.memory_bytes
    # Short: beside a longer text the strip takes a second line, and the picture below loses it.
    peak = "predicted" if memory is None else f"predicted, {memory / 1e6:.0f} MB"
    if memory is None and forecast.time_s is None:
        peak = ""
    basis, meant = write_text(forecast.basis), "memory of the process and its workers in all"
    return (
        f'<b title="time {basis}">{time}</b><span class="fnb-small" title="{meant}">{peak}</span>'
    )


def _write_range(low_s: float, high_s: float) -> str:
    """Return a range of times, with its unit once."""
    low, high = write_duration(low_s), write_duration(high_s)
    if low == high:
        return f"about {low}"
    unit = high.split()[-1]
    return f"{low.removesuffix(f' {unit}')} to {high}"


def _write_go(model: StudioModel) -> str:
    run = model.run
    if run.running:
        percent = round(100 * run.state.fraction)
        label = "Cancelling…" if run.status == "cancelling" else f"■ Cancel · {percent} %"
        style = f' style="--done:{percent}%"'
        off = run.status == "cancelling"
        css = "fnb-go fnb-busy"
        return write_button(label, "cancel", css=css, key="Escape", disabled=off, more=style)
    primary = "fnb-primary" if run.result is None and model.screen == "Run" else ""
    label = "▶ Run again" if run.result is not None else "▶ Run"
    css = f"fnb-go {primary}"
    return write_button(label, "run", css=css, key="r", disabled=bool(run.blocked))


# ------------------------------------------------------------------------------------------- run
def write_run(model: StudioModel, live: bool = True) -> str:
    """Return the timeline and the result of the runs; for a page without a kernel if not `live`."""
    timelines, note = list_timelines(model)
    title = "Workers" if len(timelines) < 2 else f"Your {len(timelines)} runs on one clock"
    return (
        f'<section class="fnb-card fnb-timeline"><header><h3>{title}</h3>'
        f"{write_legend(timelines)}</header>{write_timelines(timelines, note)}"
        f'<p class="fnb-foot">{write_button("Compare runs", "show", "Compare")}</p></section>'
        f'<section class="fnb-card fnb-outcome">{_write_outcome(model, live)}</section>'
    )


def list_timelines(model: StudioModel) -> tuple[list[Timeline], str]:
    """Return the timelines to draw, and a remark on a forecast."""
    run = model.run
    if run.running or run.status in ("failed", "cancelled"):
        return [run.timeline], ""
    if run.timelines and not is_outdated(model):
        return list(run.timelines[-_RUNS:]), ""
    summary = model.recording.summary
    try:
        plan = run.plan()
    except FacetError:
        return list(run.timelines[-_RUNS:]), ""
    n_channels = 1 if summary is None else summary.n_channels
    cpu_s = run.records[-1].step_cpu_s if run.records else ()
    known = len(cpu_s) == len(run.pipeline)
    planned = plan_timeline(plan, n_channels, cpu_s if known else ())
    note = f"about {write_duration(planned.stop_s)}" if known else "forecast: order only"
    return [*(run.timelines[-(_RUNS - 1) :] if known else ()), planned], note


def _write_outcome(model: StudioModel, live: bool) -> str:
    run = model.run
    if run.running:
        left = run.remaining_s
        more = "" if left is None else f"<p>about {write_duration(left)} left</p>"
        done = f"{100 * run.state.fraction:.0f} %"
        return (
            f'<p class="fnb-big" role="status">{done}</p>{more}'
            f"<p>{count_channels(model)[0]} of {count_channels(model)[1]} channels</p>"
        )
    if run.status == "failed":
        return _write_failure(model)
    if run.blocked:
        remedy = find_chain_remedy(model)
        button = "" if remedy is None else write_button(remedy.label, "remedy", "chain")
        why = f"<p>{write_text(run.blocked)}</p>"
        return f'<h3 class="fnb-bad">■ Run is not possible</h3>{why}{button}'
    if run.status == "cancelled":
        n = count_channels(model)[0]
        text = f"Cancelled. {n} channels were finished; nothing was changed."
        return f'<p role="status">{text}</p>'
    if run.result is None:
        view = (
            "The window above is corrected already, where you look. "
            if model.preview == "ready"
            else write_text(model.preview_note)
        )
        return (
            "<h3>What will happen</h3><p>The artifact repeats itself. The chain estimates it from "
            f"its repetitions and subtracts it.</p><p>{view}</p><p><b>Run</b> corrects the whole "
            "recording. The result is the same in all modes, bit for bit.</p>"
        )
    return _write_done(model, live)


def _write_done(model: StudioModel, live: bool) -> str:
    run, result = model.run, model.run.result
    assert result is not None  # checked by the caller
    if run.truth is not None:
        after, before = np.median(run.truth.after_db), np.median(run.truth.before_db)
        big = (
            f'<p class="fnb-big">{after:.1f} dB <small>from {before:.1f} dB</small></p>'
            '<p class="fnb-small">EEG against what is left of the artifact, by the known truth</p>'
        )
    else:
        big = ""
    added = run.timeline.added_mb
    memory = "" if added is None else f", {write_added(added)}"
    sentence = model.verdict or ("the quality is being measured …" if live else "done")
    state = sentence[:1].upper() + sentence[1:]
    if is_outdated(model):
        state = "These settings have not run yet: the result is that of the last run."
    entry = next((e for e in model.compare.entries if e.result is result), None)
    if entry is None or not entry.badge or "not" in entry.badge:
        checking = model.compare.status == "checking"
        label = "Checking …" if checking else "Check against serial"
        check = write_button(label, "check", disabled=checking)
    elif entry.is_same:
        check = f'<p class="fnb-ok" role="status">✓ Same as serial: {entry.difference}</p>'
    else:
        check = f"<p>{write_text(entry.difference)}</p>"
    return (
        f'<p class="fnb-verdict" role="status">{write_text(state)}</p>{big}'
        f"<p><span>Cost</span> <b>{write_duration(run.elapsed_s)}{memory}</b></p>{check}"
    )


def _write_failure(model: StudioModel) -> str:
    run = model.run
    where = run.state.failed_channel or run.state.failed_step or ""
    remedy = find_failure_remedy(model)
    button = (
        "" if remedy is None else write_button(remedy.label, "remedy", "failure", css="fnb-primary")
    )
    n = count_channels(model)[0]
    return (
        f'<h3 class="fnb-bad" role="status">■ Stopped{f" at {write_text(where)}" if where else ""}'
        f"</h3><p>{write_text(run.error)}</p><p>{n} channels were finished. The recording is "
        f"unchanged.</p>{button}"
    )


# -------------------------------------------------------------------------------------- findings
def write_findings(model: StudioModel) -> str:
    """Return the findings, with remedies."""
    found = list_findings(model)
    if model.recording.summary is None:
        return ""
    n = len(found)
    title = f"{n} thing{'s' if n > 1 else ''} to know" if n else "Nothing unusual was found"
    cards = [_write_finding(find_remedy(model, f), i, f) for i, f in enumerate(found)]
    more = len(cards) - _FINDINGS
    rest = (
        f"<details><summary>{more} more</summary>{''.join(cards[_FINDINGS:])}</details>"
        if more > 0
        else ""
    )
    undo = ""
    if model.remedied:
        done = f'<span class="fnb-ok">✓ {write_text(model.remedied)}</span> '
        undo = f'<p role="status">{done}{write_button("Undo", "undo")}</p>'
    checked = "" if n else "<p>Markers, units, gaps, clipping and quality were looked at.</p>"
    shown = "".join(cards[:_FINDINGS])
    return (
        f'<section class="fnb-card"><header><h3>{title}</h3></header>{undo}{checked}'
        f'<div class="fnb-findings">{shown}</div>{rest}</section>'
    )


def _write_finding(remedy: Remedy | None, index: int, finding: Finding) -> str:
    buttons = "" if remedy is None else write_button(remedy.label, "remedy", index)
    if finding.span_s:
        buttons += write_button("Show me", "look", finding.span_s[0][0])
    # Without a button, the remedy is given as text or code.
    advice = "" if remedy is not None else f'<p class="fnb-small">{write_text(finding.remedy)}</p>'
    title = finding.title[:1].upper() + finding.title[1:]
    return (
        f'<article class="fnb-finding fnb-{finding.severity}"><p class="fnb-severity">'
        f"{_SEVERITIES[finding.severity]}</p><h4>{write_text(title)}</h4>"
        f"<p>{write_text(finding.detail)}</p>{advice}<p>{buttons}</p></article>"
    )


# ------------------------------------------------------------------------------------------ save
def write_save(model: StudioModel) -> str:
    """Return the choice of what to save, and the scripts."""
    saving = model.saving
    ready = model.run.result is not None and model.run.result.context is not None
    boxes = "".join(
        f'<label class="fnb-kind"><input type="checkbox" data-act="kind" name="{kind}"'
        f"{' checked' if kind in saving.kinds else ''}> <b>{title}</b>"
        f'<span class="fnb-small">{note}</span></label>'
        for kind, (title, note) in _KINDS.items()
    )
    formats = "".join(
        f"<option{' selected' if suffix == saving.suffix else ''}>{suffix}</option>"
        for suffix in FORMATS
    )
    exists = "exists" in saving.error
    again = write_button("Replace", "save", "replace") if exists else ""
    saved = "".join(f"<li>{write_text(path)}</li>" for path in saving.files)
    said = "" if not saved else f'<p class="fnb-ok" role="status">✓ Saved:</p><ul>{saved}</ul>'
    if not ready:
        said = "<p>Run the chain first: a preview is computed where you look, and nowhere else.</p>"
    titles = {"The script of this run": (saving.script(), "")}
    if saving.study:
        usage = next(t.usage for t in TARGETS.values() if t.file == saving.study_file)
        save = write_button(f"Save {saving.study_file}", "study_save")
        titles["The script of the whole study"] = (saving.study, f" {save} {write_text(usage)}")
    copy = '<p><button type="button" class="fnb-b" data-copy="#fnb-script-'
    scripts = "".join(
        f"<details{' open' if k else ''}><summary>{title}</summary>"
        f'{copy}{k}">Copy</button>{more}</p>'
        f'<pre id="fnb-script-{k}" tabindex="0">{write_text(text)}</pre></details>'
        for k, (title, (text, more)) in enumerate(titles.items())
    )
    return (
        f'<section class="fnb-card"><div class="fnb-kinds">{boxes}</div><p class="fnb-save-row">'
        '<label>Name <input type="text" class="fnb-name" data-act="save_as" name="stem" '
        f'value="{write_text(saving.stem)}"></label><label>Format <select data-act="save_as" '
        f'name="suffix">{formats}</select></label>'
        + write_button("Save", "save", css="fnb-primary", disabled=not ready)
        + f'{again}</p>{said}</section><section class="fnb-card">{scripts}</section>'
    )
