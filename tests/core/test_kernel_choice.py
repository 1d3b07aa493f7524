"""Kernels are compiled where that saves time; the choice depends on recording and chain only."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CommonReference,
    HighPassFilter,
    LowPassFilter,
    Pipeline,
)
from facet_nb.core.events import Compiling, RunState
from facet_nb.kernels.compiled import choice, dispatch
from facet_nb.kernels.compiled.choice import COSTS, choose_kernels
from facet_nb.kernels.compiled.dispatch import find_compiled, has_compiler, use_compiled
from facet_nb.kernels.compiled.warmup import NAMES
from tests.contract.recordings import detect, make_context

needs_numba = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    monkeypatch.setenv("FACET_NB_COMPILED", "auto")


def chain():
    return [*detect(), HighPassFilter(1.0), AASCorrection(12, subsample=True), LowPassFilter(70.0)]


def choose(steps, minutes):
    return choose_kernels(steps, 0, int(16 * minutes * 60 * 5000))


@needs_numba
def test_only_long_recordings_are_worth_compiling():
    short, long = (choose(chain(), minutes) for minutes in (1, 120))
    assert short.compiled == frozenset()
    assert long.compiled == {"overlap_save", "shifted_templates"}
    assert "compiling takes longer" in str(short)
    assert "they save about" in str(long)


@needs_numba
@pytest.mark.parametrize("step", [HighPassFilter(1.0), HighPassFilter(1.0, method="iir")])
def test_each_kernel_is_chosen_from_its_own_break_even(step):
    (name,) = step.compiled_kernels()
    saved_s, cost_s = COSTS[name]
    n = int(cost_s / saved_s)
    assert not choose_kernels([step], 0, n - 1).compiled
    assert choose_kernels([step], 0, n + 2).compiled == {name}
    assert choose_kernels([step, step], 0, n // 2 + 2).compiled == {name}


def test_every_kernel_has_a_cost_and_a_name():
    steps = [ANCCorrection(), CommonReference(), AASCorrection(subsample=True)]
    named = {name for step in steps[:3] for name in step.compiled_kernels()}
    assert named <= set(COSTS)
    assert list(COSTS) == list(NAMES)


def test_the_setting_overrides_the_choice(monkeypatch):
    for value, expected in [("never", frozenset()), ("always", frozenset(COSTS))]:
        monkeypatch.setenv("FACET_NB_COMPILED", value)
        if value == "never" or has_compiler():
            assert choose(chain(), 120).compiled == expected
    monkeypatch.setenv("FACET_NB_COMPILED", "perhaps")
    with pytest.raises(ValueError, match="'auto', 'always' or 'never'"):
        choose([], 1)


def test_a_missing_compiler_is_said_where_it_would_help(monkeypatch, caplog):
    monkeypatch.setattr(choice, "has_compiler", lambda: False)
    choice._note_missing_compiler.cache_clear()
    with caplog.at_level(logging.WARNING, "facet_nb"):
        assert not choose(chain(), 1).compiled
        assert not caplog.records
        assert not choose(chain(), 120).compiled
    monkeypatch.setenv("FACET_NB_COMPILED", "always")
    for _ in range(2):
        run([HighPassFilter(1.0)])
    assert [record.message.count("facet-nb[fast]") for record in caplog.records] == [1]
    choice._note_missing_compiler.cache_clear()


def run(steps, **options):
    events = []
    result = Pipeline(steps).run(
        make_context(), raise_on_error=True, show_progress=False, on_event=events.append, **options
    )
    return result, events


WAYS = [
    {"mode": "channel_sequential", "batch_size": 3, "n_workers": 2},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
    {"mode": "channel_sequential", "chunk_duration_s": 4.0},
    {"mode": "channel_sequential", "timeout": 600.0},
    {"mode": "auto"},
]


def test_a_short_run_compiles_nothing_in_any_mode(monkeypatch):
    asked = []
    load = dispatch._load
    monkeypatch.setattr(dispatch, "_load", lambda *a: asked.append(a) or load(*a))
    expected, events = run(chain())
    assert not [event for event in events if isinstance(event, Compiling)]
    for way in WAYS:
        result, _ = run(chain(), **way)
        assert np.array_equal(result.context.get_data(), expected.context.get_data()), way
        assert result.plan.kernels == expected.plan.kernels
        assert not any(entry.compiled for entry in result.context.get_history())
    assert not asked


@needs_numba
def test_a_long_run_compiles_first_and_says_so(monkeypatch):
    from facet_nb.core.execution import runner

    monkeypatch.setattr(choice, "COSTS", dict.fromkeys(COSTS, (1.0, 0.0)))
    monkeypatch.setattr(runner, "_ready", set())
    expected, events = run(chain())
    kinds = [type(event).__name__ for event in events]
    assert kinds[:5] == ["RunStarted", *["Compiling"] * 3, "StageStarted"]
    compiling = [event for event in events if isinstance(event, Compiling)]
    assert [event.done for event in compiling] == [0, 1, 2]
    message = RunState().apply(compiling[0]).message
    assert message == "compiling 2 kernels, once on this machine: 1 of 2 (FIR filter, float64)"
    assert RunState().apply(compiling[-1]).message == "running"
    assert expected.context.get_history()[-1].compiled == ("overlap_save", "shifted_templates")
    assert "overlap_save" in str(expected.plan)
    for way in WAYS:
        result, again = run(chain(), **way)
        assert np.array_equal(result.context.get_data(), expected.context.get_data()), way
        assert not [event for event in again if isinstance(event, Compiling)]


@needs_numba
def test_a_choice_holds_for_its_thread_only():
    with use_compiled(frozenset({"median"})):
        assert find_compiled("overlap_save", "filter_rows") is None
        assert find_compiled("median", "subtract_median") is not None
    assert find_compiled("overlap_save", "filter_rows") is not None


SCRIPT = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite", "psutil"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import importlib.util
real = importlib.util.find_spec
def find_spec(name, *a):
    return None if name in ("numba", "psutil") else real(name, *a)
importlib.util.find_spec = find_spec
import facet_nb as fnb
from facet_nb.core.memory import find_available
from tests.contract.recordings import detect, make_context
steps = [*detect(), fnb.HighPassFilter(1.0), fnb.AASCorrection(12), fnb.LowPassFilter(70.0)]
for options in ({}, {"mode": "auto"}, {"memory_budget": "4 GB"}):
    fnb.Pipeline(steps).run(make_context(), raise_on_error=True, show_progress=False, **options)
assert find_available()[0] > 0
assert not {"numba", "llvmlite", "psutil"} & set(sys.modules)
print("done")
"""


def test_runs_without_numba_and_psutil(project_root):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=project_root, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("done"), done.stderr


NO_CACHE = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
caching.CompileResultCacheImpl._locator_classes = []
import numpy as np
from facet_nb.kernels.filters.lms import cancel_adaptively
print(cancel_adaptively(np.ones(50), np.ones(50), 3, 0.1).sum() > 0)
"""


@needs_numba
def test_no_folder_for_the_cache_is_no_error(project_root):
    done = subprocess.run(
        [sys.executable, "-c", NO_CACHE], cwd=project_root, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True", done.stderr
