"""Estimate the remaining time of a run, with its uncertainty."""

from __future__ import annotations

from collections import deque

#: Records that are kept: the last minute at ten per second.
_MOST = 600

#: The speed is measured over the whole run, its last half and its last quarter.
_PARTS = (1.0, 0.5, 0.25)

#: Least relative uncertainty: progress is not smooth, as batches end at once.
_LEAST = 0.1


class EtaEstimator:
    """Records the progress of a run and estimates the remaining time.

    Examples
    --------
    >>> eta = EtaEstimator()
    >>> for elapsed_s, fraction in [(0.0, 0.0), (1.0, 0.2), (2.0, 0.4), (4.0, 0.5)]:
    ...     eta.update(elapsed_s, fraction)
    >>> low_s, high_s = eta.remaining_range_s()
    >>> round(low_s, 1), round(high_s, 1)
    (3.6, 11.0)
    """

    def __init__(self) -> None:
        self._records: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def update(self, elapsed_s: float, fraction: float) -> None:
        """Record the elapsed time and the finished share; ignored without progress."""
        if not self._records or fraction > self._records[-1][1]:
            self._records.append((elapsed_s, fraction))

    def remaining_range_s(self) -> tuple[float, float] | None:
        """Return the least and the most time left at the last record, in s; None if unknown."""
        if len(self._records) < 2:
            return None
        _, fraction = self._records[-1]
        rests = [(1.0 - fraction) / rate for rate in map(self._rate, _PARTS) if rate > 0]
        if not rests:
            return None
        return (1 - _LEAST) * min(rests), (1 + _LEAST) * max(rests)

    def _rate(self, part: float) -> float:
        """Return the share of the run per second during the last `part` of its time."""
        now_s, fraction = self._records[-1]
        first_s, _ = self._records[0]
        begin_s = now_s - part * (now_s - first_s)
        then_s, then = max(record for record in self._records if record[0] <= begin_s)
        return (fraction - then) / (now_s - then_s) if now_s > then_s else 0.0
