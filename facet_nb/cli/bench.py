"""The command ``bench``: measure modes and workers on a recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facet_nb.cli import chains, options
from facet_nb.cli.problems import report_errors, to_line

if TYPE_CHECKING:
    from facet_nb.benchmark import BenchmarkEvent

_DEFAULT_S = 120.0
#: What is measured without a recording: the subject of the course's tables.
_EXAMPLE = {"n_channels": 16, "sfreq": 2000.0, "duration_s": 60.0, "seed": 2}

_Repeats = Annotated[
    int | None,
    typer.Option(min=1, help="Timed runs of each. [as many as the time budget allows]"),
]
_TimeBudget = Annotated[float, typer.Option("--time-budget", min=1.0, help="Time budget, in s.")]
_Memory = Annotated[bool, typer.Option(help="Measure memory as well.")]


def bench(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="The recording. [a simulated one: 16 channels × 60 s at 2000 Hz]",
            show_default=False,
        ),
    ] = None,
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="File for the table.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="File for a report with figures.")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="Modes to measure; may be repeated. [all]")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Backends to measure. [threading and multiprocessing]"),
    ] = None,
    n_jobs: Annotated[
        list[int] | None, typer.Option(help="Numbers of outer workers. [1, 2, 4, … cores]")
    ] = None,
    n_workers: Annotated[
        list[int] | None, typer.Option(help="Numbers of inner threads. [1]")
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(min=1, help="Numbers of channels in a batch. [1]")
    ] = None,
    repeats: _Repeats = None,
    time_budget_s: _TimeBudget = _DEFAULT_S,
    memory: _Memory = True,
    memory_budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For the advice, e.g. 1.5GB.")
    ] = None,
    goal: Annotated[
        str, typer.Option(help="For the advice: fastest, smallest or balanced.")
    ] = "fastest",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure modes and workers, and recommend a configuration.

    Each configuration runs in a fresh process, and its result is compared with the serial one.
    Configurations that cannot be distinguished are called inconclusive.
    """
    with report_errors(debug):
        _check_wish(goal, memory_budget)
        _check_writable(out, html)
        _check_kinds(out, html)
        pipeline = chains.choose_chain(chain, trigger)
        wanted = {
            "modes": mode or None,
            "backends": backend or None,
            "n_jobs": n_jobs or None,
            "n_workers": n_workers or (1,),
            "batch_sizes": batch_size or (1,),
            "repeats": repeats,
            "time_budget_s": time_budget_s,
            "memory": memory,
        }
        wish = {"memory_budget": memory_budget, "goal": goal}
        _measure(pipeline, source or _EXAMPLE, wanted, out, html, wish, as_json)


def callers(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="The recording, or tables of --out (.json).")
    ],
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="File for the tables.")
    ] = None,
    window_s: Annotated[
        float, typer.Option("--window", min=0.1, help="Length of a window, in s.")
    ] = 10.0,
    repeats: _Repeats = None,
    time_budget_s: _TimeBudget = _DEFAULT_S,
    memory: _Memory = True,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show who gains from which workers: a viewer, streaming, batches with little memory.

    Components, stages and outer × inner workers, measured in fresh processes, and times that are
    predicted for machines with more cores.
    """
    with report_errors(debug):
        from facet_nb.benchmark import CallerTables, measure_callers

        _check_writable(out)
        _check_kinds(out)
        if source.suffix == ".json":
            tables = CallerTables.from_json(source)
        else:
            from facet_nb.io import load

            tables = measure_callers(
                chains.choose_chain(chain, trigger),
                load(source),
                window_s=window_s,
                repeats=repeats,
                time_budget_s=time_budget_s,
                memory=memory,
                on_event=_show,
            )
        text = "\n".join(to_line(line) for line in str(tables).splitlines())
        typer.echo(tables.to_json() if as_json else text)
        if out is not None:
            tables.to_json(out)
            typer.echo(f"written: {to_line(out)}", err=as_json)


def _measure(
    pipeline: Any,
    source: Path | dict[str, Any],
    wanted: dict[str, Any],
    out: Path | None,
    html: Path | None,
    wish: dict[str, Any],
    as_json: bool,
) -> None:
    from facet_nb.benchmark import advise, benchmark

    table = benchmark(pipeline, source, on_event=_show, **wanted)
    if out is not None:
        table.to_json(out)
    text = "\n".join(to_line(line) for line in table.summary().splitlines())
    typer.echo(table.to_json() if as_json else text)
    advice = None
    try:
        advice = advise(pipeline, source, table=table, **wish)
        told = ["", *(to_line(line) for line in str(advice).splitlines()[:4]), advice.code]
        typer.echo("\n".join(told), err=as_json)
    finally:  # the report is written even if nothing fits the memory budget
        if html is not None:
            from facet_nb.plots import write_benchmark_report

            html.write_text(write_benchmark_report(table, advice), encoding="utf-8")
    for path in (out, html):
        if path is not None:
            typer.echo(f"written: {to_line(path)}", err=as_json)


def _show(event: BenchmarkEvent) -> None:
    """Show on stderr what is being measured."""
    from facet_nb.benchmark import PointStarted

    if isinstance(event, PointStarted) and sys.stderr.isatty():
        left = "" if event.remaining_s is None else f", about {event.remaining_s:.0f} s left"
        label = event.configuration.label
        typer.echo(f"[{event.done + 1}/{event.total}{left}] {event.phase}: {label}", err=True)


def _check_wish(goal: str, memory_budget: str | None) -> None:
    """Check the options of the advice before anything is measured."""
    from facet_nb.core.memory import parse_bytes
    from facet_nb.core.planning.cost_model import GOALS

    if goal not in GOALS:
        raise typer.BadParameter(f"{goal!r} is not one of {', '.join(GOALS)}.")
    if memory_budget is not None:
        parse_bytes(memory_budget)


def _check_kinds(out: Path | None, html: Path | None = None) -> None:
    """Check that no file of another kind would be replaced."""
    from facet_nb.core.storage.originals import PAGES, TEXT, check_kind_of_file

    for path, suffixes in ((out, TEXT), (html, PAGES)):
        if path is not None:
            check_kind_of_file(path, suffixes)


def _check_writable(*paths: Path | None) -> None:
    """Check that files can be written, before minutes of work instead of after them."""
    from facet_nb.core.errors import ValidationError

    for path in paths:
        if path is not None and not path.resolve().parent.is_dir():
            raise ValidationError(f"{path.parent} is not a folder: create it first.")
        if path is not None and path.is_dir():
            raise ValidationError(f"{path} is a folder: give the name of a file.")
