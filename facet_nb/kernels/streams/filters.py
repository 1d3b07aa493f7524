"""Zero-phase FIR filter as a stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facet_nb.kernels.filters.fir import choose_n_fft, find_filter
from facet_nb.kernels.streams.base import Buffer


class FilterStream:
    """A zero-phase FIR filter; see :func:`facet_nb.kernels.filters.fir.filter_zero_phase`.

    Parameters
    ----------
    taps : ndarray, shape (n_taps,)
        Symmetric filter of odd length.
    n_times : int
        Length of the whole signal.
    dtype : dtype
        Type of its samples: float32 or float64.
    """

    def __init__(self, taps: np.ndarray, n_times: int, dtype: np.dtype) -> None:
        self.n_fft = choose_n_fft(len(taps))
        self.half = len(taps) // 2
        self.pair = 2 * (self.n_fft - 2 * self.half)  # two blocks are one complex signal
        self.width = 64 // np.dtype(dtype).itemsize
        self.n_times, self.dtype = n_times, np.dtype(dtype)
        self.run = find_filter(taps, self.dtype)
        self.buffer = Buffer(self.dtype)
        self.done = 0

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        self.buffer.append(x)
        # The filter is efficient if the pairs of blocks fill its vectors.
        n_pairs = (self.buffer.stop - self.half) // self.pair - self.done // self.pair
        if self.buffer.stop >= self.n_times or n_pairs < self.width:
            return np.empty(0, self.dtype)
        return self._emit(n_pairs // self.width * self.width * self.pair)

    def finish(self) -> np.ndarray:
        """Return the remaining samples."""
        left = self._emit(self.n_times - self.done)
        self.buffer.close()
        return left

    def _emit(self, n: int) -> np.ndarray:
        out = np.empty((1, n), self.dtype)
        if n:
            self.run(self.buffer.data[np.newaxis], out, self.done - self.buffer.start)
        self.done += n
        # The odd reflection at the end of the signal may need samples from this far back.
        self.buffer.drop(self.done - 2 * self.n_fft)
        return out[0]


class PiecewiseStream:
    """A stream for each piece of a signal in which time is continuous; other samples stay.

    Parameters
    ----------
    pieces : tuple of (int, int)
        First sample of each piece, and the one after its last, in order.
    n_times : int
        Length of the whole signal.
    make : callable
        Returns the stream of a piece of a given length.
    """

    def __init__(
        self,
        pieces: tuple[tuple[int, int], ...],
        n_times: int,
        make: Callable[[int], FilterStream],
    ) -> None:
        self.spans: list[tuple[int, bool]] = []  # the end of each span, and whether to filter it
        at = 0
        for start, stop in pieces:
            self.spans += [(start, False)] if start > at else []
            self.spans.append((stop, True))
            at = stop
        self.spans += [(n_times, False)] if n_times > at else []
        self.make = make
        self.position = self.begin = 0
        self.stream: FilterStream | None = None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        final = [x[:0]]
        while len(x):
            stop, filtered = self.spans[0]
            part, x = x[: stop - self.position], x[stop - self.position :]
            if filtered and self.stream is None:
                self.stream = self.make(stop - self.begin)
            final.append(part if self.stream is None else self.stream.push(part).copy())
            self.position += len(part)
            if self.position == stop:
                if self.stream is not None:
                    final.append(self.stream.finish())
                self.spans.pop(0)
                self.begin, self.stream = stop, None
        return np.concatenate(final)

    def finish(self) -> np.ndarray:
        """Return the remaining samples: none, as every span ends with its last sample."""
        return np.empty(0)
