"""The command ``demo``: the quickstart without a display."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facet_nb.cli import chains, options, recordings
from facet_nb.cli.problems import report_errors, to_line

if TYPE_CHECKING:
    from facet_nb.cli.truths import Truth
    from facet_nb.core import Pipeline, PipelineResult, Plan, ProcessingContext
    from facet_nb.core.events import Event
    from facet_nb.datasets import Simulation

_FOLDER = Path("corrected")


@dataclass(frozen=True)
class DemoJob:
    """Input and output of the demo.

    Attributes
    ----------
    label : str
        Origin of the recording.
    context : ProcessingContext
        The recording.
    output : Path
        File for the corrected recording.
    truth : Truth | Simulation | None
        The clean EEG, with a method ``snr_db(raw)`` that returns dB per channel.
    """

    label: str
    context: ProcessingContext
    output: Path
    truth: Truth | Simulation | None


def demo(
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="A recording. [simulated]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The corrected file; replaced if it exists. [corrected/<name>_corrected.<suffix>]",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Clean EEG for comparison: clean (µV), fs, trig."),
    ] = None,
    chain: options.Chain = None,
    trigger: options.Trigger = None,
    mode: options.Mode = None,
    n_jobs: options.Jobs = None,
    n_workers: options.Workers = None,
    backend: options.Backend = None,
    batch_size: options.BatchSize = None,
    debug: options.Debug = False,
) -> None:
    """Correct a recording and report the quality of the correction.

    Runs a chain on a file or a simulated recording, and shows triggers, plan, progress,
    measured times, metrics, agreement with the truth if known, and the corrected file.
    """
    if truth is not None and source is None:
        raise typer.BadParameter("--truth needs the recording it belongs to: use --input.")
    with report_errors(debug):
        settings = options.make_settings(mode, n_jobs, n_workers, backend, batch_size)
        run_demo(prepare_job(source, output, truth), chains.choose_chain(chain, trigger), settings)


def prepare_job(source: Path | None, output: Path | None, truth: Path | None) -> DemoJob:
    """Return the recording and the output file.

    Raises
    ------
    FacetError
        If a file cannot be read, or the output would replace the input.
    """
    if source is None:
        from facet_nb.datasets import example

        simulation = example()
        place = output or _FOLDER / "simulated_corrected.fif"
        return DemoJob("simulated (seed 0)", simulation.context(), place, simulation)
    from facet_nb.cli.truths import read_truth
    from facet_nb.io import load

    place = output or _FOLDER / recordings.make_name(source)
    recordings.check_not_input(source, place)
    context = load(source)
    return DemoJob(str(source), context, place, read_truth(truth) if truth else None)


def run_demo(job: DemoJob, pipeline: Pipeline, settings: dict[str, Any]) -> None:
    """Correct, measure, write and read back, and print the result of each.

    Raises
    ------
    FacetError
        If a part fails.
    """
    from facet_nb.io import Exporter

    raw = job.context.get_raw()
    size = f"{recordings.describe_size(raw)}, {recordings.describe_memory(raw)}"
    _print_section("Recording", [f"{to_line(job.label)}: {size}"])
    before_db = None if job.truth is None else job.truth.snr_db(raw)
    exporter = Exporter(job.output)
    exporter.validate(job.context)  # before the work, not after it
    found = pipeline[0].execute(job.context)
    _print_section("Triggers", [recordings.describe_triggers(found)])
    plan = pipeline.plan(**settings)
    _print_section("Plan", str(plan).splitlines())
    result = _run(pipeline, job.context, plan, settings)
    _print_section("Measured", result.summary().splitlines())
    _print_section("Metrics", _measure(result.get_context()))
    if job.truth is not None:
        _print_section("Truth", [_compare(before_db, job.truth.snr_db(result.get_raw()))])
    exporter.execute(result.get_context())
    _print_section("File", [_read_back(job.output)])


def _run(
    pipeline: Pipeline, context: ProcessingContext, plan: Plan, settings: dict[str, Any]
) -> PipelineResult:
    """Run with a progress bar in a terminal, otherwise with a line for each stage."""
    bar = sys.stderr.isatty()
    typer.echo("Progress")
    return pipeline.run(
        context,
        raise_on_error=True,
        show_progress=bar,
        on_event=None if bar else _follow(plan),
        **settings,
    )


def _follow(plan: Plan) -> Callable[[Event], None]:
    from facet_nb.core.events import StageDone

    def follow(event: Event) -> None:
        if isinstance(event, StageDone):
            names = " → ".join(plan.stages[event.stage].names)
            typer.echo(f"  {event.stage + 1} of {len(plan.stages)}: {names} ({event.wall_s:.2f} s)")

    return follow


def _measure(context: ProcessingContext) -> list[str]:
    """Return the metrics that need no truth."""
    from facet_nb.core.errors import ValidationError
    from facet_nb.core.result import write_metric
    from facet_nb.evaluation import RMSCalculator, SNRCalculator

    ratio = RMSCalculator().execute(context).get_metric("rms_ratio")
    lines = [f"RMS uncorrected / corrected: {ratio:.4g} (median over channels)"]
    try:
        snr = SNRCalculator().execute(context).get_metric("snr")
    except ValidationError as error:
        return [*lines, f"SNR: {write_metric('snr', float('nan'))} ({to_line(error)})"]
    within = "variance outside the acquisition / excess within, mean over channels"
    return [*lines, f"SNR: {write_metric('snr', snr)} ({within})"]


def _compare(before_db: Any, after_db: Any) -> str:
    import numpy as np

    before, after = float(np.median(before_db)), float(np.median(after_db))
    where = f"0.5–70 Hz within the acquisition, median over {len(after_db)} channels"
    return f"SNR against truth: {before:.1f} dB before, {after:.1f} dB after ({where})"


def _read_back(path: Path) -> str:
    from facet_nb.io.sources import open_recording

    raw = open_recording(path)
    count = len(raw.annotations)
    return f"{to_line(path)}: MNE reads {recordings.describe_size(raw)}, {count} annotations"


def _print_section(title: str, lines: list[str]) -> None:
    typer.echo("\n".join([title, *(f"  {line}" for line in lines)]))
