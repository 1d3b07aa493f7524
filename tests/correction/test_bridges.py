"""Processors over kept libraries: independent components, ZapLine, trained denoisers."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import mne
import numpy as np
import pytest

from facet_nb import (
    DenoiserCorrection,
    ICACorrection,
    Pipeline,
    ProcessingContext,
    ZapLineCorrection,
)
from facet_nb.core.errors import FacetError
from facet_nb.correction.zapline import measure_line
from facet_nb.datasets import simulate
from facet_nb.kernels.filters.windowed_model import apply_to_windows
from tests.contract.recordings import smooth


def run(step, raw, **options):
    return Pipeline([step]).run(ProcessingContext(raw), raise_on_error=True, **options)


def make_raw(data, sfreq=250.0, types="eeg", names=None):
    names = [f"E{i}" for i in range(len(data))] if names is None else names
    return mne.io.RawArray(data, mne.create_info(names, sfreq, types), verbose="error")


def halve(x):
    return x * np.float32(0.5)


# ----------------------------------------------------------------------------------- denoisers
@pytest.mark.parametrize("n_times", [1, 7, 100, 128, 129, 5000])
@pytest.mark.parametrize("n_samples", [2, 64, 128])
def test_the_identity_returns_the_signal(n_times, n_samples):
    x = np.random.default_rng(n_times).standard_normal(n_times)
    np.testing.assert_allclose(apply_to_windows(x, n_samples, lambda w: w), x, atol=1e-6)


def test_a_model_sees_the_same_windows_whatever_lies_beside_them():
    """The result in the middle depends only on the windows that reach there."""
    x = np.random.default_rng(0).standard_normal(64 * 300)
    other = np.concatenate([x[: 64 * 200], np.zeros(64 * 100)])
    near = slice(0, 64 * 199)
    one, two = (apply_to_windows(signal, 128, smooth) for signal in (x, other))
    np.testing.assert_array_equal(one[near], two[near])


@pytest.mark.parametrize("model", [lambda x: x[:, :, 1:], lambda x: x * np.float32(np.nan)])
def test_a_model_that_returns_something_else_is_refused(model):
    raw = make_raw(1e-5 * np.random.default_rng(0).standard_normal((1, 500)))
    with pytest.raises(FacetError, match="same shape"):
        run(DenoiserCorrection(model, window_s=1.0), raw)


def test_clean_or_artifact_and_the_unit():
    x = 1e-5 * np.random.default_rng(0).standard_normal((3, 2000))
    for predicts in ("clean", "artifact"):
        found = run(DenoiserCorrection(halve, predicts=predicts), make_raw(x)).get_raw().get_data()
        np.testing.assert_allclose(found, 0.5 * x, atol=1e-11)
    seen = []
    run(DenoiserCorrection(lambda w: seen.append(np.abs(w).max()) or w), make_raw(x))
    assert 1.0 < max(seen) < 100.0  # µV


@pytest.mark.parametrize(
    "arguments, remedy",
    [
        ({"model": "none.onnx"}, "no model file"),
        ({"model": halve, "sfreq": 500.0}, r"Resample\(500\)"),
        ({"model": halve, "predicts": "noise"}, "clean, artifact"),
        ({"model": 3}, "neither a file nor a function"),
    ],
)
def test_wrong_arguments_of_a_denoiser_name_the_remedy(arguments, remedy):
    with pytest.raises(FacetError, match=remedy):
        run(DenoiserCorrection(**arguments), make_raw(np.ones((1, 1000)) * 1e-6))


def test_an_onnx_file(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    shape = ["n", 1, "t"]
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in "xy"]
    weight = onnx.numpy_helper.from_array(np.full((1, 1, 3), 1 / 3, np.float32), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1])
    graph = onnx.helper.make_graph([node], "mean", ends[:1], ends[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "mean.onnx"
    path.write_bytes(model.SerializeToString())
    x = 1e-5 * np.random.default_rng(0).standard_normal((3, 3000))
    one = run(DenoiserCorrection(path), make_raw(x)).get_raw().get_data()
    way = {"mode": "parallel", "backend": "threading", "n_jobs": 2, "batch_size": 2}
    two = run(DenoiserCorrection(str(path)), make_raw(x), **way).get_raw().get_data()
    np.testing.assert_array_equal(one, two)
    inner = np.convolve(x[0], np.full(3, 1 / 3), "same")[10:-10]
    np.testing.assert_allclose(one[0, 10:-10], inner, atol=2e-6 * 0.02 + 1e-7)


class _Tensor:
    """What a torch tensor does here, on a device, with gradients or without."""

    def __init__(self, values, device="cpu", grad=False):
        self.values, self.device, self.grad = values, device, grad

    def to(self, device):
        return _Tensor(self.values, device, self.grad)

    def cpu(self):
        return self.to("cpu")

    def numpy(self):
        if self.device != "cpu" or self.grad:
            raise TypeError("Can't convert this tensor to numpy. Use Tensor.cpu(), detach().")
        return self.values


@pytest.fixture
def torch(monkeypatch):
    """A module with what of torch is used; torch itself is no requirement of the tests."""

    class Module:
        training, device = True, "cuda:0"

        def parameters(self):
            return iter([SimpleNamespace(device=self.device)])

        def eval(self):
            self.training = False
            return self

        def __call__(self, x):
            if x.device != self.device:
                raise RuntimeError("Expected all tensors to be on the same device")
            return _Tensor(self.forward(x.values), self.device, module.grad)

    class NoGrad:
        def __enter__(self):
            module.grad = False

        def __exit__(self, *error):
            module.grad = True

    module = ModuleType("torch")
    module.grad, module.no_grad, module.from_numpy = True, NoGrad, _Tensor
    module.nn = SimpleNamespace(Module=Module)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_torch_module(torch, device):
    """It runs where its parameters are, as for evaluation (no dropout) and without gradients."""

    class Halve(torch.nn.Module):
        def forward(self, x):
            return x * np.float32(1.0 if self.training else 0.5)

    model, x = Halve(), 1e-5 * np.random.default_rng(0).standard_normal((3, 2000))
    model.device = device
    one = run(DenoiserCorrection(model), make_raw(x)).get_raw().get_data()
    np.testing.assert_allclose(one, 0.5 * x, atol=1e-11)
    way = {"mode": "channel_sequential", "batch_size": 2}
    np.testing.assert_array_equal(
        run(DenoiserCorrection(model), make_raw(x), **way).get_raw().get_data(), one
    )
    assert not model.training and torch.grad
    assert DenoiserCorrection(model).get_parameters()["model"] == "<function Halve>"


def test_a_torch_module_without_parameters(torch):
    model, x = torch.nn.Module(), 1e-5 * np.random.default_rng(0).standard_normal((1, 2000))
    model.parameters, model.device, model.forward = lambda: iter(()), "cpu", lambda y: 0.5 * y
    found = run(DenoiserCorrection(model), make_raw(x)).get_raw().get_data()
    np.testing.assert_allclose(found, 0.5 * x, atol=1e-11)


# -------------------------------------------------------------------------------------- ZapLine
def test_a_line_is_measured():
    rng = np.random.default_rng(0)
    x, times_s = rng.standard_normal((4, 10_000)), np.arange(10_000) / 250.0
    assert measure_line(x, 41.3, 250.0) < 2.0
    assert measure_line(x + np.sin(2 * np.pi * 41.3 * times_s), 41.3, 250.0) > 10.0


@pytest.mark.parametrize("freq_hz, seed", [(41.3, 1), (29.0, 2)])
def test_zapline_subtracts_a_pump_and_keeps_eeg(freq_hz, seed):
    pytest.importorskip("meegkit")
    sim = simulate(6, 250.0, 40.0, seed=seed, artifact_amplitude_v=0.0)
    gains = 40e-6 * np.random.default_rng(seed).standard_normal((6, 1))
    line = gains * np.sin(2 * np.pi * freq_hz * np.arange(sim.clean.shape[1]) / 250.0)
    result = run(ZapLineCorrection(freq_hz), make_raw(sim.clean + line))
    rest = result.get_raw().get_data() - sim.clean
    assert np.std(rest) < 0.2 * np.std(line)
    absent = run(ZapLineCorrection(freq_hz), make_raw(sim.clean))
    assert [f.code for f in absent.findings] == ["line_absent"]
    np.testing.assert_array_equal(absent.get_raw().get_data(), sim.clean)


def test_zapline_names_what_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "meegkit", None)
    monkeypatch.setitem(sys.modules, "meegkit.dss", None)
    with pytest.raises(FacetError, match=r"pip install facet-nb\[zapline\]"):
        run(ZapLineCorrection(50.0), make_raw(np.ones((2, 1000))))


# ------------------------------------------------------------------------ independent components
@pytest.fixture(scope="module")
def blinks():
    sim = simulate(6, 250.0, 40.0, seed=3, artifact_amplitude_v=0.0)
    rng = np.random.default_rng(3)
    n = sim.clean.shape[1]
    eye = np.zeros(n)
    for at in rng.integers(100, n - 100, 14):
        eye[at - 50 : at + 50] += 200e-6 * np.hanning(100)
    gains = np.array([1.0, 0.8, 0.3, 0.1, 0.05, 0.6])[:, np.newaxis]
    clean = sim.clean
    data = np.vstack([clean + gains * eye, eye + 2e-6 * rng.standard_normal(n)])
    names = [*(f"E{i}" for i in range(6)), "VEOG"]
    return make_raw(data, 250.0, ["eeg"] * 7, names), clean, gains * eye


def test_the_component_of_the_eyes_is_subtracted(blinks):
    """The EOG is found by its name although the file calls it EEG, and stays as it is."""
    raw, clean, eye = blinks
    result = run(ICACorrection(), raw)
    data = result.get_raw().get_data()
    assert np.std((data[:6] - clean)[:2]) < 0.4 * np.std(eye[:2])
    np.testing.assert_array_equal(data[6], raw.get_data()[6])
    (finding,) = result.findings
    assert finding.code == "components_subtracted" and len(finding.evidence["components"]) >= 1
    again = run(ICACorrection(), raw, mode="channel_sequential").get_raw().get_data()
    np.testing.assert_array_equal(again, data)


def test_nothing_is_subtracted_without_a_reason(blinks):
    raw, _, _ = blinks
    result = run(ICACorrection(find=["ecg"]), raw)
    np.testing.assert_array_equal(result.get_raw().get_data(), raw.get_data())
    assert result.findings[0].evidence["components"] == []


@pytest.mark.parametrize(
    "arguments, remedy", [({"method": "jade"}, "infomax"), ({"find": ["emg"]}, "ecg, eog")]
)
def test_wrong_arguments_of_ica_name_the_remedy(blinks, arguments, remedy):
    with pytest.raises(FacetError, match=remedy):
        run(ICACorrection(**arguments), blinks[0])
