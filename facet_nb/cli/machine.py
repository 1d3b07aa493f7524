"""The command ``info``: describe the machine or a recording."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from facet_nb.cli import options, recordings
from facet_nb.cli.findings import print_json
from facet_nb.cli.problems import report_errors, to_line

_PACKAGES = ("facet-nb", "numpy", "scipy", "mne", "joblib", "ipywidgets", "jupyterlab")
#: Memory limit of a container: control groups of version 2 and version 1.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def info(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A recording to describe.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show versions, cores and memory, or the content of a recording."""
    with report_errors(debug):
        found = _describe_machine() if file is None else _describe_recording(file)
        if as_json:
            print_json(found)
        elif file is None:
            typer.echo("\n".join(f"{name:<12}{value}" for name, value in found.items()))
        else:
            typer.echo("\n".join(_write_recording(file, found)))


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


def _describe_machine() -> dict[str, str]:
    from facet_nb.core.backends.registry import count_cores
    from facet_nb.kernels.compiled import library

    limit, owner = find_memory_limit()
    return {
        **{name: _find_version(name) for name in _PACKAGES},
        "Python": platform.python_version(),
        "system": platform.platform(),
        "cores": f"{count_cores()} that this process may use, of {os.cpu_count()}",
        "kernels": library.describe(),
        "memory": f"{limit / 2**30:.2f} GiB ({owner})",
    }


def _find_version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _describe_recording(file: Path) -> dict[str, Any]:
    from facet_nb.io.sources import open_recording

    raw = open_recording(file)
    return {
        "size": recordings.describe_size(raw),
        "n_times": int(raw.n_times),
        "sfreq": float(raw.info["sfreq"]),
        "memory": recordings.describe_memory(raw),
        "channels": list(recordings.list_channels(raw)),
        "n_annotations": len(raw.annotations),
        "annotations": list(recordings.list_annotations(raw)),
        "stim_channels": list(recordings.list_stim_codes(raw)),
    }


def _write_recording(file: Path, found: dict[str, Any]) -> list[str]:
    return [
        f"{to_line(file)}: {found['size']} ({found['n_times']} samples)",
        f"memory: {found['memory']}",
        "channels:",
        *(f"  {line}" for line in found["channels"]),
        f"annotations: {found['n_annotations'] or 'none'}",
        *(f"  {line}" for line in found["annotations"]),
        f"stim channels: {len(found['stim_channels']) or 'none'}",
        *(f"  {line}" for line in found["stim_channels"]),
    ]
