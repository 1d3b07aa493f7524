"""Averaged artifact subtraction with sub-sample alignment, at the native rate, as a stream."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.streams.base import SubtractionStream
from facet_nb.kernels.templates.averaging import list_blocks
from facet_nb.kernels.templates.subsample import HALO, Layout
from facet_nb.kernels.templates.subsample_channel import correct_blocks


class AverageStream(SubtractionStream):
    """Averaged artifact subtraction, block by block.

    See :func:`facet_nb.kernels.templates.subsample_channel.correct`.

    Parameters
    ----------
    layout : Layout
        Positions of the artifacts.
    window : int
        Epochs in a template.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    mean : float
        Mean of the whole signal (:func:`facet_nb.kernels.means.find_mean`), in V.
    dtype : dtype
        Type of the samples: float32 or float64.
    """

    def __init__(
        self, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> None:
        super().__init__(dtype)
        self.layout, self.threshold, self.mean = layout, threshold, mean
        self.blocks = list_blocks(len(layout.first), window) if len(layout.first) else []

    def _advance(self) -> np.ndarray:
        stop = keep = self.x.stop
        last = self.next
        while last < len(self.blocks) and self._needs(last) <= stop:
            last += 1
        if last > self.next:
            self._correct(last)
        if self.next < len(self.blocks):
            first = self.blocks[self.next][0]
            stop = min(stop, int(self.layout.spans[0][first]))
            keep = min(stop, int(self.layout.first[first]) - HALO)
        return self._emit(stop, keep)

    def _needs(self, block: int) -> int:
        """Return the number of samples that must have arrived before a block is corrected."""
        last = self.blocks[block][1] - 1
        end = int(self.layout.first[last]) + self.layout.n_samples + HALO + 2
        return min(max(end, int(self.layout.spans[1][last])), self.layout.n_times)

    def _correct(self, stop: int) -> None:
        """Correct the blocks before block `stop`."""
        low, high = self.blocks[self.next][0], self.blocks[stop - 1][1]
        piece = cut_layout(self.layout, slice(low, high), self.x.start, len(self.x.data))
        blocks = np.array(self.blocks[self.next : stop]).reshape(-1, 2) - low
        correct_blocks(self.x.data, piece, blocks, self.threshold, self.work.data, self.mean)
        self.next = stop


def cut_layout(whole: Layout, epochs: slice, offset: int, n_times: int) -> Layout:
    """Return the layout of some epochs, relative to sample `offset` of the signal."""
    piece = Layout(
        whole.first[epochs] - offset,
        whole.part[epochs],
        whole.n_samples,
        whole.usable[epochs],
        n_times,
        None if whole.position is None else whole.position[epochs],
    )
    begin, end, head, tail = (values[epochs] for values in whole.spans)
    # Computed anew, the last span would reach further: the next epoch, which ends it, is missing.
    piece.__dict__["spans"] = begin - offset, end - offset, head, tail
    return piece
