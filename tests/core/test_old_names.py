"""Names of earlier versions work, with a warning that says what replaces them."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.core import ArrayProcessor, Pipeline, Prepared, ProcessingMetadata, Processor, View
from tests.core import toys

RENAMED = [
    ("single", "float32_safe", True),
    ("needs_mean", "needs_first_pass", True),
    ("survey", "first_pass", lambda self, prepared: "found"),
    ("find_obstacle", "why_not_chunked", lambda self: None),
]


@pytest.mark.parametrize(("old", "new", "value"), RENAMED, ids=lambda x: str(x)[:20])
def test_a_step_may_define_and_read_the_old_name(old, new, value):
    with pytest.warns(FutureWarning, match=rf"Mine\.{old} is called {new}"):
        cls = type("Mine", (ArrayProcessor,), {old: value})
    assert cls.__dict__[new] is value

    class Other(ArrayProcessor):
        pass

    with pytest.warns(FutureWarning, match=f"{old} is called {new}"):
        found = getattr(Other, old).fget(step := Other())
    expected = getattr(step, new)
    assert found == expected


def test_a_step_that_sees_all_channels_may_say_streams():
    with pytest.warns(FutureWarning, match="streams is called accepts_lazy") as told:
        cls = type("Mine", (Processor,), {"streams": True})
    assert cls.accepts_lazy
    assert told[0].filename == __file__  # where the class is, not where its base is


def test_prepared_and_view_take_and_show_the_old_name():
    with pytest.warns(FutureWarning, match="untouched"):
        prepared = Prepared(spares=("E1",))
    assert prepared == Prepared(untouched=("E1",))
    with pytest.warns(FutureWarning, match="untouched"):
        assert prepared.spares == ("E1",)
    data = np.zeros((1, 2))
    with pytest.warns(FutureWarning, match="all_data"):
        view = View(1.0, 2, ProcessingMetadata(), ("E1",), everything=data)
    assert view.all_data is data
    with pytest.warns(FutureWarning, match="all_data"):
        assert view.everything is data


def test_a_step_with_old_names_runs_as_it_did():
    with pytest.warns(FutureWarning):

        class Halves(ArrayProcessor):
            single = True

            def find_obstacle(self):
                return "needs patience"

            def compute(self, x, prepared, out=None):
                return x / 2

    ctx = toys.make_context()
    pipeline = Pipeline([Halves()])
    assert "needs patience" in str(pipeline.plan(chunk_duration_s=1.0))
    result = pipeline.run(ctx, dtype="float32", raise_on_error=True).context
    picks = ["E1", "E2"]
    assert np.allclose(result.get_data(picks), ctx.get_data(picks) / 2, rtol=1e-6, atol=0)
