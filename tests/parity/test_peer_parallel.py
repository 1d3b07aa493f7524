"""Where FACETpy 2.0.2's parallel modes fail or hang: ours give the serial answer, or an error."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import Any

import numpy as np
import pytest

import facet_nb as fnb
from tests.parity.modes import OTHER_MODES, assert_same, chain, run, simulated

# Its SliceAligner, BandPassFilter and all other processors raise TypeError in parallel.
STEPS: dict[str, Any] = {
    "SliceAligner": fnb.SliceAligner,
    "SubsampleAligner": fnb.SubsampleAligner,
    "TriggerAligner": fnb.TriggerAligner,
    "BandPassFilter": lambda: fnb.BandPassFilter(1.0, 40.0),
    "HighPassFilter": lambda: fnb.HighPassFilter(1.0),
    "NotchFilter": lambda: fnb.NotchFilter([50.0]),
    "Resample": lambda: fnb.Resample(500.0),
    "AASCorrection": fnb.AASCorrection,
    "PCACorrection": lambda: fnb.PCACorrection(n_components=2),
    "MissingTriggerDetector": fnb.MissingTriggerDetector,
    "CommonReference": fnb.CommonReference,
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_step_runs_in_parallel(name: str, backend: str) -> None:
    context = run([fnb.TriggerDetector(r"\b1\b")], simulated().raw)
    pipeline = fnb.Pipeline([STEPS[name]()])
    result = pipeline.run(context, parallel=True, n_jobs=2, backend=backend, show_progress=False)
    assert result.success, result.error
    assert_same(result.get_context(), run([STEPS[name]()], context))


# -------------------------------------------------- batches that hold no channel to be processed
def with_idle_channels() -> Any:
    """Stim and bad channels at the beginning, in the middle and at the end."""
    import mne

    raw = simulated().raw.copy()
    first, second, third, fourth = raw.ch_names
    info = mne.create_info(
        ["STI 1", "STI 2", "position"], raw.info["sfreq"], ["stim"] * 2 + ["misc"]
    )
    codes = np.zeros((3, raw.n_times))
    codes[2] = np.linspace(0, 1, raw.n_times)
    raw.add_channels([mne.io.RawArray(codes, info, verbose="error")], force_update_info=True)
    raw.reorder_channels(["STI 1", "STI 2", first, second, "position", third, fourth])
    raw.info["bads"] = [first, fourth]
    return raw


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_stim_and_bad_channels_stop_no_batch(mode: str) -> None:
    raw = with_idle_channels()
    done = run(chain(), raw, mode)
    assert_same(done, run(chain(), raw))
    bad = [2, 6]
    # To ten times the rate and back: rounding, no more.
    np.testing.assert_allclose(done.get_data()[bad], raw.get_data()[bad], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(done.get_data()[:2], raw.get_data()[:2])
    assert not done.get_estimated_noise()[[0, 1, 2, 4, 6]].any()
    assert np.abs(done.get_data()[4] - raw.get_data()[4]).max() < 1e-6


def test_more_workers_than_channels() -> None:
    raw = with_idle_channels()
    done = fnb.Pipeline(chain()).run(
        fnb.ProcessingContext(raw),
        parallel=True,
        n_jobs=7,
        backend="threading",
        show_progress=False,
        raise_on_error=True,
    )
    assert_same(done.get_context(), run(chain(), raw))


def test_nothing_but_bad_channels_is_a_clear_error() -> None:
    raw = simulated().raw.copy()
    raw.info["bads"] = list(raw.ch_names)
    result = fnb.Pipeline(chain()).run(
        fnb.ProcessingContext(raw), channel_sequential=True, show_progress=False
    )
    assert not result.success
    assert isinstance(result.error, fnb.FacetError)
    assert "bads" in str(result.error)


# ----------------------------------------------------------------------------- workers that die
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["parallel", "channel_sequential"])
def test_dead_worker_ends_the_run_with_step_and_channel(mode: str) -> None:
    culprit = simulated().raw.ch_names[2]
    parent = os.getpid()

    class Dying(fnb.Processor):
        name = "dying"
        requires_raw = True
        channel_wise = True

        def process(self, context: fnb.ProcessingContext) -> fnb.ProcessingContext:
            if culprit in context.get_raw().ch_names and os.getpid() != parent:
                os._exit(3)
            return context.with_raw(context.get_raw().copy())

    context = fnb.ProcessingContext(simulated().raw)
    pipeline = fnb.Pipeline([fnb.HighPassFilter(1.0), Dying()])
    begin = time.monotonic()
    result = pipeline.run(
        context, mode=mode, n_jobs=2, backend="multiprocessing", show_progress=False
    )
    assert time.monotonic() - begin < 60
    assert not result.success
    assert isinstance(result.error, fnb.StepError)
    assert (result.error.step, result.error.channel) == ("dying", culprit)
    assert culprit in str(result.error)
    after = run(chain(), simulated().raw, "parallel-2-processes")
    assert_same(after, run(chain(), simulated().raw))


# --------------------------------------------------------------- classes that only the user has
def test_class_of_a_function_runs_in_processes() -> None:
    class Halver(fnb.Processor):
        name = "halver"
        requires_raw = True
        channel_wise = True

        def process(self, context: fnb.ProcessingContext) -> fnb.ProcessingContext:
            raw = context.get_raw().copy()
            raw._data = raw._data / 2
            return context.with_raw(raw)

    done = run([Halver()], simulated().raw, "parallel-2-processes")
    np.testing.assert_array_equal(done.get_data(), simulated().raw.get_data() / 2)
    assert done.get_history()[-1].name == "halver"


SCRIPT = """
    import numpy as np
    import facet_nb as fnb
    from facet_nb.datasets import simulate

    class Doubler(fnb.Processor):
        name = "doubler"
        requires_raw = True
        channel_wise = True

        def process(self, context):
            raw = context.get_raw().copy()
            raw._data = raw._data * 2
            return context.with_raw(raw)

    if __name__ == "__main__":
        raw = simulate(n_channels=3, sfreq=500, duration_s=12, tr_s=1.0, n_slices=5).raw
        result = fnb.Pipeline([Doubler()]).run(
            fnb.ProcessingContext(raw), parallel=True, n_jobs=2, show_progress=False
        )
        assert result.success, result.error
        assert np.array_equal(result.get_raw().get_data(), raw.get_data() * 2)
        print("doubled")
"""


@pytest.mark.slow
def test_class_of_the_main_program_runs_in_processes(tmp_path: Any, project_root: Any) -> None:
    """As in a script, or a notebook's cell."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=90, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "doubled"


# ------------------------------------------------------------------------- imports with effects
def test_import_changes_nothing_of_the_process(project_root: Any) -> None:
    """FACETpy's import forces the start method, replaces log handlers and silences warnings."""
    code = """
        import logging, multiprocessing, warnings
        import joblib, mne, pandas, scipy.linalg, scipy.signal, scipy.sparse
        logging.basicConfig()
        handlers, filters = list(logging.getLogger().handlers), list(warnings.filters)
        import facet_nb
        for name in facet_nb.__all__:
            getattr(facet_nb, name)
        assert multiprocessing.get_start_method(allow_none=True) is None
        assert logging.getLogger().handlers == handlers
        assert warnings.filters == filters, set(warnings.filters) ^ set(filters)
        print("unchanged")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=project_root,
    )
    assert done.stdout.strip() == "unchanged", done.stderr
