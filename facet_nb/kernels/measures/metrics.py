"""Figures of merit of a correction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

#: A standard deviation below this fraction of the mean is the rounding error of a constant.
_ROUNDING = 1e-12


def snr(var_without: np.ndarray, var_corrected: np.ndarray) -> np.ndarray:
    r"""Return the signal-to-noise ratio of corrected channels.

    .. math:: \mathrm{SNR} = \sigma^2_\mathrm{without}
       / (\sigma^2_\mathrm{corrected} - \sigma^2_\mathrm{without})

    Parameters
    ----------
    var_without : ndarray, shape (n_channels,)
        Variance outside the acquisition, where there is no artifact, in V².
    var_corrected : ndarray, shape (n_channels,)
        Variance of the corrected signal within the acquisition, in V².

    Returns
    -------
    ndarray, shape (n_channels,)
        Ratios: the larger the better. Negative if the corrected signal is weaker than the one
        without artifact (the correction removed signal, or the signal changed); infinite if the two
        are exactly equal; nan for flat channels (a variance of 0) and for nan.
    """
    without, corrected = np.broadcast_arrays(
        np.asarray(var_without, dtype=float), np.asarray(var_corrected, dtype=float)
    )
    residual = corrected - without
    usable = (without > 0) & (corrected > 0)
    ratio = np.full(without.shape, np.nan)
    np.divide(without, residual, out=ratio, where=usable & (residual != 0))
    ratio[usable & (residual == 0)] = np.inf
    return ratio


def rms_ratio(std_uncorrected: np.ndarray, std_corrected: np.ndarray) -> np.ndarray:
    r"""Return the ratio of the RMS of channels before and after the correction.

    .. math:: \mathrm{ratio} = \sigma_\mathrm{uncorrected} / \sigma_\mathrm{corrected}

    Parameters
    ----------
    std_uncorrected, std_corrected : ndarray, shape (n_channels,)
        Standard deviation (RMS about the mean) within the acquisition, in V.

    Returns
    -------
    ndarray, shape (n_channels,)
        Ratios; nan for channels that are flat before or after.
    """
    before, after = np.broadcast_arrays(
        np.asarray(std_uncorrected, dtype=float), np.asarray(std_corrected, dtype=float)
    )
    ratio = np.full(before.shape, np.nan)
    np.divide(before, after, out=ratio, where=(before > 0) & (after > 0))
    return ratio


def variance(pieces: Iterable[Sequence[np.ndarray]], n_channels: int) -> np.ndarray:
    """Return the variance of each channel over all pieces, about their common mean.

    The pieces are merged one by one (Chan's formula), so that a recording need not be in memory
    as a whole.

    Parameters
    ----------
    pieces : iterable of sequences of ndarray, shape (n_times,)
        Samples of each channel, in V; empty pieces are ignored.
    n_channels : int
        Number of channels.

    Returns
    -------
    ndarray, shape (n_channels,)
        Variances, in V² (divided by the number of samples); exactly 0 for a constant channel, nan
        if there are no samples.

    References
    ----------
    Chan TF, Golub GH, LeVeque RJ (1983) Algorithms for computing the sample variance. Am Stat 37,
    242-247. doi:10.1080/00031305.1983.10483115
    """
    count = 0
    mean, squares = np.zeros(n_channels), np.zeros(n_channels)
    for piece in pieces:
        n = len(piece[0])
        if not n:
            continue
        for row, x in enumerate(piece):
            centre, inner = _centred_squares(x)
            step = centre - mean[row]
            squares[row] += inner + step**2 * count * n / (count + n)
            mean[row] += step * n / (count + n)
        count += n
    if not count:
        return np.full(n_channels, np.nan)
    result = squares / count
    # Rounding of the mean leaves a tiny variance for a constant channel far from zero.
    result[np.sqrt(result) <= _ROUNDING * np.abs(mean)] = 0.0
    return result


def _centred_squares(x: np.ndarray) -> tuple[float, float]:
    """Return the mean of a channel, and the sum of squares about it."""
    centre = float(np.mean(x, dtype=float))
    if not np.isfinite(centre):
        return float("nan"), float("nan")
    inner = x - centre
    return centre, float(inner @ inner)


def mean_of_valid(values: np.ndarray) -> float:
    """Return the mean of the values that are not nan; nan if there is none.

    Infinite values make an infinite mean.
    """
    valid = np.asarray(values, dtype=float)
    valid = valid[~np.isnan(valid)]
    return float(np.mean(valid)) if len(valid) else float("nan")


def median_of_valid(values: np.ndarray) -> float:
    """Return the median of the values that are not nan; nan if there is none."""
    valid = np.asarray(values, dtype=float)
    valid = valid[~np.isnan(valid)]
    return float(np.median(valid)) if len(valid) else float("nan")


def peak_to_peak(x: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the peak-to-peak amplitude of each epoch that lies within the signal.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    length : int
        Samples in an epoch.

    Returns
    -------
    ndarray, shape (n_whole_epochs,)
        Amplitudes, in V.
    """
    starts = np.asarray(starts)
    whole = starts[(starts >= 0) & (starts + length <= len(x))]
    return np.array([np.ptp(x[s : s + length]) for s in whole], dtype=float)
