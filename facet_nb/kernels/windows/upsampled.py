"""Averaged artifact subtraction between upsampling and downsampling, over windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling.double_rate_signal import (
    GROUP,
    REACH,
    ReadSamples,
    count_known,
    find_end,
    find_group,
)
from facet_nb.kernels.templates.averaging import find_filled
from facet_nb.kernels.templates.template_train import TemplateTrain, TrainLayout, meets_end
from facet_nb.kernels.templates.upsampled import Averager
from facet_nb.kernels.windows.base import Keep, Read, learn_in_one_pass

#: Largest number of samples of a channel that are read at once for templates: 32 MB.
_VALUES = 1 << 22


class UpsampledWindows:
    """Subtract the train of templates, group by group.

    The result equals that of :func:`facet_nb.kernels.templates.upsampled.correct` to the bit.

    Parameters
    ----------
    layout : TrainLayout
        Positions of the artifacts.
    first_pass : callable
        Returns an accumulator of the means.
    """

    learns, uses_blas, cheap = True, True, False
    cell = GROUP

    def __init__(self, layout: TrainLayout, first_pass: Callable[[], Any]) -> None:
        self.layout, self.n_times, self.first_pass = layout, layout.n_times, first_pass
        self.known_by = "resampled mean", layout.factor

    def learn(self, read: Read, n_channels: int) -> list[Any]:
        """Return the means of each channel."""
        return learn_in_one_pass(read, n_channels, self.n_times, self.first_pass)

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        out = np.array(read(start, stop))
        groups = range(start // GROUP, -(-stop // GROUP))
        needed = [self._list_needed(number) for number in groups]
        span = self._find_span([k for numbers in needed for k in numbers])
        size = 2 * out.itemsize * (span[1] - span[0]) * len(keeps)
        for i, (row, keep) in enumerate(zip(out, keeps, strict=True)):
            source = self._extend(partial(read, channel=i), span)
            hold = keep.shared if span[1] and size <= keep.room else None
            averager = Averager(source, self.layout, keep.known, hold=hold)
            train = TemplateTrain(self.layout)
            for number, templates in zip(groups, needed, strict=True):
                for k in templates:
                    if k not in train.templates:
                        train.templates[k] = keep.array(k, partial(self._average, averager, k))
                low, noise = train.render(number)
                row[low - start : low - start + len(noise)] -= noise
        return out

    def _find_span(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Return the range of samples that some templates are averaged from; empty if too long."""
        places = [self.layout.locations[k][0] for k in numbers]
        places = [p for p in places if len(p)]
        if not places:
            return 0, 0
        first = min(int(p.min()) for p in places)
        end = max(find_end(p, self.layout.form.n_columns) for p in places)
        low = max(0, find_group(first) - REACH)
        high = count_known(end, self.n_times)
        return (low, high) if high - low <= _VALUES else (0, 0)

    def _extend(self, read: Callable[[int, int], np.ndarray], span: tuple[int, int]) -> ReadSamples:
        """Return what reads one channel, extended beyond its ends by odd reflection.

        The samples of `span` are read at once: a file may have to be read as a whole for each read.
        """
        n, known = self.n_times, np.empty(0)

        def find(start: int, stop: int) -> np.ndarray:
            nonlocal known
            low = max(0, min(start, 2 * n - stop - 2))
            high = min(n, max(stop, 2 - start))
            if start >= 0 and stop <= n:
                low, high = start, stop
            if span[0] <= low and high <= span[1]:
                known = known if len(known) else read(*span)[0]
                x = known[low - span[0] : high - span[0]]
            else:
                x = read(low, high)[0]
            return segment(x, start - low, stop - low, repeat=True)

        return find

    def _list_needed(self, number: int) -> range:
        """Return the templates that a group needs, with all up to an end of the signal."""
        layout, n_all = self.layout, len(self.layout.pools[0])
        if self.n_times <= 2 * REACH:
            return range(n_all)
        seen = [numbers for *_, numbers in layout.list_parts(number)]
        first = min((int(numbers[0]) for numbers in seen), default=n_all)
        last = max((int(numbers[-1]) for numbers in seen), default=-1)
        if number == 0:
            first = 0
        if meets_end(layout, number):
            last = n_all - 1
        return range(first, last + 1)

    def _average(self, averager: Averager, number: int) -> np.ndarray:
        """Return a template; a pool without epochs uses that of the pool before."""
        number = find_filled(self.layout.pools[0], number)
        template = np.zeros(self.layout.form.n_columns)
        if number >= 0:
            averager.average(number, template)
        return template
