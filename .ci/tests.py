"""Run the tests in two parts, and end with one line about both.

    python .ci/tests.py WORD … -- WORD … -- WORD …

The tests of the first part run in three processes (pytest-xdist), a file in one of them; those of
the second part run one after another. Words of the third part go to both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import timedelta
from pathlib import Path

#: Processes of the first part: with two, cores wait while tests wait for processes and disks.
PROCESSES = 3

#: pytest's exit status without a test; ARGS may select none of one part.
NO_TESTS = 5
#: Elements of a JUnit report, and what pytest calls them.
KINDS = {"failure": "failed", "error": "errors", "skipped": "skipped"}


def run(words: list[str], counts: Counter[str], failed: list[str]) -> int:
    """Run pytest, and add what its report counts; return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *words]
        status = subprocess.run(command).returncode
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            kind = next((KINDS[part.tag] for part in case if part.tag in KINDS), "passed")
            counts[kind] += 1
            if kind in ("failed", "errors"):
                failed.append(f"{case.get('classname')}::{case.get('name')}")
    return status


def main(words: list[str]) -> int:
    """Run both parts; return the exit status."""
    beside, alone, both = split(words)
    begin = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[str] = []
    parts = [[*beside, "-n", str(PROCESSES), "--dist", "loadfile", *both], [*alone, *both]]
    statuses = [run(part, counts, failed) for part in parts]
    for name in failed:
        print(f"FAILED {name}")
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
        if word == "--" and len(parts) < 3:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
