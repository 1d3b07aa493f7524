"""The protocol of steps whose result can be computed window by window, and the simplest one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import numpy as np


class Read(Protocol):
    """Reads the step's input."""

    def __call__(self, start: int, stop: int, channel: int | None = None) -> np.ndarray:
        """Return samples, shape (n_channels, stop - start), read-only.

        With `channel`, a position among the channels of the window, the shape is (1, …).
        """


class Keep(Protocol):
    """What is kept of one channel between windows.

    Attributes
    ----------
    known : object
        What was learnt of the channel.
    room : int
        Size of all shared arrays of one window that the cache has room for, in bytes.
    """

    known: Any
    room: int

    def small(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return a small object that is made once and kept for good."""

    def array(self, name: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array that is made again if the cache had no room for it."""

    def shared(self, name: Hashable, out: np.ndarray, fill: Callable[[np.ndarray], None]) -> None:
        """Fill `out` by ``fill(out)``, or with what steps of other parameters have kept of it.

        What it holds must depend on the channel and on ``Windows.known_by`` only.
        """


class Windows(Protocol):
    """A step over windows; the same bits as over whole channels.

    Attributes
    ----------
    n_times : int
        Length of the result, in samples.
    cell : int
        Windows begin at multiples of this number of samples, and end there or at the end.
    learns : bool
        Whether something must be known of a whole channel first.
    known_by : object
        What that depends on besides the channel; None if steps of other parameters know other
        things.
    uses_blas : bool
        Whether BLAS computes a part of the result, whose bits depend on its threads.
    cheap : bool
        Whether computing a cell again costs little more than finding it in a cache.
    """

    n_times: int
    cell: int
    learns: bool
    known_by: Hashable
    uses_blas: bool
    cheap: bool

    def learn(self, read: Read, n_channels: int) -> list[Any]:
        """Return what must be known of each channel, found in one pass or two over all of it."""

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples `start` to `stop` of the result, shape (n_channels, stop - start)."""


class LocalWindows:
    """Base of steps over windows that need to know nothing of a whole channel."""

    learns = False
    known_by: Hashable = None

    def learn(self, read: Read, n_channels: int) -> list[None]:
        """Return nothing."""
        return [None] * n_channels


#: Number of values of all channels that a pass over a recording reads at once: 16 MB. Memory of
#: more than 32 MB goes back to the system after each piece, which takes a third of the time.
_VALUES = 1 << 21

#: Pieces are multiples of this number of samples, the blocks in which means are summed.
_BLOCK = 1 << 16


def learn_in_one_pass(
    read: Read, n_channels: int, n_times: int, begin: Callable[[], Any]
) -> list[Any]:
    """Return the values of accumulators over whole channels.

    Parameters
    ----------
    read : callable
        Reads the input.
    n_channels, n_times : int
        Its shape.
    begin : callable
        Returns an accumulator with ``push(x)`` and ``value``.
    """
    found = [begin() for _ in range(n_channels)]
    piece = max(1, _VALUES // (n_channels * _BLOCK)) * _BLOCK
    for start in range(0, n_times, piece):
        x = read(start, min(start + piece, n_times))
        for one, row in zip(found, x, strict=True):
            one.push(row)
    return [one.value for one in found]


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
