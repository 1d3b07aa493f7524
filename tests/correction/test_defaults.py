"""Steps behind a good correction: what is left is EEG, and stays."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    FARMCorrection,
    GradientCorrection,
    OBSCorrection,
    PCACorrection,
    Pipeline,
    VolumeArtifactCorrection,
    create_standard_pipeline,
)
from facet_nb.datasets import simulate
from facet_nb.kernels.lowrank.obs import count_locked


@pytest.fixture(scope="module", params=[(6, 1000.0), (7, 500.0)])
def recording(request):
    seed, sfreq = request.param
    return simulate(2, sfreq, 30.0, tr_s=2.0, n_slices=20, markers="slice", seed=seed)


def measure(recording, *steps, l_freq=0.5, h_freq=70.0):
    context = recording.context().with_trigger_samples(recording.triggers)
    raw = Pipeline(list(steps)).run(context, show_progress=False, raise_on_error=True).get_raw()
    return float(np.median(recording.snr_db(raw, l_freq, h_freq)))


@pytest.mark.parametrize("before", [GradientCorrection(), AASCorrection(subsample=True)])
@pytest.mark.parametrize(
    "step", [PCACorrection(), PCACorrection(hp_freq=1.0), OBSCorrection(), ANCCorrection()]
)
def test_a_second_step_is_not_worse_than_none(recording, before, step):
    for band in ((0.5, 70.0), (30.0, 100.0)):
        alone = measure(recording, before, l_freq=band[0], h_freq=band[1])
        assert measure(recording, before, step, l_freq=band[0], h_freq=band[1]) > alone - 0.5


@pytest.mark.parametrize("seed", [201, 202])
def test_noise_cancellation_takes_no_eeg_where_volumes_are_averaged(seed):
    """Above 70 Hz its prediction is artifact, below it is EEG in the third channel."""
    sim = simulate(3, 1000.0, 60.0, tr_s=2.0, n_slices=20, markers="volume", seed=seed)
    context = sim.context().with_trigger_samples(sim.triggers)
    after = []
    for steps in ([], [ANCCorrection()]):
        chain = Pipeline([AASCorrection(30, subsample=True), *steps])
        raw = chain.run(context, show_progress=False, raise_on_error=True).get_raw()
        after.append(sim.snr_db(raw))
    assert np.all(after[1] > after[0] - 0.2) and after[1].max() > after[0].min() + 1.0


@pytest.mark.parametrize("seed", [6, 11])
def test_components_of_the_standard_chain_leave_alpha_at_the_slice_rate(seed):
    """Ten slices a second: in the last channel alpha is locked to them, and is no artifact."""
    sim = simulate(4, 1000.0, 40.0, tr_s=2.0, n_slices=20, markers="slice", seed=seed)
    after = []
    for use_pca in (False, True):
        chain = create_standard_pipeline("a.edf", "b.edf", use_pca=use_pca, use_anc=False)
        steps = chain.processors[1:-1]  # without loading and writing
        raw = Pipeline(steps).run(sim.context(), show_progress=False, raise_on_error=True).get_raw()
        after.append(sim.snr_db(raw))
    assert np.all(after[1] > after[0] - 0.5)  # 6 dB lost with components from 1 Hz on
    assert np.median(after[1]) > np.median(after[0]) + 3.0


def test_similar_epochs_are_similar_in_their_artifact(recording):
    plain = measure(recording, FARMCorrection(subsample=True, compared_hz=0.0))
    assert measure(recording, FARMCorrection(subsample=True)) > plain


@pytest.mark.parametrize("seed", [201, 202])
@pytest.mark.parametrize("wrong", [None, {"vibration_v": 60e-6}])
def test_similar_epochs_between_samples_are_not_worse_than_at_samples(seed, wrong):
    """Changes below the compared frequencies are followed by nearby epochs, not by any."""
    sim = simulate(3, 1000.0, 44.0, tr_s=2.0, n_slices=20, seed=seed, imperfections=wrong)
    assert measure(sim, FARMCorrection(subsample=True)) > measure(sim, FARMCorrection()) - 0.5
    assert measure(sim, FARMCorrection(subsample=True)) > 14.0  # 9 to 14.4 with any epochs


@pytest.mark.parametrize("n_locked", [0, 1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_locked_components_are_counted(n_locked, seed):
    rng = np.random.default_rng(seed)
    n_samples, starts = 80, np.arange(0, 80 * 60, 80)
    x = np.convolve(rng.standard_normal(80 * 62), np.ones(3), "valid")
    shapes = np.linalg.qr(rng.standard_normal((n_samples, max(n_locked, 1))))[0].T
    for start in starts:
        x[start : start + n_samples] += 60.0 * rng.standard_normal(n_locked) @ shapes[:n_locked]
    assert count_locked(x, starts, n_samples) == n_locked


@pytest.mark.parametrize("sfreq, pause_s, kept", [(1000.0, 1.0, True), (500.0, 1.0, False)])
def test_pauses_are_left_where_more_eeg_than_artifact_would_go(sfreq, pause_s, kept):
    sim = simulate(2, sfreq, 40.0, tr_s=2.0, n_slices=20, volume_gap_s=pause_s, seed=5)
    average, step = AASCorrection(30, subsample=True), VolumeArtifactCorrection()
    alone, both = measure(sim, average), measure(sim, step, average)
    assert both == alone if kept else both > alone + 1.0
    if kept:
        assert measure(sim, VolumeArtifactCorrection(control=False), average) < alone - 1.0
        context = sim.context().with_trigger_samples(sim.triggers)
        (finding,) = Pipeline([step]).run(context, show_progress=False).findings
        ratio = finding.evidence["relative_to_eeg"]
        assert f"take {max(ratio, 0.0):.2g} times" in finding.detail and ratio < 4
        assert finding.evidence["relative_to_slices"] >= 2


@pytest.mark.parametrize("pause_s, stands_out", [(0.1, False), (0.2, True)])
def test_slices_beside_pauses_are_corrected_where_they_stand_out(pause_s, stands_out):
    """With pauses of 0.1 s a slice has 47.5 samples: every second one begins between samples."""
    sim = simulate(2, 500.0, 30.0, tr_s=2.0, n_slices=20, volume_gap_s=pause_s, seed=5)
    average, step = AASCorrection(30, subsample=True), VolumeArtifactCorrection()
    alone, both = measure(sim, average), measure(sim, step, average)
    assert both > alone + 3.0 if stands_out else both == alone
    context = sim.context().with_trigger_samples(sim.triggers)
    result = Pipeline([step]).run(context, show_progress=False, raise_on_error=True)
    told = {finding.code: finding.evidence for finding in result.findings}
    assert ("pauses_not_corrected" in told) == (not stands_out)
    if not stands_out:
        assert told["pauses_not_corrected"]["relative_to_slices"] < 2
        assert measure(sim, VolumeArtifactCorrection(control=False), average) < alone
