"""Averaged artifact subtraction between upsampling and downsampling, without the high rate.

What ``upsample``, :func:`~facet_nb.kernels.averaging.average_blocks`, ``subtract_templates`` and
``downsample`` give one after the other, from a signal of twice the native rate: the same epochs,
at the same positions between samples, are chosen and averaged, and the train of templates goes
through the same anti-alias filter, with all that its borders, overlaps and gaps leave
(:mod:`facet_nb.kernels.doubled` says how). Up and down is the identity, so the train alone has to
be filtered.

All functions take one channel: its result does not depend on others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from facet_nb.kernels import doubled, resampling
from facet_nb.kernels.averaging import (
    Pool,
    choose_epochs,
    choose_greedily,
    is_complete,
    list_pools,
    running_correlation,
    take_epochs,
)
from facet_nb.kernels.doubled import HALF, Form, Piece
from facet_nb.kernels.doubling import GROUP, REACH, Doubled, add_rows, halve, move_rows, take_parts
from facet_nb.kernels.edges import segment

#: Where a correlation is nearer than this to the threshold, epochs are chosen at the high rate.
MARGIN = 1e-6


@dataclass(frozen=True)
class Layout:
    """Where artifacts are at the high rate; the same for all channels.

    Attributes
    ----------
    factor : int
        High rate over native rate: 2 or more.
    n_times : int
        Length of the signal, in native samples.
    n_samples : int
        Length of an artifact, in samples of the high rate.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch that templates are made from, at the high rate.
    aligned : ndarray of int, shape (n_epochs,)
        First sample of each artifact, where its template is subtracted, at the high rate.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean that an epoch must exceed to take part.
    shift : int
        Candidates of a block begin this many epochs after it does.
    """

    factor: int
    n_times: int
    n_samples: int
    starts: np.ndarray
    aligned: np.ndarray
    window: int
    threshold: float
    shift: int = 0

    @property
    def form(self) -> Form:
        """What doubled samples say of an epoch."""
        return Form(self.factor, self.n_samples)

    @cached_property
    def pools(self) -> tuple[list[Pool | None], np.ndarray]:
        """The epochs for each template, and the template of each epoch."""
        usable = is_complete(self.starts, self.n_samples, self.n_times * self.factor)
        return list_pools(usable, self.window, self.shift)

    @cached_property
    def visits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Where the epochs of each pool begin on the doubled grid."""
        empty = np.zeros(0, dtype=np.int64)
        at = [empty if p is None else self.starts[p.epochs] for p in self.pools[0]]
        return [self.form.locate(starts) for starts in at]

    @cached_property
    def span(self) -> int:
        """Samples on the doubled grid that the epochs of a pool reach over, at most."""
        longest = max((int(np.ptp(places)) for places, _ in self.visits if len(places)), default=0)
        return longest + self.form.n_columns + 2 * HALF

    @cached_property
    def groups(self) -> list[list[tuple[Piece, np.ndarray, np.ndarray, np.ndarray]]]:
        """What is laid into each group: a piece, and places, rows and templates for it."""
        places, parts = self.form.locate(self.aligned)
        which = self.pools[1]
        groups: list[list] = []
        for low in range(0, self.n_times, GROUP):
            begin, end = 2 * (low - REACH), 2 * (min(low + GROUP, self.n_times) + REACH)
            groups.append([])
            for part in np.unique(parts).tolist():
                piece = doubled.find_piece(self.form, part)
                first = places + piece.first
                touched = (parts == part) & (first < end) & (first + piece.n_samples > begin)
                if touched.any():
                    numbers, rows = np.unique(which[touched], return_inverse=True)
                    groups[-1].append((piece, first[touched] - begin, rows, numbers))
        return groups

    def __getstate__(self) -> dict:
        names = [f.name for f in fields(self)]
        return {name: getattr(self, name) for name in names}


def correct(x: np.ndarray, layout: Layout, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal at the native rate, in V.
    layout : Layout
        Where artifacts are.
    out : ndarray, shape (n_times,) | None
        Where to put the result; may be `x`.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V: within 2e-8 of the artifact's peak of what the way over the high
        rate gives. The same epochs are chosen: where their correlation is so near the threshold
        that rounding could decide otherwise, they are compared at the high rate.

    Notes
    -----
    Allen, Josephs & Turner (2000), A method for removing imaging artifact from continuous EEG
    recorded during functional MRI. NeuroImage 12, 230-239. doi:10.1006/nimg.2000.0599
    """
    out = np.empty_like(x) if out is None else out
    templates, _ = average(x, layout)
    for low, noise in _lay(templates, layout):
        here = slice(low, low + len(noise))
        np.subtract(x[here], noise, out=out[here])
    return out


# ------------------------------------------------------------------------------------- templates
def average(x: np.ndarray, layout: Layout) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the templates, relative to the signal's mean at the high rate, and their epochs.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal at the native rate, in V.
    layout : Layout
        Where artifacts are.

    Returns
    -------
    templates : ndarray, shape (n_templates, n_columns)
        Their columns (:class:`facet_nb.kernels.doubled.Form`), in V.
    chosen : list of ndarray of int
        The epochs of each, by their places in its pool, in the order of choice.
    """
    form, (pools, _) = layout.form, layout.pools
    source = Doubled(x, form, float(x.mean()), layout.span)
    sums = doubled.find_sums(form)
    templates = np.zeros((len(pools), form.n_columns))
    space = np.empty((max((len(p.epochs) for p in pools if p), default=0), form.n_columns))
    grams = []
    for pool, visit, template in zip(pools, layout.visits, templates, strict=True):
        if pool is None:
            grams.append(np.zeros((0, 0)))
            continue
        columns = source.take(*visit, space[: len(pool.epochs)])
        grams.append(sums.gram(columns))
        if pool.is_whole:
            columns.mean(axis=0, out=template)
    chosen = _choose_all(x, grams, layout)
    for number, pool in enumerate(pools):
        if pool is not None and not (pool.is_whole and len(chosen[number]) == len(pool.epochs)):
            places, parts = (v[chosen[number]] for v in layout.visits[number])
            source.take(places, parts, space[: len(places)]).mean(axis=0, out=templates[number])
    mean = source.find_mean()
    for number, pool in enumerate(pools):
        if pool is not None:
            templates[number] -= mean
        elif number:
            templates[number] = templates[number - 1]
    return templates, chosen


def _choose_all(x: np.ndarray, grams: list[np.ndarray], layout: Layout) -> list[np.ndarray]:
    """Return which epochs of each pool make its template, in the order of choice."""
    pools, threshold = layout.pools[0], layout.threshold
    all_alike = _find_alike(grams, layout)
    chosen = []
    for pool, gram, alike in zip(pools, grams, all_alike, strict=True):
        if pool is None or alike:
            chosen.append(np.arange(0) if pool is None else pool.order)
            continue
        order = pool.order
        picked = choose(gram[np.ix_(order, order)], len(pool.seed), threshold)
        chosen.append(_choose_at_high_rate(x, layout, pool) if picked is None else order[picked])
    return chosen


def _find_alike(grams: list[np.ndarray], layout: Layout) -> np.ndarray:
    """Return the pools whose epochs are all chosen, beyond doubt: bool, shape (n_pools,)."""
    alike = np.zeros(len(grams), dtype=bool)
    sizes: dict[tuple[int, int], list[int]] = {}
    for number, pool in enumerate(layout.pools[0]):
        if pool is not None and pool.is_whole:
            sizes.setdefault((len(pool.epochs), len(pool.seed)), []).append(number)
    for (_, n_seed), numbers in sizes.items():
        r = running_correlation(np.stack([grams[i] for i in numbers]))[:, n_seed:]
        alike[numbers] = np.all(r > layout.threshold + MARGIN, axis=1)
    return alike


def choose(gram: np.ndarray, n_seed: int, threshold: float) -> np.ndarray | None:
    """Return which epochs :func:`choose_greedily` chooses; None if it is a matter of rounding."""
    chosen = choose_greedily(gram, n_seed, threshold)
    for near in (threshold - MARGIN, threshold + MARGIN):
        if not np.array_equal(choose_greedily(gram, n_seed, near), chosen):
            return None
    return chosen


def _choose_at_high_rate(x: np.ndarray, layout: Layout, pool: Pool) -> np.ndarray:
    """Return the epochs that are chosen from samples at the high rate."""
    factor, starts = layout.factor, layout.starts[pool.epochs]
    reach = resampling.HALF_WIDTH
    low = int(starts.min()) // factor
    high = -(-(int(starts.max()) + layout.n_samples) // factor)
    near = segment(x, low - reach, high + reach, repeat=True)
    upsampled = resampling.upsample(near[np.newaxis], factor)[0]
    epochs = take_epochs(upsampled, starts - (low - reach) * factor, layout.n_samples)
    return choose_epochs(epochs, pool.seed, pool.candidates, layout.threshold)


# ------------------------------------------------------------------------------------- the train
def _lay(templates: np.ndarray, layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
    """Yield what the train of templates is at the native rate: first sample, and samples."""
    n = layout.n_times
    ends = [_find_border(templates, layout, *end) for end in ((0, 1), (n - 1, -1))]
    for number, pieces in enumerate(layout.groups):
        low = number * GROUP
        size = min(GROUP, n - low)
        even, odd = take_parts(size)
        for piece, places, rows, numbers in pieces:
            cut = cut_out(piece, templates[numbers[0] : numbers[-1] + 1])
            add_rows(even, odd, places, numbers[rows] - numbers[0], cut)
        if n <= 2 * REACH:
            yield low, _halve_short(even, odd, ends, n)
            return
        if low == 0:
            _reflect(even[REACH::-1], odd[REACH - 1 :: -1], even[REACH:], odd[REACH:], ends[0])
        last = n - 1 - low + REACH
        if last < size + 2 * REACH + HALF:
            _reflect(even[last:], odd[last:], even[last::-1], odd[last - 1 :: -1], ends[1])
        yield low, halve(even, odd, size)


def _reflect(
    even_out: np.ndarray,
    odd_out: np.ndarray,
    even_in: np.ndarray,
    odd_in: np.ndarray,
    border: np.ndarray,
) -> None:
    """Fill the border of a signal in two parts, and what is beyond it: its odd reflection.

    All arrays begin at the end of the signal and go away from it.
    """
    known = even_in[: HALF // 2 + 1], odd_in[: HALF // 2]
    known[0][...] = border[0::2][: len(known[0])]
    known[1][...] = border[1::2][: len(known[1])]
    n = min(len(even_out), len(even_in), REACH)
    even_out[1:n] = 2 * border[0] - even_in[1:n]
    n = min(len(odd_out), len(odd_in), REACH)
    odd_out[:n] = 2 * border[0] - odd_in[:n]


def _halve_short(even: np.ndarray, odd: np.ndarray, ends: list[np.ndarray], n: int) -> np.ndarray:
    """Return what a train is at the native rate that is shorter than the filter's reach."""
    train = np.zeros(2 * n)
    train[::2], train[1::2] = even[REACH : REACH + n], odd[REACH : REACH + n]
    train[: HALF + 1] = ends[0]
    train[2 * n - 2 - HALF : 2 * n - 1] = ends[1][::-1]
    return resampling.downsample(train[np.newaxis], 2)[0]


def cut_out(piece: Piece, templates: np.ndarray) -> np.ndarray:
    """Return what templates that are cut out look like on the doubled grid, a row for each."""
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
        move_rows(templates.ravel(), places, whole, piece.taps[np.newaxis], inner)
    return rows


def _find_border(templates: np.ndarray, layout: Layout, end: int, step: int) -> np.ndarray:
    """Return the train's doubled samples from an end of the signal on, where it is reflected.

    Parameters
    ----------
    end : int
        First or last native sample.
    step : int
        1 from the first, -1 from the last.
    """
    form, which = layout.form, layout.pools[1]
    weights = doubled.find_border(layout.factor)
    near = end * layout.factor + step * np.arange(weights.shape[1])
    samples = np.zeros(len(near))
    touched = (layout.aligned <= near.max()) & (layout.aligned + layout.n_samples > near.min())
    for i in np.flatnonzero(touched):
        inside = (near >= layout.aligned[i]) & (near < layout.aligned[i] + layout.n_samples)
        samples[inside] += form.evaluate(templates[which[i]], near[inside] - layout.aligned[i])
    return weights @ samples
