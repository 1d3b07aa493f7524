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

from dataclasses import dataclass
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
from facet_nb.kernels.edges import segment
from facet_nb.kernels.rows import find_compiled

#: Samples of the doubled rate beyond each end of the signal that interpolation may need.
_PAD = 2 * HALF + 2

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

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "pools"}


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
    centre = float(x.mean())
    y = double(x, centre)
    templates, chosen = _average(x, y, layout)
    first = next((i for i, which in enumerate(chosen) if len(which)), len(chosen))
    templates[first:] -= _mean(y, layout)  # blocks before the first whole epoch keep their zeros
    train = np.zeros(2 * layout.n_times)
    _lay(train, templates, layout)
    noise = resampling.downsample(train[np.newaxis], 2)[0]
    return np.subtract(x, noise, out=out)


def double(x: np.ndarray, centre: float = 0.0) -> np.ndarray:
    """Return the signal less `centre` at twice its rate, with _PAD samples beyond each end."""
    n = 2 * len(x)
    y = np.empty(n + 2 * _PAD)
    inside = y[_PAD : _PAD + n]
    resampling.upsample((x - centre)[np.newaxis], 2, out=inside[np.newaxis])
    signal = inside[: n - 1]  # it is reflected about its first and last native sample
    y[:_PAD] = segment(signal, -_PAD, 0, repeat=True)
    y[_PAD + n - 1 :] = segment(signal, n - 1, n + _PAD, repeat=True)
    return y


def _mean(y: np.ndarray, layout: Layout) -> float:
    """Return the mean of the signal at the high rate."""
    whole = Form(layout.factor, layout.n_times * layout.factor)
    sums = doubled.find_sums(whole)
    columns = y[_PAD - HALF :][: whole.n_columns]
    return float(sums.add(columns[np.newaxis])[0]) / whole.n_samples


# ------------------------------------------------------------------------------------- templates
def take_columns(
    y: np.ndarray, starts: np.ndarray, form: Form, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the columns of epochs that begin at `starts`, shape (n_epochs, n_columns)."""
    out = np.empty((len(starts), form.n_columns)) if out is None else out
    places, parts = form.locate(starts)
    move_rows(y, places + (_PAD - 2 * HALF + 1), parts, form.phases, out)
    return out


def move_rows(
    x: np.ndarray, places: np.ndarray, parts: np.ndarray, taps: np.ndarray, out: np.ndarray
) -> None:
    """Fill each row of `out` with a piece of `x`, filtered; see :mod:`facet_nb.kernels.moves`."""
    compiled = find_compiled("moves", "move_rows")
    if compiled is not None:
        compiled(x, places, parts, taps, out)
        return
    n = out.shape[1] + taps.shape[1] - 1
    for row, place, part in zip(out, places.tolist(), parts.tolist(), strict=True):
        row[...] = np.convolve(x[place : place + n], taps[part, ::-1], "valid")


def add_rows(target: np.ndarray, places: np.ndarray, which: np.ndarray, rows: np.ndarray) -> None:
    """Add rows to `target`; see :mod:`facet_nb.kernels.moves`."""
    compiled = find_compiled("moves", "add_rows")
    if compiled is not None:
        compiled(target, places, which, rows)
        return
    n, n_samples = len(target), rows.shape[1]
    for place, number in zip(places.tolist(), which.tolist(), strict=True):
        low, high = max(0, -place), min(n_samples, n - place)
        if low < high:
            target[place + low : place + high] += rows[number, low:high]


def _average(x: np.ndarray, y: np.ndarray, layout: Layout) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the columns of all templates, shape (n_templates, n_columns), and their epochs."""
    form, (pools, _) = layout.form, layout.pools
    sums = doubled.find_sums(form)
    templates = np.zeros((len(pools), form.n_columns))
    space = np.empty((max((len(p.epochs) for p in pools if p), default=0), form.n_columns))
    grams = []
    for number, pool in enumerate(pools):
        if pool is None:
            grams.append(np.zeros((0, 0)))
            continue
        columns = take_columns(y, layout.starts[pool.epochs], form, space[: len(pool.epochs)])
        grams.append(sums.gram(columns))
        if pool.is_whole:
            columns.mean(axis=0, out=templates[number])
    chosen = _choose_all(x, grams, layout)
    for number, pool in enumerate(pools):
        if pool is None:
            templates[number] = templates[number - 1] if number else 0.0
        elif not (pool.is_whole and len(chosen[number]) == len(pool.epochs)):
            starts = layout.starts[pool.epochs[chosen[number]]]
            columns = take_columns(y, starts, form, space[: len(starts)])
            columns.mean(axis=0, out=templates[number])
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
def _lay(train: np.ndarray, templates: np.ndarray, layout: Layout) -> None:
    """Add the templates to `train`, on the doubled grid, at all artifacts."""
    form, which = layout.form, layout.pools[1]
    places, parts = form.locate(layout.aligned)
    for part in np.unique(parts):
        here = np.flatnonzero(parts == part)
        numbers, rows = np.unique(which[here], return_inverse=True)
        piece = doubled.find_piece(form, int(part))
        cut = cut_out(piece, templates if len(numbers) == len(templates) else templates[numbers])
        add_rows(train, places[here] + piece.first, rows, cut)
    _border(train[: HALF + 1], templates, layout, 0, 1)
    last, n = (layout.n_times - 1) * layout.factor, len(train)
    _border(train[n - 2 - HALF : n - 1][::-1], templates, layout, last, -1)


def cut_out(piece: Piece, templates: np.ndarray) -> np.ndarray:
    """Return what templates that are cut out look like on the doubled grid, a row for each."""
    rows = np.empty((len(templates), piece.n_samples))
    n_head, n_tail = len(piece.head), len(piece.tail)
    np.matmul(templates[:, : piece.head.shape[1]], piece.head.T, out=rows[:, :n_head])
    if n_tail:
        tail = templates[:, templates.shape[1] - piece.tail.shape[1] :]
        np.matmul(tail, piece.tail.T, out=rows[:, n_head + piece.n_inner :])
    if piece.n_inner:
        inner = np.empty((len(templates), piece.n_inner))
        places = piece.begin + templates.shape[1] * np.arange(len(templates))
        whole = np.zeros(len(templates), dtype=np.int64)
        move_rows(templates.ravel(), places, whole, piece.taps[np.newaxis], inner)
        rows[:, n_head : n_head + piece.n_inner] = inner
    return rows


def _border(train: np.ndarray, templates: np.ndarray, layout: Layout, end: int, step: int) -> None:
    """Fill the doubled samples next to an end of the signal, where the train is reflected."""
    form, which = layout.form, layout.pools[1]
    weights = doubled.find_border(layout.factor)
    near = end + step * np.arange(weights.shape[1])
    samples = np.zeros(len(near))
    touched = (layout.aligned <= near.max()) & (layout.aligned + layout.n_samples > near.min())
    for i in np.flatnonzero(touched):
        inside = (near >= layout.aligned[i]) & (near < layout.aligned[i] + layout.n_samples)
        samples[inside] += form.evaluate(templates[which[i]], near[inside] - layout.aligned[i])
    train[...] = weights @ samples
