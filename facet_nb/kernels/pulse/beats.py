"""Overlapping responses to heartbeats: forward model, adjoint, and least-squares fit.

A channel is modelled as ``y(t) = Σ_k Σ_j S[k, j] · h_j(t - start_k)``: each beat ``k`` adds the
same few waves ``h_j``, weighted by known scores ``S[k, j]``. Waves may be longer than the distance
between beats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.templates.averaging import take_epochs

#: Iterations of conjugate gradients. With orthonormal scores, only the overlap of beats remains to
#: be resolved, and the residual falls below 1e-3 of the artifact in about ten.
N_ROUNDS = 12


@dataclass(frozen=True)
class Beats:
    """Positions of beats, and the weights of waves in them.

    Attributes
    ----------
    starts : ndarray of int, shape (n_beats,)
        First sample of each beat's waves; may lie outside of the recording.
    n_samples : int
        Length of the waves.
    scores : ndarray, shape (n_beats, n_waves)
        Weight of each wave in each beat.
    """

    starts: np.ndarray
    n_samples: int
    scores: np.ndarray


def render(waves: np.ndarray, beats: Beats, n_times: int) -> np.ndarray:
    """Return the sum of all beats' waves.

    Parameters
    ----------
    waves : ndarray, shape (n_waves, n_samples)
        Waves, in V.
    beats : Beats
        Positions and scores of the beats.
    n_times : int
        Length of the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Their sum, in V.
    """
    return _add_rows(np.zeros(n_times), beats.scores @ waves, beats)


def _add_rows(out: np.ndarray, rows: np.ndarray, beats: Beats) -> np.ndarray:
    """Add a row for each beat where the beat is, and return `out`."""
    n_times = len(out)
    for row, start in zip(rows, beats.starts.tolist(), strict=True):
        stop = start + beats.n_samples
        if start >= 0 and stop <= n_times:
            out[start:stop] += row
        elif stop > 0 and start < n_times:
            low, high = max(start, 0), min(stop, n_times)
            out[low:high] += row[low - start : high - start]
    return out


def collect(x: np.ndarray, beats: Beats) -> np.ndarray:
    """Return the adjoint of :func:`render`, shape (n_waves, n_samples)."""
    return beats.scores.T @ take_epochs(x, beats.starts, beats.n_samples)


def fit_waves(x: np.ndarray, beats: Beats, *, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the waves that explain a signal best, by weighted least squares.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    beats : Beats
        Positions and scores of the beats. The fit converges faster if scores are orthonormal.
    weights : ndarray, shape (n_times,) | None
        Weight of each sample, from 0 (left out) to 1.

    Returns
    -------
    ndarray, shape (n_waves, n_samples)
        Waves, in V; where the solution is not unique, close to that of smallest norm.

    Notes
    -----
    Conjugate gradients on the normal equations, with a fixed number of iterations from zero
    (Hestenes & Stiefel 1952, doi:10.6028/jres.049.044). A signal that is zero gives zero.
    """
    residual = collect(x if weights is None else weights * x, beats)
    waves = np.zeros_like(residual)
    direction = residual.copy()
    power = float(np.vdot(residual, residual))
    # Memory that is new in each round costs more than what is written to it.
    rendered, rows = np.empty(len(x)), np.empty((len(beats.starts), beats.n_samples))
    for _ in range(N_ROUNDS):
        if power <= 0:
            break
        rendered.fill(0.0)
        _add_rows(rendered, np.matmul(beats.scores, direction, out=rows), beats)
        if weights is not None:
            rendered *= weights
        image = collect(rendered, beats)
        step = power / float(np.vdot(direction, image))
        waves += step * direction
        residual -= step * image
        before, power = power, float(np.vdot(residual, residual))
        direction *= power / before
        direction += residual
    return waves
