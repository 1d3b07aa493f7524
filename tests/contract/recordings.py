"""Small recordings with everything in them, and how each processor is made for the contract."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    DownSample,
    HighPassFilter,
    LowPassFilter,
    ProcessingContext,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)
from facet_nb.datasets import simulate

FIRST_SAMP = 1234
DATA = Path(__file__).resolve().parent.parent / "data"


def make_context(seed: int = 0) -> ProcessingContext:
    """Six EEG channels, of which one is bad, EOG, ECG, stim in their midst, and annotations."""
    sim = simulate(6, 500.0, 18.0, 1.0, 5, seed=seed, lead_in_s=3.0, lead_out_s=3.0, pulse=True)
    eeg, ecg = sim.raw.get_data()[:6], sim.raw.get_data()[6:7]
    n = sim.raw.n_times
    stim = np.zeros((1, n))
    stim[0, sim.triggers] = 5
    eog = 0.6 * eeg[:1] + 0.4 * eeg[1:2]
    misc = np.linspace(0, 1, n)[np.newaxis]
    data = np.concatenate([eeg[:3], stim, eeg[3:], eog, ecg, misc])
    names = ["E1", "E2", "E3", "STI", "E4", "E5", "E6", "EOG1", "ECG1", "temp"]
    types = ["eeg"] * 3 + ["stim"] + ["eeg"] * 3 + ["eog", "ecg", "misc"]
    info = mne.create_info(names, 500.0, types)
    info["bads"] = ["E5"]
    raw = mne.io.RawArray(data, info, first_samp=FIRST_SAMP, verbose="error")
    annotations = sim.raw.annotations.copy()
    annotations.append([1.0], [0.5], ["BAD_before"])
    raw.set_annotations(annotations)
    return ProcessingContext(raw)


@pytest.fixture(scope="module", autouse=True)
def few_iterations() -> Iterator[None]:
    """Stop fits of independent components early, in each file that imports this.

    With these recordings they never settle, and take all 500 iterations: 3 s each, in this process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mne.preprocessing, "ICA", partial(mne.preprocessing.ICA, max_iter=3))
        yield


def full_chain() -> list:
    """The chain as users of FACETpy write it."""
    return [
        TriggerDetector(regex=r"\b1\b"),
        HighPassFilter(freq=1.0),
        UpSample(factor=10),
        TriggerAligner(),
        AASCorrection(window_size=30),
        DownSample(factor=10),
        LowPassFilter(freq=70.0),
    ]


def detect() -> list:
    """The step that most others need before them."""
    return [TriggerDetector(regex=r"\b1\b")]


def scale(raw):
    """A function of a recording, as one writes it in a notebook."""
    new = raw.copy()
    new._data = 2.0 * raw.get_data()
    new._data[raw.ch_names.index("STI")] /= 2.0
    return new


def accept_all(quality):
    """Accept any quality."""
    return True


def smooth(x):
    """A denoiser, as one writes it in a notebook: a mean of three samples."""
    return (x + np.roll(x, 1, axis=-1) + np.roll(x, -1, axis=-1)) / np.float32(3.0)


_HIGHPASS = {"processor": "highpass_filter", "parameters": {"freq": 1.0}}

#: Arguments of processors that need some.
ARGUMENTS = {
    "bids_loader": {"bids_root": "study", "subject": "01", "task": "rest"},
    "bids_exporter": {"bids_root": "study", "subject": "01", "task": "rest"},
    "bandpass_filter": {"l_freq": 1.0, "h_freq": 40.0},
    "channel_standardizer": {"standard": ["E3", "E1", "E5", "E6"]},
    "conditional": {"condition": "triggers", "processor": AASCorrection(window_size=10)},
    "pulse_correction": {"check_gradient": False},
    "raw_transform": {"name": "raw_transform", "func": scale},
    "missing_trigger_completer": {"volumes": 11, "slices": 5},
    "slice_trigger_generator": {"slices": 4},
    "sequence": {"processors": [_HIGHPASS, AASCorrection(window_size=10)]},
    "switch": {"selector": "volume_gaps", "cases": {"False": _HIGHPASS}},
    "corresponding_slice_correction": {"slices_per_volume": 5, "window_size": 3},
    "crop": {"tmin": 1.0, "tmax": 16.0},
    "denoiser_correction": {"model": smooth, "window_s": 1.0},
    "drop_channels": {"channels": ["E2"]},
    "filter": {"l_freq": 1.0},
    "highpass_filter": {"freq": 1.0},
    "ica_correction": {"exclude": [0], "n_components": 3},
    "lowpass_filter": {"freq": 40.0},
    "moosmann_correction": {"motion_file": str(DATA / "motion_5_volumes.txt"), "window_size": 3},
    "notch_filter": {"freqs": [50.0, 100.0]},
    "pick_channels": {"picks": ["E1", "E3", "E6", "STI"]},
    "quality_gate": {"accept": accept_all},
    "resample": {"sfreq": 400.0},
    "signal_interval_selector": {"tmin": 0.5, "tmax": 2.5},
    "truth_calculator": {"truth": 1e-5 * np.random.default_rng(0).normal(size=(8, 9000))},
    "trigger_detector": {"regex": r"\b1\b"},
    "upsample": {"factor": 3},
    "downsample": {"factor": 2},
    "wire_loop_correction": {"wires": ["EOG1"], "window_s": 2.0},
}

#: Processors that need a library of an extra.
LIBRARIES = {"zapline_correction": "meegkit"}

#: Processors that stand behind a correction.
AFTER_CORRECTION = {
    "anc_correction",
    "obs_correction",
    "pca_correction",
    "snr_calculator",
    "rms_calculator",
    "legacy_snr_calculator",
    "rms_residual_calculator",
    "median_artifact_calculator",
    "fft_allen_calculator",
    "fft_niazy_calculator",
    "integrity_calculator",
    "truth_calculator",
    "unlocked_energy_calculator",
    "print_metric",
    "metrics_report",
    "quality_calculator",
}
