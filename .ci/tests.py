"""Run the tests in three parts, and end with one line about all.

    python .ci/tests.py WORD … -- WORD … -- WORD … -- WORD …

The tests of the first part run in three processes (pytest-xdist), a file in one of them, and those
of the second meanwhile in one process of their own. Those of the third part run afterwards, when
nothing else does. Words of the fourth go to all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

#: Processes of the first part: with two, cores wait while tests wait for processes and disks.
PROCESSES = 3

#: pytest's exit status without a test; ARGS may select none of one part.
NO_TESTS = 5
#: Elements of a JUnit report, and what pytest calls them.
KINDS = {"failure": "failed", "error": "errors", "skipped": "skipped"}


class Part:
    """A pytest that runs.

    Parameters
    ----------
    words : sequence of str
        What it is told.
    folder : Path
        Where its report goes.
    output : file, optional
        Where its output goes instead of to the terminal.
    """

    def __init__(self, words: Sequence[str], folder: Path, output: IO[str] | None = None) -> None:
        self.report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", f"--junitxml={self.report}", *words]
        self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())

    def wait(self, counts: Counter[str], failed: list[str]) -> int:
        """Add what its report counts, once it has ended; return its exit status."""
        status = self.process.wait()
        for case in ET.parse(self.report).iter("testcase") if self.report.exists() else ():
            kind = next((KINDS[part.tag] for part in case if part.tag in KINDS), "passed")
            counts[kind] += 1
            if kind in ("failed", "errors"):
                failed.append(f"{case.get('classname')}::{case.get('name')}")
        self.report.unlink(missing_ok=True)
        return status


def environment() -> dict[str, str]:
    """Return the variables of all parts: Python keeps compiled modules, also where told not to.

    Otherwise each of some hundred processes that the tests start compiles the package again, and
    each that collects them all tests: 33 s of CPU time instead of 15.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def main(words: list[str]) -> int:
    """Run all parts; return the exit status."""
    shared, own, alone, all_ = split(words)
    begin = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[str] = []
    statuses = []
    several = ["-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name, "first"), Path(name, "second")
        first.mkdir()
        second.mkdir()
        with open(second / "output.txt", "w+", encoding="utf-8") as output:
            meanwhile = Part([*own, *all_], second, output)
            try:
                statuses.append(Part([*shared, *several, *all_], first).wait(counts, failed))
                statuses.append(meanwhile.wait(counts, failed))
            finally:
                meanwhile.process.terminate()
            output.seek(0)
            print(output.read(), flush=True)
        statuses.append(Part([*alone, *all_], first).wait(counts, failed))
    for case in failed:
        print(f"FAILED {case}")
    print(summarize(counts, time.monotonic() - begin).center(80, "="))
    return max((status for status in statuses if status != NO_TESTS), default=NO_TESTS)


def summarize(counts: Counter[str], took_s: float) -> str:
    """Return a closing line like pytest's."""
    order = ["failed", "passed", "skipped", "errors"]
    found = ", ".join(f"{counts[kind]} {kind}" for kind in order if counts[kind])
    clock = str(timedelta(seconds=int(took_s)))
    return f" {found or 'no tests ran'} in {took_s:.2f}s ({clock}) "


def split(words: list[str]) -> list[list[str]]:
    """Return the words between separators."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--" and len(parts) < 4:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
