"""The form of a step, alone."""

from __future__ import annotations

from facet_nb import HighPassFilter, LowPassFilter, Pipeline
from facet_nb.widgets import ChainEditor
from tests.widgets.finding import find


def test_what_is_typed_last_arrives_after_the_next_step_was_chosen():
    """A page holds back what is typed fast; it must reach the step for which it was meant."""
    editor = ChainEditor(Pipeline([HighPassFilter(1.0), HighPassFilter(2.0), LowPassFilter(70.0)]))
    old = find(editor, "fnb-field-freq")
    editor.model.selected = 1
    assert find(editor, "fnb-field-freq") is not old
    old.value = "0.5"
    assert [p.freq for p in editor.pipeline] == [0.5, 2.0, 70.0]
    assert find(editor, "fnb-field-freq").value == "2.0"


def test_what_is_typed_for_a_step_that_is_gone_is_dropped():
    editor = ChainEditor(Pipeline([HighPassFilter(1.0), LowPassFilter(70.0)]))
    old = find(editor, "fnb-field-freq")
    editor.model.remove()
    old.value = "0.5"
    assert [p.freq for p in editor.pipeline] == [70.0]


def test_few_forms_stay_open():
    editor = ChainEditor(Pipeline([HighPassFilter(1.0), LowPassFilter(70.0)]))
    first = find(editor, "fnb-field-freq")
    for i in range(8):
        editor.model.selected = (i + 1) % 2
    assert first.comm is None
    assert find(editor, "fnb-field-freq").comm is not None
