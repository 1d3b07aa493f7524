"""Low-rank artifact models, fitted and subtracted block by block, as a stream."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.lowrank.lowrank import correct_block, list_blocks, list_reaches
from facet_nb.kernels.streams.averages import cut_layout
from facet_nb.kernels.streams.base import SubtractionStream
from facet_nb.kernels.templates.subsample import Layout


class WaveformBlocks:
    """Blocks of epochs whose low-rank artifact models are fitted and subtracted.

    Parameters
    ----------
    layout : Layout
        Positions of the artifacts.
    sfreq : float
        Sampling rate, in Hz.
    block_s : float
        Longest duration of a block, whose epochs share their waveforms, in s.
    shrinkage : float
        Multiple of the noise power that a waveform must exceed at a frequency.
    max_courses : int
        Maximum number of amplitude courses besides the mean.
    """

    def __init__(
        self, layout: Layout, sfreq: float, block_s: float, shrinkage: float, max_courses: int
    ) -> None:
        self.layout, self.sfreq, self.n_times = layout, sfreq, layout.n_times
        self.shrinkage, self.max_courses = shrinkage, max_courses
        self.blocks = [which for which in list_blocks(layout, sfreq, block_s) if len(which)]
        self.low, self.high = list_reaches(layout)
        super().__init__()

    def cut(self, block: np.ndarray, offset: int, n_times: int) -> Layout:
        """Return the layout of a block in a piece of the signal that begins at `offset`."""
        epochs = slice(int(block[0]), int(block[-1]) + 1)
        return cut_layout(self.layout, epochs, offset, n_times)


class WaveformStream(WaveformBlocks, SubtractionStream):
    """Subtract low-rank artifact models; at most one block of epochs is in memory.

    The result equals that of :func:`facet_nb.kernels.lowrank.lowrank.correct` to the bit.
    """

    def _advance(self) -> np.ndarray:
        stop = keep = self.x.stop
        while self.next < len(self.blocks):
            which = self.blocks[self.next]
            if self.high[which].max() > stop:
                break
            self._correct(which)
            self.next += 1
        if self.next < len(self.blocks):
            which = self.blocks[self.next]
            stop = min(stop, int(self.layout.spans[0][which].min()))
            keep = min(stop, int(self.low[which].min()))
        return self._emit(stop, keep)

    def _correct(self, which: np.ndarray) -> None:
        correct_block(
            self.x.data,
            self.cut(which, self.x.start, len(self.x.data)),
            np.arange(len(which)),
            self.sfreq,
            self.work.data,
            shrinkage=self.shrinkage,
            max_courses=self.max_courses,
        )
