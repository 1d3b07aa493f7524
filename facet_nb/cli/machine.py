"""The command ``info``: describe the machine or a recording."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from facet_nb.cli import options, recordings
from facet_nb.cli.problems import report_errors, to_line

_PACKAGES = ("facet-nb", "numpy", "scipy", "mne", "joblib", "ipywidgets", "jupyterlab")
#: Memory limit of a container: control groups of version 2 and version 1.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def info(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A recording to describe.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Show versions, cores and memory, or the content of a recording."""
    with report_errors(debug):
        lines = _describe_machine() if file is None else _describe_recording(file)
        typer.echo("\n".join(lines))


def find_memory_limit() -> tuple[int, str]:
    """Return the memory that this process may use, in bytes, and the origin of the limit."""
    from facet_nb.core.memory import read_machine_memory

    found = [(read_machine_memory()[0], "the machine's")]
    texts = [(os.environ.get("MEM_LIMIT", ""), "MEM_LIMIT")]
    texts += [(_read(path), "the container's") for path in _LIMITS]
    found += [(int(text), owner) for text, owner in texts if text.strip().isdigit()]
    return min(found, key=lambda limit: limit[0])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # another system, or no container: no limit
        return ""


def _describe_machine() -> list[str]:
    from facet_nb.core.backends.registry import count_cores
    from facet_nb.kernels.compiled import library

    limit, owner = find_memory_limit()
    return [
        *(f"{name:<12}{_find_version(name)}" for name in _PACKAGES),
        f"{'Python':<12}{platform.python_version()}",
        f"{'system':<12}{platform.platform()}",
        f"{'cores':<12}{count_cores()} that this process may use, of {os.cpu_count()}",
        f"{'kernels':<12}{library.describe()}",
        f"{'memory':<12}{limit / 2**30:.2f} GiB ({owner})",
    ]


def _find_version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _describe_recording(file: Path) -> list[str]:
    from facet_nb.io.sources import open_recording

    raw = open_recording(file)
    marks = recordings.list_annotations(raw)
    codes = recordings.list_stim_codes(raw)
    return [
        f"{to_line(file)}: {recordings.describe_size(raw)} ({raw.n_times} samples)",
        f"memory: {recordings.describe_memory(raw)}",
        "channels:",
        *(f"  {line}" for line in recordings.list_channels(raw)),
        f"annotations: {len(raw.annotations) or 'none'}",
        *(f"  {line}" for line in marks),
        f"stim channels: {len(codes) or 'none'}",
        *(f"  {line}" for line in codes),
    ]
