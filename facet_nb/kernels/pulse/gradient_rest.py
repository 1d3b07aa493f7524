"""Whether a recording still holds the gradient artifact."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from facet_nb.kernels import fft

#: Edge between the bands that are compared, lowest and highest frequency, in Hz: a rest above the
#: bands of EEG, as templates at whole samples leave it, does not matter.
_EDGE_HZ, _LOWEST_HZ, _HIGHEST_HZ = 20.0, 1.0, 70.0
#: Shortest and longest period of slices and volumes, in s.
_PERIODS_S = (0.02, 4.0)
#: A channel holds the artifact if the upper band is louder than the lower one, repeats itself with
#: at least this correlation at one period, and with at most this one at the usual period: a single
#: line (mains, pump) repeats at every one.
_LOUDER, _REPEATS, _USUALLY = 1.0, 0.5, 0.3
#: Of 15 slices a second only three lines are between 20 and 70 Hz, which repeat at the usual period
#: with up to 0.37 (simulated recordings, seeds 0 to 2), as two equal lines do. Size tells them
#: apart: above this RMS, in V, the correlation must only be less than a single line's 0.7.
_LARGE_V, _USUALLY_LARGE = 0.3e-3, 0.5
#: Length that is looked at, from the middle of the recording, in s.
_SPAN_S = 40.0


def has_gradient(x: np.ndarray, sfreq: float) -> bool:
    """Return whether a channel holds the gradient artifact.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Samples, in V.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    bool
        Whether what lies from 20 to 70 Hz is louder than what lies below and repeats itself, as a
        comb of many lines does and neither EEG, muscles nor single lines do.
    """
    n = min(len(x), round(_SPAN_S * sfreq))
    low, high = (round(period * sfreq) for period in _PERIODS_S)
    if sfreq < 3.0 * _EDGE_HZ or n <= 2 * high or not np.ptp(x) > 0:
        return False
    x = x[(len(x) - n) // 2 :][:n]
    upper = (_EDGE_HZ, min(_HIGHEST_HZ, 0.45 * sfreq))
    upper = sosfiltfilt(butter(4, upper, "bandpass", fs=sfreq, output="sos"), x)
    band = butter(2, (_LOWEST_HZ, _EDGE_HZ), "bandpass", fs=sfreq, output="sos")
    power = float(np.vdot(upper, upper))
    if power <= _LOUDER**2 * float(np.sum(sosfiltfilt(band, x) ** 2)):
        return False
    n_fft = fft.next_fast_len(n + high + 1, real=True)
    alike = fft.irfft(np.abs(fft.rfft(upper, n_fft)) ** 2, n_fft)[low : high + 1] / power
    usually = _USUALLY_LARGE if power > n * _LARGE_V**2 else _USUALLY
    return bool(alike.max() >= _REPEATS and np.median(np.abs(alike)) <= usually)
