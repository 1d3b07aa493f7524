"""Averaged artifact subtraction at whole samples, over pieces of a signal: block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from facet_nb.kernels.streams.base import Buffer
from facet_nb.kernels.templates.averaging import Pool, average_pool, is_complete, list_pools
from facet_nb.kernels.templates.subtraction import Subtraction


@dataclass(frozen=True)
class Blocks:
    """What is subtracted, and where; the same for all channels.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch that templates are made from.
    aligned : ndarray of int, shape (n_epochs,)
        First sample of each artifact, where its template is subtracted.
    n_samples : int
        Length of an artifact.
    n_times : int
        Length of the signal.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean that an epoch must exceed to take part.
    shift : int
        Candidates of a block begin this many epochs after it does.
    scale, bridge : bool
        As of :func:`facet_nb.kernels.templates.subtraction.subtract_templates`.
    """

    starts: np.ndarray
    aligned: np.ndarray
    n_samples: int
    n_times: int
    window: int
    threshold: float
    shift: int = 0
    scale: bool = False
    bridge: bool = False

    @cached_property
    def pools(self) -> tuple[list[Pool | None], np.ndarray]:
        """The epochs for each template, and the template of each epoch."""
        usable = is_complete(self.starts, self.n_samples, self.n_times)
        return list_pools(usable, self.window, self.shift)


class BlockStream:
    """Templates of blocks, subtracted from one channel as soon as their epochs are there.

    The same as :func:`facet_nb.kernels.templates.averaging.average_blocks` and
    :func:`facet_nb.kernels.templates.subtraction.subtract_templates`.

    Parameters
    ----------
    blocks : Blocks
        What is subtracted, and where.
    mean : float
        Mean of the whole signal, in V.
    """

    def __init__(self, blocks: Blocks, mean: float) -> None:
        self.blocks, self.mean = blocks, mean
        self.steps = Subtraction(
            blocks.aligned,
            blocks.n_samples,
            blocks.n_times,
            mean=mean,
            scale=blocks.scale,
            bridge=blocks.bridge,
        )
        self.x, self.work = Buffer(np.dtype(float)), Buffer(np.dtype(float))
        self.known = self.next = self.done = 0  # templates made, epochs and samples done
        self.template = self.before = np.zeros(blocks.n_samples)

    @classmethod
    def make(cls, blocks: Blocks, mean: float) -> BlockStream | None:
        """Return a stream; None where epochs are not in order."""
        ordered = all(np.all(np.diff(places) >= 0) for places in (blocks.starts, blocks.aligned))
        return cls(blocks, mean) if ordered else None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples; return the next of the result."""
        self.x.append(x)
        self.work.extend(len(x))
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return what is left."""
        left = self._advance().copy()
        self.x.close()
        self.work.close()
        return left

    def _advance(self) -> np.ndarray:
        blocks, stop = self.blocks, self.x.stop
        which = blocks.pools[1]
        while self.next < len(which):
            if which[self.next] == self.known:
                if self._needs(blocks.pools[0][self.known]) > stop:
                    break
                self._average()
            if min(int(blocks.aligned[self.next]) + blocks.n_samples, blocks.n_times) > stop:
                break
            self._subtract(self.next)
            self.next += 1
        return self._emit(stop)

    def _needs(self, pool: Pool | None) -> int:
        """Return where the samples end that a template needs."""
        if pool is None:
            return 0
        return int(self.blocks.starts[pool.epochs].max()) + self.blocks.n_samples

    def _average(self) -> None:
        """Make the next template."""
        blocks, pool = self.blocks, self.blocks.pools[0][self.known]
        if pool is not None:
            self.template = np.empty(blocks.n_samples)
            starts = blocks.starts - self.x.start
            average_pool(self.x.data, pool, starts, blocks.threshold, self.mean, self.template)
        self.known += 1

    def _subtract(self, i: int) -> None:
        first, x, work = self.x.start, self.x.data, self.work.data
        self.steps.subtract(i, self.template, x, work, first)
        if self.blocks.bridge and i:
            self.steps.copy(x, work, min(int(self.blocks.aligned[i]), self.blocks.n_times), first)
            self.steps.bridge(i, self.before, self.template, work, first)
        self.before = self.template

    def _emit(self, stop: int) -> np.ndarray:
        """Return all samples that no epoch to come will touch."""
        blocks = self.blocks
        keep = stop
        if self.next < len(blocks.aligned):
            first = int(blocks.aligned[self.next])
            if blocks.bridge and self.next:
                first = min(first, int(blocks.aligned[self.next - 1]) + blocks.n_samples)
            stop = min(stop, first)
            keep = stop
            later = (blocks.pools[0][i] for i in range(self.known, len(blocks.pools[0])))
            if (pool := next(filter(None, later), None)) is not None:
                keep = min(keep, int(blocks.starts[pool.epochs].min()))
        stop = max(stop, self.done)
        self.steps.copy(self.x.data, self.work.data, stop, self.x.start)
        result = self.work.piece(self.done, stop)
        self.done = stop
        self.x.drop(max(0, min(keep, stop)))
        self.work.drop(max(0, min(keep, stop)))
        return result
