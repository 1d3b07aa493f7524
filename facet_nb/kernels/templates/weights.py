"""Choice of the epochs that are averaged for the template of each epoch.

A template is the mean of some epochs. :class:`Weights` holds their indices: the rows of a sparse
matrix of weights. No function needs a dense matrix of all pairs of epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Weights:
    """Sparse matrix whose rows have equal weights that sum to one.

    Attributes
    ----------
    members : ndarray of int, shape (n_members,)
        Epochs of the first row, of the second, and so on; ascending within a row.
    bounds : ndarray of int, shape (n_epochs + 1,)
        Row `i` is ``members[bounds[i]:bounds[i + 1]]``.
    """

    members: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[np.ndarray]) -> Weights:
        """Return weights from the epochs of each row."""
        kept = [np.unique(np.asarray(row, dtype=np.int64)) for row in rows]
        bounds = np.concatenate([[0], np.cumsum([len(row) for row in kept])]).astype(np.int64)
        members = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
        return cls(members, bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        for low, high in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            yield self.members[low:high]

    def restrict(self, usable: np.ndarray) -> Weights:
        """Return the weights without epochs that are not usable.

        A row that would be empty gets the nearest usable epoch other than its own.
        """
        good = np.flatnonzero(usable)
        if len(good) == len(usable):
            return self
        kept = [row[usable[row]] for row in self]
        return Weights.of(row if len(row) else _nearest(good, i) for i, row in enumerate(kept))


def _nearest(good: np.ndarray, i: int) -> np.ndarray:
    """Return the element of `good` nearest to `i` other than `i`, shape (1,), or nothing."""
    others = good[good != i]
    if not len(others):
        return others
    return others[[np.argmin(np.abs(others - i))]]


# ------------------------------------------------------------------------------ by position only
def list_neighbours(n_epochs: int, half: int) -> Weights:
    """Return ``2 half + 1`` consecutive epochs around each one.

    Near the ends, the window is shifted inward and keeps its length.

    Parameters
    ----------
    n_epochs : int
        Number of epochs.
    half : int
        Number of epochs on either side.

    Returns
    -------
    Weights
        Rows, one for each epoch.
    """
    take = min(2 * half + 1, n_epochs)
    firsts = np.clip(np.arange(n_epochs) - half, 0, n_epochs - take)
    return Weights.of(np.arange(first, first + take) for first in firsts)


def list_alternate(n_epochs: int, half: int) -> Weights:
    """Return every second of the epochs around each one, at offsets −half, 2 − half … half.

    Consecutive epochs therefore share no epoch. With an even `half` the epoch itself is included.
    Near the ends, the window is shifted inward; it leaves out the first two and the last two
    epochs, during which the artifact is not in a steady state.

    Parameters
    ----------
    n_epochs : int
        Number of epochs.
    half : int
        Window length on either side, in epochs.

    Returns
    -------
    Weights
        Rows, one for each epoch.

    Notes
    -----
    The rule of FASTR (Niazy et al. 2005, doi:10.1016/j.neuroimage.2005.06.067), also at the ends:
    the first epoch uses the second, fourth … epoch. With too few epochs for a window, every second
    one of all epochs is used.
    """
    numbers = np.arange(n_epochs)
    last = n_epochs - 2 * half - 3
    if last < 2:
        return Weights.of(_alternate_of_few(n_epochs, half))
    firsts = np.clip(numbers - half, 2, last)
    firsts[0] = 1
    return Weights.of(np.arange(first, first + 2 * half + 1, 2) for first in firsts)


def _alternate_of_few(n_epochs: int, half: int) -> Iterator[np.ndarray]:
    for i in range(n_epochs):
        row = np.arange((i + half) % 2, n_epochs, 2)
        yield row if np.any(row != i) else np.delete(np.arange(n_epochs), i)


def list_corresponding(n_epochs: int, period: int, half: int) -> Weights:
    """Return the same slice of ``2 half + 1`` volumes: epochs that are `period` apart.

    Near the ends, the window is shifted inward by whole volumes and keeps its length.

    Parameters
    ----------
    n_epochs : int
        Number of epochs.
    period : int
        Slices in a volume.
    half : int
        Number of volumes on either side.

    Returns
    -------
    Weights
        Rows, one for each epoch.
    """
    rows: list[np.ndarray] = []
    for i in range(n_epochs):
        same = np.arange(i % period, n_epochs, period)
        take = min(2 * half + 1, len(same))
        first = min(max(i // period - half, 0), len(same) - take)
        rows.append(same[first : first + take])
    return Weights.of(rows)


def repeat_for_slices(weights: Weights, n_slices: int) -> Weights:
    """Return rows of slices from rows of volumes: the same slice of each volume in the row."""
    return Weights.of(row * n_slices + k for row in weights for k in range(n_slices))


# -------------------------------------------------------------------------------- by similarity
def list_similar(
    epochs: np.ndarray,
    *,
    window: int,
    half: int,
    threshold: float,
    usable: np.ndarray | None = None,
    slack: float | None = None,
) -> Weights:
    """Return for each epoch the most similar epochs around it, without itself.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_samples)
        Epochs of one channel.
    window : int
        Maximum number of epochs in a row.
    half : int
        Search range on either side, in epochs; near the ends it is shifted inward.
    threshold : float
        Smallest absolute Pearson correlation of a similar epoch.
    usable : ndarray of bool, shape (n_epochs,) | None
        Epochs that may enter a row; all by default.
    slack : float | None
        Epochs whose distance (one minus the correlation) is up to `slack` times that of the least
        similar of the `window` most similar ones count as equally similar; the nearest of them are
        used. None for the most similar ones, wherever they are.

    Returns
    -------
    Weights
        Rows, one for each epoch. If no epoch reaches `threshold`, the `window` most similar ones
        are used, so that there always is a template, and never of the epoch alone.

    Notes
    -----
    Van der Meer et al. (2010), Robust EMG-fMRI artifact reduction for motion (FARM). Clinical
    Neurophysiology 121, 766-776. doi:10.1016/j.clinph.2009.12.035;
    the search range is from row − half to row + half + 1, as in MATLAB FACET.
    """
    n = len(epochs)
    usable = np.ones(n, dtype=bool) if usable is None else usable
    shapes = epochs - epochs.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.einsum("ij,ij->i", shapes, shapes))
    shapes /= np.where(scale > 0, scale, 1.0)[:, np.newaxis]
    take = min(2 * half + 2, n)
    rows = []
    for i, shape in enumerate(shapes):
        first = min(max(i - half, 0), n - take)
        near = np.arange(first, first + take)
        near = near[usable[near] & (near != i)]
        # einsum sums in a fixed order; the rounding of a matrix product would depend on the number
        # of threads.
        r = np.abs(np.einsum("ij,j->i", shapes[near], shape))
        best = np.argsort(-r, kind="stable")[:window]
        if slack is not None and len(best):
            equal = np.flatnonzero(1.0 - r <= slack * (1.0 - r[best[-1]]))
            best = equal[np.argsort(np.abs(near[equal] - i), kind="stable")][:window]
        alike = best[r[best] >= threshold]
        rows.append(near[alike if len(alike) else best])
    return Weights.of(rows)


# ------------------------------------------------------------------------------------- by motion
def thin_motion(speed: np.ndarray, n_apart: int) -> np.ndarray:
    """Return the speed with minor movements set to zero.

    Consecutive scans in motion are one movement. Of two movements at most `n_apart` scans apart,
    the shorter is minor (if equally long, the one of less total speed; if equal again, the
    earlier). The smallest of all minor movements is removed first; then distances are compared
    again.

    Parameters
    ----------
    speed : ndarray, shape (n_scans,)
        Motion from one scan to the next; 0 if the head is at rest.
    n_apart : int
        Largest distance of movements that affect the same templates, in scans.

    Returns
    -------
    ndarray, shape (n_scans,)
        Speed of the movements that count.
    """
    speed = np.array(speed, dtype=float)
    moving = np.flatnonzero(speed)
    groups = np.split(moving, np.flatnonzero(np.diff(moving) > 1) + 1) if len(moving) else []
    while True:
        size = [(len(group), speed[group].sum()) for group in groups]
        minor = {
            i if size[i] <= size[i + 1] else i + 1
            for i in range(len(groups) - 1)
            if groups[i + 1][0] - groups[i][-1] <= n_apart
        }
        if not minor:
            return speed
        least = min(sorted(minor), key=lambda i: size[i])
        speed[groups.pop(least)] = 0.0


def list_at_rest(speed: np.ndarray, window: int) -> Weights:
    r"""Return for each scan the nearest scans of the same head position.

    Distance is the lag plus motion on the way: with :math:`C` the cumulative speed and
    :math:`m` the smallest speed that counts,

    .. math:: d_{ij} = |i - j| + \frac{k}{m} |C_i - C_j| ,

    so that even the smallest movement counts as much as the whole window `k`. Scans in motion enter
    no row.

    Parameters
    ----------
    speed : ndarray, shape (n_scans,)
        Motion from one scan to the next; 0 below the threshold.
    window : int
        Number of scans in a row, `k`. Rows near minor movements (:func:`thin_motion`) are shorter.

    Returns
    -------
    Weights
        Rows, one for each scan.

    Notes
    -----
    Moosmann et al. (2009), Realignment parameter-informed artefact correction for simultaneous
    EEG-fMRI recordings. NeuroImage 45, 1144-1150. doi:10.1016/j.neuroimage.2009.01.024
    """
    n = len(speed)
    main = thin_motion(speed, window)
    still = np.flatnonzero(main == 0)
    at_rest = np.asarray(speed) == 0
    path = np.cumsum(main)
    gain = window / main[main > 0].min() if len(still) < n else 0.0
    numbers = np.arange(n)
    rows = []
    for i in range(n):
        distance = np.abs(numbers - i)[still] + gain * np.abs(path[still] - path[i])
        near = still[np.argsort(distance, kind="stable")[:window]]
        rows.append(near[at_rest[near]])
    return Weights.of(rows)


# ------------------------------------------------------------------------------------- templates
def average(epochs: np.ndarray, weights: Weights, out: np.ndarray | None = None) -> np.ndarray:
    """Return the template of each row: the mean of its epochs.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_samples)
        Epochs, or their spectra.
    weights : Weights
        Rows.
    out : ndarray, shape (n_rows, n_samples) | None
        Array for the templates.

    Returns
    -------
    ndarray, shape (n_rows, n_samples)
        Templates; zero where a row is empty.
    """
    out = np.empty((len(weights), epochs.shape[1]), dtype=epochs.dtype) if out is None else out
    before: np.ndarray | None = None
    for i, row in enumerate(weights):
        if before is not None and np.array_equal(row, before):
            out[i] = out[i - 1]
        elif len(row):
            np.mean(epochs[row], axis=0, out=out[i])
        else:
            out[i] = 0.0
        before = row
    return out
