"""Read the numbers of a multiplexed BrainVision file, in which all channels follow one another.

MNE scales while it transposes, sample by sample. Here small blocks are transposed as they are
stored, and scaled in the CPU's cache: in half the time with NumPy, a tenth in C.
The result is that of MNE to the bit: the stored number, as float64, times one factor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled

if TYPE_CHECKING:
    import mne

#: Stored numbers by MNE's name of the format.
_TYPES = {"short": "<i2", "int": "<i4", "single": "<f4"}

#: Channels that are transposed together: their samples share lines of the CPU's cache.
_TOGETHER = 64

#: Samples that are read at once for some channels: 64 channels of int16 stay in the CPU's cache.
_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class MultiplexedFile:
    """A file of multiplexed numbers, and the factors that convert them to V.

    Attributes
    ----------
    path : str
        The file.
    dtype : str
        Type of its numbers.
    factors : ndarray, shape (n_channels,)
        One factor per channel.
    """

    path: str
    dtype: str
    factors: np.ndarray

    @property
    def always_finite(self) -> bool:
        """Whether all samples are certain to be finite: they are whole numbers of finite size."""
        return np.dtype(self.dtype).kind == "i" and bool(np.isfinite(self.factors).all())

    def read(self, start: int, stop: int) -> Piece:
        """Return samples `start` to `stop` of all channels.

        Raises
        ------
        OSError
            If the file ends before.
        """
        return Piece(self._read_stored(start, stop), self.factors)

    def read_rows(self, rows: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples `start` to `stop` of some channels, shape (n_rows, stop - start), in V.

        Raises
        ------
        OSError
            If the file ends before.
        """
        out, chosen = np.empty((len(rows), stop - start)), list(rows)
        factors = self.factors[chosen, np.newaxis]
        for begin in range(start, stop, _AT_ONCE):
            end = min(begin + _AT_ONCE, stop)
            stored = np.ascontiguousarray(self._read_stored(begin, end)[:, chosen].T)
            np.multiply(stored, factors, out=out[:, begin - start : end - start])
        return out

    def read_stored_rows(self, rows: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return the numbers of some channels as stored, shape (n_rows, stop - start).

        Raises
        ------
        OSError
            If the file ends before.
        """
        out, chosen = np.empty((len(rows), stop - start), self.dtype), list(rows)
        for begin in range(start, stop, _AT_ONCE):
            end = min(begin + _AT_ONCE, stop)
            out[:, begin - start : end - start] = self._read_stored(begin, end)[:, chosen].T
        return out

    def _read_stored(self, start: int, stop: int) -> np.ndarray:
        """Return the numbers of samples `start` to `stop`, shape (n_times, n_channels)."""
        stored = np.empty((stop - start, len(self.factors)), self.dtype)
        todo, at = stored.reshape(-1).view(np.uint8).data, start * stored[:1].nbytes
        # Opened for each read: threads that shared a file would move each other's position.
        with open(self.path, "rb", buffering=0) as file:
            file.seek(at)
            while len(todo):
                read = file.readinto(todo)
                if not read:
                    raise OSError(f"{len(todo)} bytes are missing at its end")
                todo = todo[read:]
        return stored


@dataclass(frozen=True)
class Piece:
    """Some samples of all channels as stored, shape (n_times, n_channels), and their factors."""

    stored: np.ndarray
    factors: np.ndarray

    @property
    def nbytes(self) -> int:
        """Number of stored bytes."""
        return self.stored.nbytes

    def __getitem__(self, row: int) -> np.ndarray:
        scaled: np.ndarray = self.stored[:, row] * self.factors[row]
        return scaled

    def iter_rows(self, dtype: str) -> Iterator[np.ndarray]:
        """Yield the samples of each channel, in V, rounded to `dtype`; valid until the next."""
        compiled = find_compiled("multiplexed", "take_rows")
        fits = compiled is not None and self.stored.dtype == np.int16 and self.stored.dtype.isnative
        for first in range(0, len(self.factors), _TOGETHER):
            factors = self.factors[first : first + _TOGETHER]
            if compiled is not None and fits:
                yield from compiled(self.stored, first, factors, dtype)
                continue
            rows = np.ascontiguousarray(self.stored[:, first : first + _TOGETHER].T)
            for row, factor in zip(rows, factors, strict=True):
                yield (row * factor).astype(dtype, copy=False)


def find_multiplexed(raw: mne.io.BaseRaw) -> MultiplexedFile | None:
    """Return the file of a BrainVision recording; None if MNE must read its samples.

    That is so for other formats and orders, and after projections, selections of channels, crops,
    and concatenations.
    """
    if type(raw).__name__ != "RawBrainVision" or raw.preload or len(raw.filenames) != 1:
        return None
    held, n_channels = raw._raw_extras[0], len(raw.ch_names)
    dtype = _TYPES.get(str(held.get("fmt")))
    whole = (held.get("order"), held.get("orig_nchan")) == ("F", n_channels)
    whole = whole and np.array_equal(raw._read_picks[0], np.arange(n_channels))
    if dtype is None or not whole or raw._projector is not None or raw._comp is not None:
        return None
    path, factors = str(raw.filenames[0]), np.array(raw._cals, dtype=float).ravel()
    n_bytes = np.dtype(dtype).itemsize * n_channels * raw.n_times
    if raw._first_samps[0] != 0 or os.path.getsize(path) != n_bytes:
        return None
    return MultiplexedFile(path, dtype, factors)
