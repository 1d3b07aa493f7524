"""Editing a chain without a screen."""

from __future__ import annotations

import pytest

from facet_nb.core import Pipeline
from facet_nb.core.errors import ValidationError
from facet_nb.correction import AASCorrection
from facet_nb.models import ChainModel
from facet_nb.pipelines import classic_correction
from facet_nb.preprocessing import HighPassFilter, LowPassFilter, PickChannels
from tests.models.helpers import make_simulation


@pytest.fixture(scope="module")
def ctx():
    return make_simulation().context()


@pytest.fixture
def chain(ctx):
    return ChainModel(classic_correction(), ctx)


def names(chain) -> list[str]:
    return [step.name for step in chain.steps]


def test_it_shows_what_it_was_given(chain):
    pipeline = classic_correction()
    assert names(chain) == [p.name for p in pipeline] and chain.selected == 0
    assert chain.problem == "" and chain.steps[4].text("window_size") == "30"
    assert [repr(p) for p in chain.pipeline] == [repr(p) for p in pipeline]


def test_add_move_remove(chain):
    chain.selected = 1
    chain.add("notch_filter")
    assert names(chain)[2] == "notch_filter" and chain.selected == 2
    assert chain.problem == "Step 3 (notch_filter): freqs: give a number or a list."
    assert len(chain.pipeline) == 7  # it stays what it was until the step can be made
    chain.set_text("freqs", "50")
    assert chain.problem == "" and len(chain.pipeline) == 8 and chain.pipeline[2].freqs == 50.0
    chain.move(-1)
    assert names(chain)[1] == "notch_filter" and chain.selected == 1
    chain.move(99)
    assert chain.selected == 7 and names(chain)[7] == "notch_filter"
    chain.remove()
    assert chain.selected == 6 and len(chain.pipeline) == 7
    for _ in range(9):
        chain.remove()
    assert chain.steps == () and chain.selected == -1 and len(chain.pipeline) == 0
    chain.add("common_reference")
    assert names(chain) == ["common_reference"] and chain.selected == 0


def test_unknown_step(chain):
    with pytest.raises(ValidationError, match="'nothing' cannot be added"):
        chain.add("nothing")


def test_a_step_that_is_off_takes_no_part(chain):
    chain.selected = 6
    chain.enable(False)
    assert len(chain.steps) == 7 and len(chain.pipeline) == 6
    assert "lowpass_filter" not in [p.name for p in chain.pipeline]
    chain.set_text("freq", "none")
    assert chain.problem == ""
    chain.enable(True)
    assert "'none' is not a number" in chain.problem


def test_what_a_missing_step_does_to_those_behind_it_is_said(chain):
    chain.selected = 2
    chain.enable(False)
    assert chain.problem.startswith("Step 7 (lowpass_filter): 70 Hz is not between 0 and the Nyq")


def test_what_is_typed_is_judged_on_the_recording(chain):
    chain.selected = 6
    chain.set_text("freq", "300")
    assert chain.problem.startswith("Step 7 (lowpass_filter): 300 Hz is not between 0 and the Nyq")
    assert chain.steps[6].problem() and not chain.steps[6].problem("freq")
    chain.set_text("freq", "40")
    assert chain.problem == "" and chain.pipeline[6].freq == 40.0


def test_the_rate_that_steps_before_it_leave_counts(ctx):
    chain = ChainModel(classic_correction(), ctx)
    chain.selected = 1
    chain.set_text("freq", "400")
    assert "Nyquist" in chain.problem
    chain.move(1)  # behind the upsampling there is room
    assert chain.problem == ""


@pytest.mark.parametrize(
    ("step", "field", "text", "said"),
    [
        (0, "regex", "[", "is not a regular expression"),
        (0, "regex", "R128", "matches nothing"),
        (4, "window_size", "0", "must be 1 or more"),
        (4, "correlation_threshold", "2", "must be above 0 and at most 1"),
        (4, "window_size", "", ""),
    ],
)
def test_complaints(chain, step, field, text, said):
    chain.selected = step
    chain.set_text(field, text)
    assert said in chain.problem and bool(said) == bool(chain.problem)


def test_a_correction_without_triggers_is_a_problem(ctx):
    chain = ChainModel(Pipeline([AASCorrection()]), ctx)
    assert "there are no triggers" in chain.problem
    assert ChainModel(Pipeline([AASCorrection()])).problem == ""  # nothing to judge it on


def test_yaml_both_ways(chain, tmp_path):
    text = chain.to_yaml(tmp_path / "chain.yaml")
    other = ChainModel()
    other.load_yaml(tmp_path / "chain.yaml")
    assert other.to_yaml() == text and names(other) == names(chain)
    with pytest.raises(ValidationError):
        other.load_yaml("processors:\n  - processor: nothing\n")
    assert names(other) == names(chain)


def test_triggers_of_a_description(chain):
    chain.use_trigger("Stimulus/S  1")
    assert chain.problem == "" and chain.pipeline[0].regex == r"^Stimulus/S\ \ 1$"
    empty = ChainModel(Pipeline([HighPassFilter(1.0)]), chain.check.context)
    empty.use_trigger("Stimulus/S  1")
    assert names(empty) == ["trigger_detector", "highpass_filter"] and empty.problem == ""


def test_values_of_any_kind(ctx):
    chain = ChainModel(Pipeline([PickChannels(["Cz", "C3"]), LowPassFilter(40.0)]), ctx)
    assert chain.steps[0].text("picks") == "['Cz', 'C3']"
    chain.set_value("picks", "eeg")
    assert chain.pipeline[0].picks == "eeg"
    with pytest.raises(ValidationError, match="no argument 'colour'"):
        chain.set_value("colour", 1)


def test_plain_functions_stay_as_they_are(ctx):
    def twice(ctx):
        return ctx

    chain = ChainModel(Pipeline([twice, HighPassFilter(1.0)]), ctx)
    assert chain.steps[0].fields == () and chain.pipeline[0].func is twice
    chain.move(1)
    assert chain.pipeline[1].func is twice


def test_one_edit_is_one_change(chain):
    seen = []
    chain.observe(lambda change: seen.append(change["name"]), ["steps", "pipeline", "problem"])
    chain.selected = 1
    chain.set_text("freq", "2")
    assert sorted(seen) == ["pipeline", "steps"]
