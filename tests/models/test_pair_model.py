"""Side by side from the start, and the difference of two results as a count."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import HighPassFilter, Pipeline
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import example, simulate
from facet_nb.models import StudioModel
from facet_nb.models.pair_model import compare_tiles
from facet_nb.models.signal_tiles import TiledSignal


def tile(x: np.ndarray) -> TiledSignal:
    raw = mne.io.RawArray(x, mne.create_info(len(x), 100.0, "eeg"), copy="both", verbose="error")
    return TiledSignal(raw, raw.ch_names)


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 299)), max_size=8), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_sample_that_differs_is_counted(places, with_nan):
    x = np.random.default_rng(0).normal(size=(3, 300)) * 1e-5
    y = x.copy()
    for k, place in enumerate(sorted(places), 1):
        y[place] += k * 1e-6
    if with_nan:
        x[0, 7] = y[0, 7] = np.nan  # missing in both: no difference
        places = places - {(0, 7)}
    names = ["a", "b", "c"]
    found = compare_tiles(tile(x), tile(y), range(3), (0.0, float("inf")), names)
    assert (found.n_differ, found.n_samples) == (len(places), 900)
    size = 1e6 * np.nan_to_num(np.abs(x - y))
    assert found.largest_uv == pytest.approx(size.max())
    if places:
        row, column = np.unravel_index(size.argmax(), size.shape)
        assert (found.channel, found.at_s) == (names[row], column / 100)
    else:
        assert found.describe("A", "B", True)[0] == "0 of 900 samples differ"


def test_both_chains_stand_side_by_side_before_anything_has_run():
    studio = StudioModel(example())
    studio.screen = "Compare"
    studio.pair.wait()
    gradient, classic = studio.pair.candidates
    assert studio.pair.names == (gradient.name, classic.name) and not gradient.whole
    assert gradient.snr_db > classic.snr_db > 0 and 5 < gradient.rms_uv < 50
    assert "in this window" in studio.pair.text[0] and " µV at most, in " in studio.pair.text[1]
    assert studio.signal.shown == "difference" and "difference" in studio.signal.tiled()
    studio.pair.choose(two=gradient.name)
    studio.pair.wait()
    assert studio.pair.text[0].startswith("0 of ") and "bit for bit" in studio.pair.text[1]
    studio.screen = "Run"
    assert studio.signal.shown == "both" and "difference" not in studio.signal.tiled()


def test_runs_join_and_those_of_another_recording_leave():
    simulation = simulate(2, 500.0, 15.0)
    studio = StudioModel(simulation, Pipeline([HighPassFilter(1.0)]), cores=2, mode="serial")
    studio.run.run()
    studio.run.mode = "parallel"
    studio.run.run()
    studio.screen = "Compare"
    studio.pair.wait()
    assert [c.whole for c in studio.pair.candidates] == [False, False, True, True]
    n = studio.result.context.get_data().size
    assert studio.pair.text[0] == f"0 of {n:,} samples differ".replace(",", " ")
    assert studio.pair.one.startswith("2.") and studio.pair.two.startswith("1.")
    studio.compare.keep(studio.run, "mine")
    assert [e.automatic for e in studio.compare.entries] == [True, False]
    with pytest.raises(ValidationError, match="kept already"):
        studio.compare.keep(studio.run)
    studio.recording.kind = "example"
    studio.recording.load()
    studio.pair.wait()
    assert [c.whole for c in studio.pair.candidates] == [False, False]
    assert [e.automatic for e in studio.compare.entries] == [False]


@pytest.mark.parametrize(("value", "runs"), [(-1, 2), (99, 2), (1, 1), (-2, 1)])
def test_what_is_asked_for_stays_and_what_runs_is_said(value, runs):
    studio = StudioModel(simulate(2, 500.0, 15.0), Pipeline([HighPassFilter(1.0)]), cores=2)
    studio.ask("n_jobs", value)
    assert (studio.asked("n_jobs"), studio.run.n_jobs) == (value, runs)
    studio.run.n_jobs = 3 - runs  # from elsewhere: that is what is asked for now
    assert studio.asked("n_jobs") == 3 - runs
    for wrong in (0, -3):
        with pytest.raises(ValidationError, match="no number of workers"):
            studio.ask("n_jobs", wrong)
