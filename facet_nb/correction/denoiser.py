"""Trained denoisers: any model that maps windows to windows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError, import_extra
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection
from facet_nb.kernels.filters.windowed_model import apply_to_windows

PREDICTS = ("clean", "artifact")

#: Longest window of a model, in s.
_LONGEST_S = 600
#: Largest factor from V to the unit of a model; float32 ends at 3.4e38.
_LARGEST = 1e30


@register_processor
class DenoiserCorrection(ChannelCorrection):
    """Apply a trained denoiser to overlapping windows of each channel.

    The channel is cut into Hann windows that overlap by half; the model maps each to a window of
    the same length, and the results are added up. The grid of windows begins at the first sample,
    and the model always gets the same windows of one channel together: the result depends neither
    on the mode nor on other channels, as far as the model itself is deterministic.

    No model comes with the package: give a file, a torch module or a function.

    Parameters
    ----------
    model : str | Path | callable
        An ONNX file, run by onnxruntime in one thread (``pip install facet-nb[onnx]``); a
        :class:`torch.nn.Module`, which is set to evaluation and runs where its parameters are; or
        ``f(x) -> y``. Input and output have shape (n_windows, 1, n_samples) and type float32.
        Functions cannot be saved to a file.
    window_s : float
        Length of a window, in s, as the model was trained with.
    sfreq : float | None
        Sampling rate that the model was trained with, in Hz; None for any.
    scale : float
        Factor from V to the unit of the model: 1e6 for µV.
    predicts : {"clean", "artifact"}
        Whether the model returns the clean signal, or the artifact to subtract.

    References
    ----------
    McIntosh, J. R., Yao, J., Hong, L., Faller, J., & Sajda, P. (2021). Ballistocardiogram artifact
    reduction in simultaneous EEG-fMRI using deep learning. IEEE Transactions on Biomedical
    Engineering, 68(1), 78-89. doi:10.1109/TBME.2020.3004548
    """

    name = "denoiser_correction"
    description = "Apply a trained denoiser to overlapping windows"
    requires_triggers = False

    def __init__(
        self,
        model: str | Path | Callable[[np.ndarray], np.ndarray],
        window_s: float = 2.0,
        sfreq: float | None = None,
        scale: float = 1e6,
        predicts: str = "clean",
    ) -> None:
        self.model = model
        self.window_s = window_s
        self.sfreq = sfreq
        self.scale = scale
        self.predicts = predicts

    def get_parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments; a function is replaced by its name."""
        model = self.model
        if callable(model):
            model = f"<function {getattr(model, '__name__', type(model).__name__)}>"
        return {**super().get_parameters(), "model": str(model)}

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if self.predicts not in PREDICTS:
            raise ValidationError(f"predicts={self.predicts!r}: use one of {', '.join(PREDICTS)}.")
        if self.sfreq is not None and not 0 < self.sfreq < np.inf:
            raise ValidationError(f"sfreq={self.sfreq!r} must be a rate above 0 Hz, or None.")
        if self.sfreq is not None and abs(self.sfreq - sfreq) > 1e-3 and np.isfinite(sfreq):
            raise ValidationError(
                f"denoiser_correction: the model was trained at {self.sfreq:g} Hz, but the data "
                f"have {sfreq:g} Hz: put Resample({self.sfreq:g}) before it."
            )
        if not (0 < self.window_s <= _LONGEST_S and self.window_s * sfreq > 1):
            raise ValidationError(
                f"window_s={self.window_s!r} must be at least two samples, at most {_LONGEST_S} s."
            )
        if not 1 / _LARGEST <= self.scale <= _LARGEST:
            raise ValidationError(
                f"scale={self.scale!r} must be from {1 / _LARGEST:g} to {_LARGEST:g}, so that "
                "float32 can represent the samples."
            )

    def prepare(self, view: View) -> Prepared:
        """Check the arguments and open the model."""
        self.check_parameters(view.sfreq)
        _open(self.model)
        return Prepared(2 * round(self.window_s * view.sfreq / 2))

    def correct_channel(self, x: np.ndarray, plan: int, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        run = _open(self.model)
        found = apply_to_windows(x * self.scale, plan, run)
        if self.predicts == "clean":
            np.divide(found, self.scale, out=out)
        else:
            np.subtract(x, found / self.scale, out=out)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes, without that of the model."""
        return 8 * shape[1] * 6 + 64 * round(self.window_s * sfreq) * 32


def _open(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of windows."""
    if isinstance(model, (str, Path)):
        path = Path(model)
        if not path.is_file():
            raise ValidationError(
                f"denoiser_correction: there is no model file {str(model)!r}; functions cannot be "
                "read from a saved pipeline: give model=… again."
            )
        return _open_onnx(str(path), path.stat().st_mtime_ns)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return lambda x: _run_torch(torch, model, x)
    if not callable(model):
        raise ValidationError(
            f"denoiser_correction: model={model!r} is neither a file nor a function of windows."
        )
    return model


@lru_cache(maxsize=2)
def _open_onnx(path: str, changed_ns: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the model in a file; `changed_ns` tells versions of the file apart."""
    remedy = "denoiser_correction needs onnxruntime for ONNX files: pip install facet-nb[onnx]."
    onnxruntime = import_extra("onnxruntime", remedy)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _run_torch(torch: Any, model: Any, x: np.ndarray) -> np.ndarray:
    model.eval()
    given = torch.from_numpy(x)
    first = next(iter(model.parameters()), None)
    if first is not None:
        given = given.to(first.device)
    with torch.no_grad():
        result: np.ndarray = model(given).cpu().numpy()
    return result
