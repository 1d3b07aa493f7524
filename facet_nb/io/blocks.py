"""Iterate over a recording in blocks of a few megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.recording import find_samples
from facet_nb.core.storage import scratch
from facet_nb.core.storage.page_cache import watch_files
from facet_nb.core.storage.row_io import open_rows, spread_rows

if TYPE_CHECKING:
    import mne

#: Values of a block (2 MB), and its least length in samples: each call of a reader has overhead.
_VALUES = 2**18
_SAMPLES = 2048

#: Samples of one channel to read from a scratch file in one go.
_READ = 16384

_ALL = slice(None)


def iter_blocks(
    raw: mne.io.BaseRaw, stop: int | None = None, *, as_stored: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position and samples of consecutive blocks, shape (n_channels, n), in V.

    Samples in memory are not copied. Others are read block by block; a block is valid until the
    next one is read. Blocks are float64, or `as_stored` in a scratch file, which may be float32.
    """
    stop = raw.n_times if stop is None else stop
    length = spread_rows(max(_VALUES // max(len(raw.ch_names), 1), _SAMPLES))
    samples = find_samples(raw)
    if samples is not None:
        dtype = samples.dtype if as_stored else np.dtype(float)
        yield from _iter_file(samples, stop, length, dtype)
        return
    with watch_files(raw) as files:
        for start in range(0, stop, length):
            end = min(start + length, stop)
            block = read_block(raw, start, end)
            yield start, block
            files.count(block.nbytes)


def read_block(
    raw: mne.io.BaseRaw, start: int, stop: int, rows: slice | Sequence[int] = _ALL
) -> np.ndarray:
    """Return samples, shape (n_rows, stop - start), in V; all rows in memory are not copied."""
    if raw.preload:
        scratch.forget(raw._data)  # of a recording in a file, the pages that were read before
    block: np.ndarray = raw._data[rows, start:stop] if raw.preload else raw[rows, start:stop][0]
    return block


def _iter_file(
    samples: np.ndarray, stop: int, length: int, dtype: np.dtype
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of a scratch file, reading the samples of several blocks at once."""
    ref = scratch.find_file(samples)
    assert ref is not None
    step = length * max(1, _READ // length)
    with open_rows(ref) as find_row:
        rows = [find_row(row) for row in range(len(samples))]
        held = np.empty((len(samples), min(step, stop)), samples.dtype)
        for first in range(0, stop, step):
            n = min(step, stop - first)
            for row, target in zip(rows, held, strict=True):
                target[:n] = row.read(first, first + n)
            for start in range(0, n, length):
                block = held[:, start : min(start + length, n)]
                yield first + start, block.astype(dtype, copy=False)
            for row in rows:
                row.drop(first, first + n)
