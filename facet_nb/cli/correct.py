"""The commands ``run``, ``batch`` and ``plan``: correct recordings, or show the plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facet_nb.cli import chains, options, recordings
from facet_nb.cli.findings import check_strict, describe_result, print_findings, print_json
from facet_nb.cli.problems import report_errors, to_line

if TYPE_CHECKING:
    from facet_nb.core import BatchResult


def run(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="The recording.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The corrected file: .edf .bdf .vhdr .fif.")
    ],
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    mode: options.Mode = None,
    n_jobs: options.Jobs = None,
    n_workers: options.Workers = None,
    backend: options.Backend = None,
    batch_size: options.BatchSize = None,
    dtype: options.Precision = None,
    checkpoint: options.Checkpoint = None,
    timeout: options.Timeout = None,
    anonymize: options.Anonymize = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="File for a report with figures, also of a failure."
        ),
    ] = None,
    accept: options.Accept = None,
    strict: options.Strict = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Correct one recording.

    The output is written at the end; an existing file is replaced. What you should know about the
    result is printed on stderr.
    """
    with report_errors(debug):
        from facet_nb.io import Exporter, load
        from facet_nb.io.atomic_write import check_target

        pipeline = chains.choose_chain(chain, trigger)
        settings = options.make_settings(mode, n_jobs, n_workers, backend, batch_size, dtype)
        recordings.check_not_input(source, target)
        exporter = Exporter(target)
        if report is not None:
            check_target(report, overwrite=True)
        context = load(source, anonymize=anonymize)
        exporter.validate(context)  # before the work, not after it
        result = pipeline.add(exporter).run(
            context,
            show_progress=sys.stderr.isatty(),
            checkpoint=checkpoint,
            timeout=timeout,
            accept=options.read_accept(accept),
            **settings,
        )
        if report is not None:
            result.report(report)
        if result.error is not None:
            raise result.error
        if as_json:
            print_json(describe_result(source, target, result))
        else:
            typer.echo(f"{to_line(target)}: {recordings.describe_size(result.get_raw())}")
            typer.echo(result.summary(findings=False))
    print_findings(result.findings)
    check_strict(strict, result.findings)


def batch(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUTS...", help="The recordings.")],
    output: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for the <name>_corrected files."),
    ],
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    n_jobs: Annotated[
        int,
        typer.Option(callback=options.check_workers, help="Recordings at once; -1 for all cores."),
    ] = 1,
    mode: options.BatchMode = None,
    checkpoint: options.Checkpoint = None,
    anonymize: options.Anonymize = False,
    accept: options.Accept = None,
    strict: options.Strict = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Correct many recordings.

    A failure does not stop the others; the exit code is 1 if any recording failed.
    """
    with report_errors(debug):
        pipeline = chains.choose_chain(chain, trigger)
        _check_batch(inputs, output)
        folder = str(output).replace("{", "{{").replace("}", "}}")
        done = pipeline.map(
            [str(path) for path in inputs],
            n_jobs=n_jobs,
            mode=mode or options.BATCH_MODE,
            output=f"{folder}/{{stem}}_corrected{{suffix}}",
            keep_raw=False,
            show_progress=sys.stderr.isatty(),
            checkpoint=checkpoint,
            anonymize=anonymize,
            accept=options.read_accept(accept),
        )
        rows = list(zip(done.inputs, done.outputs, done.results, strict=True))
        if as_json:
            print_json([describe_result(*row) for row in rows])
        else:
            typer.echo(_write_table(done))
    for name, _, result in rows:
        print_findings(result.findings, to_line(name))
    if not all(result.success for result in done):
        raise typer.Exit(1)
    check_strict(strict, [finding for result in done for finding in result.findings])


def plan(
    chain: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NAME|FILE.yaml]",
            help=f"The chain. {options.CHAIN_HELP}; or a file. [{options.DEFAULT_CHAIN}]",
        ),
    ] = None,
    mode: options.Mode = None,
    n_jobs: options.Jobs = None,
    n_workers: options.Workers = None,
    backend: options.Backend = None,
    batch_size: options.BatchSize = None,
    dtype: options.Precision = None,
    debug: options.Debug = False,
) -> None:
    """Show the plan of a chain: stages with steps, workers and batches, and their reasons."""
    with report_errors(debug):
        pipeline = chains.choose_chain(chain)
        settings = options.make_settings(mode, n_jobs, n_workers, backend, batch_size, dtype)
        typer.echo(str(pipeline.plan(**settings)))


def _check_batch(inputs: list[Path], folder: Path) -> None:
    """Check that no output file of a batch replaces an input or another output."""
    from facet_nb.core.errors import ValidationError

    sources = {recordings.find_head(path) for path in inputs}
    made: dict[Path, Path] = {}
    for path in inputs:
        target = recordings.find_head(folder / recordings.make_name(path))
        if target in sources:
            raise ValidationError(
                f"the output of {path} would replace {target}: choose another output folder."
            )
        if target in made:
            raise ValidationError(
                f"{made[target]} and {path} would both be written to {target}: omit one, or give "
                "them different names."
            )
        made[target] = path


def _write_table(done: BatchResult) -> str:
    """Return a line for each recording: outcome, time, and its file or error."""
    width = max(len(to_line(name)) for name in done.inputs)
    lines = [f"{'recording':<{width}}  outcome  time (s)  quality       file or error"]
    for name, result, output in zip(done.inputs, done.results, done.outputs, strict=True):
        outcome = "done" if result.success else "failed"
        what = to_line(output if result.success else result.error)
        lines.append(
            f"{to_line(name):<{width}}  {outcome:<7}{result.execution_time:>10.2f}"
            f"  {result.quality.verdict:<12}  {what}"
        )
    good = sum(result.success for result in done)
    return "\n".join([*lines, f"{good} of {len(done)} succeeded"])
