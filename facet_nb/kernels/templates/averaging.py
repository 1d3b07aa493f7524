"""Averaged artifact subtraction: choice of the epochs of a template, and their average.

All functions take one channel, so that the result of a channel is the same in every mode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from facet_nb.kernels.means import find_mean

#: Number of epochs that enter a template regardless of their correlation (Allen et al. 2000).
N_SEED = 5


def take_epochs(x: np.ndarray, starts: np.ndarray, n_samples: int) -> np.ndarray:
    """Return epochs, shape (n_epochs, n_samples); samples outside of the signal are 0."""
    inside = len(starts) and starts.min() >= 0 and 0 < n_samples <= len(x) - starts.max()
    if inside and isinstance(x, np.ndarray):  # what is upsampled on demand stays so
        windows = np.lib.stride_tricks.sliding_window_view(x, n_samples)
        return np.asarray(windows[starts], dtype=float)
    epochs = np.empty((len(starts), n_samples))
    for epoch, start in zip(epochs, starts.tolist(), strict=True):
        low, high = max(start, 0), min(start + n_samples, len(x))
        if high - low == n_samples:
            epoch[...] = x[low:high]
            continue
        epoch[...] = 0.0
        if low < high:
            epoch[low - start : high - start] = x[low:high]
    return epochs


def is_complete(starts: np.ndarray, n_samples: int, n_times: int) -> np.ndarray:
    """Return which epochs lie within the signal, shape (n_epochs,), bool."""
    return (starts >= 0) & (starts + n_samples <= n_times)


def list_blocks(n_epochs: int, window: int) -> list[tuple[int, int]]:
    """Return (first, stop) of the blocks of epochs that share a template.

    A last block of fewer than five epochs is merged with the block before.
    """
    # The template of so few epochs would consist mostly of the epoch itself, EEG included.
    firsts = list(range(0, n_epochs, window))
    if len(firsts) > 1 and n_epochs - firsts[-1] < min(N_SEED, window):
        firsts.pop()
    return list(zip(firsts, [*firsts[1:], n_epochs], strict=True))


@dataclass(frozen=True)
class Pool:
    """The epochs from which the template of one block is averaged.

    Attributes
    ----------
    epochs : ndarray of int
        Indices among all epochs, ascending.
    seed : ndarray of int
        Indices in `epochs` of those that are always chosen.
    candidates : ndarray of int
        Indices in `epochs` of those that are tried, in this order.
    """

    epochs: np.ndarray
    seed: np.ndarray
    candidates: np.ndarray

    @cached_property
    def order(self) -> np.ndarray:
        """The seed, followed by the other candidates."""
        return _put_first(self.seed, self.candidates)

    @cached_property
    def is_whole(self) -> bool:
        """Whether all epochs are tried, in order of time."""
        return np.array_equal(self.order, np.arange(len(self.epochs)))


def list_pools(usable: np.ndarray, window: int, shift: int) -> tuple[list[Pool | None], np.ndarray]:
    """Return the epochs of the template of each block, and the block of each epoch.

    Parameters
    ----------
    usable : ndarray of bool, shape (n_epochs,)
        Epochs that lie within the signal.
    window : int
        Epochs in a block.
    shift : int
        Offset of the candidate epochs relative to their block, in epochs.

    Returns
    -------
    pools : list of Pool or None
        None for a block without usable epochs, which uses the template of the block before.
    which : ndarray of int, shape (n_epochs,)
        The block of each epoch.
    """
    n_epochs = len(usable)
    pools: list[Pool | None] = []
    which = np.zeros(n_epochs, dtype=np.int64)
    unusable = np.concatenate([[0], np.cumsum(~usable)]).tolist()  # before each epoch
    for number, (first, stop) in enumerate(list_blocks(n_epochs, window)):
        which[first:stop] = number
        low, high = max(0, min(first, first + shift)), min(max(stop, stop + shift), n_epochs)
        pool = np.arange(low, high)
        last = first + shift + max(window, stop - first)
        if unusable[low] == unusable[high]:
            # Nearly all blocks: the slices of an hour make thousands.
            seed = np.arange(max(first, low), min(first + N_SEED, high)) - low
            inside = np.arange(max(first + shift, low), min(last, high)) - low
        else:
            pool = pool[usable[pool]]
            seed = np.flatnonzero((pool >= first) & (pool < first + N_SEED))
            inside = np.flatnonzero((pool >= first + shift) & (pool < last))
        if not len(seed):
            seed = inside[:N_SEED]
        pools.append(Pool(pool, seed, inside) if len(seed) else None)
    return pools, which


def find_filled(pools: list[Pool | None], number: int) -> int:
    """Return the last pool up to `number` that has epochs, whose template it uses; -1 for none."""
    while number >= 0 and pools[number] is None:
        number -= 1
    return number


def _put_first(seed: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    seed, candidates = np.asarray(seed, dtype=np.int64), np.asarray(candidates, dtype=np.int64)
    first = np.zeros(1 + max(seed.max(initial=-1), candidates.max(initial=-1)), dtype=bool)
    first[seed] = True
    return np.concatenate([seed, candidates[~first[candidates]]])


def choose_epochs(
    epochs: np.ndarray, seed: np.ndarray, candidates: np.ndarray, threshold: float
) -> np.ndarray:
    """Return the epochs that are similar to the running mean of those chosen before them.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_samples)
        Epochs.
    seed : ndarray of int
        Epochs that are always chosen.
    candidates : ndarray of int
        Other epochs, in the order in which they are tried.
    threshold : float
        Pearson correlation with the running mean above which a candidate is chosen.

    Returns
    -------
    ndarray of int
        Chosen epochs, in the order of choice.

    Notes
    -----
    Correlations with a running mean follow from the inner products of the epochs, so that no pass
    over the samples is needed for each candidate.
    """
    order = _put_first(seed, candidates)
    gram = find_gram(epochs)[np.ix_(order, order)]
    return order[choose_greedily(gram, len(seed), threshold)]


def find_gram(epochs: np.ndarray) -> np.ndarray:
    """Return the inner products of epochs without their means, shape (n_epochs, n_epochs)."""
    means = epochs.mean(axis=1)
    gram: np.ndarray = epochs @ epochs.T - epochs.shape[1] * np.outer(means, means)
    return gram


def choose_greedily(gram: np.ndarray, n_seed: int, threshold: float) -> np.ndarray:
    """Return which epochs are similar to the running mean of those chosen before them.

    Parameters
    ----------
    gram : ndarray, shape (n_epochs, n_epochs)
        Inner products of the mean-free epochs.
    n_seed : int
        Number of leading epochs that are always chosen.
    threshold : float
        Pearson correlation above which the other epochs are chosen.

    Returns
    -------
    ndarray of int
        Chosen epochs, ascending.
    """
    own = np.diagonal(gram).tolist()
    total, power = np.zeros(len(gram)), 0.0  # inner products with the sum of the chosen; its own
    chosen: list[int] = []
    for j, square in enumerate(own):
        with_sum = float(total[j])
        scale = max(power, 0.0) * square
        correlation = with_sum / math.sqrt(scale) if scale > 0 else 0.0
        if j < n_seed or correlation > threshold:
            total += gram[j]
            power += 2.0 * with_sum + square
            chosen.append(j)
    return np.array(chosen, dtype=int)


def running_correlation(gram: np.ndarray) -> np.ndarray:
    """Return the correlation of each epoch with the sum of all before it; 0 for the first.

    Parameters
    ----------
    gram : ndarray, shape (..., n_epochs, n_epochs)
        Inner products of the mean-free epochs.

    Returns
    -------
    ndarray, shape (..., n_epochs)
        Pearson correlations.
    """
    total = np.cumsum(gram, axis=-2)  # row j: inner products with the sum of epochs 0 ... j
    own = np.diagonal(gram, axis1=-2, axis2=-1)
    with_sum = np.zeros(own.shape)
    with_sum[..., 1:] = np.diagonal(total, offset=1, axis1=-2, axis2=-1)
    power = np.cumsum(2.0 * with_sum + own, axis=-1)  # of the sum of epochs 0 ... j
    scale = np.zeros(own.shape)
    scale[..., 1:] = np.sqrt(np.clip(power[..., :-1], 0.0, None) * own[..., 1:])
    return np.divide(with_sum, scale, out=np.zeros(own.shape), where=scale > 0)


def average_blocks(
    x: np.ndarray,
    starts: np.ndarray,
    n_samples: int,
    *,
    window: int,
    threshold: float,
    shift: int = 0,
    mean: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the template of each block: the mean of its first five and of similar epochs.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    n_samples : int
        Length of an epoch.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    shift : int
        Offset of the candidate epochs relative to their block, in epochs.
    mean : float | None
        Mean of the signal, in V, if it is known.

    Returns
    -------
    templates : ndarray, shape (n_blocks, n_samples)
        Templates, in V, relative to the signal's mean.
    which : ndarray of int, shape (n_epochs,)
        The template of each epoch.

    Notes
    -----
    Allen, Josephs & Turner (2000), A method for removing imaging artifact from continuous EEG
    recorded during functional MRI. NeuroImage 12, 230-239. doi:10.1006/nimg.2000.0599
    """
    mean = mean_of(x) if mean is None else mean
    usable = is_complete(starts, n_samples, len(x))
    pools, which = list_pools(usable, window, shift)
    templates = np.zeros((len(pools), n_samples))
    for number, pool in enumerate(pools):
        if pool is None:
            templates[number] = templates[number - 1] if number else 0.0
        else:
            average_pool(x, pool, starts, threshold, mean, templates[number])
    return templates, which


def mean_of(x: np.ndarray) -> float:
    """Return the mean of a signal, which may be a lazily upsampled one."""
    return find_mean(x) if isinstance(x, np.ndarray) else float(x.mean())


def average_pool(
    x: np.ndarray,
    pool: Pool,
    starts: np.ndarray,
    threshold: float,
    mean: float,
    out: np.ndarray,
) -> None:
    """Average the template of one block of epochs into `out`.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V, or the part of it that holds the epochs.
    pool : Pool
        The epochs.
    starts : ndarray of int, shape (n_epochs,)
        First sample of all epochs, relative to `x`.
    threshold : float
        Pearson correlation with the running mean above which an epoch enters the template.
    mean : float
        Mean of the whole signal, in V.
    out : ndarray, shape (n_samples,)
        Array for the template, in V, relative to the mean.
    """
    epochs = take_epochs(x, starts[pool.epochs], len(out))
    order, gram = pool.order, find_gram(epochs)
    if not pool.is_whole:
        gram = gram[np.ix_(order, order)]
    chosen = order[choose_greedily(gram, len(pool.seed), threshold)]
    out[...] = 0.0
    for j in chosen.tolist():
        out += epochs[j]
    out /= len(chosen)
    out -= mean
