"""Arguments that no recording makes right are one clear error, in ``plan`` as in a run."""

from __future__ import annotations

import inspect
import re
from functools import partial

import numpy as np
import pytest

import facet_nb
from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CommonReference,
    Crop,
    DownSample,
    FARMCorrection,
    Filter,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    MATLABPreFilter,
    NotchFilter,
    OBSCorrection,
    OnlineAASCorrection,
    PCACorrection,
    PulseCorrection,
    Resample,
    UpSample,
    VolumeArtifactCorrection,
)
from facet_nb.core import Pipeline, Processor
from facet_nb.core.parameters import explain_values, find_numbers
from tests.core import toys

#: Ways to run; ``plan`` is asked with the first three as well.
RUNS = [
    {},
    {"mode": "auto"},
    {"memory_budget": "8 GB"},
    {"mode": "channel_sequential", "batch_size": 2},
    {"mode": "parallel", "backend": "threading", "n_jobs": 2},
]

#: Words of Python about an operation that failed.
PYTHON = re.compile(r"TypeError|ValueError|not supported|convert|interpreted|object|literal")

NAN = float("nan")
WRONG = [
    *[(UpSample, {"factor": v}) for v in (0, -2, 1.5, "2", NAN, None)],
    *[(DownSample, {"factor": v}) for v in (0, 2.5, "a", None)],
    *[(Resample, {"sfreq": v}) for v in (0, -1.0, NAN, "a", None)],
    *[(HighPassFilter, {"freq": v}) for v in (0, -1.0, NAN, "a", None, 1e9)],
    *[(HighPassFilter, {"freq": 1.0, "filter_length": v}) for v in (-5, "x")],
    (HighPassFilter, {"freq": 1.0, "order": 0, "method": "iir"}),
    *[(LowPassFilter, {"freq": v}) for v in (0, 250.0, NAN, None)],
    *[(NotchFilter, {"freqs": v}) for v in ([], 0, NAN, "a", ["a"])],
    (Filter, {}),
    *[(AASCorrection, {"window_size": v}) for v in (0, 1.5, "a", NAN, None, [3])],
    *[(AASCorrection, {"correlation_threshold": v}) for v in (0, 2, NAN, "a")],
    *[(FARMCorrection, {"window_size": v}) for v in (0, None, "a")],
    *[(OnlineAASCorrection, {"window_size": v}) for v in (1, "a")],
    *[(GradientCorrection, {"slices": v}) for v in (0, "a", -1)],
    *[(GradientCorrection, {"shrinkage": v}) for v in (-1.0, NAN, "a")],
    *[(VolumeArtifactCorrection, {"template_count": v}) for v in (0, None, "a", NAN)],
    *[(PulseCorrection, {"n_side": v}) for v in (0, "a", NAN)],
    *[(PulseCorrection, {"method": v}) for v in ("a", None)],
    *[(PCACorrection, {"n_components": v}) for v in ("a", -1, None, NAN)],
    *[(OBSCorrection, {"n_components": v}) for v in ("a", -1, None)],
    *[(ANCCorrection, {"filter_order": v}) for v in (-1, "a", NAN)],
    *[(MATLABPreFilter, {"gauss_hp_frequency": v}) for v in (0, None, "a")],
    (CommonReference, {"operator": "sum"}),
    *[(Crop, {"tmin": v}) for v in ("a", NAN, 5000.0)],
    (Crop, {"tmin": 3.0, "tmax": 1.0}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cls", "given"), WRONG, ids=lambda v: getattr(v, "__name__", repr(v)))
def test_plan_and_runs_say_the_same(cls, given):
    context = toys.make_context(n_times=2000)
    steps = [cls(**given)]
    if cls is ANCCorrection:
        steps.insert(0, AASCorrection(window_size=4))
    told = {toys.ask(lambda o=o: Pipeline(steps).plan(context, **o)) for o in RUNS[:3]}
    run = partial(Pipeline(steps).run, context, show_progress=False)
    told |= {toys.ask(partial(run, **options)) for options in RUNS}
    assert len(told) == 1
    (text,) = told
    assert text.startswith(f"Step {len(steps)} ({steps[-1].name}) failed: ")
    assert not PYTHON.search(text)


def list_arguments():
    """Return all numbers among the arguments of our steps, whose names are no channels."""
    found = []
    for cls in (getattr(facet_nb, name) for name in facet_nb.__all__):
        if isinstance(cls, type) and issubclass(cls, Processor) and cls.built_in:
            for p in list(inspect.signature(cls.__init__).parameters.values())[1:]:
                if (kinds := find_numbers(str(p.annotation))) and "str" not in kinds:
                    found.append((cls, p.name))
    return found


@pytest.mark.parametrize(("cls", "name"), list_arguments())
def test_every_number_is_looked_at(cls, name):
    """What is no number is told with a remedy; the default is none of it."""
    known = list(inspect.signature(cls.__init__).parameters.values())[1:]
    step = cls.__new__(cls)  # without what the constructor makes of its arguments
    step.__dict__ |= {p.name: 3 if p.default is p.empty else p.default for p in known}
    assert not explain_values(step).startswith(f"{name}=")
    for value in ("a", float("nan"), [], 1j, np.array("a"), object()):
        setattr(step, name, value)
        told = explain_values(step)
        assert told.startswith(f"{name}=") and "number" in told
