"""Help is at hand at once; mistakes of usage say what is meant."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facet_nb.cli import main
from facet_nb.cli.chains import choose_chain
from facet_nb.cli.options import BATCH_MODE, CHAIN_STEPS
from facet_nb.core import Pipeline
from facet_nb.core.backends.registry import list_backend_names
from facet_nb.core.planning.modes.registry import list_mode_names
from facet_nb.models import ChainModel, StudioModel
from facet_nb.pipelines import CHAINS
from facet_nb.preprocessing import CommonReference

COMMANDS = ["demo", "run", "batch", "init", "report", "plan", "advise", "bench", "callers", "info"]
COMMANDS += ["lab", "course"]
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


def test_help_describes_the_chains_that_run(facet_nb):
    assert list(CHAIN_STEPS) == list(CHAINS)
    for name, make in CHAINS.items():
        texts = CHAIN_STEPS[name].split(", ")
        assert [text.partition("(")[0] for text in texts] == [type(p).__name__ for p in make()]
        for step, text in zip(make(), texts, strict=True):
            stated = dict(re.findall(r"(\w+)=([\d.]+)", text))
            usual = inspect.signature(type(step)).parameters
            for key, value in step.get_parameters().items():
                if key in stated:
                    assert repr(value) == stated[key]
                elif key != "regex":  # --trigger sets it
                    assert value == usual[key].default, f"{text} does not tell {key}={value!r}"
    for command in ("run", "batch", "bench", "callers", "demo", "plan"):
        text = "".join(facet_nb(command, "--help").stdout.split())
        assert all("".join(steps.split()) in text for steps in CHAIN_STEPS.values()), command


@pytest.mark.parametrize("name", [None, *CHAIN_STEPS])
@pytest.mark.parametrize("regex", ["R128", "S  1"])
def test_a_chain_by_name_is_that_of_the_studio(name, regex):
    """Command line, panels and functions run the same chain if none is asked for."""
    chosen = choose_chain(None if name is None else Path(name), regex)
    chain = StudioModel().chain if name is None else ChainModel(CHAINS["classic"]())
    chain.selected = 0
    chain.set_text("regex", regex)
    if name is not None:
        chain.use_chain(name)
    assert [repr(p) for p in chosen] == [repr(p) for p in chain.pipeline]
    assert [repr(p) for p in chosen] == [repr(p) for p in CHAINS[name or "gradient"](regex)]


def test_a_file_comes_before_a_chain_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Pipeline([CommonReference()]).to_yaml("classic")
    assert [p.name for p in choose_chain(Path("classic"))] == ["common_reference"]


def test_batch_tells_its_own_default(facet_nb):
    text = " ".join(facet_nb("batch", "--help").stdout.split())
    assert f"Default: {BATCH_MODE}." in text and "Default: auto" not in text


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


@pytest.mark.parametrize(("own", "used"), [(None, "false"), ("true", "true")])
def test_mne_compiles_nothing_in_front_of_a_person(monkeypatch, own, used):
    monkeypatch.setenv("MNE_USE_NUMBA", own or "")
    if own is None:
        monkeypatch.delenv("MNE_USE_NUMBA")
    monkeypatch.setattr(sys, "argv", ["facet-nb", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["MNE_USE_NUMBA"] == used
