"""The standard chain runs in every mode, with the same answer; a peer's fails in one of them."""

from __future__ import annotations

import inspect
import re

import mne
import numpy as np
import pytest

from facet_nb import (
    BrainVisionExporter,
    FacetError,
    Pipeline,
    create_standard_pipeline,
    gradient_correction,
)
from facet_nb.datasets import simulate
from tests.contract.equality import assert_same

MODES = {
    "channel_sequential": {"mode": "channel_sequential"},
    "parallel": {"parallel": True, "n_jobs": 2},
    "threads": {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
    "auto": {"mode": "auto"},
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    sim = simulate(3, 500.0, 24.0, 1.0, 5, seed=2, lead_in_s=5.0, lead_out_s=4.0)
    path = tmp_path_factory.mktemp("in") / "in.vhdr"
    BrainVisionExporter(path=path).execute(sim.context())
    return path


def run(recording, folder, evaluate=True, factor=4, **options):
    pipeline = create_standard_pipeline(
        recording, folder / "out.fif", upsample_factor=factor, evaluate=evaluate
    )
    return pipeline.run(raise_on_error=True, show_progress=False, **options)


@pytest.fixture(scope="module")
def serial(recording, tmp_path_factory):
    return run(recording, tmp_path_factory.mktemp("serial"))


def test_it_corrects_and_tells_how_well(serial):
    assert serial.metric("rms_ratio") > 10
    for key in ("snr", "legacy_snr", "rms_residual", "median_artifact", "fft_allen", "fft_niazy"):
        assert key in serial.metrics
    assert serial.metrics["fft_niazy"]["slice"]["h1"] > 15


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_same(recording, serial, mode, tmp_path):
    again = run(recording, tmp_path, **MODES[mode])
    a, b = serial.context, again.context
    a._history = b._history = ()  # they name different files
    assert_same(b, a)
    written = mne.io.read_raw_fif(tmp_path / "out.fif", verbose="error")
    np.testing.assert_allclose(written.get_data(), b.get_data(), rtol=1e-6, atol=1e-9)


def test_signature_and_steps(tmp_path):
    names = list(inspect.signature(create_standard_pipeline).parameters)
    assert names[:7] == [
        "input_path", "output_path", "start_sample", "end_sample", "trigger_regex",
        "artifact_to_trigger_offset", "upsample_factor",
    ]  # fmt: skip
    assert names[7:] == ["use_anc", "use_pca", "evaluate", "plot", "plot_kwargs"]
    whole = create_standard_pipeline("a.edf", "b.edf")
    assert [step.name for step in whole] == [
        "auto_loader", "trigger_detector", "cut_acquisition_window", "highpass_filter", "upsample",
        "slice_aligner", "subsample_aligner", "aas_correction", "pca_correction", "downsample",
        "paste_acquisition_window", "lowpass_filter", "anc_correction", "exporter",
    ]  # fmt: skip
    short = create_standard_pipeline("a.edf", "b.edf", use_anc=False, use_pca=False)
    assert {"anc_correction", "pca_correction"} & {step.name for step in short} == set()
    evaluated = create_standard_pipeline("a.edf", "b.edf", evaluate=True)
    assert len(evaluated) == len(whole) + 8
    assert Pipeline.from_yaml(evaluated.to_yaml()).to_dict() == evaluated.to_dict()


def test_part_of_a_file(recording, tmp_path):
    pipeline = create_standard_pipeline(
        recording, tmp_path / "out.edf", 1000, 11000, upsample_factor=1, use_anc=False
    )
    result = pipeline.run(raise_on_error=True, show_progress=False)
    assert result.get_raw().n_times == 10000
    assert (tmp_path / "out.edf").is_file()


def test_plot(recording, tmp_path):
    pipeline = create_standard_pipeline(
        recording,
        tmp_path / "out.fif",
        upsample_factor=1,
        use_pca=False,
        use_anc=False,
        plot=True,
        plot_kwargs={"channel": 1, "duration": 3.0, "save_path": tmp_path / "plot.png"},
    )
    result = pipeline.run(raise_on_error=True, show_progress=False)
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert result.context.cache_get("picture").axes
    with pytest.raises(FacetError, match="channel, start, duration"):
        create_standard_pipeline("a.edf", "b.edf", plot=True, plot_kwargs={"color": 1})


# ------------------------------------------------------------------------------------ our own chain
def test_own_chain_corrects_a_file(recording, tmp_path):
    sim = simulate(3, 500.0, 24.0, 1.0, 5, seed=2, lead_in_s=5.0, lead_out_s=4.0)
    pipeline = gradient_correction(r"\b1\b", recording, tmp_path / "out.fif")
    assert [step.name for step in pipeline] == [
        "auto_loader", "trigger_detector", "gradient_correction", "lowpass_filter", "exporter",
    ]  # fmt: skip
    result = pipeline.run(mode="auto", raise_on_error=True, show_progress=False)
    assert np.median(sim.snr_db(result.get_raw())) > 15.0
    written = mne.io.read_raw_fif(tmp_path / "out.fif", verbose="error")
    np.testing.assert_allclose(
        written.get_data(), result.get_raw().get_data(), rtol=1e-6, atol=1e-9
    )


def test_own_chain_runs_on_a_context():
    sim = simulate(2, 500.0, 24.0, 1.0, 5, seed=2)
    pipeline = gradient_correction(l_freq=0.5, h_freq=None, slices=None)
    names = [step.name for step in pipeline]
    assert names == ["trigger_detector", "gradient_correction", "highpass_filter"]
    result = pipeline.run(initial_context=sim.context(), raise_on_error=True)
    assert np.median(sim.snr_db(result.get_raw())) > 10.0
    assert Pipeline.from_yaml(pipeline.to_yaml()).to_dict() == pipeline.to_dict()
    with pytest.raises(FacetError, match="needs input_path"):
        gradient_correction(artifact_to_trigger_offset=-0.005)


def test_example_of_the_method_s_page(project_root):
    text = (project_root / "docs/gradient_correction.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    namespace: dict = {"__name__": "page"}
    exec(compile(blocks[0], "gradient_correction.md", "exec"), namespace)
    assert namespace["simulation"].snr_db(namespace["result"].get_raw()).min() > 20.0
