"""The commands ``batch``, ``init``, ``report`` and ``advise``: correct many recordings."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facet_nb.cli import chains, options
from facet_nb.cli.findings import check_strict, describe_result, print_findings, print_json
from facet_nb.cli.problems import report_errors, to_line

if TYPE_CHECKING:
    from facet_nb.core import BatchResult, CancelToken, PipelineResult, StudyRow

#: Exit code of a command that Ctrl-C has ended, as shells and workflow managers know it.
_INTERRUPTED = 130

#: Interval between two checks for new recordings, in s.
_LOOK_S = 2.0

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS...",
        help="Recordings, patterns such as 'day*/*.vhdr', folders, a BIDS data set; or a run file "
        "(.yml) as written by init.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory of all recordings in flight, e.g. 4GB; with Dask, of each. [80 % of what is "
        "available]",
    ),
]
_Labels = list[str] | None


def _label(name: str) -> Any:
    return typer.Option(metavar="LABEL", help=f"Only this {name} of BIDS names; may be repeated.")


def batch(
    inputs: Inputs,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder for the <name>_corrected files and the table; of a BIDS data set, for its "
            "derivatives. A run file has its own.",
        ),
    ] = None,
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    n_jobs: Annotated[
        int | None,
        typer.Option(
            callback=options.check_workers,
            help="Most recordings at once; as many run as memory has room for. [-1: all cores]",
        ),
    ] = None,
    mode: options.BatchMode = None,
    backend: options.Backend = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="A zarr store, for workers of a Dask cluster that do not see the recordings: a "
            "folder, or a URL such as s3://bucket/scratch.",
        ),
    ] = None,
    n_workers: options.Workers = None,
    batch_size: options.BatchSize = None,
    dtype: options.Precision = None,
    memory_budget: Budget = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time limit of one recording.")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Further attempts at a recording that failed. [0]")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out recordings whose output exists.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Leave out recordings that an earlier call of the same has finished."
        ),
    ] = False,
    checkpoint: options.Checkpoint = None,
    anonymize: options.Anonymize = False,
    accept: options.Accept = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Write study.html, and a report of each recording in reports/."
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on with recordings that come later, until Ctrl-C."),
    ] = False,
    subject: Annotated[_Labels, _label("subject")] = None,
    session: Annotated[_Labels, _label("session")] = None,
    task: Annotated[_Labels, _label("task")] = None,
    run: Annotated[_Labels, _label("run")] = None,
    desc: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Label of the description in BIDS names; '' keeps the names of the recordings, "
            "as mne-bids-pipeline reads them. [facet]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which recordings would run at once, and stop.")
    ] = False,
    strict: options.Strict = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Correct many recordings.

    A failure does not stop the others. What is finished is kept, and listed in study.csv, whatever
    happens. Exit code: 0 if all recordings were corrected, 1 if one was not, 2 for wrong usage (or
    a warning, with --strict), 130 after Ctrl-C.
    """
    # Cycles may hold the samples of recordings that are done.
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    labels = {"subject": subject, "session": session, "task": task, "run": run}
    given = {
        "mode": mode,
        "n_workers": n_workers,
        "batch_size": batch_size,
        "dtype": dtype,
        "n_jobs": n_jobs,
        "backend": "dask" if dask else backend,
        "store": store,
        "memory_budget": memory_budget,
        "file_timeout": timeout,
        "retries": retries,
        "checkpoint": checkpoint,
        "accept": options.read_accept(accept),
        "desc": desc,
        "skip_existing": skip_existing or None,
        "resume": resume or watch or None,
        "anonymize": anonymize or None,
    }
    with report_errors(debug):
        file = _make_run_file(inputs, output, chain, trigger, labels)
        if dask:
            from facet_nb.core.backends.registry import connect_cluster

            connect_cluster(dask)
        wanted = {name: value for name, value in given.items() if value is not None}
        if report:
            wanted["reports"] = (output or file.folder / file.output) / "reports"
        with _stop_cleanly() as cancel:
            wanted = {**_add_defaults(file, wanted), "cancel": cancel}
            wanted["show_progress"] = True if sys.stderr.isatty() else None
            if dry_run:
                plan = file.make_study(**wanted).plan()
                print_json(plan.to_dict()) if as_json else typer.echo(str(plan))
                return
            for done in _watch(file, wanted) if watch else [file.make_study(**wanted).run()]:
                if report and done.table is not None and done.rows:
                    _write_page(done.table, done.table / "study.html")
    _show(done, as_json)
    if cancel.cancelled and not watch:
        raise typer.Exit(_INTERRUPTED)
    if not all(row.success for row in done.rows):
        raise typer.Exit(1)
    check_strict(strict, [finding for row in done.rows for finding in row.findings])


def _make_run_file(
    inputs: list[str],
    output: Path | None,
    chain: Path | None,
    trigger: str | None,
    labels: dict[str, list[str] | None],
) -> Any:
    """Return the run file that is named, or one of the arguments."""
    from facet_nb.batch import RunFile

    entities = {name: values for name, values in labels.items() if values}
    if len(inputs) == 1 and Path(inputs[0]).suffix.lower() in (".yml", ".yaml"):
        if chain is not None or trigger is not None or entities:
            raise typer.BadParameter("a run file has chain, trigger and labels of its own")
        file = RunFile.read(inputs[0])
        return file if output is None else file.with_output(output)
    if output is None:
        raise typer.BadParameter("--output is needed, except with a run file")
    place = str(output)
    if "{stem}" in place:  # for this command it is always a folder
        place = place.replace("{", "{{").replace("}", "}}") + "/{stem}_corrected{suffix}"
    return RunFile.of(chains.choose_chain(chain, trigger), inputs, place, entities)


def _add_defaults(file: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return options, with this command's defaults for those that the run file lacks."""
    usual = {"n_jobs": -1, "mode": options.BATCH_MODE}
    return {k: v for k, v in usual.items() if k not in file.options} | wanted


@contextlib.contextmanager
def _stop_cleanly() -> Iterator[CancelToken]:
    """Yield a token that Ctrl-C cancels; a second Ctrl-C ends the program at once."""
    from facet_nb.core import CancelToken

    token = CancelToken()
    if threading.current_thread() is not threading.main_thread():
        yield token
        return

    def stop(number: int, frame: Any) -> None:
        if token.cancelled:
            # Workers end with this process, and the next run removes its scratch files.
            os._exit(_INTERRUPTED)
        token.cancel()
        told = b"\nfacet-nb: stopping; what is finished is kept. Ctrl-C once more ends at once.\n"
        os.write(2, told)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield token
    finally:
        if not token.cancelled:  # otherwise a second Ctrl-C may still arrive
            signal.signal(signal.SIGINT, before)


def _watch(file: Any, wanted: dict[str, Any]) -> Iterator[BatchResult]:
    """Yield the study whenever there are new recordings, and finally once more.

    A recording that grew since the last check is left for a later one.
    """
    typer.echo("facet-nb: waiting for recordings; Ctrl-C ends.", err=True)
    known: set[Path] = set()
    sizes: dict[Path, int] = {}
    done = file.make_study((), **wanted).run()
    while not wanted["cancel"].cancelled:
        now = {path: sum(p.stat().st_size for p in _list_parts(path)) for path in _look(file)}
        ready = [path for path, size in now.items() if path in known or sizes.get(path) == size]
        if not known.issuperset(ready):
            known.update(ready)
            done = file.make_study(ready, **wanted).run()
            yield done
        sizes = now
        wanted["cancel"].wait(_LOOK_S)
    yield done


def _look(file: Any) -> list[Path]:
    """Return the present recordings; there may be none any more."""
    from facet_nb.core import ValidationError

    try:
        return [path for path in file.list_inputs() if path.exists()]
    except ValidationError:
        return []


def _list_parts(path: Path) -> list[Path]:
    return [part for part in path.parent.glob(f"{path.stem}.*") if part.is_file()]


def _show(done: BatchResult, as_json: bool) -> None:
    rows = list(zip(done.rows, done.results, strict=True))
    if as_json:
        print_json([_describe(row, result) for row, result in rows])
    else:
        typer.echo(_write_table(done))
    for row, _ in rows:
        print_findings(row.findings, to_line(row.input))


def _describe(row: StudyRow, result: PipelineResult) -> dict[str, Any]:
    """Return the outcome of a recording as plain values."""
    told = describe_result(row.input, row.output, result)
    values = row.to_dict()
    return told | {key: values[key] for key in values if key not in ("input", "output", "index")}


def _write_table(done: BatchResult) -> str:
    """Return a line for each recording: outcome, time, and its file or error."""
    width = max([len(to_line(name)) for name in done.inputs], default=len("recording"))
    lines = [f"{'recording':<{width}}  outcome   time (s)  quality       file or error"]
    for row in done.rows:
        what = to_line(row.output if row.success else row.error)
        lines.append(
            f"{to_line(row.input):<{width}}  {row.state:<9}{row.time_s:>9.2f}"
            f"  {row.quality.verdict:<12}  {what}"
        )
    good = sum(row.success for row in done.rows)
    return "\n".join([*lines, f"{good} of {len(done)} succeeded"])


def _write_page(folder: Path, path: Path) -> None:
    from facet_nb.core.study.table import StudyTable
    from facet_nb.report import make_study_report

    headers, rows = StudyTable(folder).read()
    make_study_report(rows, headers, path)
    typer.echo(f"written: {to_line(path)}", err=True)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders with the tables of batch (study.jsonl)."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="The page. [FOLDER/study.html]"),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write one page about a study: the recordings to look at first, failures, distributions.

    Several folders, such as those of the jobs of an array, give one page.
    """
    with report_errors(debug):
        from facet_nb.core.study.table import StudyTable
        from facet_nb.report import make_study_report

        headers: list[dict[str, Any]] = []
        rows: list[StudyRow] = []
        for folder in folders:
            more, found = StudyTable(folder).read()
            headers, rows = headers + more, rows + found
        path = output or folders[0] / "study.html"
        make_study_report(rows, headers, path)
        if as_json:
            print_json([row.to_dict() for row in rows])
        else:
            typer.echo(f"written: {to_line(path)} ({len(rows)} recordings)")


def init(
    path: Annotated[Path, typer.Argument(metavar="RUN.yml", help="The run file to write.")],
    inputs: Inputs,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for corrected files.")
    ] = "corrected",
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    tune: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE.json",
            help="A table of bench or the tuning panel: mode, batch size, workers and backend of "
            "its fastest run; of several that cannot be told apart, the simplest.",
        ),
    ] = None,
    accept: options.Accept = None,
    memory_budget: Budget = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a run file: chain, inputs, output and settings, to be read by batch and by Python."""
    with report_errors(debug):
        from facet_nb.batch import RunFile

        pipeline = chains.choose_chain(chain, trigger)
        file = RunFile.of(pipeline, inputs, output, {}, options.read_accept(accept))
        settings: dict[str, Any] = {"memory_budget": memory_budget}
        if tune is not None:
            settings |= _read_settings(tune)
        file = file.with_options(**settings)
        file.write(path, overwrite)
        if as_json:
            print_json(file.to_dict())
        else:
            typer.echo(f"written: {to_line(path)}. Correct with: facet-nb batch {to_line(path)}")


def _read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a table that serve a study as well."""
    from facet_nb.benchmark import BenchmarkTable, recommend

    return recommend(BenchmarkTable.from_json(path)).study_settings


def advise(
    inputs: Inputs,
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    memory_budget: Budget = None,
    goal: Annotated[
        str, typer.Option(help="For one recording: fastest, smallest or balanced.")
    ] = "fastest",
    n_jobs: Annotated[
        int, typer.Option(callback=options.check_workers, help="Most recordings at once.")
    ] = -1,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Recommend settings: for one recording from a short trial, for many from their forecasts."""
    with report_errors(debug):
        from facet_nb.batch import find_recordings

        pipeline = chains.choose_chain(chain, trigger)
        paths = find_recordings(inputs)
        if len(paths) > 1:
            plan = pipeline.plan_map(
                paths, n_jobs=n_jobs, memory_budget=memory_budget, keep_raw=False
            )
            print_json(plan.to_dict()) if as_json else typer.echo(str(plan))
            return
        from facet_nb.benchmark import advise as ask

        advice = ask(pipeline, paths[0], memory_budget=memory_budget, goal=goal)
        if as_json:
            print_json({"settings": advice.settings, "reason": str(advice), "code": advice.code})
        else:
            typer.echo("\n".join(to_line(line) for line in str(advice).splitlines()))
