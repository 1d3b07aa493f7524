"""Tables of other machines: what ships was measured, and a folder is read while it fills."""

from __future__ import annotations

import threading

import pytest

from facet_nb.core.errors import ValidationError
from facet_nb.models import StudioModel
from facet_nb.models import machines_model as machines
from facet_nb.models.cost_points import list_others
from tests.models.tables import make_table


def test_what_ships_was_measured():
    shipped = machines.list_shipped()
    assert shipped and len({t.name for t in shipped}) == len(shipped)
    for found in shipped:
        assert found.name and found.table.environment.cores_allowed >= 1
        for row in found.table.rows:
            assert len(row.point.wall_s) >= 2 and row.point.max_abs_diff_v == 0
            assert row.point.environment_id == found.table.environment.id


def test_a_folder_is_read_while_it_fills(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "LOOK_S", 0.01)
    studio = StudioModel()
    model, told = studio.machines, []
    model.on_news = lambda: told.append(True)
    model.watch(str(tmp_path))
    n = len(model.tables)
    make_table().to_json(tmp_path / "anna.json")
    (tmp_path / "broken.json").write_text("{")
    for _ in range(1000):
        if told:
            break
        machines.threading.Event().wait(0.01)
    model.drain()
    assert told and [t.name for t in model.tables[n:]] == ["anna"] == list(model.shown)
    assert "broken.json" in model.notes[0]
    assert {p.machine for p in list_others(studio)} == {"anna"}
    model.show("anna", False)
    assert list_others(studio) == []
    with pytest.raises(ValidationError, match="is not a folder"):
        model.watch(str(tmp_path / "nowhere"))
    model.watch("")
    assert len(model.tables) == n and model.notes == ()
    studio.close()


def test_a_file_that_comes_before_the_thread_does_is_told(tmp_path, monkeypatch):
    start = machines.start_thread

    def start_late(*args, **options):
        make_table().to_json(tmp_path / "anna.json")
        return start(*args, **options)

    monkeypatch.setattr(machines, "LOOK_S", 0.01)
    monkeypatch.setattr(machines, "start_thread", start_late)
    model, told = machines.MachinesModel(), threading.Event()
    model.on_news = told.set
    model.watch(str(tmp_path))
    assert told.wait(30)
    model.close()


def test_a_stored_table_is_called_one_and_another_chain_hides_it():
    studio = StudioModel()
    studio.tune.load(make_table())
    assert studio.tune.origin == "a stored table"
    studio.tune.measured_chain, studio.tune.measured_source = studio.run.pipeline, studio.run.source
    assert studio.tune.origin == ""
    studio.chain.add("common_reference")
    assert studio.tune.origin == "another chain"
