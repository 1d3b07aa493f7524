"""Optimal basis sets beside FASTR's, on channel 0 of the Niazy twin."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy.signal import freqz

from facet_nb import OBSCorrection, Pipeline, ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.correction.obs import design_highpass
from facet_nb.kernels.lowrank.obs import fit_residual


@pytest.fixture(scope="module")
def fastr(shared_data):
    """FASTR's template (L = 10), the same with OBS of four components, and the truth, in µV."""
    with np.load(shared_data / "oracle_fastr_niazy.npz") as oracle:
        template, obs = (oracle[k].astype(float) for k in ("template_L10", "obs4_L10"))
    with np.load(shared_data / "niazy_twin_2048_truth.npz") as truth:
        return template, obs, truth["clean"][0].astype(float), truth["trig"]


def correct(x_uv, sfreq, triggers, **arguments):
    raw = mne.io.RawArray(1e-6 * x_uv[np.newaxis], mne.create_info(1, sfreq, "eeg"), verbose=False)
    context = ProcessingContext(raw).with_trigger_samples(triggers)
    result = Pipeline([OBSCorrection(**arguments)]).run(context, raise_on_error=True)
    return 1e6 * result.get_raw().get_data()[0], result.get_history()[-1].parameters


def residual(y, clean, triggers):
    span = slice(triggers[0] + 2000, triggers[-1] - 2000)
    return float(np.std((y - clean)[span]))


def test_four_components_leave_no_more_than_fastr_does(fastr):
    template, theirs, clean, triggers = fastr
    ours, notes = correct(template, 2048.0, triggers, n_components=4)
    assert notes["slice_triggers"]
    assert residual(template, clean, triggers) > 50.0
    assert residual(ours, clean, triggers) <= residual(theirs, clean, triggers) < 6.2
    span = slice(triggers[0] + 2000, triggers[-1] - 2000)
    assert np.corrcoef((template - ours)[span], (template - theirs)[span])[0, 1] > 0.99


def test_automatic_number(fastr):
    template, _, clean, triggers = fastr
    ours, _ = correct(template, 2048.0, triggers)
    assert residual(ours, clean, triggers) < 0.3 * residual(template, clean, triggers)


def test_eeg_below_the_high_pass_stays(fastr):
    _, _, clean, triggers = fastr
    ours, _ = correct(clean, 2048.0, triggers, n_components=4)
    slow = mne.filter.filter_data(ours - clean, 2048.0, None, 45.0, verbose="error")
    assert np.std(slow) < 1e-3 * np.std(clean)


def test_high_pass():
    for sfreq in (500.0, 2048.0, 5000.0):
        taps = design_highpass(sfreq)
        assert len(taps) % 2 == 1
        np.testing.assert_allclose(taps, taps[::-1])
        gains = np.abs(freqz(taps, worN=[0.0, 10.0, 40.0, 100.0, 0.4 * sfreq], fs=sfreq)[1])
        np.testing.assert_allclose(gains, [0, 0, 0, 1, 1], atol=0.01)


def test_volumes_use_all_epochs_and_a_constant():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(8000)
    starts = np.arange(500, 7000, 600)
    fitted = fit_residual(x, starts, 600, 3, constant=True)
    epochs = np.stack([x[s : s + 600] for s in starts])
    centred = epochs - epochs.mean(axis=1, keepdims=True)
    basis = np.vstack([np.linalg.svd(centred, full_matrices=False)[2][:3], np.ones(600)])
    expected = epochs @ np.linalg.pinv(basis) @ basis
    np.testing.assert_allclose(np.stack([fitted[s : s + 600] for s in starts]), expected, atol=1e-9)


def test_every_second_epoch_teaches():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(5000)
    starts = np.arange(100, 4800, 100)
    fitted = fit_residual(x, starts, 100, 2, every=2)
    epochs = np.stack([x[s : s + 100] for s in starts])
    centred = epochs - epochs.mean(axis=1, keepdims=True)
    basis = np.linalg.svd(centred[::2], full_matrices=False)[2][:2]
    expected = centred @ basis.T @ basis
    np.testing.assert_allclose(np.stack([fitted[s : s + 100] for s in starts]), expected, atol=1e-9)


def test_slices_or_volumes():
    x, triggers = np.random.default_rng(2).standard_normal(20_000), np.arange(1000, 18_000, 500)
    assert not correct(x, 500.0, triggers)[1]["slice_triggers"]
    assert correct(x, 2000.0, triggers)[1]["slice_triggers"]
    forced = correct(x, 500.0, triggers, slice_triggers=True, locked_only=False)
    assert forced[1]["slice_triggers"]
    assert not np.array_equal(forced[0], correct(x, 500.0, triggers, locked_only=False)[0])
    # White noise holds nothing that is locked: not even the constant of volumes is subtracted.
    np.testing.assert_allclose(correct(x, 500.0, triggers)[0], x, rtol=1e-12)


@pytest.mark.parametrize("n", [0, 0.5, True, "all"])
def test_bad_numbers_of_components(n):
    with pytest.raises(FacetError, match="'auto'"):
        correct(np.ones(9000), 500.0, np.arange(1000, 8000, 100), n_components=n)


def test_rate_too_low():
    with pytest.raises(FacetError, match="before DownSample"):
        correct(np.ones(9000), 150.0, np.arange(1000, 8000, 100))
