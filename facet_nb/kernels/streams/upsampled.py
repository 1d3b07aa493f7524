"""Averaged artifact subtraction between a rise and a fall of the rate, over pieces of a signal."""

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
from facet_nb.kernels.resampling.resampled_mean import Level
from facet_nb.kernels.streams.base import Buffer, rooms
from facet_nb.kernels.templates.averaging import Pool
from facet_nb.kernels.templates.template_train import Layout, Train
from facet_nb.kernels.templates.upsampled import Averager, find_reach

#: Samples that are kept behind those still needed: a reflection at the end may take them.
_BEHIND = 2 * REACH


class UpsampledStream:
    """The same as :func:`facet_nb.kernels.templates.upsampled.correct`, group by group.

    Templates are made as soon as the epochs of their pools are there, and groups are laid as soon
    as their templates are known: what is kept is a pool of epochs and two groups.

    Parameters
    ----------
    layout : Layout
        Where artifacts are.
    level : Level
        Means of the whole signal
        (:class:`facet_nb.kernels.resampling.resampled_mean.RunningLevel`).
    """

    def __init__(self, layout: Layout, level: Level) -> None:
        self.layout = layout
        self.buffer = Buffer(np.dtype(float))
        n, n_columns = layout.n_most, layout.form.n_columns
        double = np.dtype(float)
        self.room = rooms.take(count_window(layout.n_times, layout.span), double)
        self.space = rooms.take(n * n_columns, double)
        space = self.space[: n * n_columns].reshape(n, n_columns)
        self.averager = Averager(self._look, layout, level, self.room, space)
        self.train = Train(layout)
        self.n_averaged = self.n_laid = 0

    @classmethod
    def make(cls, layout: Layout, level: Level) -> UpsampledStream | None:
        """Return a stream; None where pools of epochs do not follow one another."""
        places = [p for p, _ in layout.visits if len(p)]
        lows, highs = [int(p.min()) for p in places], [int(p.max()) for p in places]
        ordered = all(np.all(np.diff(ends) >= 0) for ends in (lows, highs))
        return cls(layout, level) if ordered else None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples; return the next of the result."""
        self.buffer.append(x)
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return what is left: nothing, as the last sample tells all."""
        left = self._advance()
        self.buffer.close()
        rooms.give(self.room)
        rooms.give(self.space)
        return left

    def _look(self, start: int, stop: int) -> np.ndarray:
        first = self.buffer.start
        return segment(self.buffer.data, start - first, stop - first, repeat=True)

    def _advance(self) -> np.ndarray:
        layout, stop = self.layout, self.buffer.stop
        pools = layout.pools[0]
        done = []
        while True:
            number = self.n_averaged
            if number < len(pools) and self._knows(number, pools[number]) <= stop:
                self.train.templates[number] = template = np.empty(layout.form.n_columns)
                self.averager.average(number, template)
                self.n_averaged += 1
            elif not self._can_lay():
                break
            while self._can_lay():
                done.append(self._lay())
        return done[0] if len(done) == 1 else np.concatenate([*done, np.empty(0)])

    def _knows(self, number: int, pool: Pool | None) -> int:
        """Return how many samples must be there to make a template."""
        if pool is None:
            return 0
        layout = self.layout
        end = find_end(layout.visits[number][0], layout.form.n_columns)
        high = min(find_reach(layout, pool)[1], layout.n_times)
        return max(count_known(end, layout.n_times), high)

    def _can_lay(self) -> bool:
        layout, number = self.layout, self.n_laid
        if number == len(layout.groups) or layout.needs[number] > self.n_averaged:
            return False
        return min((number + 1) * GROUP, layout.n_times) <= self.buffer.stop

    def _lay(self) -> np.ndarray:
        """Return the next group of the result, and forget what is not needed any more."""
        low, noise = self.train.lay(self.n_laid)
        result = self.buffer.piece(low, low + len(noise)) - noise
        self.n_laid += 1
        self._forget()
        return result

    def _forget(self) -> None:
        layout = self.layout
        keep = min(self.n_laid * GROUP, layout.n_times) - _BEHIND
        for pool, visit in zip(
            layout.pools[0][self.n_averaged :], layout.visits[self.n_averaged :], strict=True
        ):
            if pool is not None:
                doubled = self.averager.source.find_start(visit[0]) - _BEHIND
                keep = min(keep, doubled, find_reach(layout, pool)[0])
                break
        self.buffer.drop(keep)
        self.train.forget(self.n_laid)
