"""Trains of templates: cut out at a high rate, rendered at the native rate, group by group."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from facet_nb.kernels.resampling import double_rate_grid, windowed_sinc
from facet_nb.kernels.resampling.double_rate_grid import HALF, EpochSampling, Form
from facet_nb.kernels.resampling.double_rate_signal import (
    GROUP,
    REACH,
    add_rows,
    delay_rows,
    halve_rate,
    take_parts,
)
from facet_nb.kernels.templates.averaging import (
    Pool,
    is_complete,
    list_pools,
)
from facet_nb.kernels.templates.late_alignment import LateAlignment, take_aligned

#: A sampling, and positions, rows and templates for it.
Part = tuple[EpochSampling, np.ndarray, np.ndarray, np.ndarray]

#: Native samples beyond an epoch that its samplings may reach.
_BEYOND = 2 * HALF

#: If a correlation is closer than this to the threshold, epochs are chosen at the high rate.
MARGIN = 1e-6


@dataclass(frozen=True)
class TrainLayout:
    """Positions of artifacts at the high rate; the same for all channels.

    Attributes
    ----------
    factor : int
        High rate over native rate: 2 or more.
    n_times : int
        Length of the signal, in native samples.
    n_samples : int
        Length of an artifact, in samples of the high rate.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch from which templates are averaged, at the high rate.
    aligned : ndarray of int, shape (n_epochs,) | LateAlignment
        First sample of each artifact, from which its template is subtracted, at the high rate.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    shift : int
        Offset of the candidate epochs relative to their block, in epochs.
    """

    factor: int
    n_times: int
    n_samples: int
    starts: np.ndarray
    aligned: np.ndarray | LateAlignment
    window: int
    threshold: float
    shift: int = 0

    @property
    def form(self) -> Form:
        """Representation of an epoch by double-rate samples."""
        return Form(self.factor, self.n_samples)

    @cached_property
    def pools(self) -> tuple[list[Pool | None], np.ndarray]:
        """The epochs of each template, and the template of each epoch."""
        if isinstance(self.aligned, LateAlignment):
            return self.aligned.pools
        usable = is_complete(self.starts, self.n_samples, self.n_times * self.factor)
        return list_pools(usable, self.window, self.shift)

    @cached_property
    def locations(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions of the epochs of each pool on the double-rate grid."""
        empty = np.zeros(0, dtype=np.int64)
        places, parts = self.form.locate(self.starts)
        epochs = [empty if p is None else p.epochs for p in self.pools[0]]
        return [(places[e], parts[e]) for e in epochs]

    @cached_property
    def span(self) -> int:
        """Largest range of the epochs of a pool, in double-rate samples."""
        places = [places for places, _ in self.locations if len(places)]
        if np.all(np.diff(self.starts) >= 0):  # the slices of an hour have thousands of pools
            longest = max((int(p[-1]) - int(p[0]) for p in places), default=0)
        else:
            longest = max((int(np.ptp(p)) for p in places), default=0)
        return longest + self.form.n_columns + 2 * HALF

    @cached_property
    def max_pool_size(self) -> int:
        """Largest number of epochs of a pool."""
        return max((len(pool.epochs) for pool in self.pools[0] if pool), default=0)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return -(-self.n_times // GROUP)

    @cached_property
    def _groups(self) -> dict[int, list[Part]]:
        return {}

    def list_parts(self, number: int) -> list[Part]:
        """Return the parts of a group: a sampling, and positions, rows and templates for it."""
        if number not in self._groups:
            self._groups[number] = self._make_group(number * GROUP)
        return self._groups[number]

    def _make_group(self, low: int) -> list[Part]:
        begin, end = 2 * (low - REACH), 2 * (min(low + GROUP, self.n_times) + REACH)
        # Samplings begin and end a few double-rate samples beyond the epochs.
        near = self.factor * (begin // 2 - _BEYOND), self.factor * (end // 2 + _BEYOND)
        epochs, starts = take_aligned(self.aligned, self.n_samples, *near)
        places, parts = self.form.locate(starts)
        which, group = self.pools[1][epochs], []
        for part in np.unique(parts).tolist():
            piece = double_rate_grid.find_sampling(self.form, part)
            first = places + piece.first
            touched = (parts == part) & (first < end) & (first + piece.n_samples > begin)
            if touched.any():
                numbers, rows = np.unique(which[touched], return_inverse=True)
                group.append((piece, first[touched] - begin, rows, numbers))
        return group

    @cached_property
    def n_needed(self) -> list[int]:
        """Number of templates that must be known before each group can be rendered."""
        n_all = len(self.pools[0])
        groups = map(self.list_parts, range(self.n_groups))
        last = [max((int(numbers[-1]) for *_, numbers in g), default=-1) for g in groups]
        return [n_all if meets_end(self, i) else need + 1 for i, need in enumerate(last)]

    @cached_property
    def first_used(self) -> list[int]:
        """First template that each group or a later one needs; the last entry means none."""
        first = [len(self.pools[0])]
        for number in reversed(range(self.n_groups)):
            group = self.list_parts(number)
            first.append(min([int(numbers[0]) for *_, numbers in group] + first[-1:]))
        return first[::-1]

    def __getstate__(self) -> dict:
        names = [f.name for f in fields(self)]
        return {name: getattr(self, name) for name in names}


class TemplateTrain:
    """The templates of one channel at the positions of the artifacts.

    Parameters
    ----------
    layout : TrainLayout
        Positions of the artifacts.

    Attributes
    ----------
    templates : dict of int to ndarray, shape (n_columns,)
        Known templates, by number.
    """

    def __init__(self, layout: TrainLayout) -> None:
        self.layout = layout
        self.templates: dict[int, np.ndarray] = {}
        self._ends: dict[int, np.ndarray] = {}

    def render(self, number: int) -> tuple[int, np.ndarray]:
        """Return a group of the train at the native rate: its first sample, and its samples.

        The first ``layout.n_needed[number]`` templates must be known.
        """
        layout = self.layout
        n, low = layout.n_times, number * GROUP
        size = min(GROUP, n - low)
        even, odd = take_parts(size)
        first, templates = self._stack(number)
        for piece, places, rows, numbers in layout.list_parts(number):
            here = slice(int(numbers[0]) - first, int(numbers[-1]) - first + 1)
            cut = sample_templates(piece, templates[here])
            add_rows(even, odd, places, numbers[rows] - numbers[0], cut)
        if n <= 2 * REACH:
            return low, _halve_short(even, odd, [self._end(1), self._end(-1)], n)
        if low == 0:
            _reflect(even[REACH::-1], odd[REACH - 1 :: -1], even[REACH:], odd[REACH:], self._end(1))
        last = n - 1 - low + REACH
        if meets_end(layout, number):
            _reflect(even[last:], odd[last:], even[last::-1], odd[last - 1 :: -1], self._end(-1))
        return low, halve_rate(even, odd, size)

    def drop(self, number: int) -> None:
        """Drop templates that group `number` and later groups do not need."""
        first = self.layout.first_used[number]
        for known in [i for i in self.templates if i < first]:
            del self.templates[known]

    def _stack(self, number: int) -> tuple[int, np.ndarray]:
        """Return the templates of a group: the number of the first, and one row for each."""
        seen = [numbers for *_, numbers in self.layout.list_parts(number)]
        if not seen:
            return 0, np.zeros((0, 0))
        first, last = min(int(n[0]) for n in seen), max(int(n[-1]) for n in seen)
        return first, np.stack([self.templates[i] for i in range(first, last + 1)])

    def _end(self, step: int) -> np.ndarray:
        """Return the train's samples at the start (1) or the end (-1) of the signal."""
        if step not in self._ends:
            end = 0 if step > 0 else self.layout.n_times - 1
            self._ends[step] = _find_border(self.templates, self.layout, end, step)
        return self._ends[step]


def meets_end(layout: TrainLayout, number: int) -> bool:
    """Return whether a group needs samples of the reflection at the end of the signal."""
    low = number * GROUP
    size = min(GROUP, layout.n_times - low)
    return layout.n_times - 1 - low + REACH < size + 2 * REACH + HALF


def _reflect(
    even_out: np.ndarray,
    odd_out: np.ndarray,
    even_in: np.ndarray,
    odd_in: np.ndarray,
    border: np.ndarray,
) -> None:
    """Fill the border of a signal that is split into two parts, and its odd reflection beyond.

    All arrays start at the end of the signal; the outer ones lead away from it.
    """
    known = even_in[: HALF // 2 + 1], odd_in[: HALF // 2]
    known[0][...] = border[0::2][: len(known[0])]
    known[1][...] = border[1::2][: len(known[1])]
    n = min(len(even_out), len(even_in), REACH)
    even_out[1:n] = 2 * border[0] - even_in[1:n]
    n = min(len(odd_out), len(odd_in), REACH)
    odd_out[:n] = 2 * border[0] - odd_in[:n]


def _halve_short(even: np.ndarray, odd: np.ndarray, ends: list[np.ndarray], n: int) -> np.ndarray:
    """Return a train at the native rate, for signals shorter than the filter."""
    train = np.zeros(2 * n)
    train[::2], train[1::2] = even[REACH : REACH + n], odd[REACH : REACH + n]
    train[: HALF + 1] = ends[0]
    train[2 * n - 2 - HALF : 2 * n - 1] = ends[1][::-1]
    return windowed_sinc.downsample(train[np.newaxis], 2)[0]


def sample_templates(piece: EpochSampling, templates: np.ndarray) -> np.ndarray:
    """Return the double-rate samples of templates that are cut out, one row for each."""
    rows = np.empty((len(templates), piece.n_samples))
    n_head, n_tail = len(piece.head), len(piece.tail)
    np.matmul(templates[:, : piece.head.shape[1]], piece.head.T, out=rows[:, :n_head])
    if n_tail:
        tail = templates[:, templates.shape[1] - piece.tail.shape[1] :]
        np.matmul(tail, piece.tail.T, out=rows[:, n_head + piece.n_inner :])
    if piece.n_inner:
        inner = rows[:, n_head : n_head + piece.n_inner]
        places = piece.begin + templates.shape[1] * np.arange(len(templates))
        whole = np.zeros(len(templates), dtype=np.int64)
        delay_rows(templates.ravel(), places, whole, piece.taps[np.newaxis], inner)
    return rows


def _find_border(
    templates: dict[int, np.ndarray], layout: TrainLayout, end: int, step: int
) -> np.ndarray:
    """Return the train's first double-rate samples, counted from an end of the signal.

    Parameters
    ----------
    end : int
        First or last native sample.
    step : int
        1 from the first, -1 from the last.
    """
    form, which = layout.form, layout.pools[1]
    weights = double_rate_grid.find_border(layout.factor)
    near = end * layout.factor + step * np.arange(weights.shape[1])
    samples = np.zeros(len(near))
    reach = int(near.min()), int(near.max()) + 1
    for i, start in zip(*take_aligned(layout.aligned, layout.n_samples, *reach), strict=True):
        inside = (near >= start) & (near < start + layout.n_samples)
        samples[inside] += form.evaluate(templates[int(which[i])], near[inside] - start)
    return weights @ samples
