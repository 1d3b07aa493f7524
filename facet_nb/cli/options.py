"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

#: Marker of a slice in many recordings: ``Stimulus/S  1`` in BrainVision.
DEFAULT_TRIGGER = r"\b1\b"


def _check_mode(mode: str | None) -> str | None:
    from facet_nb.core.planning.modes.registry import list_mode_names

    return _check_choice(mode, list_mode_names())


def _check_backend(backend: str | None) -> str | None:
    from facet_nb.core.backends.registry import list_backend_names

    return _check_choice(backend, list_backend_names())


def _check_choice(value: str | None, choices: list[str]) -> str | None:
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(choices)}.")
    return value


def check_workers(value: int | None) -> int | None:
    """Return a number of workers, or refuse it as a mistake of usage."""
    if value == 0:
        raise typer.BadParameter("0 is no number of workers: use 1, 2, … or -1 for all cores.")
    return value


Mode = Annotated[
    str | None,
    typer.Option(
        callback=_check_mode,
        metavar="NAME",
        help="serial, channel_sequential, parallel, or auto, which chooses workers and backend. "
        "Without it: auto, or channel_sequential where workers, backend or batch size are given. "
        "The result is always the same.",
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
        help="multiprocessing, threading, serial, or dask: the cluster whose scheduler is "
        "DASK_SCHEDULER_ADDRESS. [multiprocessing]",
    ),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Channels in one batch. [1]")]
Precision = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="float64, or float32: half of the time, a millionth of the peak as error. [float64]",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Keep finished channels there: the same call, after a kill, goes on where it was.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="End with an error if a task takes longer than this."),
]
Chain = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml",
        help="Pipeline as written by Pipeline.to_yaml(), without loader and exporter. Without it: "
        "triggers, high-pass 1 Hz, upsampling by 10, alignment, averaged artifact subtraction "
        "with 30 epochs, downsampling, low-pass 70 Hz.",
    ),
]
Trigger = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="What marks the beginning of an artifact: searched in annotations and stim codes. "
        rf"[{DEFAULT_TRIGGER}]",
    ),
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
    """Return arguments of ``Pipeline.run`` and ``Pipeline.plan`` for the options that were given.

    Without a mode it is ``"auto"``; where a number of workers, a backend or a batch size was
    given, which ``"auto"`` would choose itself, ``"channel_sequential"``.
    """
    given = {"n_jobs": n_jobs, "n_workers": n_workers, "backend": backend, "batch_size": batch_size}
    chosen = {name: value for name, value in given.items() if value is not None}
    precision = {} if dtype is None else {"dtype": dtype}
    return {"mode": mode or ("channel_sequential" if chosen else "auto"), **chosen, **precision}
