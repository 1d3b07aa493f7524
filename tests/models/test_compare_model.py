"""Results side by side, without any display."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import compare as compare_chains
from facet_nb.core import Pipeline, Prepared
from facet_nb.core.errors import ValidationError
from facet_nb.models import CompareModel, RunModel
from facet_nb.pipelines import classic_correction
from tests.models.helpers import Halve, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture(scope="module")
def usual(simulation):
    """Three results of two chains, kept and compared."""
    chain = classic_correction()
    run, compare = RunModel(chain, simulation, mode="serial"), CompareModel()
    keep_run(run, compare)
    run.mode = "parallel"
    keep_run(run, compare, "mine")
    run.pipeline = Pipeline([p for p in chain if p.name != "aas_correction"])
    keep_run(run, compare)
    compare.wait()
    return compare


def keep_run(run, compare, label=""):
    assert run.run().success, run.error
    compare.keep(run, label)


def read_table(compare) -> dict[str, dict[str, str]]:
    """Return the table's cells by line and column."""
    heads, rows = compare.table()
    return {name: dict(zip(heads[1:], cells, strict=True)) for name, *cells in rows}


def test_the_table_says_what_a_user_wants_to_know(usual, simulation):
    first = usual.entries[0]
    table = read_table(usual)
    assert list(table["time (s)"]) == ["before", "1. serial", "2. mine", "3. parallel"]
    assert "aas_correction" in table["chain"]["2. mine"] and usual.chain == ""
    assert "aas_correction" not in table["chain"]["3. parallel"]
    assert table["settings"]["2. mine"] == "parallel"
    assert float(table["time (s)"]["1. serial"]) == round(first.result.execution_time, 2)
    assert float(table["memory, forecast (MB)"]["1. serial"]) > 0.48
    snr_db = np.median(simulation.snr_db(first.context))
    assert table["SNR against truth (dB)"]["1. serial"] == f"{snr_db:.1f}"
    before_db = np.median(simulation.snr_db(simulation.raw))
    assert table["SNR against truth (dB)"]["before"] == f"{before_db:.1f}"
    assert table["difference to serial (µV)"] == {
        "before": "",
        "1. serial": "0",
        "2. mine": "0",
        "3. parallel": "–",
    }
    assert table["same bits as serial?"]["2. mine"] == "✓ identical to serial"
    assert table["same bits as serial?"]["3. parallel"] == "not compared yet"


def test_metrics_are_those_of_compare(usual):
    results = {entry.label: entry.result for entry in usual.entries}
    expected, ours = compare_chains(results), usual.comparison()
    assert ours.table.equals(expected.table)
    for chain, same in zip(ours.chains, expected.chains, strict=True):
        assert np.array_equal(chain.spectrum.density_v2, same.spectrum.density_v2)
    cells = read_table(usual)["off at slice harmonics (dB)"]
    for label, value in expected.table["slice_off_db"].items():
        assert cells[label] == f"{value:.1f}"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_memory_does_not_depend_on_the_order_of_runs(simulation, order):
    """The same run has the same figure, first or after a larger one; it grows with the chain."""
    chains = [Pipeline([Halve()]), Pipeline([Halve()] * 3), Pipeline([Halve(), Halve()])]
    run, compare = RunModel(chains[0], simulation, mode="serial"), CompareModel()
    for i in order:
        run.pipeline = chains[i]
        keep_run(run, compare)
    cells = read_table(compare)["memory, forecast (MB)"]
    alone = [RunModel(chain, simulation, mode="serial") for chain in chains]
    for number, i in enumerate(order, 1):
        other = CompareModel()
        keep_run(alone[i], other)
        assert cells[f"{number}. serial"] == read_table(other)["memory, forecast (MB)"]["1. serial"]
    assert float(cells["1. serial"]) >= simulation.raw.get_data().nbytes / 1e6


def test_without_triggers_the_reason_is_told(simulation):
    run, compare = RunModel(Pipeline([Halve()]), simulation, mode="serial"), CompareModel()
    assert compare.table() == ([], []) and compare.comparison() is None
    keep_run(run, compare)
    compare.wait()
    (note,) = compare.notes
    assert "no triggers" in note and "TriggerDetector" in note
    table = read_table(compare)
    assert "RMS (µV)" not in table and "settings" not in table  # the label says it
    assert compare.chain == "halve" and compare.comparison() is None


def test_results_of_two_recordings_have_no_common_before(simulation):
    run, compare = RunModel(classic_correction(), simulation, mode="serial"), CompareModel()
    keep_run(run, compare)
    run.source = make_simulation(2)
    keep_run(run, compare)
    compare.wait()
    heads, _ = compare.table()
    assert "before" not in heads
    assert [chain.name for chain in compare.comparison().chains] == ["2. serial"]


def test_equality_badges(simulation):
    run = RunModel(Pipeline([Halve()]), simulation, mode="serial")
    compare = CompareModel()
    with pytest.raises(ValidationError, match="no result"):
        compare.keep(run)
    run.run()
    compare.keep(run)
    with pytest.raises(ValidationError, match="kept already"):
        compare.keep(run)
    run.mode = "channel_sequential"
    run.run()
    compare.keep(run, "mine")
    run.pipeline = Pipeline([Halve(), Halve()])
    run.run()
    compare.keep(run)
    badges = [entry.badge for entry in compare.entries]
    assert badges == ["serial", "identical to serial", "not compared yet"]
    assert compare.entries[1].label == "2. mine" and compare.entries[1].snr_db is not None
    assert compare.channels == tuple(simulation.raw.ch_names)
    assert compare.memory_bytes == 3 * simulation.raw.get_data().nbytes
    compare.check()
    compare.wait()
    assert compare.entries[2].badge == "identical to the serial result"
    compare.remove(0)
    assert [e.label for e in compare.entries] == ["2. mine", "3. channel_sequential"]
    assert compare.entries[0].badge == "identical to serial"  # it was compared before


class Drifts(Halve):
    """Gives another result each time."""

    name = "drifts"
    n = 0

    def prepare(self, view):
        Drifts.n += 1
        return Prepared(payload=1.0 + 0.001 * Drifts.n)

    def compute(self, x, prepared, out=None):
        return np.multiply(x, prepared.payload, out=out)


def test_a_difference_is_found(simulation):
    run = RunModel(Pipeline([Drifts()]), simulation, mode="serial")
    compare = CompareModel()
    for mode in ("serial", "channel_sequential"):
        run.mode = mode
        run.run()
        compare.keep(run)
    second = compare.entries[1]
    apart_v = np.abs(second.context.get_data() - compare.entries[0].context.get_data()).max()
    assert "differs from serial by up to" in second.badge and not second.is_same
    assert second.difference_uv == pytest.approx(1e6 * apart_v)
    run.source = make_simulation(2)
    run.run()
    compare.keep(run)
    assert compare.entries[2].badge == "not comparable: another recording"
