"""Tables of points: immutable, of one machine, and readable for ever."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from pathlib import Path

import pytest

from facet_nb.benchmark import BenchmarkTable, Configuration, Environment
from facet_nb.core import ValidationError
from tests.benchmark.samples import ENVIRONMENT, SERIAL, SUBJECT, THREADS, make_point, make_table

STORED = Path(__file__).parent.parent / "data" / "benchmark_schema_1.json"
PROMISED = """mode, backend, n_jobs, n_workers, batch_size, wall_s, wall_iqr_s, cpu_s, cold_start_s,
speedup, speedup_low, speedup_high, efficiency, peak_pss_mb, peak_hwm_mb, peak_rss_mb,
max_abs_diff_v, n_repeats, verdict"""
COLUMNS = [name.strip() for name in PROMISED.split(",")]


def test_frame_has_the_promised_columns_and_figures():
    frame = make_table().to_frame()
    assert list(frame.columns) == COLUMNS
    first, second = frame.to_dict("records")
    assert (first["verdict"], first["wall_s"], first["speedup"]) == ("base", 2.0, 1.0)
    assert second["verdict"] == "faster" and second["n_jobs"] == 2
    assert second["speedup_low"] < second["speedup"] < second["speedup_high"]
    assert second["speedup"] == pytest.approx(1.9, rel=0.01)
    assert second["efficiency"] == pytest.approx(second["speedup"] / 2)
    assert (second["peak_pss_mb"], second["peak_hwm_mb"], second["peak_rss_mb"]) == (300, 320, 310)


def test_nothing_changes_a_table():
    table = make_table()
    more = table.append(make_point(THREADS[4]))
    assert (len(table), len(more)) == (2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.points = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.points[0].wall_s = (1.0,)
    assert pickle.loads(pickle.dumps(more)) == more


def test_json_round_trip(tmp_path):
    table = make_table(make_point(), make_point(THREADS[2], max_abs_diff_v=math.inf, wall_s=()))
    path = tmp_path / "table.json"
    assert BenchmarkTable.from_json(table.to_json(path)) == table
    assert BenchmarkTable.from_json(path) == table


def test_a_stored_file_of_schema_1_can_be_read():
    table = BenchmarkTable.from_json(STORED)
    assert table.environment == ENVIRONMENT and table.subject == SUBJECT
    frame = table.to_frame()
    assert list(frame.verdict) == ["base", "faster", "inconclusive", "different output", "failed"]
    assert table.points[0].memory.processes[0].hwm_mb == 310.0
    assert table.points[0].trace.stages[0].batches[0].compute_s == 0.9


def test_fields_of_a_later_version_are_left_out_and_missing_ones_get_defaults():
    content = json.loads(STORED.read_text())
    content["colour"] = "blue"
    content["points"][0]["mood"] = {"good": True}
    del content["points"][0]["trace"], content["warnings"]
    table = BenchmarkTable.from_json(json.dumps(content))
    assert table.points[0].trace is None and table.warnings == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "update facet-nb"),
        ({"schema": "one"}, "schema"),
        ({"kind": "recipe"}, "not a benchmark table"),
        ({"points": [{}]}, "incomplete"),
        ({"points": [7]}, "object"),
        ({"environment": {"cores": "many"}}, "cores"),
    ],
)
def test_what_is_no_table_is_refused(change, message):
    content = {**json.loads(STORED.read_text()), **change}
    with pytest.raises(ValidationError, match=message):
        BenchmarkTable.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["{", "nowhere.json", "[]", "{" * 100_000, "\0"])
def test_texts_that_are_no_table(text):
    with pytest.raises(ValidationError):
        BenchmarkTable.from_json(text)


def test_other_machines_and_subjects_are_refused():
    table = make_table()
    elsewhere = dataclasses.replace(ENVIRONMENT, cores_allowed=2)
    with pytest.raises(ValidationError, match="another machine"):
        table.append(make_point(environment_id=elsewhere.id))
    with pytest.raises(ValidationError, match="another chain or recording"):
        table.append(make_point(subject_id="else"))


def test_merge_keeps_machines_apart():
    elsewhere = dataclasses.replace(ENVIRONMENT, processor="Slide rule")
    points = [
        make_point(environment_id=elsewhere.id, wall_s=(8.0, 8.1, 8.2)),
        make_point(THREADS[2], environment_id=elsewhere.id, wall_s=(4.0, 4.1, 4.2)),
    ]
    other = BenchmarkTable(elsewhere, SUBJECT)
    for point in points:
        other = other.append(point)
    both = make_table().merge(other, label="Ben")
    frame = both.to_frame()
    assert list(frame.columns) == ["machine", *COLUMNS]
    assert list(frame.machine) == ["this machine", "this machine", "Ben", "Ben"]
    assert list(frame.verdict) == ["base", "faster", "base", "faster"]
    assert frame.speedup[3] == pytest.approx(1.97, abs=0.03)
    assert BenchmarkTable.from_json(both.to_json()) == both
    for label in ("", "Ben"):
        with pytest.raises(ValidationError, match="label"):
            both.merge(other, label=label)
    with pytest.raises(ValidationError, match="merged already"):
        make_table().merge(both, label="Ann")


def test_sessions_are_pooled_but_ratios_stay_within_each():
    one = make_table()
    slow = make_table(make_point(wall_s=(4.0, 4.2)), make_point(THREADS[2], (2.1, 2.2)))
    both = one.extend(slow)
    assert len(both) == 4 and len(both.rows) == 2
    assert both.rows[0].point.blocks == (0, 1, 2, 3, 4)
    assert both.rows[1].speedup.value == pytest.approx(1.9, rel=0.02)


def test_a_different_result_never_becomes_the_base():
    wrong = make_point(Configuration("channel_sequential"), (0.1, 0.1, 0.1), max_abs_diff_v=1e-9)
    table = make_table(make_point(), wrong)
    assert [r.verdict for r in table.rows] == ["base", "different output"]
    assert table.base.configuration == SERIAL


def test_hostile_labels_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    subject = dataclasses.replace(SUBJECT, pipeline=evil, source=evil)
    environment = dataclasses.replace(ENVIRONMENT, processor=evil)
    point = make_point(
        Configuration(evil, evil, 2),
        environment_id=environment.id,
        subject_id=subject.id,
        error=evil,
    )
    table = BenchmarkTable(environment, subject, warnings=(evil,), label=evil).append(point)
    table = table.merge(BenchmarkTable(environment, subject).append(point), label=evil + "2")
    html = table._repr_html_()
    assert "<img" not in html and html.count("&lt;img") >= 6


def test_words():
    text = make_table(make_point(), make_point(THREADS[2], (1.9, 2.2, 2.0))).summary()
    assert "inconclusive" in text and "the base of the comparison" in text


def test_environment_of_this_machine_names_nobody():
    import getpass
    import platform

    here = Environment.of_this_machine()
    assert here.id == Environment.of_this_machine().id
    assert 1 <= here.cores_allowed <= here.cores and here.usable_memory_mb > 100
    text = repr(here)
    assert platform.node() not in text and getpass.getuser() not in text
