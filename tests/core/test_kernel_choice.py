"""A run uses compiled kernels where there are any; the choice holds in all its workers."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from facet_nb import AASCorrection, HighPassFilter, LowPassFilter, Pipeline
from facet_nb.kernels.compiled import choice, library
from facet_nb.kernels.compiled.choice import choose_kernels
from facet_nb.kernels.compiled.dispatch import (
    MODULES,
    find_compiled,
    has_compiled,
    list_chosen,
    use_compiled,
)
from tests.contract.recordings import detect, make_context

needs_compiled = pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    monkeypatch.setenv("FACET_NB_COMPILED", "auto")


def chain():
    return [*detect(), HighPassFilter(1.0), AASCorrection(12, subsample=True), LowPassFilter(70.0)]


@needs_compiled
@pytest.mark.parametrize("setting", ["auto", "always", "ALWAYS ", ""])
def test_all_kernels_are_used_where_they_were_built(monkeypatch, setting):
    monkeypatch.setenv("FACET_NB_COMPILED", setting)
    assert choose_kernels().compiled == MODULES
    assert "built, for" in str(choose_kernels())


def test_the_setting_is_checked(monkeypatch):
    monkeypatch.setenv("FACET_NB_COMPILED", "perhaps")
    with pytest.raises(ValueError, match="'auto', 'always' or 'never'"):
        choose_kernels()


def test_never_is_respected_within_and_outside_of_a_run(monkeypatch):
    monkeypatch.setenv("FACET_NB_COMPILED", "never")
    assert choose_kernels().compiled == frozenset()
    assert find_compiled("median", "subtract_median") is None
    result, _ = run(chain())
    assert "none (FACET_NB_COMPILED=never)" in str(result.plan)
    assert not any(entry.compiled for entry in result.context.get_history())


def test_missing_kernels_are_said_once_with_the_remedy(monkeypatch, caplog):
    monkeypatch.setattr(choice, "has_compiled", lambda: False)
    monkeypatch.setattr(library, "load_library", lambda: (None, "they were not built"))
    choice._note_missing.cache_clear()
    with caplog.at_level(logging.WARNING, "facet_nb"):
        for _ in range(2):
            assert choose_kernels().compiled == frozenset()
    assert [record.message.count("C compiler") for record in caplog.records] == [1]
    monkeypatch.setenv("FACET_NB_COMPILED", "always")
    with pytest.raises(ValueError, match=r"they were not built.*C compiler"):
        choose_kernels()
    choice._note_missing.cache_clear()


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


@pytest.mark.parametrize("setting", ["auto", "never"])
def test_every_mode_uses_the_same_kernels(monkeypatch, setting):
    monkeypatch.setenv("FACET_NB_COMPILED", setting)
    expected, _ = run(chain())
    used = tuple(sorted(choose_kernels().compiled))
    for way in WAYS:
        result, _ = run(chain(), **way)
        assert np.array_equal(result.context.get_data(), expected.context.get_data()), way
        assert result.plan.kernels == expected.plan.kernels == choose_kernels()
        assert result.context.get_history()[-1].compiled == used
    assert str(expected.plan.kernels) in str(expected.plan)


@needs_compiled
def test_a_choice_holds_for_its_thread_only():
    with use_compiled(frozenset({"median"})):
        assert find_compiled("overlap_save", "filter_rows") is None
        assert find_compiled("median", "subtract_median") is not None
        assert list_chosen() == [library.find_instructions(), "median"]
    with use_compiled(frozenset()):
        assert list_chosen() == []
    assert find_compiled("overlap_save", "filter_rows") is not None


SCRIPT = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name in ("facet_nb.kernels.compiled._native", "psutil"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import importlib.util
real = importlib.util.find_spec
def find_spec(name, *a):
    return None if name == "psutil" else real(name, *a)
importlib.util.find_spec = find_spec
import facet_nb as fnb
from facet_nb.core.memory import find_available
from tests.contract.recordings import detect, make_context
steps = [*detect(), fnb.HighPassFilter(1.0), fnb.AASCorrection(12), fnb.LowPassFilter(70.0)]
for options in ({}, {"mode": "auto"}, {"memory_budget": "4 GB"}):
    result = fnb.Pipeline(steps).run(
        make_context(), raise_on_error=True, show_progress=False, **options
    )
    assert not result.plan.kernels.compiled
assert find_available()[0] > 0
assert not {"facet_nb.kernels.compiled._native", "psutil"} & set(sys.modules)
print("done")
"""


def test_runs_without_compiled_kernels_and_psutil(project_root):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=project_root, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("done"), done.stderr
    assert done.stderr.count("C compiler") == 1
