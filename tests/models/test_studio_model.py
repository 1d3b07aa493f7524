"""Recording, chain, run and view, connected; nothing is displayed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.kernels.measures.envelope import bound
from facet_nb.models import RecordingModel, RunModel, SignalModel, StudioModel
from facet_nb.models.background_tasks import BackgroundTasks
from facet_nb.models.resource_meter import LENGTH, ResourceMeter, ResourceSample, extend
from facet_nb.models.time_forecast import predict_time, record_run
from tests.models.helpers import Choosy, Halve, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


# --- recording -------------------------------------------------------------------------------


def test_the_example_is_described():
    model = RecordingModel().load()
    assert model.status == "ready" and model.summary.events == (("Stimulus/S  1", 375),)
    rows = dict(model.summary.rows())
    assert rows["Channels"] == "6 (6 eeg)" and rows["In memory"] == "3.5 MB (float64)"
    assert model.kinds == ("example", "simulation", "file")


def test_a_simulation_of_ones_own():
    model = RecordingModel()
    model.kind = "simulation"
    model.n_channels, model.sfreq, model.duration_s, model.pulse = 3, 500.0, 12.0, True
    summary = model.load().summary
    assert (summary.n_channels, summary.sfreq) == (4, 500.0)
    assert dict(summary.types) == {"eeg": 3, "ecg": 1}


def test_a_file(simulation, tmp_path):
    path = tmp_path / "recording_raw.fif"
    simulation.raw.save(path, verbose="error")
    model = RecordingModel(simulation)
    assert model.kinds[0] == "given" and model.load().summary.n_channels == 4
    model.kind, model.path = "file", f"  {path}  "
    assert model.load().source == str(path)


@pytest.mark.parametrize(("path", "said"), [("", "no file is given"), ("nowhere.edf", "nowhere")])
def test_what_cannot_be_loaded(path, said):
    model = RecordingModel().load()
    before = model.context
    model.kind, model.path = "file", path
    with pytest.raises(FacetError, match=said):
        model.load()
    assert model.status == "failed" and said in model.error and model.context is before


def test_the_last_choice_counts(simulation):
    """Whoever loads twice in a row gets the second, whichever is ready first."""
    model = RecordingModel(simulation)
    model.start()
    model.kind = "example"
    model.start()
    model.wait()
    assert model.summary.n_channels == 6 and model.status == "ready"


def test_background_work_tells_when_it_is_done():
    told = []
    background = BackgroundTasks(lambda: told.append(True))
    background.start("a", lambda: 1)
    background.start("b", lambda: 1 / 0)
    background.join(5)
    outcomes = {o.key: o for o in background.take()}
    assert outcomes["a"].value == 1 and isinstance(outcomes["b"].error, ZeroDivisionError)
    assert told == [True, True] and background.take() == []


# --- signal ----------------------------------------------------------------------------------


def test_bounds_lose_no_peak():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 1001))
    low, high = bound(x, 100)
    assert low.shape == high.shape == (3, 91)
    assert np.array_equal(low.min(axis=1), x.min(axis=1))
    assert np.array_equal(high.max(axis=1), x.max(axis=1))
    assert np.array_equal(low[:, 1], x[:, 11:22].min(axis=1))
    assert bound(x, 5000)[0] is x


def test_window_over_a_recording(simulation):
    view = SignalModel()
    view.set_recording(simulation.context())
    assert view.begin_s == pytest.approx(1.0, abs=0.05)  # a second before the first trigger
    view.begin_s, view.span_s = 3.0, 2.0
    window = view.window()
    (layer,) = window.layers
    data_uv = 1e6 * simulation.raw.get_data(start=1500, stop=2500)
    assert layer.low_uv.shape[0] == 4 and layer.times_s[0] == 3.0
    swing = (layer.high_uv.max(axis=1) - layer.low_uv.min(axis=1)).tolist()
    assert swing == pytest.approx(np.ptp(data_uv, axis=1).tolist())
    assert len(window.markers_s) and (window.markers_s >= 3.0).all()
    assert window.rows()[0][0] == view.names[0] and "4 channels from 3.00 to 5.00" in window.caption


def test_scrolling_stays_inside(simulation):
    view = SignalModel()
    view.set_recording(simulation.context())
    view.scroll(-100)
    assert view.begin_s == 0.0
    view.scroll(100)
    assert view.begin_s == pytest.approx(view.duration_s - view.span_s)
    wide = view.window().scale_uv
    view.zoom(2.0)
    assert view.window().scale_uv < wide


def test_corrected_recording_of_another_rate_lies_over_it(simulation):
    from facet_nb.preprocessing import Crop, DownSample

    view = SignalModel()
    context = simulation.context()
    view.set_recording(context)
    after = Pipeline([DownSample(2), Crop(2.0, 10.0)]).run(context, show_progress=False).context
    view.set_corrected(after)
    view.begin_s, view.span_s = 4.0, 1.0
    first, second = view.window().layers
    assert (first.label, second.label) == ("recording", "corrected")
    assert second.times_s[0] == pytest.approx(4.0, abs=0.005)
    assert second.times_s[-1] == pytest.approx(5.0, abs=0.01)
    view.shown = "corrected"
    assert [layer.label for layer in view.window().layers] == ["corrected"]


def test_a_channel_that_the_run_left_out(simulation):
    view = SignalModel()
    view.set_recording(simulation.context())
    view.set_corrected(ProcessingContext(simulation.raw.copy().pick(["Cz"], verbose="error")))
    window = view.window()
    rows = {row[0]: row[2] for row in window.rows()}
    assert rows["C3"] == "nan" and rows["Cz"] != "nan"


# --- meter and forecast ----------------------------------------------------------------------


def test_meter_counts_this_process_and_keeps_its_pace():
    meter = ResourceMeter(interval_s=60.0)
    first = meter.sample()
    assert first.rss_bytes > 1e7 and first.n_processes >= 1 and meter.sample() is None


def test_samples_are_bounded():
    samples = ()
    for i in range(3 * LENGTH):
        samples = extend(samples, ResourceSample(float(i), i, 0.0, 1))
    assert len(samples) <= LENGTH and samples[-1].time_s > 2 * LENGTH


def test_forecast_of_time():
    pipeline = Pipeline([Halve(), Halve()])
    serial, shared = pipeline.plan("serial"), pipeline.plan("parallel", n_jobs=2)
    steps, shape = ["a", "b"], (4, 1000)
    assert predict_time(serial, steps, shape, ()) == (
        None,
        "unknown before the first run of this chain here",
    )
    record = record_run(serial, steps, shape, 2.0, (1.0, 1.0))
    (low, high), basis = predict_time(serial, steps, shape, [record])
    assert low < 2.0 < high and "the last run" in basis
    (low, high), basis = predict_time(shared, steps, shape, [record])
    assert low < 1.0 < 2.0 < high and "other settings" in basis
    assert predict_time(serial, ["a"], shape, [record])[0] is None


# --- all of it -------------------------------------------------------------------------------


def test_a_session_without_a_screen(simulation):
    studio = StudioModel(simulation, Pipeline([Halve()]))
    assert studio.run.blocked == "" and studio.recording.status == "ready"
    assert studio.run.forecast().time_s is None and studio.run.forecast().memory_bytes > 0
    result = studio.run.run()
    assert result.success and studio.signal.has_corrected
    low, high = studio.run.forecast().time_s
    assert 0 < low <= result.execution_time <= high
    assert len(studio.run.samples) >= 1
    assert np.array_equal(result.context.get_data(), 0.5 * simulation.raw.get_data())

    studio.chain.add("common_reference")
    assert len(studio.run.pipeline) == 2 and "CommonReference" in studio.code()
    studio.recording.kind = "example"
    studio.recording.load()
    assert not studio.signal.has_corrected and "simulate(" in studio.code()
    assert studio.run.run().context.get_n_channels() == 6


def test_what_is_wrong_blocks_the_run(simulation):
    studio = StudioModel(simulation)
    studio.chain.selected = 2
    studio.chain.set_text("freq", "fast")
    assert studio.run.blocked == studio.chain.problem != ""
    assert studio.code().startswith("# The chain on screen cannot run: Step 3")
    with pytest.raises(ValidationError, match="'fast' is not a number"):
        studio.run.start()
    studio.chain.set_text("freq", "70")
    assert studio.run.blocked == ""
    for _ in range(3):
        studio.chain.remove()
    assert "no step" in studio.run.blocked


def test_a_failure_leaves_the_view_alone(simulation):
    studio = StudioModel(simulation, Pipeline([Choosy("C3")]), backend="serial")
    assert not studio.run.run().success
    assert studio.run.status == "failed" and not studio.signal.has_corrected
    assert studio.run.records == ()


def test_the_code_gives_the_same_result():
    studio = StudioModel(n_jobs=1)
    studio.chain.selected = 1
    studio.chain.set_text("max_courses", "8")
    result = studio.run.run()
    space: dict = {}
    exec(studio.code(), space)
    assert np.array_equal(space["result"].context.get_data(), result.context.get_data())


def test_close_ends_the_work(simulation):
    studio = StudioModel(simulation, Pipeline([Halve(0.2)] * 3))
    assert studio.close() is False
    studio.run.start()
    assert studio.close() is True and studio.run.wait(5) and studio.run.status == "cancelled"


def test_another_source_is_loaded_anew(simulation):
    model = RunModel(Pipeline([Halve()]), simulation)
    model.run()
    model.source = make_simulation(2)
    assert model.run().context.get_n_channels() == 2


def test_models_need_no_widgets():
    code = (
        "import sys; sys.modules['ipywidgets'] = sys.modules['IPython'] = None\n"
        "from facet_nb.models import StudioModel\n"
        "studio = StudioModel()\n"
        "assert studio.run.run().success\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
