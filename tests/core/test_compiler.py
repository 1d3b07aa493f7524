"""A run without numba says so, once."""

from __future__ import annotations

import pytest

from facet_nb.core.execution import runner


@pytest.mark.parametrize(("present", "n_notes"), [(True, 0), (False, 1)])
def test_missing_compiler_is_noted_once(monkeypatch, caplog, present, n_notes):
    monkeypatch.setattr(runner, "has_compiler", lambda: present)
    runner.note_missing_compiler.cache_clear()
    for _ in range(3):
        runner.note_missing_compiler()
    runner.note_missing_compiler.cache_clear()
    assert [r.message for r in caplog.records if "pip install numba" in r.message] == [
        r.message for r in caplog.records
    ]
    assert len(caplog.records) == n_notes


def test_every_run_asks(monkeypatch, caplog):
    from facet_nb import HighPassFilter, Pipeline
    from tests.core.toys import make_context

    monkeypatch.setattr(runner, "has_compiler", lambda: False)
    runner.note_missing_compiler.cache_clear()
    for _ in range(2):
        Pipeline([HighPassFilter(1.0)]).run(make_context(), raise_on_error=True)
    runner.note_missing_compiler.cache_clear()
    assert sum("numba is missing" in r.message for r in caplog.records) == 1
