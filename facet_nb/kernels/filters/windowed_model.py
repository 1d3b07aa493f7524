"""A model of windows, applied to a signal of any length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Number of windows that the model gets at once. It is fixed: the last bits of a model may depend
#: on it.
N_AT_ONCE = 64


def apply_to_windows(
    x: np.ndarray, n_samples: int, model: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the overlap-add of what a model makes of Hann windows.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in the unit of the model.
    n_samples : int
        Length of a window; even. Windows overlap by half.
    model : callable
        Maps float32 arrays of shape (n_windows, 1, n_samples) to arrays of the same shape.

    Returns
    -------
    ndarray, shape (n_times,)
        The result. The identity returns `x`, to the rounding of float32.

    Raises
    ------
    ValueError
        If the model returns another shape, or values that are not finite.

    Notes
    -----
    The signal is mirrored at both ends by half a window. Hann windows that overlap by half add up
    to 1.
    """
    hop = n_samples // 2
    n_windows = -(-len(x) // hop) + 1
    padded = np.zeros((n_windows + 1) * hop)
    padded[hop : hop + len(x)] = x
    reach = min(hop, len(x))
    padded[hop - reach : hop] = x[:reach][::-1]
    after = padded[hop + len(x) :]
    mirrored = x[::-1][: len(after)]
    after[: len(mirrored)] = mirrored
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_samples)[::hop]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(n_samples) + 0.5) / n_samples)
    total = np.zeros(len(padded))
    for first in range(0, n_windows, N_AT_ONCE):
        given = windows[first : first + N_AT_ONCE].astype(np.float32)[:, np.newaxis]
        found = np.asarray(model(given))
        if found.shape != given.shape or not np.isfinite(found).all():
            raise ValueError(
                f"the model made an array of shape {found.shape} from {given.shape}, or values "
                "that are not finite; it must return finite windows of the same shape."
            )
        for i, row in enumerate(found[:, 0]):
            total[(first + i) * hop :][:n_samples] += hann * row
    return total[hop : hop + len(x)]
