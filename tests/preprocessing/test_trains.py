"""Trains of triggers completed from volumes and slices, and the window of the acquisition."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb import (
    CutAcquisitionWindow,
    MissingTriggerCompleter,
    PasteAcquisitionWindow,
    Pipeline,
    ProcessingContext,
    SliceTriggerGenerator,
)
from facet_nb.core.errors import ValidationError
from facet_nb.kernels.triggers import spacing
from facet_nb.preprocessing import UpSample
from tests.evaluation.test_calculators import make_raw


def make(triggers, n=9000, **fields):
    raw = make_raw(np.random.default_rng(0).normal(size=(1, n)), first_samp=50)
    return ProcessingContext(raw).with_trigger_samples(triggers, **fields)


def train(volumes=12, slices=5, duration=100, pause=0, start=300):
    period = slices * duration + pause
    return (start + period * np.arange(volumes)[:, None] + duration * np.arange(slices)).ravel()


# ---------------------------------------------------------------------------- completer
@pytest.mark.parametrize("pause", [0, 40])
@pytest.mark.parametrize("missing", [[7], [20, 21], [3, 24, 44, 45], []])
def test_missing_triggers_are_completed(pause, missing):
    whole = train(pause=pause)
    context = make(np.delete(whole, missing))
    done = MissingTriggerCompleter(12, 5).execute(context)
    np.testing.assert_allclose(done.get_triggers(), whole, atol=1)
    assert len(done.metadata.custom["missing_triggers"]) == len(missing)
    marks = done.get_raw().annotations
    assert list(marks.description) == ["completed_trigger"] * len(missing)
    np.testing.assert_allclose(marks.onset, (whole[missing] + 50) / 100.0, atol=0.011)
    assert len(context.get_raw().annotations) == 0


def test_completer_that_only_looks():
    context = make(np.delete(train(), [7]))
    done = MissingTriggerCompleter(12, 5, add_to_context=False).execute(context)
    assert np.array_equal(done.get_triggers(), context.get_triggers())
    assert done.metadata.custom["missing_triggers"] == [1000]
    assert len(done.get_raw().annotations) == 0


def test_numbers_that_do_not_fit(caplog):
    cut = make(train()[:-2])
    with pytest.raises(ValidationError, match="make 60 triggers; there are 58"):
        MissingTriggerCompleter(12, 5).execute(cut)
    with caplog.at_level(logging.WARNING, logger="facet_nb"):
        done = MissingTriggerCompleter(12, 5, strict=False).execute(cut)
    assert "there are 58" in caplog.text
    assert done.get_history()[-1].parameters["n_lacking"] == 2
    with pytest.raises(ValidationError, match="make 55 triggers; there are 58"):
        MissingTriggerCompleter(11, 5).execute(cut)
    with pytest.raises(ValidationError, match="volumes=0"):
        MissingTriggerCompleter(0, 5).execute(cut)


# ---------------------------------------------------------------------------- generator
def test_slices_by_hand():
    found = spacing.slice_positions(np.array([100, 200]), 3, 10.4, 0.5)
    np.testing.assert_array_equal(found, [95, 105, 116, 195, 205, 216])


@given(duration=st.floats(5.0, 300.0), n=st.integers(1, 40), start=st.integers(0, 999))
def test_slices_are_where_they_are_to_half_a_sample(duration, n, start):
    volumes = np.rint(start + n * duration * np.arange(5)).astype(int)
    found = spacing.slice_positions(volumes, n, duration)
    exact = start + duration * np.arange(5 * n)
    assert np.abs(found - exact).max() <= 1.0
    assert np.all(np.diff(found) > 0)


def test_slices_of_volumes():
    context = make(500 * np.arange(1, 15), artifact_length=500)
    done = SliceTriggerGenerator(5, relative_position=0.0).execute(context)
    expected = np.arange(500, 7500, 100)
    np.testing.assert_array_equal(done.get_triggers(), expected)
    metadata = done.metadata
    assert (metadata.artifact_length, metadata.slices_per_volume) == (100, 5)
    assert not metadata.volume_gaps
    assert (metadata.acq_start_sample, metadata.acq_end_sample) == (500, 7499)
    early = SliceTriggerGenerator(5).execute(context)
    np.testing.assert_array_equal(early.get_triggers(), expected - 3)
    assert len(early.get_raw().annotations) == 0


def test_multiband_and_pauses():
    context = make(500 * np.arange(1, 15))
    step = SliceTriggerGenerator(48, 60.0, 0.0, add_annotations=True, multiband=6)
    done = step.execute(context)
    assert done.metadata.slices_per_volume == 8 and done.metadata.volume_gaps
    np.testing.assert_array_equal(done.get_triggers()[:9], [*range(500, 980, 60), 1000])
    assert set(done.get_raw().annotations.description) == {"generated_slice_trigger"}
    assert len(done.get_raw().annotations) == 14 * 8


def test_a_last_volume_that_was_cut_short():
    context = make(500 * np.arange(1, 15), n=7250)
    done = SliceTriggerGenerator(5, relative_position=0.0).execute(context)
    assert done.get_triggers()[-1] == 7200
    assert done.get_history()[-1].parameters["n_outside"] == 2


def test_what_cannot_be_generated():
    context = make(500 * np.arange(1, 15))
    with pytest.raises(ValidationError, match="divided by multiband=5"):
        SliceTriggerGenerator(48, multiband=5).execute(context)
    with pytest.raises(ValidationError, match="must fit into a volume of 500"):
        SliceTriggerGenerator(5, 120.0).execute(context)
    with pytest.raises(ValidationError, match="Give duration_samples"):
        SliceTriggerGenerator(5).execute(make([500], artifact_length=500))
    with pytest.raises(ValidationError, match="already mark slices"):
        SliceTriggerGenerator(5).execute(SliceTriggerGenerator(5).execute(context))


# ------------------------------------------------------------------------------- window
def test_window_is_written_down():
    context = make(train(2), artifact_length=100)
    context.metadata.artifact_to_trigger_offset = -0.05
    done = CutAcquisitionWindow().execute(context)
    metadata = done.metadata
    assert (metadata.pre_trigger_samples, metadata.post_trigger_samples) == (5, 95)
    assert (metadata.acq_start_sample, metadata.acq_end_sample) == (295, 1294)
    assert done.get_raw().n_times == context.get_raw().n_times
    padded = CutAcquisitionWindow(20, 200).execute(context).metadata
    assert (padded.acq_start_sample, padded.acq_end_sample) == (280, 1399)
    with pytest.raises(ValidationError, match="pre_padding_samples=-1"):
        CutAcquisitionWindow(-1).execute(context)


def test_window_goes_along_with_the_rate():
    steps = [CutAcquisitionWindow(), UpSample(factor=2), PasteAcquisitionWindow()]
    done = Pipeline(steps).run(make(train(2), artifact_length=100), raise_on_error=True).context
    acquisition = done.metadata.custom["acquisition"]
    assert acquisition["paste_applied"] and acquisition["acq_start_sample"] == 600
    assert PasteAcquisitionWindow().execute(ProcessingContext()).metadata.custom == {}
