"""Sliding averages of epochs that arrive one after the other."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from facet_nb.kernels.templates.neighbours import correlate_rows


class NeighbourAverager:
    """Online version of :func:`~.neighbours.average_sliding`, equal to the bit.

    A first mean over usable neighbours decides which epochs are similar to the others; the template
    is the mean of similar neighbours. About two windows of epochs are in memory, or more if few of
    them are similar.

    Parameters
    ----------
    usable : ndarray of bool, shape (n_epochs,)
        Epochs that may enter a template.
    window : int
        Number of neighbours in a template.
    threshold : float
        Pearson correlation above which an epoch enters templates.
    inside : slice
        Part of a row that is compared.
    """

    def __init__(
        self, usable: np.ndarray, window: int, threshold: float, inside: slice = slice(None)
    ) -> None:
        self.usable, self.window, self.threshold, self.inside = usable, window, threshold, inside
        self.order = np.flatnonzero(usable)
        self.take = min(window + 1, len(self.order))
        rank = np.searchsorted(self.order, np.arange(len(usable)))
        self.low = np.clip(rank - self.take // 2, 0, len(self.order) - self.take)
        self.rows: dict[int, np.ndarray] = {}
        self.n_rows = self.seen = self.next = 0  # rows received; epochs compared, averaged
        self.first = _RunningSum()
        self.last = _RunningSum()
        self.waiting: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.alike: list[int] = []
        self.unlike: set[int] = set()
        self.first_unlike = len(usable)

    def push(self, rows: np.ndarray) -> None:
        """Add the next usable epochs, shape (n, n_samples)."""
        for row in rows:
            self.rows[int(self.order[self.n_rows])] = row
            self.n_rows += 1
        stop = self.seen
        while stop < len(self.usable) and self.low[stop] + self.take <= self.n_rows:
            stop += 1
        if stop > self.seen:
            self._compare(np.arange(self.seen, stop))
            self.seen = stop

    def average(self) -> list[tuple[int, np.ndarray]]:
        """Return index and template of the next epochs whose templates are known."""
        done = []
        while (template := self._average(self.next)) is not None:
            done.append((self.next, template))
            self.next += 1
        if done:
            self._forget()
        return done

    def _compare(self, epochs: np.ndarray) -> None:
        """Decide which epochs are similar to the mean of their neighbours."""
        own = [i for i in epochs.tolist() if self.usable[i]]
        for i in epochs.tolist():
            total = self.first.move(self.rows, self.order, int(self.low[i]), self.take)
            self.waiting[i] = _divide(total, self._own(i), self.take), total.copy()
        if not own:
            return
        rows = np.stack([self.rows[i][self.inside] for i in own])
        templates = np.stack([self.waiting[i][0][self.inside] for i in own])
        alike = correlate_rows(rows, templates) > self.threshold
        for i, yes in zip(own, alike.tolist(), strict=True):
            if yes:
                self.alike.append(i)
            else:
                self.unlike.add(i)
                self.first_unlike = min(self.first_unlike, i)

    def _average(self, i: int) -> np.ndarray | None:
        """Return the template of epoch `i`, or None if it is not known yet."""
        n, final = len(self.alike), self.seen == len(self.usable)
        if i >= self.seen or not (final or n > self.window):
            return None
        if final and n < 2:  # no similar epochs: all enter templates
            return self.waiting.pop(i)[0]
        take = min(self.window + 1, n)
        low = max(0, bisect_left(self.alike, i) - take // 2)
        if final:
            low = min(low, n - take)
        elif low + take > n:
            return None
        first, total = self.waiting.pop(i)
        if self._is_same(i, low, take):
            self.last.keep(total, low)
            return first
        total = self.last.move(self.rows, self.alike, low, take)
        return _divide(total, None if i in self.unlike else self._own(i), take)

    def _is_same(self, i: int, low: int, take: int) -> bool:
        """Return whether the first mean of epoch `i` is its template, as no epoch is left out."""
        same = take == self.take and low == self.low[i]
        return bool(same and max(i, self.order[low + take - 1]) < self.first_unlike)

    def _own(self, i: int) -> np.ndarray | None:
        return self.rows[i] if self.usable[i] else None

    def _forget(self) -> None:
        """Drop rows that later templates do not need."""
        needed = min(self.next, self._first_of(self.order, self.first.at))
        needed = min(needed, self._first_of(self.alike, self.last.at))
        for i in [i for i in self.rows if i < needed]:
            del self.rows[i]

    def _first_of(self, order: np.ndarray | list[int], at: int) -> int:
        return int(order[at]) if at < len(order) else len(self.usable)


class _RunningSum:
    """Sum over a window of rows that moves forward."""

    def __init__(self) -> None:
        self.total: np.ndarray | None = None
        self.at = 0

    def move(
        self, rows: dict[int, np.ndarray], order: np.ndarray | list[int], low: int, take: int
    ) -> np.ndarray:
        """Return the sum of `take` rows from ``order[low]`` on; valid until the next call."""
        if self.total is None:
            self.total = np.stack([rows[int(i)] for i in order[:take]]).sum(axis=0)
        while self.at < low:
            self.total += rows[int(order[self.at + take])] - rows[int(order[self.at])]
            self.at += 1
        return self.total

    def keep(self, total: np.ndarray, at: int) -> None:
        """Continue from a known sum."""
        self.total, self.at = total, at


def _divide(total: np.ndarray, own: np.ndarray | None, take: int) -> np.ndarray:
    """Return the mean of `take` rows; `own`, if given, is one of them and is left out."""
    if own is None:
        return np.divide(total, take)
    template = np.subtract(total, own)
    template /= take - 1
    return template
