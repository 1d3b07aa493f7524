"""Numbers that no recording makes right are refused, in ``plan`` as in a run, in words of ours."""

from __future__ import annotations

import inspect
import re

import pytest

import facet_nb
from facet_nb import AASCorrection, ANCCorrection
from facet_nb.core import Pipeline, Processor
from facet_nb.core.errors import FacetError
from facet_nb.core.parameters import find_numbers
from tests.core import toys

#: Of Python, numpy or the system: about an operation, not about the argument.
FOREIGN = re.compile(
    r"\b\w*(Error|Exception)\b|Unable to allocate|Maximum allowed|out of bounds|broadcast"
)

#: What only the contents of a recording tell: its channels, markers and their number.
TOLD_BY_RUNS = re.compile(
    r"is not in the recording|out of range: there are \d+ triggers|needs the positions of"
    r"|triggers; there are \d+|must fit into a volume|at most as many slices"
    r"|does not fit an acquisition|are fewer than two volumes|slices in a volume is unknown"
    r"|and no artifact begins within|choose 0 ≤ tmin < tmax ≤"
)

#: Names of files, and of services, which these tests have none of.
WITHOUT = {"path", "subject", "stream"}

#: Corrections whose numbers are looked at beside those of all preprocessing.
CORRECTIONS = ("AASCorrection", "ANCCorrection", "CorrespondingSliceCorrection", "FARMCorrection")


def list_numbers():
    """Return each number among the arguments of these steps, with absurd values of its type."""
    for cls in (getattr(facet_nb, name) for name in facet_nb.__all__):
        if not (isinstance(cls, type) and issubclass(cls, Processor) and cls.built_in):
            continue
        chosen = cls.__module__.startswith("facet_nb.preprocessing.")
        if not chosen and cls.__name__ not in CORRECTIONS:
            continue
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        if WITHOUT & {p.name for p in parameters}:
            continue
        for p in parameters:
            kinds = find_numbers(str(p.annotation))
            # Not 10**6, which some take: a filter of that length takes seconds.
            whole = [10**9, 2**63, 10**30, -1, 0] if "int" in kinds else []
            real = [1e9, 1e300, float("inf"), -1.0, 0.0, 1e-300] if "float" in kinds else []
            if whole or real:
                yield cls, p.name, [*whole, *real]


def fill(parameters):
    """Return values of the arguments that have no default."""
    given = {}
    for p in parameters:
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            kinds = find_numbers(str(p.annotation))
            number = 250.0 if p.name == "sfreq" else 1.0  # Resample(1.0) takes seconds
            given[p.name] = 2 if "int" in kinds else number if kinds else None
    return given


def ask(call):
    try:
        error = getattr(call(), "error", None)
    except FacetError as told:
        error = told
    return "" if error is None else re.sub(r" on channel [^:]*:", ":", str(error))


@pytest.fixture(scope="module")
def recording():
    return toys.make_context(n_times=2000)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cls", "name", "values"),
    list_numbers(),
    ids=lambda v: v if isinstance(v, str) else getattr(v, "__name__", ""),
)
def test_absurd_numbers(cls, name, values, recording):
    given = fill(list(inspect.signature(cls.__init__).parameters.values())[1:])
    for value in values:
        try:
            steps = [cls(**{**given, name: value})]
        except FacetError as told:  # refused where it is written
            assert not FOREIGN.search(str(told)), value
            continue
        if cls is ANCCorrection:
            steps.insert(0, AASCorrection(window_size=4))
        planned = ask(lambda s=steps: Pipeline(s).plan(recording))
        ran = ask(lambda s=steps: Pipeline(s).run(recording, show_progress=False))
        assert not FOREIGN.search(planned + ran), (value, planned, ran)
        assert planned == ran or TOLD_BY_RUNS.search(ran), (value, planned, ran)
