"""Averaged artifact subtraction at whole samples over windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from facet_nb.kernels.streams.blocks import Blocks
from facet_nb.kernels.templates.averaging import average_pool, find_filled
from facet_nb.kernels.templates.late_alignment import take_aligned
from facet_nb.kernels.windows.base import Keep, Read, learn_in_one_pass

#: Largest number of values of all channels that are read at once for templates: 16 MB.
_VALUES = 1 << 21


class BlockWindows:
    """Subtract the templates of the epochs that touch a window.

    The result equals that of :class:`facet_nb.kernels.streams.BlockStream` to the bit: each sample
    is the signal minus the templates over it, in the order of the epochs.

    Parameters
    ----------
    blocks : Blocks
        Positions of epochs and parameters of their templates, without ``scale`` and ``bridge``.
    first_pass : callable
        Returns an accumulator of the mean.
    """

    learns, uses_blas, cheap = True, True, False
    known_by = "mean"
    cell = 1 << 13

    def __init__(self, blocks: Blocks, first_pass: Callable[[], Any]) -> None:
        self.blocks, self.n_times, self.first_pass = blocks, blocks.n_times, first_pass

    def learn(self, read: Read, n_channels: int) -> list[float]:
        """Return the mean of each channel, in V."""
        return learn_in_one_pass(read, n_channels, self.n_times, self.first_pass)

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        blocks = self.blocks
        out = np.array(read(start, stop))
        touched, begins = take_aligned(blocks.aligned, blocks.n_samples, start, stop)
        which = blocks.pools[1][touched]
        for number in np.unique(which).tolist():
            templates = self._find(read, number, keeps)
            for begin in begins[which == number].tolist():
                _subtract(out, templates, begin - start)
        return out

    def _find(self, read: Read, number: int, keeps: Sequence[Keep]) -> list[np.ndarray]:
        """Return a template of each channel."""
        blocks, pools = self.blocks, self.blocks.pools[0]
        number = find_filled(pools, number)
        if number < 0:
            return [np.zeros(blocks.n_samples)] * len(keeps)
        pool = pools[number]
        assert pool is not None
        low = int(blocks.starts[pool.epochs].min())
        high = int(blocks.starts[pool.epochs].max()) + blocks.n_samples
        together = (high - low) * len(keeps) <= _VALUES
        pieces: list[np.ndarray] = []

        def average(i: int) -> np.ndarray:
            if together and not pieces:
                pieces.append(read(low, high))
            template = np.empty(blocks.n_samples)
            x = np.ascontiguousarray(pieces[0][i] if together else read(low, high, i)[0])
            average_pool(x, pool, blocks.starts - low, blocks.threshold, keeps[i].known, template)
            return template

        return [keep.array(number, partial(average, i)) for i, keep in enumerate(keeps)]


def _subtract(out: np.ndarray, templates: list[np.ndarray], begin: int) -> None:
    """Subtract templates that begin at sample `begin` of `out`, in place."""
    low, high = max(begin, 0), min(begin + len(templates[0]), out.shape[1])
    for row, template in zip(out, templates, strict=True):
        row[low:high] -= template[low - begin : high - begin]
