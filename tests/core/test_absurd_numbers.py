"""Numbers that no recording makes right are refused, in ``plan`` as in a run, in words of ours."""

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
    BandPassFilter,
    BIDSExporter,
    BIDSLoader,
    DenoiserCorrection,
    ICACorrection,
    Loader,
    MoosmannCorrection,
    PickChannels,
    PulseCorrection,
    SequenceProcessor,
    TruthCalculator,
    UnlockedEnergyCalculator,
    UpSample,
    WireLoopCorrection,
)
from facet_nb.core import Pipeline, ProcessingContext, Processor
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
    r"|and no artifact begins within|choose 0 ≤ tmin < tmax ≤|exceeds its \d+ samples"
    r"|of \d+ good EEG channels|does not fit this recording|a name without suffix cannot be read"
    r"|there is no data without artifact|leaves nothing of|fit any signal|longer than the recording"
)

#: A rate at which each step has something to do: Resample(1.0) takes seconds.
RATE = 250.0


def list_numbers():
    """Return each number among the arguments of all steps, with absurd values of its type."""
    public = [getattr(facet_nb, name) for name in facet_nb.__all__]
    steps = [v for v in public if isinstance(v, type) and issubclass(v, Processor) and v.built_in]
    for cls in dict.fromkeys(steps):  # some have two names
        for p in list(inspect.signature(cls.__init__).parameters.values())[1:]:
            kinds = find_numbers(str(p.annotation))
            # Not 10**6, which some take: a filter of that length takes seconds.
            whole = [10**9, 2**63, 10**30, -1, 0] if {"int", "Sequence[int]"} & set(kinds) else []
            real = {"float", "Sequence[float]"} & set(kinds)
            reals = [1e9, 1e300, float("inf"), -1.0, 0.0, 1e-300] if real else []
            if whole or reals:
                yield cls, p.name, [*whole, *reals]


def fill(cls, files):
    """Return values of the arguments that have no default, or with which a step does nothing."""
    given = {}
    for p in list(inspect.signature(cls.__init__).parameters.values())[1:]:
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            kinds = find_numbers(str(p.annotation))
            number = RATE if p.name == "sfreq" else 1.0
            given[p.name] = 2 if "int" in kinds else number if kinds else None
    return given | files.get(cls, {})


@pytest.fixture(scope="module")
def recording():
    """Triggers as far apart as heartbeats, and time without any at both ends."""
    raw = toys.make_raw(n_times=4000)
    triggers = np.arange(300, 3500, 200)
    return ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=200)


@pytest.fixture(scope="module")
def files(recording, tmp_path_factory):
    """Arguments that are no numbers: files, models, truths and channels."""
    folder = tmp_path_factory.mktemp("absurd")
    raw = recording.get_raw()
    raw.save(folder / "rec_raw.fif", verbose="error")
    motion = folder / "rp_motion.txt"
    np.savetxt(motion, np.zeros((len(recording.metadata.triggers), 6)))
    study = {"bids_root": folder / "study", "subject": "01", "task": "rest"}
    Pipeline([PickChannels(["E1", "E2"]), BIDSExporter(**study)]).run(
        recording, show_progress=False, raise_on_error=True
    )
    return {
        Loader: {"path": folder / "rec_raw.fif"},
        BIDSLoader: study,
        BIDSExporter: {**study, "bids_root": folder / "other"},
        DenoiserCorrection: {"model": np.copy},
        ICACorrection: {"n_components": 2, "method": "fastica"},  # soon fitted
        MoosmannCorrection: {"motion_file": str(motion)},
        PulseCorrection: {"check_gradient": False},
        TruthCalculator: {"truth": raw},
        WireLoopCorrection: {"wires": ["E4", "EOG1"]},
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cls", "name", "values"),
    list(list_numbers()),
    ids=lambda v: v if isinstance(v, str) else getattr(v, "__name__", ""),
)
def test_absurd_numbers(cls, name, values, recording, files):
    given = fill(cls, files)
    for value in values:
        try:
            steps = [cls(**{**given, name: value})]
        except FacetError as told:  # refused where it is written
            assert not FOREIGN.search(str(told)), value
            continue
        if cls in (ANCCorrection, UnlockedEnergyCalculator):
            steps.insert(0, AASCorrection(window_size=4))
        begin = None if issubclass(cls, (Loader, BIDSLoader)) else recording
        planned = toys.ask(lambda s=steps, b=begin: Pipeline(s).plan(b))
        ran = toys.ask(lambda s=steps, b=begin: Pipeline(s).run(b, show_progress=False))
        assert not FOREIGN.search(planned + ran), (value, planned, ran)
        assert planned == ran or TOLD_BY_RUNS.search(ran), (value, planned, ran)
        without = toys.ask(lambda s=steps: Pipeline(s).plan())  # the rate is not known
        assert not FOREIGN.search(without), (value, without)
        for options in [{"mode": "auto"}, {"memory_budget": "2 GB"}] if planned else []:
            run = partial(Pipeline(steps).run, begin, show_progress=False, **options)
            told = toys.ask(run)  # of a BIDS folder, no size is known before it is read
            assert told == planned or "needs the size of the recording" in told, (value, told)


def test_rates_within_other_steps(recording):
    """A plan does not refuse what may be right at a rate that only the run knows."""
    inner = SequenceProcessor([UpSample(2)])
    band = BandPassFilter(1.0, 300.0)
    assert toys.ask(lambda: Pipeline([inner, band]).plan(recording)) == ""
    assert "300 Hz is not between" in toys.ask(lambda: Pipeline([band, inner]).plan(recording))


def test_more_waveforms_than_beats(recording):
    correction = PulseCorrection(check_gradient=False, drift_s=0.5)
    told = toys.ask(lambda: Pipeline([correction]).run(recording, show_progress=False))
    assert "drift_s=0.5 gives 13 waveforms for 16 beats" in told
