"""Averaged artifact subtraction between samples, at the native rate, over pieces of a signal."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled, is_float
from facet_nb.kernels.streams.base import Buffer
from facet_nb.kernels.templates.averaging import N_SEED, list_blocks
from facet_nb.kernels.templates.subsample import HALO, Layout
from facet_nb.kernels.templates.subsample_channel import find_tables


class AverageStream:
    """Averaged artifact subtraction, block by block.

    See :func:`facet_nb.kernels.templates.subsample_channel.correct`.

    Parameters
    ----------
    layout : Layout
        Where artifacts are.
    window : int
        Epochs in a template.
    threshold : float
        Pearson correlation that an epoch must exceed to take part.
    mean : float
        Mean of the whole signal (:func:`facet_nb.kernels.means.find_mean`).
    dtype : dtype
        Of the samples: float32 or float64.
    """

    def __init__(
        self, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> None:
        self.layout, self.threshold, self.mean = layout, threshold, mean
        self.tables = find_tables(layout, np.dtype(dtype))
        self.run = find_compiled("shifted_templates", "correct_blocks")
        self.blocks = list_blocks(len(layout.first), window) if len(layout.first) else []
        self.x, self.work = Buffer(np.dtype(dtype)), Buffer(np.dtype(dtype))
        self.next = self.done = 0

    @classmethod
    def make(
        cls, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> AverageStream | None:
        """Return a stream; None where the kernel is not compiled, or epochs are not in order."""
        compiled = find_compiled("shifted_templates", "correct_blocks")
        ordered = bool(np.all(np.diff(layout.first) > 0))
        if compiled is None or not ordered or not is_float(np.empty(0, dtype)):
            return None
        return cls(layout, window, threshold, mean, dtype)

    def push(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples; return the next of the result."""
        self.x.append(x)
        self.work.append(x)
        stop, last = self.x.stop, self.next
        while last < len(self.blocks) and self._needs(last) <= stop:
            last += 1
        if last > self.next:
            self._correct(last)
        return self._emit(stop)

    def finish(self) -> np.ndarray:
        """Return what is left."""
        if self.next < len(self.blocks):
            self._correct(len(self.blocks))
        left = self._emit(self.x.stop).copy()
        self.x.close()
        self.work.close()
        return left

    def _needs(self, block: int) -> int:
        """Return where the samples end that a block needs."""
        last = self.blocks[block][1] - 1
        end = int(self.layout.first[last]) + self.layout.n_samples + HALO + 2
        return min(max(end, int(self.layout.spans[1][last])), self.layout.n_times)

    def _correct(self, stop: int) -> None:
        """Correct blocks up to `stop`."""
        low, high = self.blocks[self.next][0], self.blocks[stop - 1][1]
        piece = cut_layout(self.layout, slice(low, high), self.x.start, len(self.x.data))
        blocks = np.array(self.blocks[self.next : stop]).reshape(-1, 2) - low
        assert self.run is not None
        self.run(
            self.x.data, piece, blocks, *self.tables, N_SEED, self.threshold, self.work.data,
            self.mean,
        )  # fmt: skip
        self.next = stop

    def _emit(self, stop: int) -> np.ndarray:
        """Return all samples that no block to come will touch."""
        keep = stop
        if self.next < len(self.blocks):
            first = self.blocks[self.next][0]
            stop = min(stop, int(self.layout.spans[0][first]))
            keep = min(stop, max(0, int(self.layout.first[first]) - HALO))
        stop = max(stop, self.done)
        result = self.work.piece(self.done, stop)
        self.done = stop
        keep = min(keep, self.done)
        self.x.drop(keep)
        self.work.drop(keep)
        return result


def cut_layout(whole: Layout, epochs: slice, offset: int, n_times: int) -> Layout:
    """Return the layout of some epochs in a piece of the signal that begins at `offset`."""
    piece = Layout(
        whole.first[epochs] - offset,
        whole.part[epochs],
        whole.n_samples,
        whole.usable[epochs],
        n_times,
    )
    begin, end, head, tail = (values[epochs] for values in whole.spans)
    piece.__dict__["spans"] = begin - offset, end - offset, head, tail
    return piece
