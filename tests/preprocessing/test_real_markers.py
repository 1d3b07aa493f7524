"""Marker files of real scans, and several runs in one recording."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    Pipeline,
    ProcessingContext,
    SliceTriggerGenerator,
    TriggerDetector,
    VolumeTriggerCorrection,
)
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import simulate
from facet_nb.preprocessing.explorer import explore_triggers


@pytest.fixture(scope="module")
def multiband(shared_data):
    """BrainVision markers of a multiband scan: 487 × R128, 484 × Sync On, answers S 1 to S 4."""
    path = shared_data / "real" / "me3mb3_tr1600_sl54.vmrk"
    marks = mne.read_annotations(path, sfreq=5000.0)
    data = np.zeros((1, int(5000 * (marks.onset.max() + 5))))
    raw = mne.io.RawArray(data, mne.create_info(1, 5000.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations(marks.onset, marks.duration, marks.description))
    return raw


def test_volumes_of_a_multiband_scan(multiband):
    found = TriggerDetector("R128").execute(ProcessingContext(multiband))
    metadata, notes = found.metadata, found.get_history()[-1].parameters
    assert len(metadata.triggers) == 487
    assert metadata.artifact_length == 8000  # TR 1.6 s
    assert notes["n_missing"] == 0 and notes["n_irregular"] == 0
    slices = SliceTriggerGenerator(slices=54, multiband=3).execute(found)
    assert len(slices.get_triggers()) == 487 * 18
    assert slices.metadata.artifact_length in (444, 445)


@pytest.mark.parametrize(("regex", "n"), [(r"S  1", 25), (r"\bS  [12]\b", 49), (r"S", 73)])
def test_answers_are_told_from_clock_marks(multiband, regex, n):
    found = TriggerDetector(regex).execute(ProcessingContext(multiband))
    assert len(found.get_triggers()) == n


def test_clock_marks_are_no_triggers(multiband):
    with pytest.raises(ValidationError, match="matches nothing"):
        TriggerDetector("Sync On").execute(ProcessingContext(multiband))
    table = explore_triggers(multiband)
    assert table.iloc[0]["event"] == "Response/R128"
    assert not table["event"].str.contains("Sync").any()


@pytest.fixture(scope="module")
def two_runs():
    """Two scans of one recording, the second cut off within a volume."""
    run = simulate(4, 1000.0, 28.0, 1.0, 8, seed=1, lead_in_s=4.0, lead_out_s=4.0)
    cut = 20_300
    first, second = run.raw.copy(), run.raw.copy().crop(tmax=(cut - 1) / 1000.0)
    both = mne.concatenate_raws([first, second], verbose="error")
    clean = np.concatenate([run.clean, run.clean[:, :cut]], axis=1)
    return both, clean


@pytest.mark.parametrize(
    "step",
    [
        AASCorrection(window_size=20, weighting="sliding", subsample=True),
        VolumeTriggerCorrection(window_size=20, subsample=True),
    ],
)
def test_several_runs_in_one_recording(two_runs, step):
    raw, clean = two_runs
    result = Pipeline([TriggerDetector(r"\b1\b"), step]).run(ProcessingContext(raw))
    assert result.success, result.error
    out = result.get_raw().get_data("eeg")
    assert result.get_history()[0].parameters["n_irregular"] == 1  # the break between the runs
    for start, stop in ((5000, 23_000), (33_000, 47_500)):
        clean_, error = clean[:, start:stop], (out - clean)[:, start:stop]
        snr_db = 10 * np.log10(np.var(clean_, axis=1) / np.var(error, axis=1))
        assert np.median(snr_db) > 6.0
