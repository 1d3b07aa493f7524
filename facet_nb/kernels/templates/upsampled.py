"""Averaged artifact subtraction between upsampling and downsampling, without the high rate.

What ``upsample``, :func:`~facet_nb.kernels.templates.averaging.average_blocks`,
``subtract_templates`` and
``downsample`` give one after the other, from a signal of twice the native rate: the same epochs,
at the same positions between samples, are chosen and averaged, and the train of templates goes
through the same anti-alias filter, with all that its borders, overlaps and gaps leave
(:mod:`facet_nb.kernels.resampling.double_rate_grid` says how). Up and down is the identity, so the
train alone has to
be filtered.

All functions take one channel: its result does not depend on others.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling import double_rate_grid, windowed_sinc
from facet_nb.kernels.resampling.double_rate_signal import Doubled, Look
from facet_nb.kernels.resampling.resampled_mean import Level, find_level
from facet_nb.kernels.templates.averaging import (
    Pool,
    choose_epochs,
    choose_greedily,
    running_correlation,
    take_epochs,
)
from facet_nb.kernels.templates.template_train import MARGIN, Layout, Train


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
    train = Train(layout)
    train.templates = dict(enumerate(templates))
    for number in range(len(layout.groups)):
        low, noise = train.lay(number)
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
        Their columns (:class:`facet_nb.kernels.resampling.double_rate_grid.Form`), in V.
    chosen : list of ndarray of int
        The epochs of each, by their places in its pool, in the order of choice.
    """
    averager = Averager(partial(segment, x, repeat=True), layout, find_level(x, layout.factor))
    templates = np.zeros((len(layout.pools[0]), layout.form.n_columns))
    chosen = [averager.average(number, template) for number, template in enumerate(templates)]
    return templates, chosen


class Averager:
    """Templates of one channel, one after the other.

    Parameters
    ----------
    look : callable
        ``look(start, stop)`` returns samples of the signal, in V, continued past its ends.
    layout : Layout
        Where artifacts are.
    level : Level
        The signal's means.
    window : ndarray | None
        Room for doubled samples (:class:`facet_nb.kernels.resampling.double_rate_signal.Doubled`).
    space : ndarray, shape (layout.n_most, form.n_columns) | None
        Room for the epochs of a pool.
    """

    def __init__(
        self,
        look: Look,
        layout: Layout,
        level: Level,
        window: np.ndarray | None = None,
        space: np.ndarray | None = None,
    ) -> None:
        self.look, self.layout, self.level = look, layout, level
        form, n_times = layout.form, layout.n_times
        self.source = Doubled(look, n_times, form, level.centre, layout.span, window)
        self.sums = double_rate_grid.find_sums(form)
        self.space = np.empty((layout.n_most, form.n_columns)) if space is None else space
        self.before = np.zeros(form.n_columns)

    def average(self, number: int, out: np.ndarray) -> np.ndarray:
        """Fill `out` with the next template, shape (n_columns,); return its epochs.

        A pool without epochs uses the template before.
        """
        pool, visit = self.layout.pools[0][number], self.layout.visits[number]
        if pool is None:
            out[...] = self.before
            return np.arange(0)
        columns = self.source.take(*visit, self.space[: len(pool.epochs)])
        chosen = self._choose(self.sums.gram(columns), pool)
        if not (pool.is_whole and len(chosen) == len(pool.epochs)):
            places, parts = (v[chosen] for v in visit)
            columns = self.source.take(places, parts, self.space[: len(places)])
        columns.mean(axis=0, out=out)
        out -= self.level.shift
        self.before = out.copy()
        return chosen

    def _choose(self, gram: np.ndarray, pool: Pool) -> np.ndarray:
        """Return which epochs of a pool make its template, in the order of choice."""
        threshold, n_seed = self.layout.threshold, len(pool.seed)
        if pool.is_whole and np.all(running_correlation(gram)[n_seed:] > threshold + MARGIN):
            return pool.order
        order = pool.order
        picked = choose(gram[np.ix_(order, order)], n_seed, threshold)
        return (
            _choose_at_high_rate(self.look, self.layout, pool) if picked is None else order[picked]
        )


def choose(gram: np.ndarray, n_seed: int, threshold: float) -> np.ndarray | None:
    """Return which epochs :func:`choose_greedily` chooses; None if it is a matter of rounding."""
    chosen = choose_greedily(gram, n_seed, threshold)
    for near in (threshold - MARGIN, threshold + MARGIN):
        if not np.array_equal(choose_greedily(gram, n_seed, near), chosen):
            return None
    return chosen


def _choose_at_high_rate(look: Look, layout: Layout, pool: Pool) -> np.ndarray:
    """Return the epochs that are chosen from samples at the high rate."""
    low, high = find_reach(layout, pool)
    upsampled = windowed_sinc.upsample(look(low, high)[np.newaxis], layout.factor)[0]
    starts = layout.starts[pool.epochs] - low * layout.factor
    epochs = take_epochs(upsampled, starts, layout.n_samples)
    return choose_epochs(epochs, pool.seed, pool.candidates, layout.threshold)


def find_reach(layout: Layout, pool: Pool) -> tuple[int, int]:
    """Return the native samples that tell a pool's epochs at the high rate: first, after last."""
    factor, starts = layout.factor, layout.starts[pool.epochs]
    reach = windowed_sinc.HALF_WIDTH
    low = int(starts.min()) // factor
    high = -(-(int(starts.max()) + layout.n_samples) // factor)
    return low - reach, high + reach
