"""Changes of the sampling rate as streams."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.resampling.windowed_sinc import DOWN_HOP, HALF_WIDTH, N_FFT, UP_HOP
from facet_nb.kernels.streams.base import Buffer, Stream

#: Minimum number of samples that resampling by a fraction computes at once.
_AT_ONCE = 8192


def make_resampler(up: int, down: int, n_times: int) -> Stream:
    """Return the stream of :func:`facet_nb.kernels.resampling.windowed_sinc.resample`.

    Parameters
    ----------
    up, down : int
        New rate over old, in lowest terms.
    n_times : int
        Length of the whole signal before resampling.
    """
    if up == down == 1:
        return _Unchanged()
    if down == 1:
        return UpStream(up, n_times)
    return DownStream(down, n_times) if up == 1 else FractionStream(up, down, n_times)


class _Unchanged:
    """Stream of a signal whose rate does not change."""

    def push(self, x: np.ndarray) -> np.ndarray:
        """Return the samples."""
        return x

    def finish(self) -> np.ndarray:
        """Return the remaining samples (always empty)."""
        return np.empty(0)


class _BlockResampler(ABC):
    """Base of streams with transforms on a fixed grid of the signal.

    Parameters
    ----------
    n_times : int
        Number of samples of the signal that contribute to the result.
    n_blocks : int
        Number of transforms.
    hop : int
        Number of samples between consecutive transforms.
    before, length : int
        Number of samples that a transform takes before its block, and in total.
    """

    def __init__(self, n_times: int, n_blocks: int, hop: int, before: int, length: int) -> None:
        self.n_times, self.n_blocks, self.hop = n_times, n_blocks, hop
        self.before, self.length = before, length
        self.buffer = Buffer(np.dtype(float))
        self.next = 0

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        self.buffer.append(x[: max(0, self.n_times - self.buffer.stop)])
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return the remaining samples (always empty: the last sample completes all blocks)."""
        left = self._advance()
        self.buffer.close()
        return left

    @abstractmethod
    def _make(self, start: int, number: int) -> np.ndarray:
        """Return the result of block `number`, which starts at sample `start` of the buffer."""

    def _advance(self) -> np.ndarray:
        done, stop = [np.empty(0)], self.buffer.stop
        while self.next < self.n_blocks:
            start = self.next * self.hop
            if stop < self.n_times and start - self.before + self.length > stop:
                break
            done.append(self._make(start - self.buffer.start, self.next))
            self.next += 1
        # The reflection at the end of the signal may need as many samples as a transform.
        self.buffer.drop(self.next * self.hop - self.before - 2 * self.length)
        return np.concatenate(done) if len(done) != 2 else done[1]


class UpStream(_BlockResampler):
    """Stream of :func:`facet_nb.kernels.resampling.windowed_sinc.upsample`.

    Parameters
    ----------
    factor : int
        New rate over old.
    n_times : int
        Length of the signal.
    """

    def __init__(self, factor: int, n_times: int) -> None:
        super().__init__(n_times, -(-n_times // UP_HOP), UP_HOP, HALF_WIDTH - 1, N_FFT)
        self.factor = factor
        self.spectra = windowed_sinc.up_spectra(factor)
        self.product = np.empty_like(self.spectra)

    def _make(self, start: int, number: int) -> np.ndarray:
        size = min(UP_HOP, self.n_times - number * UP_HOP)
        out = np.empty((size, self.factor))
        data = self.buffer.data
        windowed_sinc.upsample_block(data, start, self.spectra, self.product, out)
        return out.reshape(-1)


class DownStream(_BlockResampler):
    """Stream of :func:`facet_nb.kernels.resampling.windowed_sinc.downsample`.

    Parameters
    ----------
    factor : int
        Old rate over new.
    n_times : int
        Length of the signal before resampling.
    """

    def __init__(self, factor: int, n_times: int) -> None:
        self.n_out = windowed_sinc.count(n_times, 1, factor)
        n_blocks = -(-self.n_out // DOWN_HOP)
        super().__init__(
            (self.n_out - 1) * factor + 1,
            n_blocks,
            DOWN_HOP * factor,
            HALF_WIDTH * factor,
            N_FFT * factor,
        )
        self.spectra = windowed_sinc.down_spectra(factor)
        self.phases = np.empty((factor, N_FFT))

    def _make(self, start: int, number: int) -> np.ndarray:
        out = np.empty(min(DOWN_HOP, self.n_out - number * DOWN_HOP))
        data = self.buffer.data
        windowed_sinc.downsample_block(data, start, self.spectra, self.phases, out)
        return out


class FractionStream:
    """Stream of :func:`facet_nb.kernels.resampling.windowed_sinc.resample`, for fractions.

    Parameters
    ----------
    up, down : int
        New rate over old, in lowest terms; both above 1.
    n_times : int
        Length of the signal before resampling.
    """

    def __init__(self, up: int, down: int, n_times: int) -> None:
        self.up, self.down, self.n_times = up, down, n_times
        self.n_out = windowed_sinc.count(n_times, up, down)
        self.taps, self.half = windowed_sinc.fraction_taps(up, down)
        self.reach = self.half // up + down + 2
        self.buffer = Buffer(np.dtype(float))
        self.done = 0

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        self.buffer.append(x)
        stop = (self.buffer.stop - self.reach) * self.up // self.down
        if self.buffer.stop >= self.n_times or stop - self.done < _AT_ONCE:
            return np.empty(0)
        return self._make(min(stop, self.n_out))

    def finish(self) -> np.ndarray:
        """Return the remaining samples."""
        left = self._make(self.n_out)
        self.buffer.close()
        return left

    def _make(self, stop: int) -> np.ndarray:
        """Return the resampled signal up to sample `stop`."""
        # scipy.signal takes half a second to import: only fractions need it.
        from scipy.signal import upfirdn

        if stop <= self.done:
            return np.empty(0)
        low = self.done * self.down // self.up - self.reach
        low -= low % self.down  # whole periods of the output grid
        high = stop * self.down // self.up + self.reach
        if self.buffer.stop < self.n_times:
            high = min(high, self.buffer.stop)
        first = self.buffer.start
        piece = segment(self.buffer.data, low - first, high - first, repeat=True)
        at = self.done - low // self.down * self.up + self.half // self.down
        result = upfirdn(self.taps, piece, self.up, self.down)[at : at + stop - self.done]
        self.done = stop
        self.buffer.drop(stop * self.down // self.up - 4 * self.reach)
        return result
