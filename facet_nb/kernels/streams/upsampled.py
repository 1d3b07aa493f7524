"""Averaged artifact subtraction between upsampling and downsampling, as a stream."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling.double_rate_signal import (
    GROUP,
    REACH,
    count_known,
    count_window,
    find_end,
)
from facet_nb.kernels.resampling.resampled_mean import ResampledMean
from facet_nb.kernels.streams.base import Buffer, buffer_pool
from facet_nb.kernels.templates.averaging import Pool
from facet_nb.kernels.templates.template_train import TemplateTrain, TrainLayout
from facet_nb.kernels.templates.upsampled import Averager, find_reach

#: Number of samples that are kept in addition: the reflection at the end may need them.
_BEHIND = 2 * REACH


class UpsampledStream:
    """Stream of :func:`facet_nb.kernels.templates.upsampled.correct`, group by group.

    A template is averaged as soon as its epochs have arrived, and a group is rendered as soon as
    its templates are known. One pool of epochs and two groups are in memory.

    Parameters
    ----------
    layout : TrainLayout
        Positions of the artifacts.
    level : ResampledMean
        Means of the whole signal
        (:class:`facet_nb.kernels.resampling.resampled_mean.RunningResampledMean`).
    """

    def __init__(self, layout: TrainLayout, level: ResampledMean) -> None:
        self.layout = layout
        self.buffer = Buffer(np.dtype(float))
        n, n_columns = layout.max_pool_size, layout.form.n_columns
        double = np.dtype(float)
        self.window = buffer_pool.take(count_window(layout.n_times, layout.span), double)
        self.pool_space = buffer_pool.take(n * n_columns, double)
        space = self.pool_space[: n * n_columns].reshape(n, n_columns)
        self.averager = Averager(self._read, layout, level, self.window, space)
        self.train = TemplateTrain(layout)
        self.n_averaged = self.n_rendered = 0

    @classmethod
    def make(cls, layout: TrainLayout, level: ResampledMean) -> UpsampledStream | None:
        """Return a stream, or None if the pools of epochs are not in order."""
        places = [p for p, _ in layout.locations if len(p)]
        lows, highs = [int(p.min()) for p in places], [int(p.max()) for p in places]
        ordered = all(np.all(np.diff(ends) >= 0) for ends in (lows, highs))
        return cls(layout, level) if ordered else None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        self.buffer.append(x)
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return the remaining samples (always empty: the last sample completes all groups)."""
        left = self._advance()
        self.buffer.close()
        buffer_pool.give_back(self.window)
        buffer_pool.give_back(self.pool_space)
        return left

    def _read(self, start: int, stop: int) -> np.ndarray:
        first = self.buffer.start
        return segment(self.buffer.data, start - first, stop - first, repeat=True)

    def _advance(self) -> np.ndarray:
        layout, stop = self.layout, self.buffer.stop
        pools = layout.pools[0]
        done = []
        while True:
            number = self.n_averaged
            if number < len(pools) and self._needs(number, pools[number]) <= stop:
                self.train.templates[number] = template = np.empty(layout.form.n_columns)
                self.averager.average(number, template)
                self.n_averaged += 1
            elif not self._can_render():
                break
            while self._can_render():
                done.append(self._render_next())
        return done[0] if len(done) == 1 else np.concatenate([*done, np.empty(0)])

    def _needs(self, number: int, pool: Pool | None) -> int:
        """Return the number of samples that must have arrived before a template is averaged."""
        if pool is None:
            return 0
        layout = self.layout
        end = find_end(layout.locations[number][0], layout.form.n_columns)
        high = min(find_reach(layout, pool)[1], layout.n_times)
        return max(count_known(end, layout.n_times), high)

    def _can_render(self) -> bool:
        layout, number = self.layout, self.n_rendered
        if number == layout.n_groups or layout.n_needed[number] > self.n_averaged:
            return False
        return min((number + 1) * GROUP, layout.n_times) <= self.buffer.stop

    def _render_next(self) -> np.ndarray:
        """Return the next group of the result, and drop what later groups do not need."""
        low, noise = self.train.render(self.n_rendered)
        result = self.buffer.piece(low, low + len(noise)) - noise
        self.n_rendered += 1
        self._drop()
        return result

    def _drop(self) -> None:
        layout = self.layout
        keep = min(self.n_rendered * GROUP, layout.n_times) - _BEHIND
        for pool, location in zip(
            layout.pools[0][self.n_averaged :], layout.locations[self.n_averaged :], strict=True
        ):
            if pool is not None:
                start = self.averager.source.find_start(location[0]) - _BEHIND
                keep = min(keep, start, find_reach(layout, pool)[0])
                break
        self.buffer.drop(keep)
        self.train.drop(self.n_rendered)
