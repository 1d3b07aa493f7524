"""The state behind a panel, without any display and without any loop."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from traitlets import TraitError

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.models import RunModel
from facet_nb.models.event_log import LENGTH
from tests.models.helpers import Choosy, Gate, Halve, Quit, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


def test_run_to_the_end(simulation):
    model = RunModel(Pipeline([Halve(), Halve()]), simulation, n_jobs=1)
    seen = []
    model.observe(lambda change: seen.append(change["new"]), "status")
    result = model.run()
    assert seen == ["running", "done"]
    assert result is model.result and result.success
    assert np.array_equal(result.context.get_data(), 0.25 * simulation.raw.get_data())
    assert model.state.fraction == 1.0 and len(model.state.cells) == 8
    assert model.elapsed_s > 0 and model.remaining_s is None and model.error is None
    assert model.log[0].text.startswith("done in") and model.log[-1].text.startswith("started")


def test_settings_reach_the_run(simulation):
    settings = {"mode": "parallel", "n_jobs": 3, "n_workers": 2, "backend": "threading"}
    settings["batch_size"] = 2
    model = RunModel(Pipeline([Halve()]), simulation, cores=8, **settings)
    plan = model.run().plan
    assert (plan.mode, plan.n_jobs, plan.backend, plan.batch_size) == (
        "parallel",
        3,
        "threading",
        2,
    )
    assert model.settings == settings
    assert str(model.plan()) == str(replace(plan, kernels=None))  # chosen for the recording


def test_events_wait_until_they_are_drained(simulation):
    """The run's thread sets no trait: whoever owns them takes what is new."""
    gate = Gate()
    model = RunModel(Pipeline([Halve(), gate]), simulation)
    owners = []
    model.observe(lambda _: owners.append(threading.current_thread()), ["state", "log", "status"])
    model.start()
    assert gate.reached.wait(10)
    assert model.state.status == "idle"
    assert model.drain() is True
    assert model.state.status == "running" and model.state.stages_done == 1
    gate.open.set()
    assert model.wait(10)
    assert set(owners) == {threading.current_thread()}


def test_one_drain_is_one_change(simulation):
    """Many events, one notification of each trait."""
    gate = Gate()
    model = RunModel(Pipeline([Halve(), Halve(), gate]), simulation, batch_size=1)
    model.start()
    assert gate.reached.wait(10)
    changes = []
    model.observe(lambda change: changes.append(change["name"]), ["state", "log"])
    model.drain()
    assert sorted(changes) == ["log", "state"]
    assert len(model.log) >= 8
    gate.open.set()
    model.wait(10)


def test_clock_goes_on_between_events(simulation):
    gate = Gate()
    model = RunModel(Pipeline([gate]), simulation)
    model.start()
    assert gate.reached.wait(10)
    model.drain()
    first_s = model.elapsed_s
    time.sleep(0.05)
    model.drain()
    assert model.elapsed_s >= first_s + 0.04
    gate.open.set()
    model.wait(10)


def test_cancel_and_run_again(simulation):
    model = RunModel(Pipeline([Halve(0.1), Halve(0.1)]), simulation, n_jobs=1)
    model.start()
    time.sleep(0.15)
    model.cancel()
    assert model.status == "cancelling"
    assert model.wait(60)
    assert model.status == "cancelled" and model.result.cancelled
    assert model.result.context is None and model.failed_index is None
    assert model.log[0].kind == "info"
    assert model.run().success and model.status == "done" and model.error is None


def test_cancel_without_a_run_does_nothing(simulation):
    model = RunModel(Pipeline([Halve()]), simulation)
    model.cancel()
    assert model.status == "idle" and model.run().success


def test_second_start_is_refused(simulation):
    gate = Gate()
    model = RunModel(Pipeline([gate]), simulation)
    model.start()
    with pytest.raises(ValidationError, match="in progress"):
        model.start()
    gate.open.set()
    assert model.run().success and model.status == "done"


def test_wait_with_a_time_limit(simulation):
    gate = Gate()
    model = RunModel(Pipeline([gate]), simulation)
    model.start()
    assert model.wait(0.05) is False and model.running
    gate.open.set()
    assert model.wait() is True


def test_interrupt_cancels(simulation, monkeypatch):
    model = RunModel(Pipeline([Halve(0.1)] * 4), simulation)
    join, calls = model._join, []

    def interrupted(timeout_s):
        calls.append(timeout_s)
        if len(calls) == 2:
            raise KeyboardInterrupt
        join(timeout_s)

    monkeypatch.setattr(model, "_join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.run()
    assert model.status == "cancelled"


def test_failure_names_step_and_channel(simulation):
    model = RunModel(Pipeline([Halve(), Choosy("C3")]), simulation, backend="threading")
    result = model.run()
    assert model.status == "failed" and not result.success
    assert model.error is result.error
    assert model.failed_index == 1 and model.state.failed_channel == "C3"
    assert model.log[0].kind == "error" and "C3" in model.log[0].text


def test_what_cannot_be_planned_fails_too(simulation):
    model = RunModel(Pipeline([Halve()]), "no_such_file.vhdr")
    result = model.run()
    assert model.status == "failed" and not result.success
    assert "no_such_file" in str(model.error) and "no_such_file" in model.log[0].text


def test_source_of_a_wrong_kind_fails():
    model = RunModel(Pipeline([Halve()]), 3.14)
    assert not model.run().success
    assert isinstance(model.error, ValidationError) and "float" in str(model.error)


def test_a_step_that_exits_is_a_failure(simulation):
    model = RunModel(Pipeline([Quit()]), simulation)
    assert not model.run().success
    assert model.status == "failed" and "SystemExit" in str(model.error)


def test_truth_is_compared(simulation):
    model = RunModel(Pipeline([Halve()]), simulation)
    model.run()
    assert np.array_equal(model.truth.before_db, simulation.snr_db(simulation.raw))
    assert np.array_equal(model.truth.after_db, simulation.snr_db(model.result.context))
    assert np.median(model.truth.after_db) > np.median(model.truth.before_db) + 5


def test_no_truth_where_there_is_nothing_to_compare(simulation):
    from facet_nb.preprocessing import Crop, PickChannels

    for step in (Crop(tmax=6.0), PickChannels(["C3"])):
        model = RunModel(Pipeline([step]), simulation)
        assert model.run().success and model.truth is None
        assert "not compared with the truth" in model.log[0].text
    model = RunModel(Pipeline([Halve()]), simulation.raw)
    assert model.run().success and model.truth is None


@pytest.mark.parametrize("value", [0, 5, -5])
def test_workers_within_the_cores(simulation, value):
    model = RunModel(Pipeline([Halve()]), simulation, cores=4)
    with pytest.raises(TraitError, match="1 to 4"):
        model.n_jobs = value
    assert model.n_jobs == 1
    model.n_jobs = -1
    assert model.n_jobs == 4


@pytest.mark.parametrize(
    "bad", [{"mode": "fast"}, {"backend": "magic"}, {"batch_size": -1}, {"n_workers": 99}]
)
def test_settings_are_checked(simulation, bad):
    with pytest.raises(TraitError):
        RunModel(Pipeline([Halve()]), simulation, cores=4, **bad)


def test_unknown_setting(simulation):
    with pytest.raises(ValidationError, match=r"jobs.*n_jobs"):
        RunModel(Pipeline([Halve()]), simulation, jobs=2)


def test_backend_suits_the_steps(simulation):
    assert RunModel(Pipeline([Halve()]), simulation).backend == "threading"
    assert RunModel(Pipeline([Halve(), Choosy()]), simulation).backend == "multiprocessing"


def test_log_is_bounded():
    many = make_simulation(60)
    model = RunModel(Pipeline([Halve()] * 5), many, mode="parallel", batch_size=1)
    model.run()
    assert len(model.log) == LENGTH and model.log[0].text.startswith("done in")


def test_context_and_its_history_are_kept(simulation):
    context = simulation.context().with_triggers([100, 600])
    model = RunModel(Pipeline([Halve()]), context)
    result = model.run()
    assert list(result.context.get_triggers()) == [100, 600]
    assert isinstance(context, ProcessingContext) and context.get_history() == []


WITHOUT_WIDGETS = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ipywidgets", "IPython", "ipykernel", "ipympl", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from facet_nb.models import RunModel
from facet_nb.core import Pipeline
from tests.models.helpers import Halve, make_simulation
model = RunModel(Pipeline([Halve()]), make_simulation(2))
assert model.run().success and "simulate(" in model.code()
try:
    import facet_nb.widgets
except ModuleNotFoundError:
    print("models work, widgets do not")
"""


def test_models_need_no_widgets(project_root):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WIDGETS], cwd=project_root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "models work, widgets do not"
