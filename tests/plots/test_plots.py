"""Figures hold the right numbers, on axes with units, and need no pyplot."""

from __future__ import annotations

import subprocess
import sys

import mne
import numpy as np
import pytest

from facet_nb import plots
from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import RunState
from facet_nb.datasets import simulate
from facet_nb.plots.envelope import thin
from facet_nb.plots.spectra import estimate_psd
from facet_nb.preprocessing import Crop, HighPassFilter, PickChannels, Resample, TriggerDetector

HOSTILE = "<b>$x_{$</b>"


@pytest.fixture(scope="module")
def simulation():
    return simulate(4, 500.0, 20.0, lead_in_s=3.0, lead_out_s=3.0)


@pytest.fixture(scope="module")
def result(simulation):
    steps = [TriggerDetector(regex=r"\b1\b"), HighPassFilter(freq=1.0)]
    return Pipeline(steps).run(simulation.context(), show_progress=False, raise_on_error=True)


def make_raw(data: np.ndarray, sfreq: float = 100.0, names=None, first_samp: int = 0):
    """Return a recording."""
    names = names or [f"E{i}" for i in range(len(data))]
    info = mne.create_info(names, sfreq, "eeg", verbose="error")
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


# ------------------------------------------------------------------------------- before and after


def test_traces_are_the_samples_in_microvolts(simulation, result):
    picture = plots.plot_before_after(result.context, "C3", 4.0, 5.0, removed="difference")
    row = simulation.raw.ch_names.index("C3")
    span = slice(2000, 2501)
    before = 1e6 * simulation.raw.get_data()[row, span]
    after = 1e6 * result.context.get_data()[row, span]
    lines = [ax.lines[0] for ax in picture.axes]
    assert len(lines) == 3
    for line, expected in zip(lines, (before, after, before - after), strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(2000, 2501) / 500.0, atol=1e-12)
        np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-9)
    assert {ax.get_ylabel() for ax in picture.axes} == {"µV"}
    assert picture.axes[-1].get_xlabel() == "time (s)"
    assert [t.get_text() for t in picture.legends[0].get_texts()] == [
        "before",
        "after",
        "before − after",
    ]


def test_window_begins_before_the_first_trigger(result):
    comparison = plots.compare(result.context)
    first_s = result.context.get_triggers()[0] / 500.0
    assert comparison.after.times_s[0] == pytest.approx(first_s - 1.0, abs=0.002)
    assert np.ptp(comparison.after.times_s) == pytest.approx(5.0, abs=0.002)
    assert comparison.channel == result.context.get_raw().ch_names[0]


def test_numbers_of_the_table(result):
    comparison = plots.compare(result.context, 1, 4.0, 8.0)
    names, rms_uv, ptp_uv = zip(*comparison.rows(), strict=True)
    assert names == ("before", "after", "before − after")
    piece = 1e6 * result.context.get_data()[1, 2000:4001]
    assert rms_uv[1] == pytest.approx(piece.std())
    assert ptp_uv[1] == pytest.approx(np.ptp(piece))
    assert f"{rms_uv[1]:.1f} µV RMS after" in comparison.caption
    assert comparison.caption.count(".") - comparison.caption.count(".0") >= 1


def test_another_sampling_rate(simulation):
    done = Pipeline([Resample(sfreq=250.0)]).run(simulation.context(), show_progress=False)
    comparison = plots.compare(done.context, "C3", 4.0, 5.0)
    assert len(comparison.before.times_s) == 501 and len(comparison.after.times_s) == 251
    assert comparison.removed is None and len(comparison.rows()) == 2
    assert len(plots.plot_before_after(done.context, "C3", 4.0, 5.0).axes) == 2
    with pytest.raises(ValidationError, match="removed='noise'"):
        plots.compare(done.context, "C3", 4.0, 5.0, removed="difference")


def test_cropped_recording_lies_where_it_belongs(simulation):
    done = Pipeline([Crop(tmin=6.0, tmax=12.0)]).run(simulation.context(), show_progress=False)
    comparison = plots.compare(done.context, "C3", 7.0, 8.0)
    assert comparison.after.times_s[0] == pytest.approx(7.0)
    np.testing.assert_array_equal(comparison.before.values_v, comparison.after.values_v)
    assert not comparison.removed.values_v.any()


def test_first_samp_is_not_time(simulation):
    """A recording that begins at sample 700 of its recorder begins at 0 s here."""
    raw = make_raw(np.arange(500.0)[None] * 1e-6, first_samp=700)
    context = ProcessingContext(raw).with_raw(raw.copy())
    comparison = plots.compare(context, 0, 1.0, 2.0)
    assert comparison.after.times_s[0] == pytest.approx(1.0)
    assert comparison.after.values_v[0] == pytest.approx(100e-6)


def test_estimated_noise_of_one_channel():
    """It is a row of what the context gives for all channels."""
    from facet_nb.correction import AASCorrection
    from facet_nb.datasets import example

    simulation = example()
    steps = [TriggerDetector(regex=r"\b1\b"), HighPassFilter(freq=1.0), AASCorrection(30)]
    done = Pipeline(steps).run(simulation.context(), show_progress=False, raise_on_error=True)
    comparison = plots.compare(done.context, "Cz", 10.0, 11.0, removed="noise")
    row = simulation.raw.ch_names.index("Cz")
    expected = done.context.get_estimated_noise()[row, 20000:22001]
    np.testing.assert_array_equal(comparison.removed.values_v, expected)
    assert comparison.label == "removed (estimated noise)"
    assert np.std(comparison.removed.values_v) > 10 * np.std(comparison.after.values_v)


def test_noise_where_nothing_was_corrected(result):
    with pytest.raises(ValidationError, match="removed='difference'"):
        plots.compare(result.context, removed="noise")


def test_channel_that_the_original_does_not_have(simulation):
    raw = simulation.raw.copy().rename_channels({"C3": "new"})
    context = simulation.context().with_raw(raw)
    comparison = plots.compare(context, "new")
    assert comparison.before is None and "after the run" in comparison.caption
    assert len(plots.plot_before_after(context, "new").axes) == 1


def test_picked_channel(simulation):
    done = Pipeline([PickChannels(["Cz"])]).run(simulation.context(), show_progress=False)
    assert plots.compare(done.context).channel == "Cz"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": "Q7"}, "no channel 'Q7'"),
        ({"channel": 99}, "no channel 99"),
        ({"tmin_s": 30.0}, "no samples between"),
        ({"tmin_s": 3.0, "tmax_s": 3.0}, "no samples between"),
        ({"removed": "all"}, "'difference' or 'noise'"),
    ],
)
def test_errors_name_the_remedy(result, arguments, message):
    with pytest.raises(ValidationError, match=message):
        plots.plot_before_after(result.context, **arguments)


def test_result_plots_itself(result):
    assert isinstance(result.plot(channel="Cz"), plots.Picture)


def test_hostile_name_is_text(simulation):
    raw = simulation.raw.copy().rename_channels({"C3": HOSTILE}, verbose="error")
    picture = plots.plot_before_after(ProcessingContext(raw), HOSTILE)
    assert picture.axes[0].get_title(loc="left") == f"Channel {HOSTILE}"
    assert "<b>" not in picture.to_html() and "&lt;b&gt;$x_{$" in picture.to_html()
    assert picture.to_png().startswith(b"\x89PNG")
    plots.plot_channels(raw).to_svg()
    plots.plot_psd(ProcessingContext(raw), HOSTILE).to_svg()


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_flat_and_empty_signals(fill):
    context = ProcessingContext(make_raw(np.full((2, 1000), fill)))
    for picture in (
        plots.plot_before_after(context),
        plots.plot_psd(context),
        plots.plot_channels(context),
    ):
        assert picture.to_png().startswith(b"\x89PNG")


# --------------------------------------------------------------------------------------- the rest


def test_spectrum_of_a_sine():
    times_s = np.arange(4000) / 200.0
    wave = 3e-6 * np.sin(2 * np.pi * 10.0 * times_s)
    freqs_hz, power = estimate_psd(plots.Trace(times_s, wave))
    assert freqs_hz[np.argmax(power)] == 10.0
    assert np.sum(power) * (freqs_hz[1] - freqs_hz[0]) == pytest.approx(4.5, rel=1e-6)


def test_spectra_before_and_after(result):
    picture = plots.plot_psd(result.context, "C3", fmax_hz=40.0)
    (ax,) = picture.axes
    assert ax.get_xlabel() == "frequency (Hz)" and "µV²/Hz" in ax.get_ylabel()
    assert [line.get_label() for line in ax.lines] == ["before", "after"]
    assert all(line.get_xdata().max() <= 40.0 for line in ax.lines)


def test_channels_have_names_and_a_scale(simulation):
    picture = plots.plot_channels(simulation.raw, tmin_s=1.0, tmax_s=2.0, spacing_uv=50.0)
    (ax,) = picture.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == simulation.raw.ch_names
    assert ax.get_title(loc="left") == "50 µV between two channels"
    drawn = ax.lines[1].get_ydata()
    piece = 1e6 * simulation.raw.get_data()[1, 500:1001]
    np.testing.assert_allclose(drawn, piece - np.median(piece) - 50.0, atol=1e-9)


def test_step_times_are_the_measured_ones(result):
    picture = plots.plot_step_times(result.state)
    (ax,) = picture.axes
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [*result.state.step_wall_s, *result.state.step_cpu_s]
    longest = result.state.steps[int(np.argmax(result.state.step_wall_s))]
    assert picture.caption.endswith(f"of it in {longest}.")
    assert plots.plot_step_times(RunState()).caption == "No step has run yet."


def test_envelope_keeps_peaks_and_ends():
    rng = np.random.default_rng(0)
    times_s, values = np.arange(100_003) / 100.0, rng.standard_normal(100_003)
    values[54_321] = 40.0
    short_s, short = thin(times_s, values, 1000)
    assert len(short) < 2300 and np.all(np.diff(short_s) > 0)
    assert short.max() == 40.0 and short.min() == values.min()
    assert (short_s[0], short_s[-1]) == (times_s[0], times_s[-1])
    same_s, same = thin(times_s[:500], values[:500], 1000)
    assert same is not None and len(same_s) == 500


def test_pictures_are_small_and_reproducible(result):
    first, second = (plots.plot_before_after(result.context).to_svg() for _ in range(2))
    assert first == second
    assert len(first) < 400_000


def test_picture_shows_itself_with_words(result):
    picture = plots.plot_before_after(result.context)
    data, details = picture._repr_mimebundle_()
    assert data["text/plain"] == picture.caption
    assert details["image/png"]["alt"] == picture.caption
    assert data["image/png"].startswith(b"\x89PNG")


NO_PYPLOT = """
import sys
from facet_nb import plots
from facet_nb.datasets import example
plots.plot_channels(example().raw).to_svg()
assert "matplotlib.pyplot" not in sys.modules
assert not plots.uses_widget_backend()
assert "matplotlib.pyplot" not in sys.modules
"""


def test_pyplot_is_not_needed():
    subprocess.run([sys.executable, "-c", NO_PYPLOT], check=True)
