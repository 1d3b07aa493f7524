"""A step over the array API: the same code on a GPU (CuPy, Torch) and, without one, on the CPU.

A GPU pays where much is computed for each sample that is copied there and back; one low-pass filter
seldom does. The result is that of NumPy within rounding, not bit for bit.

Tags: signal
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from facet_nb import Pipeline, Processor
from facet_nb.datasets import example


def find_arrays() -> tuple[Any, str]:
    """Return a module with NumPy's functions on the fastest device, and the name of the device."""
    if find_spec("cupy") and import_module("cupy").cuda.is_available():
        return import_module("cupy"), "cuda"
    if find_spec("torch") and import_module("torch").cuda.is_available():
        return import_module("torch"), "cuda"
    return np, "cpu"


class SpectralLowPass(Processor):
    """Removes what is above a frequency from the spectrum of the whole recording.

    Parameters
    ----------
    freq : float
        Cutoff, in Hz.
    """

    name = "spectral_low_pass"
    parallel_safe = False  # one device: batches would queue for it

    def __init__(self, freq: float = 70.0) -> None:
        self.freq = freq

    def process(self, context):
        raw = context.get_raw().copy()
        raw._data[:] = low_pass(raw.get_data(), raw.info["sfreq"], self.freq)
        return context.with_raw(raw)


def low_pass(x: np.ndarray, sfreq: float, freq: float) -> np.ndarray:
    """Return `x` (channels, samples) without frequencies above `freq`, in Hz."""
    xp, device = find_arrays()
    there = xp.asarray(x, device=device) if xp.__name__ == "torch" else xp.asarray(x)
    spectrum = xp.fft.rfft(there)
    spectrum[:, round(freq * x.shape[1] / sfreq) + 1 :] = 0
    kept = xp.fft.irfft(spectrum, n=x.shape[1])
    return kept if xp is np else np.asarray(kept.get() if hasattr(kept, "get") else kept.cpu())


if __name__ == "__main__":
    context = example().context()
    result = Pipeline([SpectralLowPass(70.0)]).run(context, mode="serial")
    x, sfreq = context.get_raw().get_data(), context.get_raw().info["sfreq"]
    expected = np.fft.rfft(x)
    expected[:, round(70.0 * x.shape[1] / sfreq) + 1 :] = 0
    error = np.abs(result.raw.get_data() - np.fft.irfft(expected, n=x.shape[1])).max()
    print(f"on the {find_arrays()[1]} by {find_arrays()[0].__name__}: at most {error:.1e} V off")
