"""Programs that are run, killed and run again by the fault tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def start(text: str, folder: Path, *arguments: object, **options: object) -> subprocess.Popen:
    """Start a Python program; its temporary files go to `folder`."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(path), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FACET_NB_TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )


def run(text: str, folder: Path, *arguments: object) -> str:
    """Run a Python program to its end; return what it printed."""
    process = start(text, folder, *arguments)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out


def wait_until(ready: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Wait for something that is to happen."""
    deadline = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def wait_gone(processes: list[psutil.Process], limit_s: float) -> None:
    """Wait until none of `processes` computes any more."""
    _, alive = psutil.wait_procs(processes, timeout=limit_s)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
