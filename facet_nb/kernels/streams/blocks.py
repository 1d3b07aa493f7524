"""Averaged artifact subtraction at whole samples, block by block, as a stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from facet_nb.kernels.streams.base import SubtractionStream
from facet_nb.kernels.templates.averaging import Pool, average_pool, is_complete, list_pools
from facet_nb.kernels.templates.late_alignment import LateAlignment
from facet_nb.kernels.templates.subtraction import Subtraction


@dataclass(frozen=True)
class Blocks:
    """Positions of epochs and parameters of their templates; the same for all channels.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch from which templates are averaged.
    aligned : ndarray of int, shape (n_epochs,) | LateAlignment
        First sample of each artifact, from which its template is subtracted; only windows take
        artifacts that are aligned later.
    n_samples : int
        Length of an artifact.
    n_times : int
        Length of the signal.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    shift : int
        Offset of the candidate epochs relative to their block, in epochs.
    scale, bridge : bool
        As in :func:`facet_nb.kernels.templates.subtraction.subtract_templates`.
    """

    starts: np.ndarray
    aligned: Any
    n_samples: int
    n_times: int
    window: int
    threshold: float
    shift: int = 0
    scale: bool = False
    bridge: bool = False

    @cached_property
    def pools(self) -> tuple[list[Pool | None], np.ndarray]:
        """The epochs of each template, and the template of each epoch."""
        if isinstance(self.aligned, LateAlignment):
            return self.aligned.pools
        usable = is_complete(self.starts, self.n_samples, self.n_times)
        return list_pools(usable, self.window, self.shift)

    @property
    def is_ordered(self) -> bool:
        """Whether epochs and artifacts are in order."""
        return all(np.all(np.diff(places) >= 0) for places in (self.starts, self.aligned))

    def find_final(self, first: int) -> int:
        """Return the number of leading samples that no epoch from `first` on changes."""
        start = int(self.aligned[first])
        if self.bridge and first:
            start = min(start, int(self.aligned[first - 1]) + self.n_samples)
        return start

    def make_subtraction(self, mean: float, *, overlap: bool = True) -> Subtraction:
        """Return the subtraction of templates from one channel, whose mean is given."""
        return Subtraction(
            self.aligned,
            self.n_samples,
            self.n_times,
            mean=mean,
            scale=self.scale,
            overlap=overlap,
            bridge=self.bridge,
        )


class BlockStream(SubtractionStream):
    """Subtract the template of each block of epochs as soon as the epochs have arrived.

    The result equals that of :func:`facet_nb.kernels.templates.averaging.average_blocks` followed
    by :func:`facet_nb.kernels.templates.subtraction.subtract_templates` to the bit.

    Parameters
    ----------
    blocks : Blocks
        Positions of epochs and parameters of their templates.
    mean : float
        Mean of the whole signal, in V.
    """

    def __init__(self, blocks: Blocks, mean: float) -> None:
        super().__init__(np.dtype(float))
        self.blocks, self.mean = blocks, mean
        self.subtraction = blocks.make_subtraction(mean)
        self.n_templates = 0  # that were made
        self.template = np.zeros(blocks.n_samples)

    def _advance(self) -> np.ndarray:
        blocks, stop = self.blocks, self.x.stop
        pools, which = blocks.pools
        while self.next < len(which):
            if which[self.next] == self.n_templates:
                if self._needs(pools[self.n_templates]) > stop:
                    break
                self._average()
            if min(int(blocks.aligned[self.next]) + blocks.n_samples, blocks.n_times) > stop:
                break
            self.subtraction.subtract_next(
                self.next, self.template, self.x.data, self.work.data, self.x.start
            )
            self.next += 1
        keep = stop
        if self.next < len(blocks.aligned):
            keep = stop = min(stop, blocks.find_final(self.next))
            if (pool := next(filter(None, pools[self.n_templates :]), None)) is not None:
                keep = min(keep, int(blocks.starts[pool.epochs].min()))
        return self._emit(stop, keep)

    def _needs(self, pool: Pool | None) -> int:
        """Return the number of samples that must have arrived before a template is made."""
        if pool is None:
            return 0
        return int(self.blocks.starts[pool.epochs].max()) + self.blocks.n_samples

    def _average(self) -> None:
        """Make the next template."""
        blocks, pool = self.blocks, self.blocks.pools[0][self.n_templates]
        if pool is not None:
            self.template = np.empty(blocks.n_samples)
            starts = blocks.starts - self.x.start
            average_pool(self.x.data, pool, starts, blocks.threshold, self.mean, self.template)
        self.n_templates += 1

    def _finalize(self, stop: int) -> None:
        self.subtraction.copy(self.x.data, self.work.data, stop, self.x.start)
