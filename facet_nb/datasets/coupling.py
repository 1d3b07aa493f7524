"""Coupling of the gradients into the channels, and its changes during a scan."""

from __future__ import annotations

import numpy as np

from facet_nb.datasets import epi

HEAD_RADIUS_M = 0.095
_PRIVATE_SHARE = 0.5
_DRIFT_PERIODS_S = (43.0, 83.0, 190.0)
_DRIFT_SHARES = (0.2, 0.3, 0.5)
_STEPS_PER_CUTOFF = 16


def scale_to_peaks(weights: np.ndarray, waves: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Scale the rows of `weights` so that ``weights @ waves`` has the given peaks."""
    largest = np.abs(np.einsum("cs,st->ct", weights, waves)).max(axis=1)
    return weights * (peaks / largest)[:, np.newaxis]


def weigh_gradients(
    positions_m: np.ndarray,
    slopes: np.ndarray,
    amplitude_v: float,
    rng: np.random.Generator,
    *,
    cutoff_hz: float,
) -> np.ndarray:
    """Return the coupling of the x, y and z gradient into each channel, in V per slope unit.

    The voltage in the loop formed by lead and scalp grows with the area of the loop and with its
    distance from the magnet's isocentre along the gradient; a random part stands for the routing
    of each lead. The peaks of a slice range from half to twice `amplitude_v`.

    Parameters
    ----------
    positions_m : array, shape (n_channels, 3)
        Electrode positions, in m.
    slopes : array, shape (n_slopes, 4)
        The slice, from `facet_nb.datasets.epi.list_slopes`.
    amplitude_v : float
        Median peak, in V.
    rng : numpy.random.Generator
        Random number generator.
    cutoff_hz : float
        Low-pass of the amplifier, in Hz.

    Returns
    -------
    ndarray, shape (n_channels, 3)
        Weights.
    """
    place = positions_m / HEAD_RADIUS_M
    area = 1.0 + place @ rng.standard_normal(3)
    private = _PRIVATE_SHARE * rng.standard_normal(place.shape)
    weights = place * area[:, np.newaxis] + private
    rate_hz = _STEPS_PER_CUTOFF * cutoff_hz
    n_steps = int((slopes[:, 2].max() + epi.reach_s(cutoff_hz)) * rate_hz)
    start, gain = np.zeros(1), np.ones((1, epi.N_AXES))
    wave = epi.render_train(slopes, start, gain, rate_hz, n_steps, cutoff_hz=cutoff_hz)
    return scale_to_peaks(weights, wave, amplitude_v * _spread_evenly(len(weights), rng))


def _spread_evenly(n_channels: int, rng: np.random.Generator) -> np.ndarray:
    """Return factors from ½ to 2, in random order, with a geometric mean of 1."""
    steps = (np.arange(n_channels) + 0.5) / n_channels
    return 2.0 ** rng.permutation(2.0 * steps - 1.0)


def draw_gains(
    onsets_s: np.ndarray,
    n_groups: int,
    rng: np.random.Generator,
    *,
    drift: float,
    slice_variation: float,
) -> np.ndarray:
    """Return the gain of each slice on each axis, shape (n_onsets, 3).

    Parameters
    ----------
    onsets_s : array, shape (n_onsets,)
        Slice onsets, in s.
    n_groups : int
        Slice groups per volume.
    rng : numpy.random.Generator
        Random number generator.
    drift : float
        Largest relative change over time: three slow sine waves, with random phases per axis.
    slice_variation : float
        Standard deviation of the gains among slices; a slice has the same gain in all volumes.

    Returns
    -------
    ndarray, shape (n_onsets, 3)
        Gains around 1.
    """
    gains = np.ones((len(onsets_s), epi.N_AXES))
    for period_s, share in zip(_DRIFT_PERIODS_S, _DRIFT_SHARES, strict=True):
        phases = 2.0 * np.pi * rng.random(epi.N_AXES)
        angles = np.add.outer(2.0 * np.pi / period_s * onsets_s, phases)
        gains += drift * share * np.sin(angles)
    of_slice = 1.0 + slice_variation * np.clip(rng.standard_normal((n_groups, epi.N_AXES)), -3, 3)
    return gains * np.tile(of_slice, (len(onsets_s) // n_groups, 1))


def draw_movements(
    volume_onsets_s: np.ndarray,
    tr_s: float,
    rng: np.random.Generator,
    *,
    per_min: float,
    movement_s: float,
) -> np.ndarray:
    """Return onsets of head movements, in s: at most one per volume, none in the first."""
    n_volumes = len(volume_onsets_s)
    n_movements = min(round(per_min * n_volumes * tr_s / 60.0), n_volumes - 1)
    chosen = 1 + np.sort(rng.permutation(n_volumes - 1)[:n_movements])
    return volume_onsets_s[chosen] + (tr_s - movement_s) * rng.random(len(chosen))


def move_weights(
    weights: np.ndarray, n_movements: int, motion: float, rng: np.random.Generator
) -> np.ndarray:
    """Return weights at rest and after each movement, shape (n_movements + 1, n_channels, 3).

    After a movement, weights differ randomly from those at rest, with a standard deviation of
    `motion` relative to their root mean square over the axes.
    """
    size = motion * np.linalg.norm(weights, axis=1, keepdims=True) / np.sqrt(weights.shape[1])
    moved = weights + size * rng.standard_normal((n_movements, *weights.shape))
    return np.concatenate([weights[np.newaxis], moved])
