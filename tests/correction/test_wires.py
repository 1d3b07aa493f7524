"""Carbon-wire loops: known artifacts, the shuffled control, and real recordings."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from facet_nb import Pipeline, ProcessingContext, WireLoopCorrection
from facet_nb.core.errors import FacetError
from facet_nb.datasets import simulate
from facet_nb.kernels.filters import lagged_regression

SFREQ = 250.0


@pytest.fixture(scope="module")
def moving():
    """EEG, what movement adds to it, and four loops that see the movement a little later."""
    clean = simulate(8, SFREQ, 60.0, 2.0, 20, seed=4, artifact_amplitude_v=0.0).clean
    rng = np.random.default_rng(4)
    sos = butter(2, [0.3, 8.0], "bandpass", fs=SFREQ, output="sos")
    sources = sosfiltfilt(sos, rng.standard_normal((3, clean.shape[1])))
    sources /= sources.std(axis=1, keepdims=True)
    artifact = 5e-5 * rng.standard_normal((8, 3)) @ np.roll(sources, 2, axis=1)
    artifact[7] = 0.0
    loops = 1e-3 * rng.standard_normal((4, 3)) @ sources
    loops += 1e-5 * rng.standard_normal(loops.shape)
    return clean, artifact, loops


def make(eeg, loops, names=None, kind="misc", sfreq=SFREQ):
    names = names or [f"CWL{i + 1}" for i in range(len(loops))]
    all_names = [f"E{i}" for i in range(len(eeg))] + names
    info = mne.create_info(all_names, sfreq, ["eeg"] * len(eeg) + [kind] * len(loops))
    data = np.concatenate([eeg, loops])
    return ProcessingContext(mne.io.RawArray(data, info, verbose="error"))


def correct(context, **arguments):
    result = Pipeline([WireLoopCorrection(**arguments)]).run(context, raise_on_error=True)
    return result.get_raw().get_data(), result.get_history()[-1].parameters


def snr_db(clean, out):
    with np.errstate(divide="ignore"):
        return _ratio_db(clean, out)


def _ratio_db(clean, out):
    return 10 * np.log10((clean**2).sum(1) / ((out - clean) ** 2).sum(1))


def test_movement_goes(moving):
    clean, artifact, loops = moving
    context = make(clean + artifact, loops)
    out, notes = correct(context)
    gain = np.median(snr_db(clean, out[:8])[:7] - snr_db(clean, clean + artifact)[:7])
    assert gain > 12.0
    assert notes["wires"] == ["CWL1", "CWL2", "CWL3", "CWL4"]
    assert notes["explained"] > 0.85 > 0.5 > notes["by_chance"] > 0.05
    longer, _ = correct(context, window_s=16.0)
    assert np.median(snr_db(clean, longer[:8])[:7]) > np.median(snr_db(clean, out[:8])[:7]) + 2.0


def test_what_loops_do_not_explain_stays(moving):
    clean, artifact, loops = moving
    out, notes = correct(make(clean + artifact, loops))
    np.testing.assert_array_equal(out[7], clean[7])
    np.testing.assert_array_equal(out[8:], loops)
    assert notes["left_alone"] == ["E7"]
    untouched, notes = correct(make(clean, loops))
    np.testing.assert_array_equal(untouched[:8], clean)
    assert len(notes["left_alone"]) == 8


def test_loops_by_name_type_and_position(moving):
    clean, artifact, loops = moving
    eeg = clean + artifact
    expected = correct(make(eeg, loops))[0][:8]
    other = make(eeg, loops, [f"x{i}" for i in range(4)], kind="bio")
    for wires_ in ("bio", ["x0", "x1", "x2", "x3"], [8, 9, 10, 11]):
        out, _ = correct(other, wires=wires_)
        np.testing.assert_array_equal(out[:8], expected)
        np.testing.assert_array_equal(out[8:], loops)
    as_eeg = make(eeg, loops, ["CW_1", "Loop 2", "Wire3", "carbon4"], kind="eeg")
    out, _ = correct(as_eeg)
    np.testing.assert_array_equal(out[:8], expected)
    np.testing.assert_array_equal(out[8:], loops)


def test_control_is_among_the_metrics(moving):
    clean, artifact, loops = moving
    context = make(clean + artifact, loops)
    result = Pipeline([WireLoopCorrection()]).run(context, raise_on_error=True)
    metrics = result.context.metadata.custom["metrics"]
    assert metrics["wire_loops_explained"] > 0.85 > metrics["wire_loops_by_chance"] > 0.0
    assert result.metric("wire_loops_by_chance") == metrics["wire_loops_by_chance"]


def test_modes_agree(moving):
    clean, artifact, loops = moving
    context = make(clean + artifact, loops)
    step = Pipeline([WireLoopCorrection()])
    one = step.run(context, mode="channel_sequential", n_jobs=2, backend="threading", batch_size=3)
    np.testing.assert_array_equal(one.get_raw().get_data(), correct(context)[0])


def test_real_recording_and_its_control(shared_data):
    with np.load(shared_data / "cwr_real_inscanner_1000Hz.npz") as file:
        x, roles = 1e-6 * file["x"].astype(float), file["roles"]
    _, notes = correct(make(x[roles == "EEG"], x[roles == "CWL"], sfreq=1000.0), window_s=3.0)
    assert notes["explained"] > 0.9
    assert 0.1 < notes["by_chance"] < 0.6
    assert notes["left_alone"] == []


def test_window_by_window_against_least_squares():
    rng = np.random.default_rng(0)
    loops, y = rng.standard_normal((2, 400)), rng.standard_normal(400)
    fit = lagged_regression.prepare_wires(loops, size=100, reach=4, step=2)
    assert list(fit.delays) == [-4, -2, 0, 2, 4]
    expected = np.zeros(400)
    padded = np.pad((loops - loops.mean(1, keepdims=True)), ((0, 0), (4, 4)))
    copies = np.stack([padded[i, 4 - d : 404 - d] for d in fit.delays for i in range(2)], axis=1)
    copies = np.column_stack([copies, np.ones(400)])
    for start in range(-50, 400, 50):
        span = np.arange(max(start, 0), min(start + 100, 400))
        root = np.sqrt(lagged_regression.hann(100)[span - start])
        amounts = np.linalg.lstsq(root[:, None] * copies[span], root * y[span], rcond=None)[0]
        expected[span] += root**2 * (copies[span, :-1] @ amounts[:-1])
    np.testing.assert_allclose(lagged_regression.regress(y, fit), expected, atol=1e-9)
    windows = sum(
        np.pad(lagged_regression.hann(100), (start + 100, 500 - start))[100:600]
        for start in range(-50, 400, 50)
    )
    np.testing.assert_allclose(windows[:400], 1.0)


def test_shuffled_phases_keep_spectra_and_relations():
    rng = np.random.default_rng(1)
    loops = np.cumsum(rng.standard_normal((3, 501)), axis=1)
    shuffled = lagged_regression.shuffle_phases(loops, rng)
    np.testing.assert_allclose(
        np.abs(np.fft.rfft(shuffled)), np.abs(np.fft.rfft(loops)), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(np.cov(shuffled), np.cov(loops), rtol=1e-6)
    assert abs(np.corrcoef(shuffled[0], loops[0])[0, 1]) < 0.9


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"wires": ["nobody"]}, "neither a channel nor a type"),
        ({"window_s": 0.0}, "above 0"),
        ({"window_s": 900.0}, "longer than the recording"),
        ({"delay_step_s": 0.001, "delay_s": 0.2}, "raise window_s"),
    ],
)
def test_bad_arguments_name_the_remedy(moving, arguments, remedy):
    clean, _, loops = moving
    with pytest.raises(FacetError, match=remedy):
        correct(make(clean, loops), **arguments)


def test_no_loops_and_flat_loops(moving):
    clean, _, loops = moving
    with pytest.raises(FacetError, match=r"wires=\[…\]"):
        correct(make(clean, loops, ["a", "b", "c", "d"]))
    flat = loops.copy()
    flat[2] = 1.0
    with pytest.raises(FacetError, match="CWL3 is flat"):
        correct(make(clean, flat))
