"""A high-pass whose step response does not overshoot."""

from __future__ import annotations

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import LOWEST_HZ
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.filters import fir
from facet_nb.preprocessing.filtering import Picks

#: The kernel ends at this many standard deviations, at 4e-6 of its peak.
_REACH = 5.0


@register_processor
@fill_doc
class MATLABPreFilter(ArrayProcessor):
    r"""Gaussian high-pass filter, as used by MATLAB FACET before averaging.

    It subtracts the moving average with a Gaussian kernel. The frequency response is
    ``1 - exp(-f² / (2 s²))``: no ripple, zero phase, zero gain at 0 Hz. It is less steep than
    ``HighPassFilter`` and rings less.

    Parameters
    ----------
    gauss_hp_frequency : float
        Cutoff frequency, in Hz, at which half of the power passes.
    picks : str | list | None
        Channel names, positions or types; None for all data channels.

    References
    ----------
    %(glaser_2013)s
    """

    name = "matlab_pre_filter"
    description = "Gaussian high-pass filter"
    linear = True

    def __init__(self, gauss_hp_frequency: float = 1.0, picks: Picks = None) -> None:
        self.gauss_hp_frequency = gauss_hp_frequency
        self.picks = picks

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not LOWEST_HZ <= self.gauss_hp_frequency < sfreq / 8:
            eighth = f" ({sfreq / 8:g} Hz)" if np.isfinite(sfreq) else ""
            raise ValidationError(
                f"matlab_pre_filter: gauss_hp_frequency={self.gauss_hp_frequency!r} must be at "
                f"least {LOWEST_HZ} Hz and below an eighth of the sampling rate{eighth}."
            )

    def prepare(self, view: View) -> Prepared:
        """Design the filter for the sampling rate."""
        self.check_parameters(view.sfreq)
        freq = self.gauss_hp_frequency
        return Prepared(design_gaussian(freq, view.sfreq), highpass=float(freq))

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the filtered channels; see :class:`ArrayProcessor`."""
        return fir.filter_zero_phase(x, prepared.payload, out=out)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        n_taps = 2 * int(_REACH * _sigma_s(self.gauss_hp_frequency) * sfreq) + 1
        return 8 * shape[1] + fir.scratch_bytes(n_taps)


def _sigma_s(freq: float) -> float:
    """Return the standard deviation of the kernel, in s, for half power at `freq` Hz."""
    sigma_hz = freq / np.sqrt(-2.0 * np.log(1.0 - np.sqrt(0.5)))
    return float(1.0 / (2.0 * np.pi * sigma_hz))


def design_gaussian(freq: float, sfreq: float) -> np.ndarray:
    """Return the taps of a Gaussian high-pass with cutoff `freq` Hz, shape (n_taps,), odd."""
    sigma = _sigma_s(freq) * sfreq
    half = int(_REACH * sigma)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    taps = -bell / bell.sum()
    taps[half] += 1.0
    return taps
