"""Averaged artifact subtraction between upsampling and downsampling, without the high rate.

The result equals that of ``upsample``, :func:`~.averaging.average_blocks`, ``subtract_templates``
and ``downsample`` in sequence, but the signal is upsampled to twice its native rate only
(:mod:`facet_nb.kernels.resampling.double_rate_grid`). The same epochs are chosen and averaged with
the same sub-sample alignment, and the train of templates passes the same anti-alias filter, with
its borders, overlaps and gaps. As upsampling followed by downsampling is the identity, only the
train has to be filtered.

All functions take one channel; its result does not depend on other channels.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling import double_rate_grid, windowed_sinc
from facet_nb.kernels.resampling.double_rate_signal import (
    DoubleRateSignal,
    KeepSamples,
    ReadSamples,
)
from facet_nb.kernels.resampling.resampled_mean import ResampledMean, find_resampled_mean
from facet_nb.kernels.templates.averaging import (
    Pool,
    choose_epochs,
    choose_greedily,
    running_correlation,
    take_epochs,
)
from facet_nb.kernels.templates.template_train import MARGIN, TemplateTrain, TrainLayout


def correct(x: np.ndarray, layout: TrainLayout, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal at the native rate, in V.
    layout : TrainLayout
        Positions of the artifacts.
    out : ndarray, shape (n_times,) | None
        Array for the result; may be `x`.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V. It differs from the result at the high rate by at most 2e-8 of the
        artifact's peak. The same epochs are chosen: if a correlation is so close to the threshold
        that rounding matters, it is computed at the high rate.

    Notes
    -----
    Allen, Josephs & Turner (2000), A method for removing imaging artifact from continuous EEG
    recorded during functional MRI. NeuroImage 12, 230-239. doi:10.1006/nimg.2000.0599
    """
    out = np.empty_like(x) if out is None else out
    templates, _ = average(x, layout)
    train = TemplateTrain(layout)
    train.templates = dict(enumerate(templates))
    for number in range(layout.n_groups):
        low, noise = train.render(number)
        here = slice(low, low + len(noise))
        np.subtract(x[here], noise, out=out[here])
    return out


# ------------------------------------------------------------------------------------- templates
def average(x: np.ndarray, layout: TrainLayout) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the templates, relative to the mean at the high rate, and their epochs.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal at the native rate, in V.
    layout : TrainLayout
        Positions of the artifacts.

    Returns
    -------
    templates : ndarray, shape (n_templates, n_columns)
        Columns of the templates (:class:`facet_nb.kernels.resampling.double_rate_grid.Form`), in V.
    chosen : list of ndarray of int
        Epochs of each template, as indices into its pool, in the order of choice.
    """
    averager = Averager(
        partial(segment, x, repeat=True), layout, find_resampled_mean(x, layout.factor)
    )
    templates = np.zeros((len(layout.pools[0]), layout.form.n_columns))
    chosen = [averager.average(number, template) for number, template in enumerate(templates)]
    return templates, chosen


class Averager:
    """Averages the templates of one channel, one after the other.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns samples of the signal, in V, extended beyond its ends.
    layout : TrainLayout
        Positions of the artifacts.
    level : ResampledMean
        Means of the signal.
    window : ndarray | None
        Memory for double-rate samples
        (:class:`facet_nb.kernels.resampling.double_rate_signal.DoubleRateSignal`).
    space : ndarray, shape (layout.max_pool_size, form.n_columns) | None
        Memory for the epochs of a pool.
    hold : callable | None
        Keeps double-rate samples.
    """

    def __init__(
        self,
        read: ReadSamples,
        layout: TrainLayout,
        level: ResampledMean,
        window: np.ndarray | None = None,
        space: np.ndarray | None = None,
        hold: KeepSamples | None = None,
    ) -> None:
        self.read, self.layout, self.level = read, layout, level
        form, n_times = layout.form, layout.n_times
        given = (level.centre, layout.span, window, hold)
        self.source = DoubleRateSignal(read, n_times, form, *given)
        self.sums = double_rate_grid.find_sums(form)
        self.space = np.empty((layout.max_pool_size, form.n_columns)) if space is None else space
        self.before = np.zeros(form.n_columns)

    def average(self, number: int, out: np.ndarray) -> np.ndarray:
        """Fill `out`, shape (n_columns,), with the next template; return its epochs.

        A pool without epochs uses the template of the pool before.
        """
        pool, location = self.layout.pools[0][number], self.layout.locations[number]
        if pool is None:
            out[...] = self.before
            return np.arange(0)
        chosen = self._sum_all(pool, location, out)
        if chosen is None:
            chosen = self._take_similar(pool, location, out)
        out -= self.level.shift
        self.before = out.copy()
        return chosen

    def _sum_all(
        self, pool: Pool, location: tuple[np.ndarray, np.ndarray], out: np.ndarray
    ) -> np.ndarray | None:
        """Average all epochs of a pool in one pass; return None if some are not similar."""
        if not pool.is_whole:
            return None
        alike = self.source.sum(*location, self.sums, out)
        if alike is None or not np.all(alike[len(pool.seed) :] > self.layout.threshold + MARGIN):
            return None
        out /= len(pool.epochs)
        return pool.order

    def _take_similar(
        self, pool: Pool, location: tuple[np.ndarray, np.ndarray], out: np.ndarray
    ) -> np.ndarray:
        """Average the epochs of a pool that are similar to those before them; return which."""
        columns = self.source.take(*location, self.space[: len(pool.epochs)])
        chosen = self._choose(self.sums.gram(columns), pool)
        # The mean is summed in the order of choice, as at the high rate.
        if not (pool.is_whole and len(chosen) == len(pool.epochs)):
            places, parts = (v[chosen] for v in location)
            columns = self.source.take(places, parts, self.space[: len(places)])
        columns.mean(axis=0, out=out)
        return chosen

    def _choose(self, gram: np.ndarray, pool: Pool) -> np.ndarray:
        """Return the epochs of a pool that enter its template, in the order of choice."""
        threshold, n_seed = self.layout.threshold, len(pool.seed)
        if pool.is_whole and np.all(running_correlation(gram)[n_seed:] > threshold + MARGIN):
            return pool.order
        order = pool.order
        picked = choose(gram[np.ix_(order, order)], n_seed, threshold)
        return (
            _choose_at_high_rate(self.read, self.layout, pool) if picked is None else order[picked]
        )


def choose(gram: np.ndarray, n_seed: int, threshold: float) -> np.ndarray | None:
    """Return the result of :func:`choose_greedily`, or None if it depends on rounding."""
    chosen = choose_greedily(gram, n_seed, threshold)
    for near in (threshold - MARGIN, threshold + MARGIN):
        if not np.array_equal(choose_greedily(gram, n_seed, near), chosen):
            return None
    return chosen


def _choose_at_high_rate(read: ReadSamples, layout: TrainLayout, pool: Pool) -> np.ndarray:
    """Return the epochs of a template, chosen from samples at the high rate."""
    low, high = find_reach(layout, pool)
    upsampled = windowed_sinc.upsample(read(low, high)[np.newaxis], layout.factor)[0]
    starts = layout.starts[pool.epochs] - low * layout.factor
    epochs = take_epochs(upsampled, starts, layout.n_samples)
    return choose_epochs(epochs, pool.seed, pool.candidates, layout.threshold)


def find_reach(layout: TrainLayout, pool: Pool) -> tuple[int, int]:
    """Return the range of native samples that determine the epochs of a pool at the high rate."""
    factor, starts = layout.factor, layout.starts[pool.epochs]
    reach = windowed_sinc.HALF_WIDTH
    low = int(starts.min()) // factor
    high = -(-(int(starts.max()) + layout.n_samples) // factor)
    return low - reach, high + reach
