"""Low-rank artifact models over windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from facet_nb.kernels.lowrank.highband import list_portions
from facet_nb.kernels.lowrank.lowrank import Model, fit, list_blocks, list_reaches, subtract_portion
from facet_nb.kernels.streams.averages import cut_layout
from facet_nb.kernels.templates.subsample import Layout
from facet_nb.kernels.windows.base import Keep, Read


class WaveformWindows:
    """Subtract low-rank artifact models from the epochs that touch a window.

    The result equals that of :func:`facet_nb.kernels.lowrank.lowrank.correct` to the bit. The model
    of a block of epochs of a channel is fitted once, and kept.

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

    learns, uses_blas, cheap = False, True, False
    cell = 1 << 13

    def __init__(
        self, layout: Layout, sfreq: float, block_s: float, shrinkage: float, max_courses: int
    ) -> None:
        self.layout, self.sfreq, self.n_times = layout, sfreq, layout.n_times
        self.shrinkage, self.max_courses = shrinkage, max_courses
        self.blocks = [which for which in list_blocks(layout, sfreq, block_s) if len(which)]
        self.low, self.high = list_reaches(layout)

    def learn(self, read: Read, n_channels: int) -> list[None]:
        """Return nothing: models are fitted when a window touches their block."""
        return [None] * n_channels

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        begin, end, *_ = self.layout.spans
        touched = (begin < stop) & (end > start)
        which = np.flatnonzero(touched)
        if not len(which):
            return np.array(read(start, stop))
        low, high = min(start, int(self.low[which].min())), max(stop, int(self.high[which].max()))
        x = np.ascontiguousarray(read(low, high))
        out = x.copy()
        for number, block in enumerate(self.blocks):
            if touched[block].any():
                self._correct(read, number, touched[block], x, low, keeps, out)
        return out[:, start - low : stop - low]

    def _correct(
        self,
        read: Read,
        number: int,
        touched: np.ndarray,
        x: np.ndarray,
        offset: int,
        keeps: Sequence[Keep],
        out: np.ndarray,
    ) -> None:
        """Subtract the templates of the epochs of a block that are `touched`, in place.

        `x` and `out` begin at sample `offset` of the signal.
        """
        block = self.blocks[number]
        epochs = slice(int(block[0]), int(block[-1]) + 1)
        piece = cut_layout(self.layout, epochs, offset, x.shape[1])
        which = np.arange(len(block))
        pool = which[piece.usable]
        if len(pool) < 2:
            return
        for i, keep in enumerate(keeps):
            model = keep.small(number, partial(self._fit, read, block, i))
            for part in list_portions(len(which), piece):
                chosen = np.flatnonzero(touched[part])
                if len(chosen):
                    subtract_portion(x[i], out[i], piece, which[part], pool, model, chosen)

    def _fit(self, read: Read, block: np.ndarray, channel: int) -> Model:
        """Return the model of a block of one channel."""
        low, high = int(self.low[block].min()), int(self.high[block].max())
        x = np.ascontiguousarray(read(low, high, channel)[0])
        epochs = slice(int(block[0]), int(block[-1]) + 1)
        piece = cut_layout(self.layout, epochs, low, len(x))
        which = np.arange(len(block))[piece.usable]
        shrinkage, most = self.shrinkage, self.max_courses
        return fit(x, piece, which, self.sfreq, shrinkage=shrinkage, max_courses=most)
