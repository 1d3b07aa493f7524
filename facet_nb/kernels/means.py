"""Mean of a long signal, identical to the bit for a whole signal and for pieces of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from facet_nb.kernels.pages import forget

#: Number of samples per block. NumPy sums each block pairwise; block sums are added in order, so
#: that the rounding does not depend on how the signal is cut into pieces.
_BLOCK = 1 << 16

#: Number of samples of a memory-mapped signal that are read at once: 8 MB.
_PIECE = 16 * _BLOCK


class RunningMean:
    """Mean of a signal that arrives in pieces, summed in blocks of fixed size."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0
        self._rest: np.ndarray | None = None
        self._n_rest = 0

    def push(self, x: np.ndarray) -> None:
        """Add the next samples, shape (n,)."""
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
        """Mean of all samples so far; 0 if there are none."""
        if not self.count:
            return 0.0
        rest = 0.0
        if self._rest is not None and self._n_rest:
            rest = float(np.add.reduce(self._rest[: self._n_rest], dtype=np.float64))
        return (self.total + rest) / self.count


def find_mean(x: np.ndarray) -> float:
    """Return the mean of a signal, shape (n_times,), summed in float64."""
    mean = RunningMean()
    for piece in iter_pieces(x):
        mean.push(piece)
    return mean.value


def average_blocks(x: np.ndarray, n_mean: int) -> np.ndarray:
    """Return means of `n_mean` samples each, the last one of the remaining samples."""
    if n_mean == 1:
        return x
    edges = np.arange(0, len(x), n_mean)
    return np.add.reduceat(x, edges) / np.diff(edges, append=len(x))


def is_flat(x: np.ndarray) -> bool:
    """Return whether all samples of a signal, shape (n_times,), are equal."""
    first = x[:1]
    if np.any(x[:_BLOCK] != first):
        return False
    return not any(np.any(piece != first) for piece in iter_pieces(x))


def iter_pieces(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pieces of a signal, shape (n_times,); release each one if it is memory-mapped."""
    for start in range(0, len(x), _PIECE):
        yield x[start : start + _PIECE]
        forget(x)
