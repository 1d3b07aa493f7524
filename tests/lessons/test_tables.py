"""Tables of a class are merged; what cannot be merged is listed with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet_nb.benchmark import BenchmarkInput, BenchmarkPoint, BenchmarkTable, Configuration
from facet_nb.benchmark.environment import Environment
from facet_nb.core.errors import ValidationError
from facet_nb.lessons import list_tables, load_table, merge_folder


@pytest.fixture
def table() -> BenchmarkTable:
    environment, subject = Environment.of_this_machine(), BenchmarkInput(2, 100, 50.0, ("a",))
    point = BenchmarkPoint(
        Configuration(), environment.id, subject.id, (1.0, 1.1), (1.0, 1.0), (0, 1)
    )
    return BenchmarkTable(environment, subject).append(point)


def test_a_class_is_merged(tmp_path, table):
    for name in ("ada", "ben", "eve"):
        table.to_json(tmp_path / f"{name}.json")
    other = BenchmarkTable(table.environment, replace(table.subject, n_channels=3))
    other.to_json(tmp_path / "fay.json")
    (tmp_path / "gus.json").write_text("{")
    merged, refused = merge_folder(tmp_path)
    assert {merged.label, *(m.label for m in merged.machines)} == {"ada", "ben", "eve"}
    assert set(refused) == {"fay.json", "gus.json"} and all(refused.values())


def test_an_empty_folder_gives_no_table(tmp_path):
    assert merge_folder(tmp_path) == (None, {})


def test_tables_are_found_by_name_or_file(tmp_path, table):
    path = tmp_path / "mine.json"
    table.to_json(path)
    assert load_table(path).points == table.points
    assert [load_table(name).subject.id for name in list_tables() if not load_table(name)] == []
    with pytest.raises(ValidationError, match="there is no table nobody"):
        load_table("nobody")
