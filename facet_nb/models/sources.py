"""Sources of recordings that panels accept, and their Python code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from facet_nb.core import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.models.literals import write_call


def as_context(source: Any) -> ProcessingContext:
    """Return the initial context of a run.

    Parameters
    ----------
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        A context, a recording, a file to load, or an object with a ``context()`` method. None is
        for pipelines that start with a loader.

    Returns
    -------
    ProcessingContext
        The context; a recording is not copied.

    Raises
    ------
    ValidationError
        If `source` is none of these, or the file cannot be read.
    """
    if source is None:
        return ProcessingContext()
    if isinstance(source, ProcessingContext):
        return source
    if callable(getattr(source, "context", None)):
        return source.context()
    if isinstance(source, (str, Path)):
        from facet_nb.io import load

        return load(str(source))
    if hasattr(source, "get_data") and hasattr(source, "ch_names"):
        return ProcessingContext(source)
    raise ValidationError(
        f"a {type(source).__name__} is not a valid source: use a ProcessingContext, an MNE Raw, "
        "the path of a file, or a simulation."
    )


def describe_source(source: Any) -> str:
    """Return a short description of `source`, without loading it."""
    if source is None:
        return "what the first step loads"
    if isinstance(source, (str, Path)):
        return Path(source).name
    raw = source
    if isinstance(source, ProcessingContext):
        raw = source.get_raw() if source.has_raw() else None
    elif not hasattr(source, "ch_names") or not hasattr(source, "info"):
        raw = getattr(source, "raw", None)
    if raw is None:
        return type(source).__name__
    sfreq = float(raw.info["sfreq"])
    return f"{len(raw.ch_names)} channels × {round(raw.n_times / sfreq, 2):.8g} s at {sfreq:g} Hz"


def write_source(source: Any) -> tuple[list[str], list[str]]:
    """Return imports and lines of Python code that create ``context`` from `source`.

    There are no lines if no context is needed. A comment refers to a recording or context that
    exists in memory only.
    """
    if source is None:
        return [], []
    if isinstance(source, (str, Path)):
        return ["from facet_nb import load"], [f"context = load({str(source)!r})"]
    if hasattr(source, "spec") and callable(getattr(source, "context", None)):
        return _write_simulation(source.spec)
    if hasattr(source, "get_data") and hasattr(source, "ch_names"):
        line = "context = ProcessingContext(raw)  # raw: the recording that the panel was given"
        return ["from facet_nb import ProcessingContext"], [line]
    return [], ["# context: what the panel was given"]


def _write_simulation(spec: dict[str, Any]) -> tuple[list[str], list[str]]:
    from facet_nb.datasets import simulate

    defaults = {k: p.default for k, p in inspect.signature(simulate).parameters.items()}
    changed = {k: v for k, v in spec.items() if k not in defaults or not _same(v, defaults[k])}
    call, _ = write_call("simulate", changed)
    return ["from facet_nb.datasets import simulate"], [f"context = {call}.context()"]


def _same(value: Any, default: Any) -> bool:
    """Whether two values are equal, where lists and tuples with equal items count as equal."""
    return (list(value) if isinstance(value, (list, tuple)) else value) == (
        list(default) if isinstance(default, tuple) else default
    )
