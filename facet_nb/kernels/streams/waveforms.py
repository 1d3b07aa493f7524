"""Waveforms with courses, subtracted from pieces of a signal: block by block."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.lowrank.lowrank import correct_block, list_blocks, list_reaches
from facet_nb.kernels.streams.averages import cut_layout
from facet_nb.kernels.streams.base import Buffer
from facet_nb.kernels.templates.subsample import Layout


class WaveformStream:
    """The same as :func:`facet_nb.kernels.lowrank.lowrank.correct`; a block at a time is kept.

    Parameters
    ----------
    layout : Layout
        Where artifacts are.
    sfreq : float
        Sampling rate, in Hz.
    block_s : float
        Longest time that shares waveforms, in s.
    shrinkage : float
        Noise power that a waveform must exceed at a frequency to be subtracted there.
    max_courses : int
        Most courses besides the mean.
    """

    def __init__(
        self, layout: Layout, sfreq: float, block_s: float, shrinkage: float, max_courses: int
    ) -> None:
        self.layout, self.sfreq = layout, sfreq
        self.shrinkage, self.max_courses = shrinkage, max_courses
        self.blocks = [which for which in list_blocks(layout, sfreq, block_s) if len(which)]
        self.low, self.high = list_reaches(layout)
        self.x, self.work = Buffer(np.dtype(float)), Buffer(np.dtype(float))
        self.next = self.done = 0

    @classmethod
    def make(
        cls, layout: Layout, sfreq: float, block_s: float, shrinkage: float, max_courses: int
    ) -> WaveformStream | None:
        """Return a stream; None where epochs are not in order."""
        ordered = bool(np.all(np.diff(layout.first) > 0))
        return cls(layout, sfreq, block_s, shrinkage, max_courses) if ordered else None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples; return the next of the result."""
        self.x.append(x)
        self.work.append(x)
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return what is left."""
        left = self._advance().copy()
        self.x.close()
        self.work.close()
        return left

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
        stop = max(stop, self.done)
        result = self.work.piece(self.done, stop)
        self.done = stop
        self.x.drop(min(keep, stop))
        self.work.drop(min(keep, stop))
        return result

    def _correct(self, which: np.ndarray) -> None:
        epochs = slice(int(which[0]), int(which[-1]) + 1)
        piece = cut_layout(self.layout, epochs, self.x.start, len(self.x.data))
        correct_block(
            self.x.data,
            piece,
            np.arange(len(which)),
            self.sfreq,
            self.work.data,
            shrinkage=self.shrinkage,
            max_courses=self.max_courses,
        )
