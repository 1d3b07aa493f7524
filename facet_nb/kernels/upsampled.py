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
from facet_nb.kernels.averaging import Pool, choose_epochs, choose_greedily, is_complete, list_pools
from facet_nb.kernels.averaging import take_epochs
from facet_nb.kernels.doubled import HALF, Form
from facet_nb.kernels.edges import segment

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
    templates = _average(x, y, layout) - _mean(y, layout)
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
def take_columns(y: np.ndarray, starts: np.ndarray, form: Form) -> np.ndarray:
    """Return the columns of epochs that begin at `starts`, shape (n_epochs, n_columns)."""
    columns = np.empty((len(starts), form.n_columns))
    n = form.n_columns + 2 * HALF - 1
    for row, whole, part in zip(columns, *form.locate(starts), strict=True):
        first = _PAD - HALF + int(whole)
        if part:
            piece = y[first - HALF + 1 : first - HALF + 1 + n]
            row[...] = np.convolve(piece, form.taps(int(part))[::-1], "valid")
        else:
            row[...] = y[first : first + form.n_columns]
    return columns


def _average(x: np.ndarray, y: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the columns of all templates, shape (n_templates, n_columns)."""
    form, (pools, _) = layout.form, layout.pools
    sums = doubled.find_sums(form)
    templates = np.zeros((len(pools), form.n_columns))
    for number, pool in enumerate(pools):
        if pool is None:
            templates[number] = templates[number - 1] if number else 0.0
            continue
        columns = take_columns(y, layout.starts[pool.epochs], form)
        order = pool.order
        gram = sums.gram(columns)[np.ix_(order, order)]
        chosen, margin = choose(gram, len(pool.seed), layout.threshold)
        if margin < MARGIN:
            chosen = _choose_at_high_rate(x, layout, pool)
        else:
            chosen = order[chosen]
        templates[number] = columns[chosen].mean(axis=0)
    return templates


def choose(gram: np.ndarray, n_seed: int, threshold: float) -> tuple[np.ndarray, float]:
    """Return which epochs :func:`choose_greedily` chooses, and how near another choice is.

    That is the least difference of a correlation from the threshold: other thresholds within it
    choose the same epochs.
    """
    chosen = choose_greedily(gram, n_seed, threshold)
    if len(chosen) == n_seed == len(gram):
        return chosen, np.inf
    low = choose_greedily(gram, n_seed, threshold - MARGIN)
    high = choose_greedily(gram, n_seed, threshold + MARGIN)
    same = np.array_equal(chosen, low) and np.array_equal(chosen, high)
    return chosen, np.inf if same else 0.0


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
    n = len(train)
    places, parts = form.locate(layout.aligned)
    pieces: dict[tuple[int, int], np.ndarray] = {}
    for place, part, number in zip(places.tolist(), parts.tolist(), which.tolist(), strict=True):
        piece = doubled.find_piece(form, part)
        key = number, part
        if key not in pieces:
            if len(pieces) > 4 * layout.factor:
                pieces.clear()
            pieces[key] = piece.make(templates[number])
        first = place + piece.first
        low, high = max(first, 0), min(first + piece.n_samples, n)
        if low < high:
            train[low:high] += pieces[key][low - first : high - first]
    _border(train[: HALF + 1], templates, layout, 0, 1)
    last = (layout.n_times - 1) * layout.factor
    _border(train[n - 2 - HALF : n - 1][::-1], templates, layout, last, -1)


def _border(
    train: np.ndarray, templates: np.ndarray, layout: Layout, end: int, step: int
) -> None:
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
