"""The plainest run takes a short way: few files and functions of the engine are entered."""

from __future__ import annotations

import pytest

from tests.core.plain_path import count, describe, log_plain_run, select

#: Files and functions of the engine, at the most.
STAGE_LIMITS = 12, 60
RUN_LIMITS = 18, 90


@pytest.fixture(scope="module")
def log():
    return log_plain_run()


def check(entered, limits):
    files, functions = count(entered)
    text = f"at most {limits[0]} files and {limits[1]} functions may be entered, not {files} and "
    assert files <= limits[0], text + f"{functions}: {describe(entered)}"
    assert functions <= limits[1], text + f"{functions}: {describe(entered)}"


def test_one_stage(log):
    check(select(log.of_stage(), "core"), STAGE_LIMITS)


def test_one_run(log):
    check(select(log.calls, "core"), RUN_LIMITS)


def test_the_log_sees_the_run(log):
    """A count of nothing would be short, too."""
    stage, run = log.of_stage(), log.calls
    assert 0 < len(stage) < len(run)
    names = {name.rpartition(".")[2] for names in select(stage).values() for name in names}
    assert {"prepare", "compute"} <= names
    assert any(file.startswith("kernels/") for file in select(stage))
