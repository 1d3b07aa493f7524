"""The mean of a signal, and of the same signal at a higher rate: from its ends.

All samples of a signal have the same weight in the sum of its upsampled samples, but those near its
ends, beyond which it goes on as its own reflection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.means import RunningMean
from facet_nb.kernels.resampling import windowed_sinc

#: Reach of the weights on either side of an end, in native samples; more than is kept of a signal.
_REACH = windowed_sinc.HALF_WIDTH - 1

_KEPT = 2 * windowed_sinc.HALF_WIDTH


@dataclass(frozen=True)
class Level:
    """Means of a signal.

    Attributes
    ----------
    centre : float
        Mean of the native samples, in V.
    shift : float
        Mean of the upsampled samples, less the centre, in V.
    """

    centre: float
    shift: float


class RunningLevel:
    """The means of a signal that comes in pieces.

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
        """Take the next samples, shape (n,)."""
        self.mean.push(x)
        if len(self.head) < _KEPT:
            self.head = np.concatenate([self.head, x[: _KEPT - len(self.head)]])
        self.tail = np.concatenate([self.tail, x[-_KEPT:]])[-_KEPT:]

    @property
    def value(self) -> Level:
        """The means so far."""
        n, centre = self.mean.count, self.mean.value
        if not n:
            return Level(centre, 0.0)
        weights, end = _weigh_ends(self.factor), len(self.tail)
        total = 0.0
        for known, first, sign in ((self.head, 0, 1.0), (self.tail, end, -1.0)):
            near = segment(known, first - _REACH, first + _REACH + 1, repeat=True) - centre
            total += sign * float((weights * near).sum())
        return Level(centre, total / (n * self.factor))


def find_level(x: np.ndarray, factor: int) -> Level:
    """Return the means of a signal, shape (n_times,), and of its samples at a higher rate.

    The latter is what ``resampling.upsample`` gives, to rounding.
    """
    level = RunningLevel(factor)
    level.push(x)
    return level.value


@lru_cache(maxsize=16)
def _weigh_ends(factor: int) -> np.ndarray:
    """Return what samples around a beginning add to the sum of upsampled ones, beyond their own.

    Shape (2 _REACH + 1,): the middle is for the first sample. Around an end it is the opposite.
    """
    passed = np.cumsum(windowed_sinc.up_taps(factor), axis=1).sum(axis=0)[:-1]
    passed[_REACH:] -= factor - 1
    passed.flags.writeable = False
    return passed
