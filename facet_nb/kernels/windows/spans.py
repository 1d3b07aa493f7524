"""A part of the signal as a step over windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facet_nb.kernels.windows.base import Keep, LocalWindows, Read


class SpanWindows(LocalWindows):
    """Samples from `start` on; nothing is computed.

    Parameters
    ----------
    start, n_times : int
        First sample, and number of samples.
    """

    uses_blas, cheap = False, True
    cell = 1 << 14

    def __init__(self, start: int, n_times: int) -> None:
        self.start, self.n_times = start, n_times

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        return read(self.start + start, self.start + stop)
