"""Change the sampling rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import Postponed, ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.streams import make_resampler


@dataclass(frozen=True)
class Ratio:
    """New sampling rate over old one, in lowest terms."""

    up: int
    down: int


@register_processor
class Resample(ArrayProcessor):
    """Resample to a given rate, band-limited and without a shift in time.

    Triggers and all other positions are scaled; stim channels keep their codes.

    Parameters
    ----------
    sfreq : float
        New sampling rate, in Hz; its ratio to the old one must be a fraction of integers up to
        10 000.
    npad, window, n_jobs, verbose
        Accepted for compatibility with FACETpy; they have no effect.
    """

    name = "resample"
    description = "Change the sampling rate"
    linear = True

    def __init__(
        self,
        sfreq: float,
        npad: str = "auto",
        window: str = "boxcar",
        n_jobs: int = 1,
        verbose: bool = False,
    ) -> None:
        self.sfreq = sfreq
        self.npad = npad
        self.window = window
        self.n_jobs = n_jobs
        self.verbose = verbose

    def find_ratio(self, sfreq: float) -> Ratio:
        """Return the ratio for a recording at `sfreq`, in Hz."""
        if not self.sfreq > 0:
            raise ValidationError(f"{self.name}: sfreq={self.sfreq!r} must be above 0 Hz.")
        most = windowed_sinc.MOST_PHASES
        if not self.sfreq <= most * sfreq:
            raise ValidationError(
                f"{self.name}: {self.sfreq:g} Hz is more than 10 000 times {sfreq:g} Hz."
            )
        ratio, exact = windowed_sinc.find_ratio(sfreq, self.sfreq)
        if not exact:
            raise ValidationError(
                f"{self.name}: {self.sfreq:g} Hz over {sfreq:g} Hz is not a fraction of integers "
                f"up to 10 000: use {float(ratio) * sfreq!r} Hz, the nearest rate that is."
            )
        return Ratio(ratio.numerator, ratio.denominator)

    def prepare(self, view: View) -> Prepared:
        """Find the ratio and scale all positions."""
        ratio = self.find_ratio(view.sfreq)
        return Prepared(
            ratio,
            sfreq=view.sfreq * ratio.up / ratio.down,
            n_times=windowed_sinc.count(view.n_times, ratio.up, ratio.down),
            metadata=scale_positions(view.metadata, ratio),
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the resampled channels; see :class:`ArrayProcessor`."""
        ratio: Ratio = prepared.payload
        return windowed_sinc.resample(x, ratio.up, ratio.down, out=out)

    def why_not_chunked(self) -> str | None:
        """Return why the rate cannot be changed in chunks; None if it can."""
        own = type(self).compute is not Resample.compute
        return "computes in a way of its own" if own else None

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the streaming resampler of one channel; see :class:`ArrayProcessor`."""
        ratio: Ratio = prepared.payload
        return make_resampler(ratio.up, ratio.down, n_times)

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: transforms and their context."""
        ratio = self.find_ratio(sfreq)
        n_out = windowed_sinc.count(chunk, ratio.up, ratio.down)
        if ratio.up > 1 and ratio.down > 1:
            half = windowed_sinc.FRACTION_HALF_WIDTH * max(ratio.up, ratio.down)
            reach = half // ratio.up + ratio.down
            return 8 * (5 * chunk + 5 * n_out + 16 * reach + 4 * half) + (1 << 20)
        n_fft, most = windowed_sinc.N_FFT, max(ratio.up, ratio.down)
        kept = 4 * n_fft * ratio.down + 2 * chunk
        return 8 * (kept + 2 * n_out + 7 * n_fft * most)

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        """Return channels other than data at the new rate; codes keep their values."""
        ratio: Ratio = prepared.payload
        if kind == "stim":
            return windowed_sinc.hold(x, ratio.up, ratio.down)
        return windowed_sinc.resample(np.nan_to_num(x), ratio.up, ratio.down)

    def resize(self, n_times: int, sfreq: float) -> tuple[int, float]:
        """Return the number of samples and the rate (Hz) after the step."""
        ratio = self.find_ratio(sfreq)
        return windowed_sinc.count(n_times, ratio.up, ratio.down), sfreq * ratio.up / ratio.down

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        ratio = self.find_ratio(sfreq)
        n_out = windowed_sinc.count(shape[1], ratio.up, ratio.down)
        if ratio.up > 1 and ratio.down > 1:
            return 8 * (3 * n_out + 2 * shape[1])
        return 8 * n_out + 8 * 8 * 16384 * max(ratio.up, ratio.down)


@register_processor
class UpSample(Resample):
    """Raise the sampling rate by an integer factor.

    Parameters
    ----------
    factor : int
        Ratio of the new rate to the old one.
    npad, window, n_jobs, verbose
        Accepted for compatibility with FACETpy; they have no effect.
    """

    loads_scipy_signal = False
    name = "upsample"
    description = "Raise the sampling rate"

    def __init__(
        self,
        factor: int = 10,
        npad: str = "auto",
        window: str = "boxcar",
        n_jobs: int = 1,
        verbose: bool = False,
    ) -> None:
        self.factor = factor
        self.npad = npad
        self.window = window
        self.n_jobs = n_jobs
        self.verbose = verbose

    def find_ratio(self, sfreq: float) -> Ratio:
        """Return the ratio: `factor` to 1."""
        return Ratio(self._whole_factor(), 1)

    def preview(self, x: np.ndarray, prepared: Prepared) -> Any:
        """Return one channel after the step, computed when it is sliced."""
        ratio: Ratio = prepared.payload
        if ratio.up == 1:
            return super().preview(x, prepared)
        return windowed_sinc.Upsampled(x, ratio.up, keep=getattr(x, "keep", None))

    def find_rate(self) -> Fraction | None:
        """Return the ratio of new to old rate; None for subclasses, which may differ."""
        known = type(self) in (UpSample, DownSample)
        if not known or not self._is_whole():
            return None
        ratio = self.find_ratio(1.0)
        return Fraction(ratio.up, ratio.down)

    def _is_whole(self) -> bool:
        """Whether the factor is a whole number from 1 to 10 000."""
        if not isinstance(self.factor, Real) or not math.isfinite(self.factor):
            return False
        most = windowed_sinc.MOST_PHASES
        return self.factor == int(self.factor) and 1 <= self.factor <= most

    def _whole_factor(self) -> int:
        if not self._is_whole():
            raise ValidationError(
                f"{self.name}: factor={self.factor!r} must be 1, 2, 3, …, 10 000."
            )
        return int(self.factor)


@register_processor
class DownSample(UpSample):
    """Lower the sampling rate by an integer factor, with an anti-aliasing filter.

    Parameters
    ----------
    factor : int
        Ratio of the old rate to the new one.
    npad, window, n_jobs, verbose
        Accepted for compatibility with FACETpy; they have no effect.
    """

    loads_scipy_signal = False
    name = "downsample"
    description = "Lower the sampling rate"

    def find_ratio(self, sfreq: float) -> Ratio:
        """Return the ratio: 1 to `factor`."""
        return Ratio(1, self._whole_factor())


def scale_positions(metadata: ProcessingMetadata, ratio: Ratio) -> dict[str, Any]:
    """Return the metadata fields that hold samples, at the new rate."""
    scale = Fraction(ratio.up, ratio.down)
    changes: dict[str, Any] = {}
    if metadata.triggers is not None:
        if isinstance(metadata.triggers, Postponed):
            changes["triggers"] = metadata.triggers.map(lambda found: _scale(found, ratio))
        else:
            changes["triggers"] = _scale(np.asarray(metadata.triggers, dtype=np.int64), ratio)
    for field in ("acq_start_sample", "acq_end_sample", "pre_trigger_samples"):
        changes[field] = _scale_one(getattr(metadata, field), ratio, 0)
    changes["post_trigger_samples"] = _scale_one(metadata.post_trigger_samples, ratio, 0)
    changes["artifact_length"] = _scale_one(metadata.artifact_length, ratio, 1)
    factor = metadata.upsampling_factor * scale
    changes["upsampling_factor"] = int(factor) if factor.denominator == 1 else 1
    return changes


def _scale(samples: np.ndarray, ratio: Ratio) -> np.ndarray:
    """Return samples at the new rate, rounded half up."""
    return (2 * samples * ratio.up + ratio.down) // (2 * ratio.down)


def _scale_one(value: int | None, ratio: Ratio, smallest: int) -> int | None:
    return None if value is None else max(smallest, int(_scale(np.array(value), ratio)))
