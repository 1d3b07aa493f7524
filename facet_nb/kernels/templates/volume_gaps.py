"""Artifacts of the pauses between volumes, and of the slices next to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.kernels.templates.averaging import take_epochs
from facet_nb.kernels.templates.neighbours import average_nearest

#: Upper edge of the EEG bands, in Hz.
_EEG_HZ = 70.0


@dataclass(frozen=True)
class Volumes:
    """First and last slices of volumes.

    Attributes
    ----------
    firsts, lasts : ndarray of int, shape (n_volumes,)
        Indices of the first and the last slice of each volume.
    """

    firsts: np.ndarray
    lasts: np.ndarray

    @classmethod
    def of(cls, pauses: np.ndarray) -> Volumes:
        """Return the volumes of ``len(pauses) + 1`` slices; True marks slices before a pause."""
        ends = np.flatnonzero(pauses)
        firsts = np.concatenate([[0], ends + 1])
        return cls(firsts, np.concatenate([ends, [len(pauses)]]))


def weigh_transition(n_samples: int, position: float, slope: float) -> np.ndarray:
    """Return a logistic weight along a slice: 0 at its start, 1 at the pause after it."""
    x = np.arange(1, n_samples + 1) / n_samples
    return 1.0 / (1.0 + np.exp(-slope * (x - position)))


@dataclass(frozen=True)
class Transitions:
    """First and last slices of volumes, compared with other slices of their volume.

    Attributes
    ----------
    differences : ndarray, shape (2, n_volumes, n_samples)
        First slices, and last slices, minus the mean of others, in V; 0 where there are none.
    usable : ndarray of bool, shape (n_volumes,)
        Volumes that have others.
    """

    differences: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(
        cls, x: np.ndarray, starts: np.ndarray, n_samples: int, volumes: Volumes, n_template: int
    ) -> Transitions:
        """Compare the first and last slices.

        Parameters
        ----------
        x : ndarray, shape (n_times,)
            Signal, in V.
        starts : ndarray of int, shape (n_slices,)
            First sample of each slice.
        n_samples : int
            Length of a slice.
        volumes : Volumes
            First and last slices of volumes.
        n_template : int
            Number of slices of the same volume that are averaged for comparison.
        """
        epochs = take_epochs(x, starts, n_samples)
        both = np.zeros((2, len(volumes.firsts), n_samples))
        usable = np.zeros(len(volumes.firsts), dtype=bool)
        for i, (first, last) in enumerate(zip(volumes.firsts, volumes.lasts, strict=True)):
            n = min(n_template, last - first - 1)
            if n < 1 or starts[first] < 0 or starts[last] + n_samples > len(x):
                continue
            usable[i] = True
            both[0, i] = epochs[first] - epochs[first + 1 : first + 1 + n].mean(axis=0)
            both[1, i] = epochs[last] - epochs[last - n : last].mean(axis=0)
        return cls(both, usable)

    def average(self, weight: np.ndarray, n_volumes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how the slices after and before each pause differ from other slices.

        Parameters
        ----------
        weight : ndarray, shape (n_samples,)
            Weight of the transition along the last slice; reversed for the first slice.
        n_volumes : int
            Number of volumes that are averaged, without the volume itself, to preserve its EEG.

        Returns
        -------
        heads, tails : ndarray, shape (n_volumes, n_samples)
            Differences of first and last slices from the others, in V.
        """
        means = np.empty_like(self.differences)
        for own, mean, along in zip(self.differences, means, (weight[::-1], weight), strict=True):
            average_nearest(own, self.usable, n_volumes, mean)
            mean *= along
        return means[0], means[1]


def compare_with_eeg(
    x: np.ndarray,
    sfreq: float,
    starts: np.ndarray,
    volumes: Volumes,
    beside: Transitions,
    *,
    weight: np.ndarray,
    n_volumes: int,
) -> float:
    """Return what the correction takes of the artifact over what it takes of EEG, below 70 Hz.

    Both are powers. What recurs at each pause is artifact; what differs from pause to pause is EEG,
    of which a mean over `n_volumes` takes a part. `sfreq` is the sampling rate, in Hz, `beside` the
    comparison of first and last slices; other parameters are those of :class:`Transitions`.
    """
    heads, tails = beside.differences[:, beside.usable]
    begins = starts[volumes.lasts[:-1]] + heads.shape[1]
    pauses = take_epochs(x, begins, max(0, int(np.min(starts[volumes.firsts[1:]] - begins))))
    artifact = eeg = 0.0
    for rows in (heads * weight[::-1], tails * weight, pauses - x.mean()):
        n = len(rows)
        if n < 2 or not rows.shape[1]:
            continue
        spectra = np.fft.rfft(rows, axis=1)[:, np.fft.rfftfreq(rows.shape[1], 1 / sfreq) < _EEG_HZ]
        mean = spectra.mean(axis=0)
        varying = float(np.sum(np.abs(spectra - mean) ** 2)) / (n - 1) / rows.shape[1]
        artifact += float(np.sum(np.abs(mean) ** 2)) / rows.shape[1] - varying / n
        eeg += varying / min(n, n_volumes)
    return artifact / eeg if eeg > 0 else float("inf")


def compare_with_inner(
    x: np.ndarray,
    starts: np.ndarray,
    volumes: Volumes,
    beside: Transitions,
    *,
    n_template: int,
    **options: Any,
) -> float:
    """Return the power of the transitions beside pauses over that of slices within volumes.

    Parameters are those of :class:`Transitions`, of which `beside` is the one beside pauses, and
    `options` those of :meth:`Transitions.average`. About 1 if the slices beside a pause
    differ from others no more than these do among each other, e.g. because slices begin between
    samples. Infinity if volumes have fewer than five slices.
    """
    inner = Volumes(volumes.firsts + 1, volumes.lasts - 1)
    if np.min(inner.lasts - inner.firsts) < 2:
        return float("inf")
    within = Transitions.of(x, starts, beside.differences.shape[-1], inner, n_template)
    powers = (sum(np.sum(part**2) for part in own.average(**options)) for own in (beside, within))
    return float(next(powers)) / max(float(next(powers)), np.finfo(float).tiny)


def average_pauses(
    x: np.ndarray, starts: np.ndarray, n_samples: int, volumes: Volumes, n_volumes: int
) -> list[np.ndarray]:
    """Return for each pause the mean of its neighbours, without itself, minus the signal's mean."""
    begins = starts[volumes.lasts[:-1]] + n_samples
    lengths = np.maximum(starts[volumes.firsts[1:]] - begins, 0)
    epochs = take_epochs(x, begins, int(lengths.max(initial=0)))
    epochs -= x.mean()
    means = np.empty_like(epochs)
    average_nearest(epochs, np.ones(len(epochs), dtype=bool), n_volumes, means)
    return [mean[:length] for mean, length in zip(means, lengths, strict=True)]


def draw_lines(
    starts: np.ndarray, volumes: Volumes, heads: np.ndarray, tails: np.ndarray
) -> list[np.ndarray]:
    """Return for each pause a straight line from the tail before it to the head after it."""
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
        First and last slices of volumes.
    heads, tails : ndarray, shape (n_volumes, n_samples)
        From :func:`estimate_transitions`.
    pauses : list of ndarray
        Signal to subtract in each pause, in V.
    out : ndarray, shape (n_times,) | None
        Array for the result.

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
