"""Low-rank artifact models over windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from facet_nb.kernels.lowrank.highband import list_portions
from facet_nb.kernels.lowrank.lowrank import Model, fit, subtract_portion
from facet_nb.kernels.streams.waveforms import WaveformBlocks
from facet_nb.kernels.windows.base import Keep, LocalWindows, Read


class WaveformWindows(LocalWindows, WaveformBlocks):
    """Subtract low-rank artifact models from the epochs that touch a window.

    The result equals that of :func:`facet_nb.kernels.lowrank.lowrank.correct` to the bit. The model
    of a block of epochs of a channel is fitted once, and kept.
    """

    uses_blas, cheap = True, False
    cell = 1 << 13

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
        piece = self.cut(block, offset, x.shape[1])
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
        piece = self.cut(block, low, len(x))
        which = np.arange(len(block))[piece.usable]
        shrinkage, most = self.shrinkage, self.max_courses
        return fit(x, piece, which, self.sfreq, shrinkage=shrinkage, max_courses=most)
