"""Counts the faults that tests try, and writes their table into ``docs/reliability.md``.

    python -m pytest tests/faults … --faults tests/data/reliability.json
    python -m tests.reliability [PIECE.json …]

A run adds what it counted to the file; tests that run again replace their entries. A night that ran
in pieces, each with a file of its own, is summed and then added. The page is
written from that file only, and ``tests/project/test_reliability.py`` compares both.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "tests" / "data" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"

#: Tests replace this call.
_replace = os.replace

#: Options of a pytest that tests start: without plugins that take seconds to import.
_PLUGINS = [
    "cacheprovider",
    "nbval",
    "playwright",
    "zarr",
    "anyio",
    "platformdirs",
    "hypothesispytest",
    "xdist",
]
WITHOUT = tuple(f"-pno:{name}" for name in (*_PLUGINS, "xdist.looponfail"))

#: What can become of a fault.
OUTCOMES = ("held", "lost", "wrong", "hung")

#: Tests that try one fault each, by group: ``file::function`` below ``tests/``. Tests with a marker
#: ``fault`` name their group themselves.
GROUPS: dict[str, tuple[str, ...]] = {
    "workers and programs that are killed": (
        "faults/test_kills.py::test_killed_worker",
        "faults/test_kills.py::test_a_killed_program*",
        "faults/test_failures.py::test_a_worker_that_dies*",
        "faults/test_cancel.py::test_*parent*died*",
        "faults/test_cancel.py::test_workers_end_when_their_parent_was_killed",
        "faults/test_checkpoint.py::test_killed_at_60_percent",
        "core/test_cluster.py::test_a_killed_worker*",
        "core/test_cluster.py::test_a_batch_that_kills*",
    ),
    "cancelled runs and interrupts": (
        "faults/test_cancel.py::test_cancelled*",
        "faults/test_cancel.py::test_keyboard_interrupt",
        "faults/test_cancel.py::test_a_listener*",
        "faults/test_cancel.py::test_a_failure_stops*",
        "faults/test_cancel.py::test_token_of_a_parent",
        "faults/test_checkpoint.py::test_cancelled_and_run_again",
        "faults/test_notebook_kernel.py::test_interrupt",
        "faults/test_notebook_kernel.py::test_forced_restart",
        "core/test_cluster.py::test_cancelled*",
    ),
    "tasks that hang": (
        "faults/test_timeout.py::test_hung*",
        "faults/test_timeout.py::test_threads*",
        "faults/test_timeout.py::test_one_of_many*",
        "faults/test_timeout.py::test_a_thread_that*",
        "faults/test_nothing_hangs.py::test_*",
        "preprocessing/test_searching.py::test_the_search_ends",
    ),
    "a disk that becomes full": (
        "faults/test_limits.py::test_*",
        "faults/test_failures.py::test_no_room*",
        "io/test_atomic_write.py::test_full_disk*",
        "core/test_store.py::test_no_room",
    ),
    "damaged and truncated recordings": (
        "io/test_integrity.py::test_brainvision_[dhmp]*",
        "io/test_integrity.py::test_*truncated*",
        "io/test_integrity.py::test_other_content",
        "io/test_integrity.py::test_edf_header*",
        "io/test_integrity.py::test_matlab*",
        "contract/test_bad_input.py::test_truncated*",
    ),
    "hostile files": ("faults/test_hostile_files.py::test_a_hostile*",),
    "damaged checkpoints": (
        "faults/test_checkpoint.py::test_changed*",
        "faults/test_checkpoint.py::test_damaged*",
        "faults/test_checkpoint.py::test_flipped*",
        "faults/test_checkpoint.py::test_journal*",
        "faults/test_checkpoint.py::test_a_line_of*",
        "faults/test_checkpoint.py::test_links*",
        "faults/test_checkpoint.py::test_t[or]*n*",
        "faults/test_checkpoint.py::test_files_of_others*",
    ),
    "steps that raise or end their process": (
        "faults/test_failures.py::test_a_processor_that_raises",
        "faults/test_failures.py::test_a_step_over*",
        "faults/test_failures.py::test_sys_exit",
        "faults/test_failures.py::test_the_*",
        "faults/test_exceptions.py::test_step*",
        "faults/test_exceptions.py::test_a_pipeline*",
        "faults/test_last_context.py::test_the_work*",
        "contract/test_bad_input.py::test_a_processor*",
    ),
    "steps that return what they must not": (
        "faults/test_failures.py::test_wrong_answers*",
        "faults/test_contract.py::test_wrong*",
        "faults/test_contract.py::test_any_other_shape*",
        "faults/test_independence.py::test_a_step_that_looks*",
    ),
    "writes to the caller's recording": (
        "faults/test_failures.py::test_changes*",
        "faults/test_contract.py::test_writes*",
        "faults/test_independence.py::test_global*",
        "faults/test_independence.py::test_*write*",
        "faults/test_independence.py::test_nor*",
        "faults/test_independence.py::test_samples_on_disk",
    ),
    "recordings that cannot be processed": (
        "faults/test_failures.py::test_n[ao]*",
        "faults/test_failures.py::test_picks*",
        "faults/test_failures.py::test_reference*",
        "faults/test_failures.py::test_complex*",
        "contract/test_bad_input.py::test_n[ao]*",
        "contract/test_bad_input.py::test_flat*",
        "contract/test_bad_input.py::test_missing*",
    ),
    "files that must not be replaced": (
        "io/test_originals.py::test_the_input*",
        "io/test_originals.py::test_parts*",
        "io/test_originals.py::test_what_is_c*",
        "io/test_originals.py::test_what_is_no*",
        "io/test_atomic_write.py::test_existing*",
        "io/test_atomic_write.py::test_interrupted*",
        "io/test_atomic_write.py::test_folder*",
        "io/test_atomic_write.py::test_path_below*",
    ),
    "state of the calling process": ("faults/test_caller_state.py::test_*",),
    "other systems (simulated)": ("faults/test_other_systems.py::test_*",),
}


def find_group(node: str) -> str | None:
    """Return the group of a test by its id, or None."""
    name = re.sub(r"\[.*", "", node.removeprefix("tests/"), flags=re.DOTALL)
    for group, patterns in GROUPS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return group
    return None


# ------------------------------------------------------------------------------ the plugin
_KEY, _TOLD = pytest.StashKey[int](), pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--faults FILE``."""
    parser.addoption("--faults", metavar="FILE", help="count faults, and add them to this file")


class CountFault:
    """Counts faults that one test survives, if it tries several.

    Parameters
    ----------
    stash : pytest.Stash
        That of the test.
    """

    def __init__(self, stash: pytest.Stash) -> None:
        self._stash = stash

    def __call__(self) -> None:
        """Count one."""
        self._stash[_KEY] = self._stash.get(_KEY, 0) + 1

    def told(self, text: str) -> None:
        """Keep how the faults can be tried again; the page shows it below the table."""
        self._stash.setdefault(_TOLD, []).append(text)


@pytest.fixture
def count_fault(request: pytest.FixtureRequest) -> CountFault:
    """A function that a test calls for each fault that was survived, if it tries several."""
    return CountFault(request.node.stash)


class FaultCounter:
    """Counts faults by test function while pytest runs.

    Parameters
    ----------
    path : Path
        The file that they are added to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Count a test that has run."""
        report = yield
        marker = item.get_closest_marker("fault")
        group = marker.args[0] if marker else find_group(item.nodeid)
        if group is None or report.when != "call" or report.skipped:
            return report
        name = re.sub(r"\[.*", "", item.nodeid, flags=re.DOTALL)
        counts = self.tests.setdefault(name, {"group": group, **dict.fromkeys(OUTCOMES, 0), "s": 0})
        survived = item.stash.get(_KEY, 0)
        counts["held"] += survived if survived or report.failed else 1
        counts["s"] = round(counts["s"] + report.duration, 2)
        if told := item.stash.get(_TOLD, None):
            counts["told"] = [*counts.get("told", []), *told]
        if report.failed:
            kind = marker.kwargs.get("fails", "wrong") if marker else "wrong"
            counts["hung" if _is_hang(call.excinfo) else kind] += 1
        self.save()  # each time: a fault may end this process as well
        return report

    def save(self) -> None:
        """Add the counts to the file."""
        stored = json.loads(self.path.read_text()) if self.path.exists() else {"tests": {}}
        known = [f"{name} {version(name)}" for name in ("numpy", "scipy", "mne")]
        python = f"Python {platform.python_version()}"
        stored["where"] = ", ".join([platform.system(), python, *known])
        stored["date"] = time.strftime("%Y-%m-%d")
        stored["tests"] = dict(sorted({**stored["tests"], **self.tests}.items()))
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        _replace(new, self.path)


def _is_hang(info: pytest.ExceptionInfo[BaseException] | None) -> bool:
    if info is None:
        return False
    text = str(info.value)
    return isinstance(info.value, subprocess.TimeoutExpired) or any(
        words in text for words in ("Timeout", "it did not happen")
    )


def pytest_configure(config: pytest.Config) -> None:
    """Count if asked to."""
    path = config.getoption("--faults", default=None)
    if path:
        config.pluginmanager.register(FaultCounter(Path(path).absolute()), "faults")


# -------------------------------------------------------------------------------- the page
def sum_groups(stored: dict[str, Any]) -> dict[str, Counter[str]]:
    """Return the counts of each group, in the order of their names."""
    groups: dict[str, Counter[str]] = {}
    for counts in stored["tests"].values():
        group = groups.setdefault(counts["group"], Counter())
        group.update({name: counts[name] for name in (*OUTCOMES, "s")})
    return dict(sorted(groups.items()))


def write_table(stored: dict[str, Any]) -> str:
    """Return the table of the page."""
    groups = sum_groups(stored)
    total = sum(groups.values(), Counter())
    head = ["what was tried", "faults", "survived", "lost", "wrong", "hung"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name, counts in [*groups.items(), ("**all**", total)]:
        tried = sum(counts[outcome] for outcome in OUTCOMES)
        cells = [name, str(tried), *(str(counts[outcome]) for outcome in OUTCOMES)]
        lines.append("| " + " | ".join(cells) + " |")
    tests = len(stored["tests"])
    lines += ["", f"{len(groups)} groups, {tests} test functions; {stored['where']}."]
    for name, counts in stored["tests"].items():
        if told := counts.get("told"):
            what = f"{counts['group'].capitalize()} (`{name}`)"
            lines += ["", f"{what}: {'; '.join(told)}."]
    return "\n".join(lines)


BEGIN, END = "<!-- table: python -m tests.reliability writes it -->", "<!-- end of the table -->"


def fill_page(page: str, stored: dict[str, Any]) -> str:
    """Return the page with the table of `stored`."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{write_table(stored)}\n\n{END}{rest.partition(END)[2]}"


def sum_pieces(pieces: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the counts of tests that several runs shared, by test."""
    tests: dict[str, dict[str, Any]] = {}
    for name, counts in [item for piece in pieces for item in piece["tests"].items()]:
        known = tests.setdefault(name, {"group": counts["group"], **dict.fromkeys(OUTCOMES, 0)})
        for key in (*OUTCOMES, "s"):
            known[key] = round(known.get(key, 0) + counts[key], 2)
        if told := [*known.get("told", []), *counts.get("told", [])]:
            known["told"] = told
    return tests


def main(paths: Sequence[str] = ()) -> int:
    """Write the table into the page, with the pieces of a run in `paths`."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    if paths:
        pieces = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
        stored |= {key: pieces[-1][key] for key in ("where", "date")}
        stored["tests"] = dict(sorted({**stored["tests"], **sum_pieces(pieces)}.items()))
        STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), stored), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
