"""Sliding averages of neighbouring epochs, subtracted as a stream."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque

import numpy as np

from facet_nb.kernels.streams.averages import cut_layout
from facet_nb.kernels.streams.base import SubtractionStream
from facet_nb.kernels.streams.blocks import Blocks
from facet_nb.kernels.templates.averaging import is_complete, take_epochs
from facet_nb.kernels.templates.neighbours_online import NeighbourAverager
from facet_nb.kernels.templates.subsample import HALO, MARGIN, Layout
from facet_nb.kernels.templates.subsample_channel import align, subtract_shifted


class _Sliding(SubtractionStream):
    """Base of both streams: epochs go in, templates come out, and are subtracted.

    Parameters
    ----------
    averager : NeighbourAverager
        Computes the templates.
    reach : tuple of ndarray of int, each shape (n_epochs,)
        First sample that each epoch needs, and the sample after the last.
    spans : tuple of ndarray of int, each shape (n_epochs,)
        First sample from which each template is subtracted, and the sample after the last.
    dtype : dtype
        Type of the samples.
    """

    def __init__(
        self,
        averager: NeighbourAverager,
        reach: tuple[np.ndarray, np.ndarray],
        spans: tuple[np.ndarray, np.ndarray],
        dtype: np.dtype,
    ) -> None:
        super().__init__(dtype)
        self.averager, self.reach, self.spans = averager, reach, spans
        self.n_taken = 0  # usable epochs that were given to the averager
        self.ready: deque[tuple[int, np.ndarray]] = deque()

    @abstractmethod
    def _take(self, epochs: np.ndarray) -> np.ndarray:
        """Return the samples of usable epochs, one epoch per row."""

    @abstractmethod
    def _subtract(self, first: int, templates: np.ndarray) -> None:
        """Subtract the templates of consecutive epochs, the first of which is `first`."""

    def _find_final(self, first: int) -> int:
        """Return the number of leading samples that no epoch from `first` on changes."""
        return int(self.spans[0][first])

    def _advance(self) -> np.ndarray:
        stop, order = self.x.stop, self.averager.order
        if len(order) > 1:
            last = self.n_taken
            while last < len(order) and self.reach[1][order[last]] <= stop:
                last += 1
            # In portions, so that epochs are averaged and dropped before more are taken.
            for low in range(self.n_taken, last, 64):
                self.averager.push(self._take(order[low : min(low + 64, last)]))
                self.ready.extend(self.averager.average())
            self.n_taken = last
            self._correct(stop)
        else:
            self.next = len(self.spans[0])
        keep = stop
        if self.next < len(self.spans[0]):
            keep = stop = min(stop, self._find_final(self.next))
        if self.n_taken < len(order) > 1:
            keep = min(keep, int(self.reach[0][order[self.n_taken]]))
        return self._emit(stop, keep)

    def _correct(self, stop: int) -> None:
        """Subtract the known templates of artifacts that end before sample `stop`."""
        templates = []
        while self.ready and self.spans[1][self.ready[0][0]] <= stop:
            templates.append(self.ready.popleft()[1])
        if templates:
            self._subtract(self.next, np.stack(templates))
            self.next += len(templates)


class SlidingStream(_Sliding):
    """Subtract sliding averages of artifacts at whole samples.

    See :func:`facet_nb.kernels.templates.neighbours.average_sliding`.

    Parameters
    ----------
    blocks : Blocks
        Positions of epochs and artifacts; `window` is the number of neighbours.
    mean : float
        Mean of the whole signal, in V.
    """

    def __init__(self, blocks: Blocks, mean: float) -> None:
        self.blocks, self.mean = blocks, mean
        n, n_times = blocks.n_samples, blocks.n_times
        usable = is_complete(blocks.starts, n, n_times)
        self.subtraction = blocks.make_subtraction(mean, overlap=False)
        ends = np.minimum(blocks.aligned + n, n_times)
        super().__init__(
            NeighbourAverager(usable, blocks.window, blocks.threshold),
            (blocks.starts, blocks.starts + n),
            (blocks.aligned, ends),
            np.dtype(float),
        )

    def _take(self, epochs: np.ndarray) -> np.ndarray:
        starts = self.blocks.starts[epochs] - self.x.start
        rows = take_epochs(self.x.data, starts, self.blocks.n_samples)
        rows -= self.mean
        return rows

    def _subtract(self, first: int, templates: np.ndarray) -> None:
        offset, x, work = self.x.start, self.x.data, self.work.data
        for i, template in enumerate(templates, first):
            self.subtraction.subtract_next(i, template, x, work, offset)

    def _find_final(self, first: int) -> int:
        return self.blocks.find_final(first)

    def _finalize(self, stop: int) -> None:
        self.subtraction.copy(self.x.data, self.work.data, stop, self.x.start)


class SubsampleSlidingStream(_Sliding):
    """Subtract sliding averages of artifacts with sub-sample alignment.

    See :func:`facet_nb.kernels.templates.subsample_channel.correct`, ``sliding=True``.

    Parameters
    ----------
    layout : Layout
        Positions of the artifacts.
    window : int
        Neighbours in a template.
    threshold : float
        Pearson correlation above which an epoch enters templates.
    mean : float
        Mean of the whole signal, in V.
    dtype : dtype
        Type of the samples: float32 or float64.
    """

    def __init__(
        self, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> None:
        self.layout, self.mean = layout, np.dtype(dtype).type(mean)
        inside = slice(MARGIN, MARGIN + layout.n_samples)
        first = layout.first
        super().__init__(
            NeighbourAverager(layout.usable, window, threshold, inside),
            (first - HALO, np.minimum(first + layout.n_samples + HALO + 2, layout.n_times)),
            (layout.spans[0], np.maximum(layout.spans[1], 0)),
            np.dtype(dtype),
        )

    def _take(self, epochs: np.ndarray) -> np.ndarray:
        low, high = int(epochs[0]), int(epochs[-1]) + 1
        piece = cut_layout(self.layout, slice(low, high), self.x.start, len(self.x.data))
        return align(self.x.data, piece, epochs - low, self.mean)

    def _subtract(self, first: int, templates: np.ndarray) -> None:
        epochs = slice(first, first + len(templates))
        piece = cut_layout(self.layout, epochs, self.work.start, len(self.work.data))
        subtract_shifted(self.work.data, templates, piece, np.arange(len(templates)))
