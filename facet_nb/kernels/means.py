"""The mean of a long signal, the same to the bit whether it comes at once or in pieces."""

from __future__ import annotations

import numpy as np

#: Samples that are summed together.
_BLOCK = 1 << 16


class RunningMean:
    """The mean of a signal that comes in pieces: blocks of a fixed size are summed in turn."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0
        self._rest: np.ndarray | None = None
        self._n_rest = 0

    def push(self, x: np.ndarray) -> None:
        """Take the next samples, shape (n,)."""
        if self._rest is None:
            self._rest = np.empty(_BLOCK, x.dtype)
        self.count += len(x)
        start = 0
        while start < len(x):
            if not self._n_rest and len(x) - start >= _BLOCK:
                self._add(x[start : start + _BLOCK])
                start += _BLOCK
                continue
            n = min(_BLOCK - self._n_rest, len(x) - start)
            self._rest[self._n_rest : self._n_rest + n] = x[start : start + n]
            self._n_rest += n
            start += n
            if self._n_rest == _BLOCK:
                self._add(self._rest)
                self._n_rest = 0

    def _add(self, block: np.ndarray) -> None:
        self.total += float(np.add.reduce(np.ascontiguousarray(block), dtype=np.float64))

    @property
    def value(self) -> float:
        """The mean so far; 0 of nothing."""
        if not self.count:
            return 0.0
        rest = 0.0
        if self._rest is not None and self._n_rest:
            rest = float(np.add.reduce(self._rest[: self._n_rest], dtype=np.float64))
        return (self.total + rest) / self.count


def find_mean(x: np.ndarray) -> float:
    """Return the mean of a signal, shape (n_times,), summed in float64."""
    mean = RunningMean()
    mean.push(x)
    return mean.value
