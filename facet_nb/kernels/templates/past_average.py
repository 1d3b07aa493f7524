"""Averages of past artifact epochs, for signals that arrive block by block."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

#: Epochs that must be complete before one is corrected.
FEWEST = 5


class PastAverage:
    """Subtract from each artifact the mean of the epochs before it.

    The length of an epoch is the distance of the first two onsets. The template of an epoch is the
    mean of the last epochs that were complete when it began, without its own mean over time. The
    result of a sample depends on no later sample or onset, and not on how samples are divided into
    blocks.

    Parameters
    ----------
    window : int
        Epochs in a template, at the most.
    """

    def __init__(self, window: int) -> None:
        self.epochs: deque[np.ndarray] = deque(maxlen=window)
        self.n_samples = 0
        self.onsets: list[int] = []  # those whose epochs are not complete, in order
        self.position = self.begin = 0  # of the next sample, and of the oldest one kept
        self.kept: np.ndarray | None = None
        self.current: tuple[int, np.ndarray] | None = None  # onset and template
        self.first: int | None = None

    def push(self, x: np.ndarray, onsets: Sequence[int], out: np.ndarray) -> None:
        """Correct the next samples.

        Parameters
        ----------
        x : ndarray, shape (n_channels, n)
            The samples.
        onsets : sequence of int
            Onsets of artifacts within them, in order, counted from the first sample of all.
        out : ndarray, shape (n_channels, n)
            For the result; must not overlap `x`.
        """
        out[...] = x
        start, self.position = self.position, self.position + x.shape[1]
        self.kept = x.copy() if self.kept is None else np.concatenate([self.kept, x], axis=1)
        at = start
        for onset in onsets:
            self._subtract(out, start, at, onset)
            self._begin(int(onset))
            at = onset
        self._subtract(out, start, at, self.position)
        self._drop()

    def _begin(self, onset: int) -> None:
        """Make the template of the artifact at `onset`."""
        if self.first is None:
            self.first = onset
        elif self.n_samples == 0:
            self.n_samples = onset - self.first
        self.onsets.append(onset)
        assert self.kept is not None
        while self.n_samples and self.onsets[0] + self.n_samples <= onset:
            low = self.onsets.pop(0) - self.begin
            self.epochs.append(self.kept[:, low : low + self.n_samples].copy())
        self.current = None
        if len(self.epochs) >= FEWEST:
            # One epoch after the other: the same bits for one channel as for many.
            total = np.zeros_like(self.epochs[0])
            for epoch in self.epochs:
                total += epoch
            template = total / len(self.epochs)
            self.current = onset, template - template.mean(axis=1, keepdims=True)

    def _subtract(self, out: np.ndarray, start: int, low: int, high: int) -> None:
        """Subtract the current template from the samples from `low` to `high`."""
        if self.current is None:
            return
        onset, template = self.current
        high = min(high, onset + self.n_samples)
        if high > low:
            out[:, low - start : high - start] -= template[:, low - onset : high - onset]

    def _drop(self) -> None:
        """Drop samples that no epoch will need."""
        needed = self.onsets[0] if self.onsets else self.position
        assert self.kept is not None
        if needed > self.begin:
            self.kept = self.kept[:, needed - self.begin :].copy()
            self.begin = needed
