"""The page about a study: order, links, failures, what is unusual; nothing in it is executed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facet_nb.core import Measure, Quality, StudyRow, make_finding
from facet_nb.report import make_study_report
from facet_nb.report.study import draw_course, draw_strip, is_unusual, sort_rows

HOSTILE = "<script>alert(1)</script>\"'&"


def make_row(index, state="done", **values):
    measure = Measure("locked", "recurs", values.pop("value", 0.01), 0.1, verdict="good")
    verdict = values.pop("verdict", "good")
    defaults = {
        "quality": Quality(verdict, "fine.", (measure,)),
        "course_uv": (10.0, 11.0, 12.0),
        "time_s": 3.0 + 0.1 * index,
        "peak_bytes": 10**8,
    }
    return StudyRow(index, f"/data/a{index}.fif", state, **(defaults | values))


def test_the_ones_to_look_at_come_first():
    found = (make_finding("workers_lowered", "x"),)
    rows = [
        make_row(0),
        make_row(1, "skipped"),
        make_row(2, "failed", error="no", error_type="OSError"),
        make_row(3, verdict="check"),
        make_row(4, findings=found),
        make_row(5, "rejected", error="bad", error_type="FindingError"),
        make_row(6, course_uv=(10.0, 90.0)),
    ]
    assert [row.index for row in sort_rows(rows)] == [2, 5, 3, 4, 6, 0, 1]


def test_the_page(tmp_path):
    page = tmp_path / "study.html"
    report = tmp_path / "reports" / "a b.html"
    report.parent.mkdir()
    report.write_text("x")
    rows = [make_row(i, value=0.01 + 0.001 * i) for i in range(9)]
    rows.append(make_row(9, value=0.09, report=str(report)))
    rows.append(make_row(10, "failed", error=f"take {HOSTILE}", error_type="ValueError"))
    header = {"name": HOSTILE, "steps": [{"processor": "aas", "parameters": {"n": HOSTILE}}]}
    text = make_study_report(rows, [header | {"versions": {"mne": "1"}}], page).to_html()
    assert page.read_text() == text
    assert "<script" not in text and "&lt;script&gt;" in text
    assert 'href="reports/a b.html"' in text
    assert "Unusual: a9.fif" in text and "1 failed: ValueError" in text
    assert text.index("a10.fif") < text.index("a0.fif")
    assert "11 recordings: 10 done, 1 failed." in text
    assert not re.search(r"(src|href)=\"https?:", text)
    assert not {str(tmp_path)} & set(re.findall(r"/tmp/[^\"<]+", text))


def test_a_study_without_anything():
    assert "0 recordings: none." in make_study_report([]).to_html()


@pytest.mark.parametrize(
    ("value", "others", "expected"),
    [(9.0, np.arange(8.0), False), (50.0, np.arange(8.0), True), (50.0, np.arange(4.0), False)],
)
def test_what_is_unusual(value, others, expected):
    assert is_unusual(value, np.append(others, value)) == expected
    assert not is_unusual(1.0, np.ones(20))


def test_pictures_show_their_numbers():
    points = re.search(r'points="([^"]+)"', draw_course((0.0, 5.0, 20.0), 10.0))[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights[0] == 24.0 and heights[1] == 13.0 and heights[2] == 2.0  # cut at the top
    assert draw_course((), 1.0) == "–"
    strip = draw_strip(np.array([1.0, 2.0, 3.0]), 4.0, [3.0], "x")
    assert strip.count("<circle") == 3 and strip.count("fnb-marked") == 1
    assert "fnb-limit" in strip and "fnb-limit" not in draw_strip(np.arange(3.0), 99.0, [], "x")


def test_rows_survive_json():
    import json

    row = make_row(1, metrics={"snr": float("nan"), "rms": 2.0}, findings=())
    back = StudyRow.from_dict(json.loads(json.dumps(row.to_dict(), allow_nan=False)))
    assert back.quality == row.quality and back.course_uv == row.course_uv
    assert back.metrics["rms"] == 2.0 and np.isnan(back.metrics["snr"])
