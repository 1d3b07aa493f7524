"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

#: Slice marker of many recordings, such as ``Stimulus/S  1`` in BrainVision.
DEFAULT_TRIGGER = r"\b1\b"

#: What the ready-made chains do, the default one first, for the help, which must not wait for the
#: imports of all steps: tests/cli/test_help.py compares it with the chains themselves.
CHAIN_STEPS = {
    "gradient": "TriggerDetector, GradientCorrection, LowPassFilter(freq=70.0)",
    "classic": "TriggerDetector, HighPassFilter(freq=1.0), UpSample(factor=10), TriggerAligner, "
    "AASCorrection(window_size=30), DownSample(factor=10), LowPassFilter(freq=70.0)",
}
DEFAULT_CHAIN = next(iter(CHAIN_STEPS))
CHAIN_HELP = "; ".join(f"{name}: {steps}" for name, steps in CHAIN_STEPS.items())


def _check_mode(mode: str | None) -> str | None:
    from facet_nb.core.planning.modes.registry import list_mode_names

    return _check_choice(mode, list_mode_names())


def _check_backend(backend: str | None) -> str | None:
    from facet_nb.core.backends.registry import list_backend_names

    return _check_choice(backend, list_backend_names())


def _check_choice(value: str | None, choices: list[str]) -> str | None:
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}.")
    return value


def _check_accept(value: str | None) -> str | None:
    read_accept(value)
    return value


def read_accept(value: str | None) -> Any:
    """Return the rule of ``Pipeline.run(accept=…)`` that a text names."""
    if value is None or value == "good":
        return value
    try:
        pairs = [part.split("=") for part in value.split(",")]
        return {name.strip(): float(limit) for name, limit in pairs}
    except ValueError as error:
        raise typer.BadParameter(
            f"{value!r}: use good, or NAME=NUMBER, separated by commas."
        ) from error


def check_workers(value: int | None) -> int | None:
    """Return a number of workers; 0 is a usage error."""
    if value == 0:
        raise typer.BadParameter("0 workers are not possible: use 1, 2, … or -1 for all cores.")
    return value


_MODES = "serial, channel_sequential, parallel, or auto, which chooses workers and backend."
#: Default mode of each recording of a batch: the recordings themselves run at once.
BATCH_MODE = "channel_sequential"

Mode = Annotated[
    str | None,
    typer.Option(
        callback=_check_mode,
        metavar="NAME",
        help=f"{_MODES} Default: auto, or channel_sequential if workers, backend or batch size are "
        "given. The result is always the same.",
    ),
]
BatchMode = Annotated[
    str | None,
    typer.Option(
        callback=_check_mode,
        metavar="NAME",
        help=f"{_MODES} Default: {BATCH_MODE}. The result is always the same.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        callback=check_workers,
        help="Batches of channels in flight at once; -1 for all cores. [1]",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(callback=check_workers, help="Threads inside one batch; -1 for all cores. [1]"),
]
Backend = Annotated[
    str | None,
    typer.Option(
        callback=_check_backend,
        metavar="NAME",
        help="multiprocessing, threading, serial, or dask (the cluster whose scheduler is "
        "DASK_SCHEDULER_ADDRESS). [multiprocessing]",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Channels in one batch. [as fast as memory allows]")
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="float64, or float32: half the time, with an error of 1e-6 of the peak. [float64]",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Store finished channels there; the same call continues an interrupted run.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Fail if a task takes longer than this."),
]
Chain = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help=f"{CHAIN_HELP}; or a pipeline as written by Pipeline.to_yaml(), without loader and "
        f"exporter. [{DEFAULT_CHAIN}]",
    ),
]
Trigger = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Expression for the triggers, searched in annotations and stim codes. "
        rf"[{DEFAULT_TRIGGER}]",
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="End with exit code 2 if there is a warning (see findings)."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the result with its findings as JSON on stdout."),
]
Anonymize = Annotated[
    bool,
    typer.Option(
        "--anonymize", help="Leave out what the header says about a person, as MNE does it."
    ),
]
Accept = Annotated[
    str | None,
    typer.Option(
        callback=_check_accept,
        metavar="RULE",
        help="Write only accepted results: good, or measures with their largest value, such as "
        "untouched_artifact=0,high_residual=6 (see quality).",
    ),
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Print the address instead of opening a browser.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def make_settings(
    mode: str | None,
    n_jobs: int | None = None,
    n_workers: int | None = None,
    backend: str | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of ``Pipeline.run`` and ``Pipeline.plan`` for the given options.

    The default mode is ``"auto"``, but ``"channel_sequential"`` if a number of workers, a backend
    or a batch size is given, as ``"auto"`` would choose them.
    """
    given = {"n_jobs": n_jobs, "n_workers": n_workers, "backend": backend, "batch_size": batch_size}
    chosen = {name: value for name, value in given.items() if value is not None}
    precision = {} if dtype is None else {"dtype": dtype}
    mode = mode or ("channel_sequential" if chosen else "auto")
    return {"mode": mode, "batch_size": "auto", **chosen, **precision}
