"""Help is at hand at once; mistakes of usage say what is meant."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from facet_nb.core.backends.registry import list_backend_names
from facet_nb.core.planning.modes.registry import list_mode_names

COMMANDS = ["demo", "run", "batch", "plan", "bench", "info", "lab"]
HEAVY = ["facet_nb.core", "joblib", "matplotlib", "mne", "numpy", "pandas", "scipy"]

PROBE = """
import json, sys, time
sys.argv = ["facet-nb", "--help"]
start = time.process_time()
from facet_nb.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
report = {"code": code, "cpu_s": time.process_time() - start, "modules": sorted(sys.modules)}
print(json.dumps(report), file=sys.stderr)
"""


def test_help_comes_at_once_and_loads_nothing_heavy():
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    report = json.loads(run.stderr)
    assert report["code"] == 0
    assert [name for name in COMMANDS if f"  {name} " not in run.stdout] == []
    assert set(HEAVY) & set(report["modules"]) == set()
    assert report["cpu_s"] < 1.0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(facet_nb, command):
    result = facet_nb(command, "--help")
    assert result.exit_code == 0
    assert f"facet-nb {command}" in result.stdout or f"{command} [OPTIONS]" in result.stdout
    assert "--debug" in result.stdout


def test_help_names_all_modes_and_backends(facet_nb):
    text = " ".join(facet_nb("run", "--help").stdout.split())
    assert [name for name in (*list_mode_names(), *list_backend_names()) if name not in text] == []


def test_version(facet_nb):
    from facet_nb import __version__

    assert facet_nb("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "a.vhdr"], "OUTPUT"),
        (["run", "a.vhdr", "b.fif", "--mode", "quick"], "channel_sequential"),
        (["run", "a.vhdr", "b.fif", "--backend", "gpu"], "threading"),
        (["run", "a.vhdr", "b.fif", "--n-jobs", "0"], "-1 for all cores"),
        (["run", "a.vhdr", "b.fif", "--batch-size", "0"], "--batch-size"),
        (["run", "a.vhdr", "b.fif", "--chain", "c.yaml", "--trigger", "x"], "--trigger"),
        (["batch", "a.vhdr"], "--output"),
        (["batch", "a.vhdr", "--output", "out", "--n-jobs", "0"], "-1 for all cores"),
        (["demo", "--truth", "t.npz"], "--input"),
        (["correct"], "correct"),
    ],
)
def test_mistakes_of_usage(facet_nb, words, told):
    result = facet_nb(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
