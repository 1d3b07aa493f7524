"""The voltage induced by an echo-planar imaging (EPI) sequence, sampled at exact times.

A changing gradient induces a voltage proportional to its slope, so a slice is a list of rectangles,
one for each ramp of each gradient axis. The amplifier's low-pass turns it into a smooth,
band-limited function of continuous time. The low-pass is

    H(f) = ½ [erf((f + fc) / (√2 s)) − erf((f − fc) / (√2 s))],    s = 0.2 fc

whose impulse response, 2 fc sinc(2 fc t) exp(−2 π² s² t²), is below 1e-14 beyond `reach_s`, and
whose gain is below 1e-12 at 2.4 fc. A function limited both in time and in frequency is given
exactly by its Fourier series over any period longer than itself. Hence a slice that begins anywhere
between two samples is sampled by an inverse FFT of its phase-shifted spectrum; the error of the two
limits is less than 1e-11 of the peak for `sfreq` ≥ 4.8 fc.

Matrix products use `numpy.einsum`, whose result does not depend on the number of BLAS threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import erf

from facet_nb.kernels.fft import irfft, next_fast_len

N_AXES = 3

ECHO_SPACING_S = 0.65e-3

MAX_LINES = 128

MIN_SLICE_S = 10e-3

MIN_RATE_PER_CUTOFF = 4.8

_ROLL_OFF = 0.2

_REACH_SIGMAS = 8.0

_ONSETS_PER_FFT = 256

_SAMPLES_PER_BLOCK = 32_768

# Gradient lobes before the read-out: axis, begin, ramp, length (ms) and gradient strength.
# Fat saturation with its crushers, slice selection with its rewinder, and pre-phasing.
_PREPARATION = (
    (0, 2.0, 0.40, 5.0, 0.9),
    (1, 2.2, 0.40, 4.5, -0.8),
    (2, 0.1, 0.35, 6.0, 1.0),
    (2, 7.4, 0.25, 3.4, 0.7),
    (2, 10.8, 0.25, 1.6, -0.8),
    (0, 11.0, 0.25, 1.3, -0.6),
    (1, 11.1, 0.25, 1.2, -0.7),
)

_PREPARATION_MS = 12.5

# Spoilers after the read-out.
_SPOILING = ((2, 0.2, 0.40, 6.0, 1.0), (1, 0.4, 0.40, 4.5, 0.7), (0, 0.9, 0.40, 3.5, -0.5))

_SPOILING_MS = 6.4

_READOUT_STRENGTH = 0.22

_BLIP_STRENGTH = 0.10


def list_slopes(slice_s: float, echo_spacing_s: float = ECHO_SPACING_S) -> np.ndarray:
    """List the gradient slopes of one slice.

    The sequence consists of fat saturation and crushers, slice selection and rewinder, pre-phasing,
    a read-out train that alternates on x with blips on y, and spoilers. It begins at 8 % of the
    slice (at most 10 ms) and ends before 92 %. The read-out has at most 128 lines.

    Parameters
    ----------
    slice_s : float
        Time from one slice to the next, in s.
    echo_spacing_s : float
        Time from one line of the read-out to the next, in s. The read-out's fundamental is
        ``1 / (2 * echo_spacing_s)``.

    Returns
    -------
    ndarray, shape (n_slopes, 4)
        Axis (0, 1, 2 for x, y, z), begin and end in s after the slice's onset, and slope in
        arbitrary units. The slopes of an axis sum to zero over the slice, as gradients return to
        zero.
    """
    active_ms = 840.0 * slice_s
    squeeze = min(1.0, 0.6 * active_ms / (_PREPARATION_MS + _SPOILING_MS))
    begin_ms = min(80.0 * slice_s, 10.0)
    readout_ms = active_ms - squeeze * (_PREPARATION_MS + _SPOILING_MS)
    n_lines = min(MAX_LINES, max(2, int(readout_ms / (1e3 * echo_spacing_s))))
    spacing_ms = min(1e3 * echo_spacing_s, readout_ms / n_lines)
    train_ms = begin_ms + squeeze * _PREPARATION_MS
    lobes = [_place(lobe, begin_ms, squeeze) for lobe in _PREPARATION]
    lobes += _list_readout(train_ms, spacing_ms, n_lines)
    lobes += [_place(lobe, train_ms + n_lines * spacing_ms, squeeze) for lobe in _SPOILING]
    return np.array([slope for lobe in lobes for slope in _list_ramps(*lobe)])


def respond(freqs_hz: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Return the amplifier's gain: ½ at `cutoff_hz`, below 1e-12 at 2.4 times it.

    Parameters
    ----------
    freqs_hz : array, any shape
        Frequencies, in Hz.
    cutoff_hz : float
        Frequency with a gain of one half (−6 dB), in Hz.

    Returns
    -------
    ndarray, shape of `freqs_hz`
        Gain, from 0 to 1; the filter has zero phase.
    """
    width = np.sqrt(2.0) * _ROLL_OFF * cutoff_hz
    freqs_hz = np.asarray(freqs_hz, dtype=float)
    return 0.5 * (erf((freqs_hz + cutoff_hz) / width) - erf((freqs_hz - cutoff_hz) / width))


def reach_s(cutoff_hz: float) -> float:
    """Return the half width of the amplifier's impulse response, in s."""
    return _REACH_SIGMAS / (2.0 * np.pi * _ROLL_OFF * cutoff_hz)


def transform_slopes(slopes: np.ndarray, freqs_hz: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Return the Fourier transform of one slice after the amplifier.

    Parameters
    ----------
    slopes : array, shape (n_slopes, 4)
        Slopes from `list_slopes`.
    freqs_hz : array, shape (n_freqs,)
        Frequencies, in Hz.
    cutoff_hz : float
        Low-pass of the amplifier, in Hz.

    Returns
    -------
    ndarray of complex, shape (3, n_freqs)
        ∫ w(t) exp(−2πi f t) dt for each axis, in slope units × s.
    """
    freqs_hz = np.asarray(freqs_hz, dtype=float)
    begin, end, level = slopes[:, 1], slopes[:, 2], slopes[:, 3]
    length, middle = end - begin, 0.5 * (begin + end)
    each = np.exp(-2j * np.pi * np.outer(middle, freqs_hz)) * np.sinc(np.outer(length, freqs_hz))
    each *= (level * length)[:, np.newaxis]
    out = np.zeros((N_AXES, len(freqs_hz)), dtype=complex)
    np.add.at(out, slopes[:, 0].astype(int), each)
    return out * respond(freqs_hz, cutoff_hz)


def evaluate_slice(slopes: np.ndarray, times_s: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Return the voltage of one slice at arbitrary times, as a Fourier sum.

    Parameters
    ----------
    slopes : array, shape (n_slopes, 4)
        Slopes from `list_slopes`.
    times_s : array, shape (n_times,)
        Times after the slice's onset, in s.
    cutoff_hz : float
        Low-pass of the amplifier, in Hz.

    Returns
    -------
    ndarray, shape (3, n_times)
        Voltage per axis, in slope units; zero beyond `reach_s` from the slopes.
    """
    times_s = np.asarray(times_s, dtype=float)
    first, last = _find_extent(slopes, cutoff_hz)
    step_hz = 1.0 / (last - first)
    freqs_hz = np.arange(0.0, MIN_RATE_PER_CUTOFF / 2 * cutoff_hz + step_hz, step_hz)
    spectrum = 2.0 * step_hz * transform_slopes(slopes, freqs_hz, cutoff_hz)
    spectrum[:, 0] *= 0.5
    waves = np.exp(2j * np.pi * np.outer(freqs_hz, times_s))
    sums = np.einsum("af,ft->at", spectrum, waves).real
    return np.where((times_s >= first) & (times_s <= last), sums, 0.0)


def render_train(
    slopes: np.ndarray,
    onsets_s: np.ndarray,
    gains: np.ndarray,
    sfreq: float,
    n_times: int,
    *,
    cutoff_hz: float,
) -> np.ndarray:
    """Sample a train of slices, each at its exact onset.

    Each slice is shifted in the Fourier domain (see the module docstring), so onsets need not
    fall on samples. The result agrees with `evaluate_slice` to 1e-11 of the peak.

    Parameters
    ----------
    slopes : array, shape (n_slopes, 4)
        Slopes from `list_slopes`.
    onsets_s : array, shape (n_onsets,)
        Slice onsets, in s from sample 0.
    gains : array, shape (n_onsets, 3)
        Gain of each slice on each axis.
    sfreq : float
        Sampling rate, in Hz; at least ``MIN_RATE_PER_CUTOFF * cutoff_hz``.
    n_times : int
        Number of samples to return.
    cutoff_hz : float
        Low-pass of the amplifier, in Hz.

    Returns
    -------
    ndarray, shape (3, n_times)
        Voltage per axis, in slope units × gain. Overlapping slices add up; parts outside the
        recording are cut off.
    """
    first_s, last_s = _find_extent(slopes, cutoff_hz)
    n_fft = next_fast_len(int(np.ceil((last_s - first_s) * sfreq)) + 2, real=True)
    freqs_hz = np.arange(n_fft // 2 + 1) * (sfreq / n_fft)
    spectrum = sfreq * transform_slopes(slopes, freqs_hz, cutoff_hz)
    begins = np.floor((np.asarray(onsets_s) + first_s) * sfreq).astype(int)
    lags_s = begins / sfreq - onsets_s
    out = np.zeros((N_AXES, n_times + 2 * n_fft))
    for k in range(0, len(begins), _ONSETS_PER_FFT):
        part = slice(k, k + _ONSETS_PER_FFT)
        shift = np.exp(2j * np.pi * np.outer(lags_s[part], freqs_hz))
        pieces = irfft(shift[:, np.newaxis] * spectrum, n_fft, axis=-1)
        pieces *= gains[part, :, np.newaxis]
        for begin, piece in zip(begins[part], pieces, strict=True):
            at = min(max(begin, -n_fft), n_times) + n_fft
            out[:, at : at + n_fft] += piece
    return out[:, n_fft : n_fft + n_times].copy()


def iterate_mixture(
    sources: np.ndarray,
    weights: np.ndarray,
    changes_s: np.ndarray,
    sfreq: float,
    *,
    ramp_s: float,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Mix sources into channels with changing weights, block by block.

    Parameters
    ----------
    sources : array, shape (n_sources, n_times)
        The sources.
    weights : array, shape (n_changes + 1, n_channels, n_sources)
        Weights before the first change, and after each.
    changes_s : array, shape (n_changes,)
        Onsets of changes, in s from sample 0; ascending, at least `ramp_s` apart.
    sfreq : float
        Sampling rate, in Hz.
    ramp_s : float
        Duration of a change, in s; it follows 3u² − 2u³, u from 0 to 1.

    Yields
    ------
    span : slice
        Samples of the block.
    mixture : ndarray, shape (n_channels, n_samples)
        The block, in the units of ``weights × sources``.
    """
    n_times = sources.shape[1]
    for begin in range(0, n_times, _SAMPLES_PER_BLOCK):
        span = slice(begin, min(begin + _SAMPLES_PER_BLOCK, n_times))
        times_s = np.arange(span.start, span.stop) / sfreq
        current = int(np.sum(changes_s + ramp_s <= times_s[0]))
        mixture = np.einsum("cs,st->ct", weights[current], sources[:, span])
        for k in range(current, len(changes_s)):
            if changes_s[k] > times_s[-1]:
                break
            at = int(np.searchsorted(times_s, changes_s[k]))
            u = np.clip((times_s[at:] - changes_s[k]) / ramp_s, 0.0, 1.0)
            late = sources[:, span.start + at : span.stop] * (u * u * (3.0 - 2.0 * u))
            mixture[:, at:] += np.einsum("cs,st->ct", weights[k + 1] - weights[k], late)
        yield span, mixture


def _place(
    lobe: tuple[int, float, float, float, float], begin_ms: float, squeeze: float
) -> tuple[int, float, float, float, float]:
    axis, start, ramp, length, strength = lobe
    return axis, begin_ms + squeeze * start, squeeze * ramp, squeeze * length, strength


def _list_readout(
    begin_ms: float, spacing_ms: float, n_lines: int
) -> list[tuple[int, float, float, float, float]]:
    ramp, blip = 0.2 * spacing_ms, 0.3 * spacing_ms
    lines = [
        (0, begin_ms + k * spacing_ms, ramp, spacing_ms, _READOUT_STRENGTH * (-1.0) ** k)
        for k in range(n_lines)
    ]
    blips = [
        (1, begin_ms + k * spacing_ms - blip / 2, blip / 2, blip, _BLIP_STRENGTH)
        for k in range(1, n_lines)
    ]
    return lines + blips


def _list_ramps(
    axis: int, begin_ms: float, ramp_ms: float, length_ms: float, strength: float
) -> list[tuple[float, float, float, float]]:
    """Return the two slopes of a trapezoid, in s; `length_ms` includes both ramps."""
    slope = strength / ramp_ms
    begin_s, ramp_s, end_s = 1e-3 * begin_ms, 1e-3 * ramp_ms, 1e-3 * (begin_ms + length_ms)
    return [
        (axis, begin_s, begin_s + ramp_s, slope),
        (axis, end_s - ramp_s, end_s, -slope),
    ]


def _find_extent(slopes: np.ndarray, cutoff_hz: float) -> tuple[float, float]:
    """Return the first and last time of non-zero voltage, in s after the slice onset."""
    reach = reach_s(cutoff_hz)
    return float(slopes[:, 1].min()) - reach, float(slopes[:, 2].max()) + reach
