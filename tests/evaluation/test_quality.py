"""The quality of a result: good ones are good, bad ones flagged, and both told alike everywhere."""

from __future__ import annotations

import pickle
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    Exporter,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    PCACorrection,
    Pipeline,
    Quality,
    QualityCalculator,
    TriggerDetector,
    ValidationError,
)
from facet_nb.core.quality import Measure
from facet_nb.datasets import simulate
from facet_nb.evaluation import quality as module
from facet_nb.evaluation.quality import summarise
from facet_nb.evaluation.quality_tables import read_tables
from facet_nb.evaluation.quality_windows import cut_scan

TRIGGERS = TriggerDetector(r"S  1|R128")
GOOD, BAD = Pipeline([TRIGGERS, GradientCorrection()]), Pipeline([TRIGGERS, AASCorrection(20)])


def make(seed=2, imperfections=None, **options):
    options = {"n_channels": 3, "sfreq": 500, "duration_s": 40, "n_slices": 15} | options
    return simulate(seed=seed, imperfections=imperfections, **options)


def run(pipeline, simulation, **options):
    return pipeline.run(simulation.context(), show_progress=False, **options)


@pytest.fixture(scope="module")
def simulation():
    return make()


@pytest.fixture(scope="module")
def good(simulation):
    return run(GOOD, simulation)


@pytest.fixture(scope="module")
def bad(simulation):
    return run(BAD, simulation)


# ------------------------------------------------------------------------------- the verdict
def test_a_good_result(good, simulation):
    assert np.median(simulation.snr_db(good.raw)) > 15
    assert good.quality.verdict == "good", good.quality
    assert good.quality.sentence == "corrected; residual at the noise floor."
    assert all(measure.verdict != "check" for measure in good.quality.measures)
    assert good.quality["untouched_artifact"].value == 0


def test_a_bad_result(bad, simulation):
    assert np.median(simulation.snr_db(bad.raw)) < 5
    assert bad.quality.verdict == "check"
    assert bad.quality.sentence.startswith("look at ")
    assert set(bad.quality["level"].channels) <= set(simulation.ch_names)


@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_artifact_that_was_left_is_named_with_its_time(markers, seed):
    simulation = make(seed, {"dummy_volumes": 2}, markers=markers)
    quality = run(BAD, simulation).quality
    assert quality.verdict == "check"
    (start, stop), *_ = quality["untouched_artifact"].span_s
    assert start < 7.5 and 7 < stop < 11.5  # dummies from 5 to 9 s
    assert run(GOOD, simulation).quality["untouched_artifact"].value == 0  # found and corrected


def test_lost_eeg_is_told(simulation):
    chain = Pipeline([TRIGGERS, GradientCorrection(), PCACorrection(locked_only=False)])
    assert run(chain, simulation).quality["high_residual"].verdict == "check"


def test_filters_are_no_loss(simulation):
    chain = Pipeline([TRIGGERS, GradientCorrection(), HighPassFilter(1.0), LowPassFilter(60.0)])
    quality = run(chain, simulation).quality
    assert quality.verdict == "good", quality
    assert abs(quality["quiet_loss"].value) < 0.5


# ------------------------------------------------------------------------------ the second look
@pytest.fixture
def looks(monkeypatch):
    """The channels, and the number of windows, of each look at a result."""
    seen = []

    def read(context, scan, names, n_pairs=None):
        tables = read_tables(context, scan, names, n_pairs)
        seen.append((list(names), len(tables.windows)))
        return tables

    monkeypatch.setattr(module, "read_tables", read)
    return seen


@pytest.fixture(scope="module")
def long():
    """A good result with more epochs than a first look reads, and nothing in doubt."""
    simulation = make(3, duration_s=90)
    return run(GOOD, simulation).context


def test_a_good_result_is_looked_at_once(long, looks):
    assert QualityCalculator().measure_quality(long).verdict == "good"
    ((names, n),) = looks
    assert len(names) == 3 and n < len(cut_scan(long).windows) / 2


def test_a_result_beyond_doubt_is_looked_at_once(simulation, bad, looks):
    assert QualityCalculator().measure_quality(bad.context).verdict == "check"
    assert [names for names, _ in looks] == [simulation.ch_names[: len(looks[0][0])]]


def test_a_level_that_is_high_by_chance_is_looked_at_again(looks):
    """In few windows, one channel of this good result has 3.4 dB more than in quiet time."""
    result = run(GOOD, make(2, duration_s=90))
    assert result.quality.verdict == "good"
    assert [len(names) for names, _ in looks] == [3, 1]
    assert result.quality["level"].value < 3.0


@pytest.mark.parametrize("seed", range(3))
def test_what_is_in_doubt_is_looked_at_again(seed, long, looks, monkeypatch):
    """Channels whose figures exceed a limit with few epochs are judged by many."""
    eeg = QualityCalculator().measure_quality(long)["locked_residual"]
    names = long.get_raw().ch_names
    chosen = list(np.random.default_rng(seed).permutation(names[:3])[: seed + 1])
    whole = read_tables(long, cut_scan(long), chosen, 16)
    judged, asked = module._judge_sampled, []

    def doubt(tables, scan, known=()):
        found = judged(tables, scan, known)
        asked.append(tables.names)
        if len(asked) == 1:  # the first look finds a residual that there is not
            found[0] = replace(found[0], value=0.15, verdict="check", channels=tuple(chosen))
        return found

    looks.clear()
    monkeypatch.setattr(module, "_judge_sampled", doubt)
    quality = QualityCalculator().measure_quality(long)
    assert quality.verdict == "good" and eeg.verdict == "good"
    (_, few), (again, many) = looks
    assert sorted(again) == sorted(chosen) and many > 2 * few
    assert asked[1] == again
    expected = float(whole.locked.locked().max())
    assert quality["locked_residual"].value == pytest.approx(expected, abs=1e-9)


# --------------------------------------------------------------- the same wherever it is asked
def test_the_same_in_every_mode(simulation, good):
    for options in (
        {"mode": "channel_sequential", "chunk_duration_s": 5.0},
        {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
    ):
        assert run(GOOD, simulation, **options).quality == good.quality


def test_the_same_from_a_file(simulation, good, tmp_path):
    path = tmp_path / "a_raw.fif"
    simulation.raw.save(path, fmt="double", verbose="error")
    result = GOOD.run(
        str(path), show_progress=False, mode="channel_sequential", chunk_duration_s=5.0
    )
    assert result.quality.verdict == good.quality.verdict
    for measure in good.quality.measures:
        assert result.quality[measure.name].value == pytest.approx(measure.value, abs=1e-3)


def test_it_outlives_the_samples(simulation, good):
    result = run(GOOD, simulation)
    result.release_raw()
    assert result.quality == good.quality
    assert pickle.loads(pickle.dumps(result.quality)) == result.quality


def test_in_a_chain(simulation, good):
    result = run(Pipeline([*GOOD.processors, QualityCalculator()]), simulation)
    assert result.metric("quality_level") == good.quality["level"].value
    assert result.get_history()[-1].parameters["verdict"] == "good"


def test_where_it_is_shown(good, bad):
    assert str(good.quality) in good.summary()
    assert "residual at the noise floor" in good._repr_html_()
    assert bad.quality.sentence[:20] in bad.summary()


def test_it_is_data(bad):
    quality = bad.quality
    assert Quality.from_dict(quality.to_dict()) == quality
    with pytest.raises(FrozenInstanceError):
        quality.verdict = "good"
    with pytest.raises(KeyError, match="locked_residual"):
        quality["nothing"]
    assert {f.name for f in fields(Measure)} == set(quality.measures[0].to_dict())


# ------------------------------------------------------------------------------- not measured
def test_nothing_corrected(simulation):
    result = run(Pipeline([TRIGGERS, HighPassFilter(1.0)]), simulation)
    assert result.quality == Quality("not measured", "nothing was corrected.")
    assert "quality" not in result.summary()


def test_no_unscanned_time():
    simulation = make(lead_in_s=0.0, lead_out_s=0.0)
    quality = run(GOOD, simulation).quality
    assert quality["level"].verdict == "not measured"
    assert "unscanned" in quality["level"].detail
    assert quality["locked_residual"].verdict == "good"


def test_a_failed_run(simulation):
    result = run(Pipeline([TriggerDetector("nothing"), GradientCorrection()]), simulation)
    assert not result.success and result.quality.verdict == "not measured"


def test_a_figure_that_fails_is_told_and_loses_nothing(simulation, monkeypatch):
    def fail(self, context):
        raise RuntimeError("no figure")

    monkeypatch.setattr(QualityCalculator, "measure_quality", fail)
    result = run(GOOD, simulation)
    assert result.success and "RuntimeError: no figure" in result.quality.sentence


# --------------------------------------------------------------------------------- acceptance
@pytest.mark.parametrize("accept", ["good", {"level": 3.0}, lambda q: q.verdict == "good"])
def test_only_good_results_are_written(simulation, tmp_path, accept):
    for pipeline, is_good in ((GOOD, True), (BAD, False)):
        path = tmp_path / f"{is_good}.fif"
        result = run(Pipeline([*pipeline.processors, Exporter(path)]), simulation, accept=accept)
        assert result.success == path.exists() == is_good
        rejected = [f for f in result.findings if f.code == "result_rejected"]
        assert bool(rejected) != is_good
        assert result.quality.verdict == ("good" if is_good else "check")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["True.fif", "True_provenance.json"]
    assert rejected[0].evidence["verdict"] == "check"
    assert result.last_context.has_raw()


def test_without_a_file(simulation):
    assert run(GOOD, simulation, accept="good").success
    assert not run(BAD, simulation, accept="good").success
    assert run(BAD, simulation, accept={"untouched_artifact": 1e3}).success


def test_files_before_the_correction_are_written(simulation, tmp_path):
    before, after = tmp_path / "before.fif", tmp_path / "after.fif"
    steps = [Exporter(before), *BAD.processors, Exporter(after)]
    assert not run(Pipeline(steps), simulation, accept="good").success
    assert before.exists() and not after.exists()


@pytest.mark.parametrize("accept", ["fine", {}, {"level": "low"}, 3, {"level": True}])
def test_wrong_rules(simulation, accept):
    with pytest.raises(ValidationError, match="accept="):
        GOOD.run(simulation.context(), accept=accept, show_progress=False)


def test_unknown_and_unmeasured_limits(simulation):
    result = run(GOOD, simulation, accept={"nothing": 1})
    assert not result.success and "no measure 'nothing'" in str(result.error)
    result = run(GOOD, simulation, accept={"beats_unsupported": 1})
    assert not result.success and "was not measured" in str(result.error)


def test_a_batch(simulation, tmp_path):
    clipped = make(3, {"clip_v": 3e-3}, sfreq=1000)
    inputs = []
    for name, each in (("good", simulation), ("clipped", clipped)):
        inputs.append(tmp_path / f"{name}_raw.fif")
        each.raw.save(inputs[-1], verbose="error")
    options = {"output": tmp_path / "out", "show_progress": False, "keep_raw": False}
    done = GOOD.map(inputs, accept="good", **options)
    table = done.summary_df
    assert table["success"].tolist() == [True, False]
    assert table["quality"].tolist() == ["good", "check"]
    assert table["quality_sentence"][1].startswith("look at ")
    names = sorted(path.name for path in (tmp_path / "out").glob("*_corrected*"))
    assert names == ["good_raw_corrected.fif", "good_raw_corrected_provenance.json"]
    assert done.outputs[1] is None
    assert all(result.success for result in GOOD.map(inputs, **options))


# ------------------------------------------------------------------------- truth and the page
def test_each_measure_is_on_the_page(project_root, good):
    page = (project_root / "docs/quality.md").read_text(encoding="utf-8")
    assert [m.name for m in good.quality.measures if f"| `{m.name}` |" not in page] == []


def test_a_dozen_of_the_confusion_table(project_root, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(project_root) / "benchmarks"))
    confusion = pytest.importorskip("confusion")
    monkeypatch.delitem(sys.modules, "confusion")
    kinds = [kind for kind in confusion.KINDS if kind != "none"]
    rows = [confusion.measure(kind, 700 + i, 9_000) for i, kind in enumerate(kinds)]
    assert [row["kind"] for row in rows if not confusion.is_told(row)] == []
    alarms = confusion.ALARMS.items()
    wrong = [
        (r["kind"], c) for r in rows for c, k in alarms if c in r["codes"] and r["kind"] not in k
    ]
    assert wrong == []
    done = [row for row in rows if row["snr_db"] is not None]
    assert [r["kind"] for r in done if confusion.is_bad(r) and r["verdict"] != "check"] == []
    assert "| fault |" in confusion.write_tables(rows)


@pytest.mark.parametrize(
    ("spans", "written"),
    [
        (((41.0, 43.0),), "41–43 s"),
        (((7.002, 10.998), (12.34, 12.36)), "7–11 s, 12.3–12.4 s"),
        (((12_345.6, 12_347.6),), "12345.6–12347.6 s"),
        (((172_800.0, 172_801.96),), "172800–172802 s"),
    ],
)
def test_places_are_to_a_tenth_of_a_second_however_late(spans, written):
    measure = Measure("one", "one", 1.0, 0.0, verdict="check", detail="bad.", span_s=spans)
    assert summarise([measure]).sentence == f"look at {written} – one: bad."
