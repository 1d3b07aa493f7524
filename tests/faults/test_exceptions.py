"""Exceptions of any kind keep step, channel and cause; a pipeline may change during its run."""

from __future__ import annotations

import asyncio

import pytest

from facet_nb import HighPassFilter
from facet_nb.core import Pipeline, StepError
from facet_nb.core.errors import read_message
from tests.core import toys


class Silent(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unusual(BaseException):
    """No Exception, as some libraries have them."""


class Throwing(toys.ChannelWise):
    """Raises what it is told, on one channel."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def change(self, x, context):
        if "E4" not in context.get_channel_names():
            return x
        raise {
            "silent": Silent(),
            "huge": ValueError("first " + "x" * 5_000_000 + " last"),
            "group": ExceptionGroup("two", [ValueError("one thing"), Silent(), KeyError("k")]),
            "empty": ValueError(),
            "bytes": ValueError(b"\xff\x00"),
            "generator": GeneratorExit("the end"),
            "cancelled": asyncio.CancelledError("elsewhere"),
            "unusual": Unusual("strange"),
            "base group": BaseExceptionGroup("two", [Unusual("one"), SystemExit(2)]),
        }[self.kind]


TOLD = {
    "silent": ["Silent", "cannot be shown: RuntimeError"],
    "huge": ["first", "last", "5000011 characters"],
    "group": ["ExceptionGroup", "ValueError: one thing", "Silent", "KeyError"],
    "empty": ["ValueError"],
    "bytes": ["ff"],
    "generator": ["GeneratorExit", "the end"],
    "cancelled": ["CancelledError", "elsewhere"],
    "unusual": ["Unusual", "strange"],
    "base group": ["BaseExceptionGroup", "Unusual: one", "SystemExit"],
}


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("options", toys.PLACES, ids=toys.ids)
def test_step_channel_and_cause_are_kept(kind, options):
    answer = Pipeline([toys.Halved(), Throwing(kind)]).run(
        toys.make_context(), show_progress=False, **options
    )
    error = answer.error
    assert isinstance(error, StepError)
    assert (error.step, error.index, error.channel) == ("throwing", 1, "E4")
    text = str(error)
    assert all(part in text for part in TOLD[kind]) and len(text) < 4000
    assert error.remote_traceback is not None and len(error.remote_traceback) < 30_000
    assert answer.summary() and answer._repr_html_()


def test_messages_are_cut_in_the_middle():
    assert read_message(ValueError("short")) == "short"
    text = read_message(ValueError("a" * 10**6 + "z"))
    assert text.startswith("aaa") and text.endswith("z") and len(text) < 2100


@pytest.mark.parametrize("change", ["clear", "append", "replace"])
def test_a_pipeline_that_changes_during_its_run(change):
    context = toys.make_context()
    pipeline = Pipeline([toys.Halved(), toys.ZScore(), toys.Halved()])
    expected = pipeline.run(context, show_progress=False).get_context()

    def interfere(event):
        if type(event).__name__ == "StageDone":
            if change == "clear":
                pipeline.processors.clear()
            elif change == "append":
                pipeline.add(toys.Scaled())
            else:
                pipeline.processors[:] = [toys.Scaled()] * 5

    result = pipeline.run(context, on_event=interfere, show_progress=False)
    assert [s.name for s in result.get_history()] == ["halved", "zscore", "halved"]
    assert (result.get_raw().get_data() == expected.get_data()).all()


@pytest.mark.parametrize("options", toys.PLACES, ids=toys.ids)
def test_a_pipeline_whose_arguments_change_during_its_run(options):
    """As by a cell that is run while a panel runs the pipeline."""
    context, step = toys.make_context(), HighPassFilter(5.0)
    pipeline = Pipeline([toys.ZScore(), lambda given: given, step])
    expected = pipeline.run(context, show_progress=False).get_context()

    def interfere(event):
        if type(event).__name__ == "StageDone":
            step.freq = 40.0

    result = pipeline.run(context, on_event=interfere, show_progress=False, **options)
    assert (result.get_raw().get_data() == expected.get_data()).all()
    assert result.get_history()[-1].parameters["freq"] == 5.0
    other = pipeline.run(context, show_progress=False, **options)
    assert (other.get_raw().get_data() != expected.get_data()).any()
