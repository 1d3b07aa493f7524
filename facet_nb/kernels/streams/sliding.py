"""Templates of each epoch's neighbours, subtracted from pieces of a signal."""

from __future__ import annotations

from collections import deque

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled, is_float
from facet_nb.kernels.streams.averages import cut_layout
from facet_nb.kernels.streams.base import Buffer
from facet_nb.kernels.streams.blocks import Blocks
from facet_nb.kernels.templates.averaging import is_complete, take_epochs
from facet_nb.kernels.templates.neighbours_online import Slider
from facet_nb.kernels.templates.subsample import HALO, MARGIN, Layout
from facet_nb.kernels.templates.subsample_channel import find_tables
from facet_nb.kernels.templates.subtraction import Subtraction


class _Sliding:
    """What both kinds share: epochs in, templates out, and samples that are done.

    Parameters
    ----------
    slider : Slider
        Makes the templates.
    reach : tuple of ndarray of int, each shape (n_epochs,)
        Where the samples begin and end that each epoch's row needs.
    spans : tuple of ndarray of int, each shape (n_epochs,)
        Where the samples begin and end from which each template is subtracted.
    dtype : dtype
        Of the samples.
    """

    def __init__(
        self,
        slider: Slider,
        reach: tuple[np.ndarray, np.ndarray],
        spans: tuple[np.ndarray, np.ndarray],
        dtype: np.dtype,
    ) -> None:
        self.slider, self.reach, self.spans = slider, reach, spans
        self.x, self.work = Buffer(dtype), Buffer(dtype)
        self.n_taken = self.next = self.done = 0  # rows; epochs and samples that are done
        self.ready: deque[tuple[int, np.ndarray]] = deque()

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

    def _take(self, epochs: np.ndarray) -> np.ndarray:
        """Return rows of usable epochs."""
        raise NotImplementedError

    def _subtract(self, first: int, templates: np.ndarray) -> None:
        """Subtract templates of epochs from `first` on."""
        raise NotImplementedError

    def _find_final(self, first: int) -> int:
        """Return where the samples end that no epoch from `first` on changes."""
        return int(self.spans[0][first])

    def _advance(self) -> np.ndarray:
        stop, order = self.x.stop, self.slider.order
        if len(order) > 1:
            last = self.n_taken
            while last < len(order) and self.reach[1][order[last]] <= stop:
                last += 1
            for low in range(self.n_taken, last, 64):
                self.slider.push(self._take(order[low : min(low + 64, last)]))
                self.ready.extend(self.slider.average())
            self.n_taken = last
            self._correct(stop)
        else:
            self.next = len(self.spans[0])
        return self._emit(stop)

    def _correct(self, stop: int) -> None:
        """Subtract the templates that are known."""
        templates = []
        while self.ready and self.spans[1][self.ready[0][0]] <= stop:
            templates.append(self.ready.popleft()[1])
        if templates:
            self._subtract(self.next, np.stack(templates))
            self.next += len(templates)

    def _emit(self, stop: int) -> np.ndarray:
        keep = stop
        if self.next < len(self.spans[0]):
            keep = stop = min(stop, self._find_final(self.next))
        if self.n_taken < len(self.slider.order) > 1:
            keep = min(keep, int(self.reach[0][self.slider.order[self.n_taken]]))
        stop = max(stop, self.done)
        self._settle(stop)
        result = self.work.piece(self.done, stop)
        self.done = stop
        self.x.drop(max(0, min(keep, stop)))
        self.work.drop(max(0, min(keep, stop)))
        return result

    def _settle(self, stop: int) -> None:
        """Bring all samples before `stop` into the result."""


class SlidingStream(_Sliding):
    """Subtract sliding averages of artifacts at whole samples.

    See :func:`facet_nb.kernels.templates.neighbours.average_sliding`.

    Parameters
    ----------
    blocks : Blocks
        Where artifacts are; `window` is the number of neighbours.
    mean : float
        Mean of the whole signal, in V.
    """

    def __init__(self, blocks: Blocks, mean: float) -> None:
        self.blocks, self.mean = blocks, mean
        n, n_times = blocks.n_samples, blocks.n_times
        usable = is_complete(blocks.starts, n, n_times)
        self.steps = Subtraction(
            blocks.aligned,
            n,
            n_times,
            mean=mean,
            scale=blocks.scale,
            overlap=False,
            bridge=blocks.bridge,
        )
        self.before = np.zeros(n)
        ends = np.minimum(blocks.aligned + n, n_times)
        super().__init__(
            Slider(usable, blocks.window, blocks.threshold),
            (blocks.starts, blocks.starts + n),
            (blocks.aligned, ends),
            np.dtype(float),
        )

    @classmethod
    def make(cls, blocks: Blocks, mean: float) -> SlidingStream | None:
        """Return a stream; None where epochs are not in order."""
        ordered = all(np.all(np.diff(places) >= 0) for places in (blocks.starts, blocks.aligned))
        return cls(blocks, mean) if ordered else None

    def _take(self, epochs: np.ndarray) -> np.ndarray:
        starts = self.blocks.starts[epochs] - self.x.start
        rows = take_epochs(self.x.data, starts, self.blocks.n_samples)
        rows -= self.mean
        return rows

    def _subtract(self, first: int, templates: np.ndarray) -> None:
        offset, x, work = self.x.start, self.x.data, self.work.data
        for i, template in enumerate(templates, first):
            self.steps.subtract(i, template, x, work, offset)
            if self.blocks.bridge and i:
                start = min(int(self.blocks.aligned[i]), self.blocks.n_times)
                self.steps.copy(x, work, start, offset)
                self.steps.bridge(i, self.before, template, work, offset)
            self.before = template

    def _find_final(self, first: int) -> int:
        start = int(self.blocks.aligned[first])
        if self.blocks.bridge and first:
            start = min(start, int(self.blocks.aligned[first - 1]) + self.blocks.n_samples)
        return start

    def _settle(self, stop: int) -> None:
        self.steps.copy(self.x.data, self.work.data, stop, self.x.start)


class MovedSlidingStream(_Sliding):
    """Subtract sliding averages of artifacts between samples.

    See :func:`facet_nb.kernels.templates.subsample_channel.correct`, ``sliding=True``.

    Parameters
    ----------
    layout : Layout
        Where artifacts are.
    window : int
        Neighbours in a template.
    threshold : float
        Pearson correlation that an epoch must exceed to take part.
    mean : float
        Mean of the whole signal, in V.
    dtype : dtype
        Of the samples: float32 or float64.
    """

    def __init__(
        self, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> None:
        self.layout, self.mean = layout, np.dtype(dtype).type(mean)
        self.tables = find_tables(layout, np.dtype(dtype))
        inside = slice(MARGIN, MARGIN + layout.n_samples)
        first = layout.first
        super().__init__(
            Slider(layout.usable, window, threshold, inside),
            (first - HALO, np.minimum(first + layout.n_samples + HALO + 2, layout.n_times)),
            (layout.spans[0], np.maximum(layout.spans[1], 0)),
            np.dtype(dtype),
        )

    @classmethod
    def make(
        cls, layout: Layout, window: int, threshold: float, mean: float, dtype: np.dtype
    ) -> MovedSlidingStream | None:
        """Return a stream; None where the kernel is not compiled, or epochs are not in order."""
        compiled = find_compiled("shifted_templates", "move_rows")
        ordered = bool(np.all(np.diff(layout.first) > 0))
        if compiled is None or not ordered or not is_float(np.empty(0, dtype)):
            return None
        return cls(layout, window, threshold, mean, dtype)

    def _take(self, epochs: np.ndarray) -> np.ndarray:
        low, high = int(epochs[0]), int(epochs[-1]) + 1
        piece = cut_layout(self.layout, slice(low, high), self.x.start, len(self.x.data))
        move = find_compiled("shifted_templates", "move_rows")
        assert move is not None
        return move(self.x.data, piece, epochs - low, *self.tables, self.mean)

    def _subtract(self, first: int, templates: np.ndarray) -> None:
        epochs = slice(first, first + len(templates))
        piece = cut_layout(self.layout, epochs, self.work.start, len(self.work.data))
        subtract = find_compiled("shifted_templates", "subtract_moved")
        assert subtract is not None
        subtract(self.work.data, templates, piece, np.arange(len(templates)), self.tables[1])
