"""Events of a recording, and which of them are the scanner's."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import Pipeline, ProcessingContext, TriggerDetector, TriggerExplorer
from facet_nb.core.errors import ValidationError
from facet_nb.preprocessing.explorer import explore_triggers


@pytest.fixture
def raw():
    """Volumes, clock marks, slices with odd numbers, answers of a person, and a stim channel."""
    data = np.zeros((2, 60_000))
    data[1, 5000:50_000:1500] = 7
    info = mne.create_info(["C3", "STI"], 500.0, ["eeg", "stim"])
    raw = mne.io.RawArray(data, info, verbose="error")
    volumes = 10.0 + 2.0 * np.arange(40)
    answers = np.random.default_rng(0).uniform(10, 90, 12)
    marks = [(t, "Response/R128") for t in volumes] + [(t, "Stimulus/S 11") for t in answers]
    marks += [(t, "SyncStatus/Sync On") for t in np.arange(0, 110, 5.0)] + [(1.0, "BAD_x")]
    onsets, texts = zip(*marks, strict=True)
    return raw.set_annotations(mne.Annotations(onsets, 0.0, texts))


def test_table_puts_the_trains_first(raw):
    table = explore_triggers(raw)
    assert list(table["event"]) == ["Response/R128", "7", "Stimulus/S 11"]
    volumes = table.iloc[0]
    assert (volumes["count"], volumes["source"], volumes["regular"]) == (40, "annotations", 1.0)
    assert volumes["median_distance_s"] == pytest.approx(2.0)
    assert table.iloc[1]["source"] == "STI"
    assert explore_triggers(ProcessingContext(raw)).equals(table)


def test_expressions_find_what_they_are_for(raw):
    for _, event in explore_triggers(raw).iterrows():
        # Stimuli come at irregular times, which would be refused as a scanner's triggers.
        found = TriggerDetector(event["regex"], repair=False).execute(ProcessingContext(raw))
        assert len(found.get_triggers()) == event["count"]


def test_report_is_printed_and_kept(raw, capsys):
    context = Pipeline([TriggerExplorer()]).run(ProcessingContext(raw)).context
    text = capsys.readouterr().out
    assert "*     40 × 'Response/R128'" in text and "  12 × 'Stimulus/S 11'" in text
    kept = context.metadata.custom["trigger_explorer"]
    assert kept["likely"] == [r"(^|/)R128$", r"(^|/)7$"]
    TriggerExplorer(verbose=False).execute(context)
    assert capsys.readouterr().out == ""


def test_nothing_to_list(raw, capsys):
    TriggerExplorer().execute(ProcessingContext(raw.copy().pick(["C3"]).set_annotations(None)))
    assert "no annotations and no stim codes" in capsys.readouterr().out


def test_sync_on_is_never_a_trigger(raw):
    for regex in ("Sync", "S", "On"):
        if regex == "S":
            detector = TriggerDetector(regex, repair=False)  # stimuli come at irregular times
            assert len(detector.execute(ProcessingContext(raw)).get_triggers()) == 12
            continue
        with pytest.raises(ValidationError, match="contain Sync, are not events"):
            TriggerDetector(regex).execute(ProcessingContext(raw))
