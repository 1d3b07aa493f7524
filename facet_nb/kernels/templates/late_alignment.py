"""Artifacts that are aligned with their templates block by block, when somebody needs them."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from facet_nb.kernels.resampling.windowed_sinc import Upsampled
from facet_nb.kernels.templates.averaging import (
    Pool,
    average_pool,
    find_filled,
    is_complete,
    list_pools,
)
from facet_nb.kernels.triggers.alignment import best_lags


class LateAlignment:
    """First samples of aligned artifacts; equal to those of the whole channel to the bit.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        The reference channel, in V, or an object that has its length and slices.
    mean : float
        Its mean, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact as it is marked.
    n_samples : int
        Length of an artifact.
    max_lag : int
        Largest shift in either direction, in samples.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    shift : int
        Offset of a block's candidate epochs from the block itself, in epochs.
    """

    def __init__(
        self,
        x: Any,
        mean: float,
        starts: np.ndarray,
        n_samples: int,
        max_lag: int,
        window: int,
        threshold: float,
        shift: int,
    ) -> None:
        self.x, self.mean, self.starts = x, mean, starts
        self.n_samples, self.max_lag, self.threshold = n_samples, max_lag, threshold
        self.window, self.shift = window, shift
        self._places = starts.copy()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.starts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.take(np.arange(len(self))), dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return np.array, (np.asarray(self),)

    @cached_property
    def pools(self) -> tuple[list[Pool | None], np.ndarray]:
        """The epochs of each template, and the template of each epoch."""
        usable = is_complete(self.starts, self.n_samples, len(self.x))
        return list_pools(usable, self.window, self.shift)

    @cached_property
    def _known(self) -> np.ndarray:
        return np.zeros(len(self.pools[0]), dtype=bool)

    def take(self, epochs: np.ndarray) -> np.ndarray:
        """Return the first samples of some artifacts, by their numbers."""
        which = self.pools[1]
        with self._lock:  # a lazily upsampled channel is one thread's at a time
            for number in np.unique(which[epochs]).tolist():
                if not self._known[number]:
                    self._align(number, np.flatnonzero(which == number))
                    self._known[number] = True
            if isinstance(self.x, Upsampled):
                self.x.release()
        places: np.ndarray = self._places[epochs]
        return places

    def _align(self, number: int, epochs: np.ndarray) -> None:
        pools, template = self.pools[0], np.zeros(self.n_samples)
        number = find_filled(pools, number)
        pool = pools[number] if number >= 0 else None
        if pool is not None:
            piece, low = self._cut(self.starts[pool.epochs], 0)
            average_pool(piece, pool, self.starts - low, self.threshold, self.mean, template)
        piece, low = self._cut(self.starts[epochs], self.max_lag)
        lags = best_lags(piece, self.starts[epochs] - low, template, self.max_lag)
        self._places[epochs] = self.starts[epochs] + lags

    def _cut(self, starts: np.ndarray, beyond: int) -> tuple[np.ndarray, int]:
        """Return the samples of epochs with some after each, and the number of the first."""
        low = max(0, int(starts.min()))
        high = min(len(self.x), int(starts.max()) + self.n_samples + beyond)
        return np.ascontiguousarray(self.x[low : max(low, high)]), low


def take_aligned(
    aligned: np.ndarray | LateAlignment, n_samples: int, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the artifacts that touch the samples from `start` to `stop`.

    Returns
    -------
    epochs : ndarray of int
        Their numbers.
    places : ndarray of int
        Their first samples.
    """
    if isinstance(aligned, LateAlignment):
        reach = aligned.max_lag
        near = (aligned.starts - reach < stop) & (aligned.starts + reach + n_samples > start)
        epochs = np.flatnonzero(near)
        places = aligned.take(epochs)
    else:
        epochs, places = np.arange(len(aligned)), aligned
    touched = (places < stop) & (places + n_samples > start)
    return epochs[touched], places[touched]
