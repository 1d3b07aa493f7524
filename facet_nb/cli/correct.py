"""The commands ``run`` and ``plan``: correct a recording, or show the plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from facet_nb.cli import chains, options, recordings
from facet_nb.cli.deferred import defer_import
from facet_nb.cli.findings import check_strict, describe_result, print_findings, print_json
from facet_nb.cli.problems import report_errors, to_line


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
    # MNE imports scipy.linalg, which takes every name of numpy, and would load with this one the
    # compiler of Fortran interfaces and a library that guesses encodings: 0.1 s of CPU time.
    defer_import("numpy.f2py")
    with report_errors(debug):
        from facet_nb.core.storage.originals import PAGES, check_kind_of_file
        from facet_nb.io import Exporter, load
        from facet_nb.io.atomic_write import check_target

        pipeline = chains.choose_chain(chain, trigger)
        settings = options.make_settings(mode, n_jobs, n_workers, backend, batch_size, dtype)
        recordings.check_not_input(source, target)
        exporter = Exporter(target)
        if report is not None:
            check_target(report, overwrite=True)
            check_kind_of_file(report, PAGES)
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
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the plan of a chain: stages with steps, workers and batches, and their reasons."""
    with report_errors(debug):
        pipeline = chains.choose_chain(chain)
        settings = options.make_settings(mode, n_jobs, n_workers, backend, batch_size, dtype)
        found = pipeline.plan(**settings)
        print_json(found.to_dict()) if as_json else typer.echo(str(found))
