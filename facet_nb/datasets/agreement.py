"""Signal-to-noise ratio of a corrected recording against the ground truth."""

from __future__ import annotations

import numpy as np

from facet_nb.core.errors import ValidationError

_FILTER_ORDER = 4


def compare_snr_db(
    data: np.ndarray,
    clean: np.ndarray,
    sfreq: float,
    fmin: float = 0.5,
    fmax: float = 70.0,
    *,
    start: int = 0,
    stop: int | None = None,
) -> np.ndarray:
    """Return 10 log10(Σ clean² / Σ (data − clean)²) of each channel, within a band.

    Both signals are band-passed first (Butterworth of order 4, forward and backward, over the whole
    length). The ratio counts both kinds of error: residual artifact and lost EEG.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Corrected EEG, in V.
    clean : ndarray, shape (n_channels, n_times)
        Ground truth, in V.
    sfreq : float
        Sampling rate, in Hz.
    fmin, fmax : float
        Edges of the band, in Hz.
    start, stop : int | None
        First sample of the comparison, and the one after the last.

    Returns
    -------
    ndarray, shape (n_channels,)
        Signal-to-noise ratio, in dB; infinite where nothing differs.

    Raises
    ------
    ValidationError
        If the shapes differ or the band is invalid.
    """
    if data.shape != clean.shape:
        raise ValidationError(
            f"data has shape {data.shape}, the truth {clean.shape}: compare the same channels at "
            "the same sampling rate and length."
        )
    sos = _design_band(fmin, fmax, sfreq)
    span = slice(start, stop)
    ratios = [_compare(x, truth, sos, span) for x, truth in zip(data, clean, strict=True)]
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(ratios)


def _design_band(fmin: float, fmax: float, sfreq: float) -> np.ndarray:
    from scipy.signal import butter

    if not 0.0 < fmin < fmax < sfreq / 2.0:
        raise ValidationError(
            f"fmin={fmin:g}, fmax={fmax:g}: need 0 < fmin < fmax < {sfreq / 2.0:g} Hz."
        )
    return butter(_FILTER_ORDER, (fmin, fmax), "bandpass", fs=sfreq, output="sos")


def _compare(x: np.ndarray, truth: np.ndarray, sos: np.ndarray, span: slice) -> float:
    """Return Σ truth² / Σ (x − truth)² in the band over a span of samples."""
    from scipy.signal import sosfiltfilt

    kept = sosfiltfilt(sos, truth)[span]
    error = sosfiltfilt(sos, x - truth)[span]
    noise = float(np.sum(np.square(error)))
    return float(np.sum(np.square(kept))) / noise if noise else np.inf
