"""What the pause between volumes does to the slices around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.templates.averaging import take_epochs
from facet_nb.kernels.templates.neighbours import slide


@dataclass(frozen=True)
class Volumes:
    """Where volumes begin and end, as numbers of slices.

    Attributes
    ----------
    firsts, lasts : ndarray of int, shape (n_volumes,)
        First and last slice of each volume.
    """

    firsts: np.ndarray
    lasts: np.ndarray

    @classmethod
    def of(cls, pauses: np.ndarray) -> Volumes:
        """Return the volumes of ``len(pauses) + 1`` slices; a pause follows where it is true."""
        ends = np.flatnonzero(pauses)
        firsts = np.concatenate([[0], ends + 1])
        return cls(firsts, np.concatenate([ends, [len(pauses)]]))


def weigh_transition(n_samples: int, position: float, slope: float) -> np.ndarray:
    """Return the logistic weight along a slice: 0 at its beginning, 1 at the pause after it."""
    x = np.arange(1, n_samples + 1) / n_samples
    return 1.0 / (1.0 + np.exp(-slope * (x - position)))


def estimate_transitions(
    x: np.ndarray,
    starts: np.ndarray,
    n_samples: int,
    volumes: Volumes,
    *,
    n_template: int,
    weight: np.ndarray,
    n_volumes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is peculiar to the last slice before each pause, and to the first one after it.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_slices,)
        First sample of each slice.
    n_samples : int
        Length of a slice.
    volumes : Volumes
        Where volumes begin and end.
    n_template : int
        Slices of the same volume that make the template.
    weight : ndarray, shape (n_samples,)
        How much of a slice's end belongs to the transition.
    n_volumes : int
        Volumes whose mean is taken, without the one that it is for, so that its EEG stays.

    Returns
    -------
    heads, tails : ndarray, shape (n_volumes, n_samples)
        Peculiarities of first and last slices, in V.
    """
    epochs = take_epochs(x, starts, n_samples)
    heads = np.zeros((len(volumes.firsts), n_samples))
    tails = np.zeros_like(heads)
    usable = np.zeros(len(heads), dtype=bool)
    for i, (first, last) in enumerate(zip(volumes.firsts, volumes.lasts, strict=True)):
        n = min(n_template, last - first - 1)
        if n < 1 or starts[first] < 0 or starts[last] + n_samples > len(x):
            continue
        usable[i] = True
        heads[i] = epochs[first] - epochs[first + 1 : first + 1 + n].mean(axis=0)
        tails[i] = epochs[last] - epochs[last - n : last].mean(axis=0)
    means = np.empty_like(heads), np.empty_like(tails)
    for own, mean, along in zip((heads, tails), means, (weight[::-1], weight), strict=True):
        slide(own, usable, n_volumes, mean)
        mean *= along
    return means


def average_pauses(
    x: np.ndarray, starts: np.ndarray, n_samples: int, volumes: Volumes, n_volumes: int
) -> list[np.ndarray]:
    """Return for each pause the mean of its neighbours, without itself, less the signal's mean."""
    begins = starts[volumes.lasts[:-1]] + n_samples
    lengths = np.maximum(starts[volumes.firsts[1:]] - begins, 0)
    epochs = take_epochs(x, begins, int(lengths.max(initial=0)))
    epochs -= x.mean()
    means = np.empty_like(epochs)
    slide(epochs, np.ones(len(epochs), dtype=bool), n_volumes, means)
    return [mean[:length] for mean, length in zip(means, lengths, strict=True)]


def draw_lines(
    starts: np.ndarray, volumes: Volumes, heads: np.ndarray, tails: np.ndarray
) -> list[np.ndarray]:
    """Return for each pause a straight line from the end of a tail to the next head."""
    begins = starts[volumes.lasts[:-1]] + heads.shape[1]
    lengths = np.maximum(starts[volumes.firsts[1:]] - begins, 0)
    return [
        np.linspace(tails[i, -1], heads[i + 1, 0], n + 2)[1:-1]
        for i, n in enumerate(lengths.tolist())
    ]


def subtract_transitions(
    x: np.ndarray,
    starts: np.ndarray,
    volumes: Volumes,
    heads: np.ndarray,
    tails: np.ndarray,
    pauses: list[np.ndarray],
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the signal without its transitions.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_slices,)
        First sample of each slice.
    volumes : Volumes
        Where volumes begin and end.
    heads, tails : ndarray, shape (n_volumes, n_samples)
        From :func:`estimate_transitions`.
    pauses : list of ndarray
        What to subtract in each pause, in V.
    out : ndarray, shape (n_times,) | None
        Where to put the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V.
    """
    out = np.empty_like(x) if out is None else out
    out[...] = x
    n_samples = heads.shape[1]
    begins, ends = starts[volumes.firsts], starts[volumes.lasts]
    for begin, end, head, tail in zip(begins.tolist(), ends.tolist(), heads, tails, strict=True):
        _subtract(out, begin, head)
        _subtract(out, end, tail)
    for end, piece in zip(ends.tolist(), pauses, strict=False):
        _subtract(out, end + n_samples, piece)
    return out


def _subtract(out: np.ndarray, start: int, piece: np.ndarray) -> None:
    low, high = max(start, 0), min(start + len(piece), len(out))
    if low < high:
        out[low:high] -= piece[low - start : high - start]
