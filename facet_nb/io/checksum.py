"""Checksums of what is written, and the samples that prove its scale.

Reading a recording back and comparing each of its samples takes longer than writing it. Where MNE
or eeglabio writes the file, checksums of the numbers handed over are compared with those of the
numbers that are read back (:class:`HandedOver`). Where a writer hands the bytes of a file over
itself (:class:`Stored`), two things prove the same for less:

- the checksum of what was handed over is that of what is read back, in one sequential pass;
- samples read back through MNE are right where each channel has its smallest and its largest value.
  A decoder is one factor and one offset per channel, which two values of a channel determine; and
  if no code at the ends of the range was cut, none between them was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from facet_nb.core.storage.page_cache import StreamedFiles, watch_files
from facet_nb.io.atomic_write import write_all
from facet_nb.io.blocks import read_block

if TYPE_CHECKING:
    import mne

#: Bytes that are read back at once: they stay in the CPU's cache.
_PIECE = 1 << 19

#: Bytes whose words are summed.
_PAGE = 4096

#: Samples read back around each position, and positions spread over the whole recording.
_WINDOW, _N_SPREAD = 64, 16


class PageSums:
    """A running checksum of the bytes of a file, whatever the pieces that they come in.

    It is the CRC-32 of the sums of 64-bit words of each page: sums take a tenth of the time of a
    CRC, and the pages of a file are what goes missing, stays as it was, or ends up elsewhere. One
    change in 4 billion does not alter it, nor does a permutation of whole words within a page.

    Attributes
    ----------
    n_bytes : int
        Number of bytes so far.
    """

    def __init__(self) -> None:
        self.n_bytes = self._crc = 0
        self._rest = np.empty(0, np.uint8)

    def add(self, octets: np.ndarray) -> None:
        """Add bytes, an array of uint8 with one dimension."""
        self.n_bytes += len(octets)
        if len(self._rest):
            missing = _PAGE - len(self._rest)
            self._rest = np.concatenate([self._rest, octets[:missing]])
            octets = octets[missing:]
            if len(self._rest) == _PAGE:
                self._add_pages(self._rest)
                self._rest = octets[:0]
        whole = len(octets) - len(octets) % _PAGE
        if whole:
            self._add_pages(octets[:whole])
        if whole < len(octets):
            self._rest = octets[whole:].copy()

    def _add_pages(self, octets: np.ndarray) -> None:
        pages = octets.view(np.uint64).reshape(-1, _PAGE // 8)
        self._crc = zlib.crc32(pages.sum(axis=1).data, self._crc)

    def value(self) -> int:
        """Return the checksum of all bytes so far."""
        return zlib.crc32(self._rest.data, self._crc)


class CheckedWindow(NamedTuple):
    """Some samples of some channels."""

    start: int
    stop: int
    rows: Sequence[int]


@dataclass(frozen=True)
class Stored:
    """The bytes of a file as they were handed over.

    Attributes
    ----------
    file : Path
        The file.
    n_bytes : int
        Its size.
    checksum : int
        Their checksum; see :class:`PageSums`.
    extremes : ndarray of int, shape (n_channels, 2)
        Samples at which each channel has its smallest and its largest value.
    """

    file: Path
    n_bytes: int
    checksum: int
    extremes: np.ndarray

    def is_intact(self, back: mne.io.BaseRaw | None = None) -> bool:
        """Whether the file holds these bytes; reads it once. `back` is not needed."""
        sums, piece = PageSums(), np.empty(_PIECE, np.uint8)
        with self.file.open("rb", buffering=0) as source:
            read = StreamedFiles([source.fileno()])
            while n := source.readinto(piece.data):
                sums.add(piece[:n])
                read.count(n)
        return (sums.n_bytes, sums.value()) == (self.n_bytes, self.checksum)

    def choose_windows(self, n_times: int) -> Iterator[CheckedWindow]:
        """Yield the parts of a recording to compare with what MNE reads back."""
        spread = np.linspace(0, max(0, n_times - 1), _N_SPREAD).astype(int) // _WINDOW
        common = {*spread.tolist()}
        every = list(range(len(self.extremes)))
        chosen = dict.fromkeys(common, every)
        for row, windows in enumerate((self.extremes // _WINDOW).tolist()):
            for window in {*windows} - common:
                chosen.setdefault(window, []).append(row)
        for window in sorted(chosen):
            start = window * _WINDOW
            yield CheckedWindow(start, min(start + _WINDOW, n_times), chosen[window])


class CheckedFile:
    """A file that is written from beginning to end, with a running checksum.

    Parameters
    ----------
    sink : file
        The open file, without a buffer.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self.sink = sink
        self._sums = PageSums()
        self._written = StreamedFiles([sink.fileno()])

    def write(self, x: np.ndarray) -> None:
        """Write an array in C order."""
        octets = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        self._sums.add(octets)
        write_all(self.sink, octets)
        self._written.count(octets.nbytes)

    def close(self, file: Path, extremes: np.ndarray) -> Stored:
        """Return what was written to `file`; `extremes` as in :class:`Stored`."""
        return Stored(file, self._sums.n_bytes, self._sums.value(), extremes)


class Extremes:
    """Where each channel has its smallest and its largest value.

    Parameters
    ----------
    n_channels : int
        The number of channels.

    Attributes
    ----------
    values : ndarray, shape (n_channels, 2)
        Smallest and largest value; NaN are left out.
    samples : ndarray of int, shape (n_channels, 2)
        Their positions.
    """

    def __init__(self, n_channels: int) -> None:
        self.values = np.tile([np.inf, -np.inf], (n_channels, 1))
        self.samples = np.zeros((n_channels, 2), dtype=int)

    def note(self, start: int, x: np.ndarray) -> bool:
        """Note a block, shape (n_channels, n), from sample `start` on; return if it has NaN."""
        low, high = x.min(axis=1), x.max(axis=1)
        has_nan = bool(np.isnan(low).any())
        if has_nan:
            low, high = np.fmin.reduce(x, axis=1), np.fmax.reduce(x, axis=1)
        for row in np.flatnonzero(low < self.values[:, 0]).tolist():
            self.samples[row, 0] = start + np.argmax(x[row] == low[row])
        for row in np.flatnonzero(high > self.values[:, 1]).tolist():
            self.samples[row, 1] = start + np.argmax(x[row] == high[row])
        self.values[:, 0] = np.fmin(self.values[:, 0], low)
        self.values[:, 1] = np.fmax(self.values[:, 1], high)
        return has_nan


class HandedOver:
    """Checksums of the numbers that another library was given to write, block by block.

    Parameters
    ----------
    file : Path
        The file.
    cals : ndarray, shape (n_channels,)
        What a stored number is multiplied by when it is read.
    dtype : str
        Type of the stored numbers.
    """

    def __init__(self, file: Path, cals: np.ndarray, dtype: str) -> None:
        self.file, self.cals, self.dtype = file, cals, dtype
        self._blocks: dict[int, tuple[int, int]] = {}

    def note(self, start: int, stop: int, rows: Iterable[np.ndarray]) -> None:
        """Note a block of samples: the numbers of each channel, before they are rounded."""
        self._blocks[start] = stop, self._sum(rows)

    def covers(self, n_times: int) -> bool:
        """Whether the blocks are all of a recording of `n_times` samples."""
        at = 0
        while at in self._blocks:
            at = self._blocks[at][0]
        return at == n_times

    def is_intact(self, back: mne.io.BaseRaw) -> bool:
        """Whether the same numbers are read back; reads them once."""
        with watch_files(back) as files:
            for start, (stop, crc) in self._blocks.items():
                block = read_block(back, start, stop)
                # Dividing recovers the number: it is nearer to it than half a step of float32.
                if self._sum(x / cal for x, cal in zip(block, self.cals, strict=True)) != crc:
                    return False
                files.count(block.nbytes)
        return True

    def choose_windows(self, n_times: int) -> Iterator[CheckedWindow]:
        """Yield no parts: all samples were read back as MNE decodes them."""
        return iter(())

    def _sum(self, rows: Iterable[np.ndarray]) -> int:
        crc = 0
        for row in rows:
            crc = zlib.crc32(np.ascontiguousarray(row, self.dtype).view(np.uint8).data, crc)
        return crc
