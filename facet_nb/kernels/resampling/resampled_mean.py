"""Mean of an upsampled signal, computed without upsampling it.

All samples of a signal have the same weight in the sum of its upsampled samples, except those near
its ends, where the signal is extended by reflection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.means import RunningMean
from facet_nb.kernels.resampling import windowed_sinc

#: Samples on either side of an end whose weights differ.
_REACH = windowed_sinc.HALF_WIDTH - 1

#: Samples that are kept at either end of a signal: the reflection needs more than the weights.
_KEPT = 2 * windowed_sinc.HALF_WIDTH


@dataclass(frozen=True)
class ResampledMean:
    """Means of a signal before and after upsampling.

    Attributes
    ----------
    centre : float
        Mean of the native samples, in V.
    shift : float
        Mean of the upsampled samples minus `centre`, in V.
    """

    centre: float
    shift: float


class RunningResampledMean:
    """Means of a signal that arrives in pieces.

    Parameters
    ----------
    factor : int
        High rate over native rate.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.mean = RunningMean()
        self.head = self.tail = np.empty(0)

    def push(self, x: np.ndarray) -> None:
        """Add the next samples, shape (n,)."""
        self.mean.push(x)
        if len(self.head) < _KEPT:
            self.head = np.concatenate([self.head, x[: _KEPT - len(self.head)]])
        self.tail = np.concatenate([self.tail, x[-_KEPT:]])[-_KEPT:]

    @property
    def value(self) -> ResampledMean:
        """Means of all samples so far."""
        n, centre = self.mean.count, self.mean.value
        if not n:
            return ResampledMean(centre, 0.0)
        weights, end = _weigh_ends(self.factor), len(self.tail)
        total = 0.0
        for known, first, sign in ((self.head, 0, 1.0), (self.tail, end, -1.0)):
            near = segment(known, first - _REACH, first + _REACH + 1, repeat=True) - centre
            total += sign * float((weights * near).sum())
        return ResampledMean(centre, total / (n * self.factor))


def find_resampled_mean(x: np.ndarray, factor: int) -> ResampledMean:
    """Return the means of a signal, shape (n_times,), before and after upsampling.

    The latter equals the mean of ``windowed_sinc.upsample`` to rounding.
    """
    level = RunningResampledMean(factor)
    level.push(x)
    return level.value


@lru_cache(maxsize=16)
def _weigh_ends(factor: int) -> np.ndarray:
    """Return the excess weights of samples around the start in the sum of upsampled samples.

    Shape (2 _REACH + 1,), centred on the first sample. Around the end, their sign is opposite.
    """
    passed = np.cumsum(windowed_sinc.up_taps(factor), axis=1).sum(axis=0)[:-1]
    passed[_REACH:] -= factor - 1
    passed.flags.writeable = False
    return passed
