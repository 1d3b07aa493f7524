"""A failed run keeps the context of the last stage that was complete."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.core import Pipeline, Processor
from tests.core import toys


class Failing(Processor):
    """Sees all channels, and raises."""

    def process(self, context):
        raise ValueError("enough")


@pytest.mark.parametrize("last", [Failing(), toys.Raising("E4")], ids=lambda s: s.name)
@pytest.mark.parametrize("options", [*toys.PLACES, {"memory_budget": "4 GB"}], ids=toys.ids)
def test_the_work_before_a_failure_is_kept(options, last):
    context = toys.make_context()
    steps = [toys.Halved(), toys.ZScore()]
    options = {"show_progress": False, **options}
    answer = Pipeline([*steps, last]).run(context, **options)
    assert not answer.success and answer.context is None
    kept = answer.last_context
    if kept is None:  # the failed step had begun to overwrite its samples
        assert last.name == "raising"
        return
    done = [entry.name for entry in kept.get_history()]
    expected = Pipeline(steps[: len(done)]).run(context, **options).get_context()
    assert done == ["halved", "zscore"][: len(done)]
    if last.name == "failing":
        assert len(done) == 2
    np.testing.assert_array_equal(kept.get_data(), expected.get_data())
    assert kept.metadata.to_dict() == expected.metadata.to_dict()


def test_nothing_is_kept_of_a_run_that_succeeds_or_is_released():
    context = toys.make_context()
    assert Pipeline([toys.Halved()]).run(context).last_context is None
    answer = Pipeline([toys.Halved(), Failing()]).run(context)
    assert answer.last_context is not None
    answer.release_raw()
    assert answer.last_context is None


def test_samples_that_the_failed_step_overwrites_are_not_given_out():
    class Private(toys.Halved):
        """Works in place on the samples of the step before; its second channel raises."""

        def can_overwrite(self):
            return True

        def compute(self, x, prepared, out=None):
            if out is not None:
                out[...] = 0.0
            raise ValueError("enough")

    context = toys.make_context()
    expected = Pipeline([toys.Demeaned()]).run(context).get_raw().get_data()
    kept = Pipeline([toys.Demeaned(), Private()]).run(context, mode="serial").last_context
    assert kept is None or np.array_equal(kept.get_data(), expected)
