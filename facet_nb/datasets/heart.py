"""Heartbeats: their times, the ECG, and the pulse artifact in the EEG."""

from __future__ import annotations

import numpy as np

from facet_nb.datasets.coupling import HEAD_RADIUS_M, scale_to_peaks

N_PULSE_SOURCES = 3
ECG_PEAK_V = 1e-3
_BREATHS_HZ = 0.25
_DELAY_S = 0.21
_DELAY_JITTER_S = 8e-3
_AMPLITUDE_JITTER = 0.1
_REACH_SIGMAS = 6.0
# Components of one beat: source, time after the R peak (s), width (s), amplitude.
_PULSE_WAVES = (
    (0, 0.00, 0.045, 1.00),
    (0, 0.11, 0.050, -0.85),
    (0, 0.24, 0.070, 0.40),
    (1, -0.05, 0.035, -0.50),
    (1, 0.06, 0.050, 0.90),
    (1, 0.19, 0.070, -0.55),
    (2, 0.03, 0.030, 0.50),
    (2, 0.15, 0.060, 0.60),
    (2, 0.32, 0.090, -0.35),
)
_ECG_WAVES = (
    (0, -0.18, 0.025, 0.12),
    (0, -0.028, 0.010, -0.15),
    (0, 0.0, 0.011, 1.0),
    (0, 0.030, 0.011, -0.25),
    (0, 0.24, 0.045, 0.28),
)


def draw_beats(duration_s: float, heart_rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Return R peaks, in s; intervals vary with breathing (4 %) and at random (3 %)."""
    n_beats = int(2.0 * duration_s * heart_rate_hz) + 10
    phase = 2.0 * np.pi * rng.random()
    wander = 0.03 * np.clip(rng.standard_normal(n_beats), -3.0, 3.0)
    breath = 0.04 * np.sin(2.0 * np.pi * _BREATHS_HZ / heart_rate_hz * np.arange(n_beats) + phase)
    peaks_s = np.cumsum((1.0 + breath + wander) / heart_rate_hz)
    peaks_s -= rng.random() / heart_rate_hz
    return peaks_s[(peaks_s >= 0.0) & (peaks_s < duration_s)]


def render_pulse(
    peaks_s: np.ndarray, n_times: int, sfreq: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the sources of the pulse artifact, shape (3, n_times), with amplitudes around 1.

    They follow the R peak after 0.21 s; delay (8 ms) and amplitude (10 %) vary between beats.
    """
    delays_s = _DELAY_S + _DELAY_JITTER_S * np.clip(rng.standard_normal(len(peaks_s)), -3, 3)
    sizes = 1.0 + _AMPLITUDE_JITTER * np.clip(rng.standard_normal(len(peaks_s)), -3, 3)
    return _render_waves(_PULSE_WAVES, N_PULSE_SOURCES, peaks_s + delays_s, sizes, n_times, sfreq)


def render_ecg(peaks_s: np.ndarray, n_times: int, sfreq: float) -> np.ndarray:
    """Return an ECG with R peaks at the given times (s), in V, shape (n_times,)."""
    sizes = np.full(len(peaks_s), ECG_PEAK_V)
    return _render_waves(_ECG_WAVES, 1, peaks_s, sizes, n_times, sfreq)[0]


def weigh_pulse(
    positions_m: np.ndarray, amplitude_v: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the weight of each source in each channel, in V, shape (n_channels, 3).

    The artifact changes sign across the head, since blood flows in both directions through the
    field. The peaks of an average beat range from half to twice `amplitude_v`.
    """
    directions = rng.standard_normal((3, N_PULSE_SOURCES))
    private = 0.3 * rng.standard_normal((len(positions_m), N_PULSE_SOURCES))
    weights = positions_m / HEAD_RADIUS_M @ directions + private
    beat = _render_waves(_PULSE_WAVES, N_PULSE_SOURCES, np.array([1.0]), np.ones(1), 2000, 1e3)
    peaks_v = amplitude_v * 2.0 ** rng.uniform(-1.0, 1.0, len(weights))
    return scale_to_peaks(weights, beat, peaks_v)


def _render_waves(
    waves: tuple[tuple[int, float, float, float], ...],
    n_sources: int,
    beats_s: np.ndarray,
    sizes: np.ndarray,
    n_times: int,
    sfreq: float,
) -> np.ndarray:
    """Return the sum of one Gaussian per beat and wave, evaluated at exact times."""
    out = np.zeros((n_sources, n_times))
    for source, after_s, width_s, amplitude in waves:
        reach_s = _REACH_SIGMAS * width_s
        for beat_s, size in zip(beats_s, sizes, strict=True):
            centre_s = beat_s + after_s
            first = max(0, int(np.ceil((centre_s - reach_s) * sfreq)))
            last = min(n_times, int((centre_s + reach_s) * sfreq) + 1)
            if last <= first:
                continue
            u = (np.arange(first, last) / sfreq - centre_s) / width_s
            out[source, first:last] += size * amplitude * np.exp(-0.5 * u * u)
    return out
