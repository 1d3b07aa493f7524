"""Reused workers have the caller's folder, environment, warning filters, log level and errstate."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import contextmanager

import mne
import numpy as np
import pytest
from scipy.special import SpecialFunctionWarning

from facet_nb.core import Pipeline, Processor
from facet_nb.core.backends.base import dumps
from facet_nb.core.backends.caller import CallerState
from tests.core import toys
from tests.faults import programs

PLACES = [
    {"n_jobs": 1},
    {"n_jobs": 2},
    {"n_jobs": 2, "backend": "threading"},
]


class Looks(Processor):
    """Notes the state that it sees."""

    modifies_raw = False

    def process(self, context):
        with open("here.txt", encoding="utf-8") as file:
            here = file.read()
        filters = [entry[:3] for entry in warnings.filters if entry[2] is UserWarning]
        seen = {
            "here": here,
            "folder": os.getcwd(),
            "variable": os.environ.get("FACET_NB_TEST_VARIABLE"),
            "path": sys.path[-1],
            "filters": str(filters),
            "level": logging.getLogger("mne").level,
            "floats": np.geterr(),
        }
        return context.with_metadata(context.metadata.updated(custom={"seen": seen}))


#: Value of a variable, numpy's modes, action on warnings, and MNE's level.
STATES = [
    ("a", {"divide": "raise"}, "ignore", "error"),
    (None, {"over": "ignore", "divide": "warn"}, "always", "warning"),
]


@contextmanager
def change(state, tmp_path, monkeypatch):
    """Put this process into one of `STATES`, in a folder of its own; yield what a step sees."""
    variable, floats, action, level = state
    folder = tmp_path / str(variable)
    folder.mkdir()
    (folder / "here.txt").write_text(str(variable), encoding="utf-8")
    monkeypatch.chdir(folder)
    if variable is None:
        monkeypatch.delenv("FACET_NB_TEST_VARIABLE")
    else:
        monkeypatch.setenv("FACET_NB_TEST_VARIABLE", variable)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    with warnings.catch_warnings(), np.errstate(**floats), mne.utils.use_log_level(level):
        warnings.filterwarnings(action, category=UserWarning)
        expected = Looks().process(toys.make_context(n_times=1100)).metadata.custom["seen"]
        assert expected["here"] == str(variable)
        yield expected


def look(options):
    inputs = [toys.make_context(n_times=1100, seed=i) for i in range(3)]
    answers = Pipeline([Looks()]).map(inputs, show_progress=False, **options)
    assert all(r.success for r in answers), answers.summary()
    return [r.context.metadata.custom["seen"] for r in answers]


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_each_call_sees_the_state_of_its_caller(tmp_path, monkeypatch, options):
    """Twice: the second call finds the workers of the first."""
    for state in STATES:
        with change(state, tmp_path, monkeypatch) as expected:
            for seen in look(options):
                if options.get("backend") == "threading":
                    # MNE's functions change its level while they run, for all threads.
                    expected["level"] = seen["level"]
                assert seen == expected


@pytest.mark.parametrize("options", PLACES, ids=toys.ids)
def test_relative_paths_of_inputs_outputs_and_checkpoints(tmp_path, monkeypatch, options):
    """Each subject's folder has a file of the same name."""
    for seed, name in enumerate(["sub-01", "sub-02"]):
        folder = tmp_path / name
        folder.mkdir()
        raw = toys.make_raw(n_times=1100, seed=seed)
        for file in ("a.fif", "b.fif"):
            raw.save(folder / file, fmt="double", verbose="error")
        monkeypatch.chdir(folder)
        answers = Pipeline([toys.Scaled()]).map(
            ["a.fif", "b.fif"],
            output="made",
            keep_raw=True,
            checkpoint="night",
            show_progress=False,
            **options,
        )
        for answer in answers:
            np.testing.assert_array_equal(answer.get_raw()["E1"][0], 2 * raw["E1"][0])
        made = [name for name in os.listdir("made") if name.endswith(".fif")]
        assert sorted(made) == ["a_corrected.fif", "b_corrected.fif"]
        assert len(os.listdir("night")) == 2
        assert answers.outputs[0] == os.path.join("made", "a_corrected.fif")


def test_the_errstate_holds_in_a_task_with_a_timeout_and_in_inner_threads():
    class Divides(toys.Scaled):
        def process(self, context):
            np.ones(2) / np.zeros(2)
            return context

    for options in ({"timeout": 60.0}, {"mode": "channel_sequential", "timeout": 60.0}):
        with np.errstate(divide="raise"):
            answer = Pipeline([Divides()]).run(
                toys.make_context(n_times=1100), show_progress=False, **options
            )
        assert answer.error is not None and answer.error.cause_type == "FloatingPointError"


def test_a_folder_that_is_gone_is_an_error_of_ours(tmp_path, monkeypatch):
    """Unpickling must not raise: that would end the worker."""
    from facet_nb.core import FacetError
    from facet_nb.core.backends.caller import call

    folder = tmp_path / "gone"
    folder.mkdir()
    here = os.getcwd()
    monkeypatch.chdir(folder)
    pickled = dumps(CallerState.take())
    os.chdir(here)
    folder.rmdir()
    import pickle

    state = pickle.loads(pickled)
    with pytest.raises(FacetError, match=r"gone.*os\.chdir"):
        call(state, len, "abc")
    assert os.getcwd() == here


QUIET = """
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import mne, numpy as np
    from facet_nb import HighPassFilter, Pipeline, ProcessingContext

    def work(mode):
        x = np.random.default_rng(0).normal(size=(4, 2000)) * 1e-5
        raw = mne.io.RawArray(x, mne.create_info(4, 500.0, "eeg"), verbose="error")
        options = dict(mode=mode, n_jobs=2, show_progress=False)
        return Pipeline([HighPassFilter(1.0)]).run(ProcessingContext(raw), **options).success

    if __name__ == "__main__":
        with ProcessPoolExecutor(2, mp_context=get_context(sys.argv[1])) as pool:
            print(list(pool.map(work, [mode for mode in sys.argv[2:] for _ in range(2)])))
"""
MODES = ("channel_sequential", "parallel")
#: A program for each mode at night; else one for both, as it starts seven processes.
TOLD = [(mode,) for mode in MODES] if os.environ.get("FACET_NB_NIGHT") else [MODES]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("modes", TOLD, ids="-".join)
def test_nothing_is_said_after_runs_in_a_pool(tmp_path, method, modes):
    process = programs.start(QUIET, tmp_path, method, *modes)
    out, err = process.communicate(timeout=100)
    assert (out.strip(), err) == (str(2 * len(modes) * [True]), "") and process.returncode == 0


@pytest.mark.parametrize(
    ("more", "travels"),
    [
        ([], False),
        ([("ignore", UserWarning)], False),
        ([("ignore", Warning)], True),
        ([("error", SpecialFunctionWarning)], True),
    ],
)
def test_a_filter_that_its_module_sets_itself_is_not_sent(more, travels):
    """Workers would have to import SciPy's special functions for it."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("always", SpecialFunctionWarning)  # as scipy.special does
        for action, category in more:
            warnings.simplefilter(action, category)
        sent = CallerState.take().filters
    assert (b"SpecialFunctionWarning" in sent) == travels
    assert all(category.__name__.encode() in sent for _, category in more)
