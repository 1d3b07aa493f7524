"""Copy a recording from its file to a scratch file in channel-major order, in one pass.

MNE has to read all channels of a file to return one of them. In the copy, the samples of a channel
are contiguous, so that each channel can be read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.core.storage import scratch
from facet_nb.core.storage.multiplexed import MultiplexedFile, Piece, find_multiplexed
from facet_nb.core.storage.page_cache import watch_files
from facet_nb.core.storage.row_io import Row, open_rows, spread_rows

if TYPE_CHECKING:
    import mne

#: Values in one piece: 8 MB.
_VALUES = 2**20

#: Minimum length of a piece, in samples: each of its rows is written by a call of its own.
_SAMPLES = 2**13

#: Samples of a channel after which written pages of large files are dropped from the page cache.
_BEHIND = 2**17


def transpose(
    raw: mne.io.BaseRaw,
    rows: Sequence[int] | None = None,
    check: Callable[[], None] | None = None,
    dtype: str = "float64",
    exact: Sequence[int] = (),
) -> np.ndarray:
    """Return the samples of `raw` as a mapped file, shape (n_rows, n_times), in V.

    They are never in memory all at once. The file is deleted with the array.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, loaded or not.
    rows : sequence of int | None
        Channels to take, in this order; None for all.
    check : callable | None
        Called between pieces; may raise to stop.
    dtype : {"float64", "float32"}
        Of the file.
    exact : sequence of int
        Rows of the result that must not be rounded: if float32 cannot hold them exactly, the file
        is float64 nevertheless.

    Returns
    -------
    ndarray, shape (n_rows, n_times)
        The samples; writable.

    Raises
    ------
    FacetError
        If the disk is full (before anything is read), or if the samples cannot be read.
    """
    chosen = list(range(len(raw.ch_names))) if rows is None else [int(i) for i in rows]
    ref, target = scratch.create((len(chosen), raw.n_times), dtype)
    kept = list(exact) if dtype != "float64" else []
    length = spread_rows(max(_VALUES // max(len(raw.ch_names), 1), _SAMPLES))
    file = find_multiplexed(raw)
    with open_rows(ref) as find_row, watch_files(raw) as files:
        sinks, since = [find_row(row) for row in range(len(chosen))], 0
        places: dict[int, list[Row]] = {}
        for sink, row in zip(sinks, chosen, strict=True):
            places.setdefault(row, []).append(sink)
        for start in range(0, raw.n_times, length):
            if check is not None:
                check()
            stop = min(start + length, raw.n_times)
            piece = _read(raw, file, start, stop)
            if not all(_is_exact(piece[chosen[i]], dtype) for i in kept):
                # From the beginning: what is written so far has been rounded.
                return transpose(raw, rows, check)
            rows_here = piece.iter_rows(dtype) if isinstance(piece, Piece) else piece
            for row, x in enumerate(rows_here):
                for sink in places.get(row, ()):
                    sink.write(start, x)
            scratch.forget(raw._data if raw.preload else None)
            files.count(piece.nbytes)
            if stop - since >= _BEHIND:
                # The span before is dropped as well: the first call only began to write it.
                for sink in sinks:
                    sink.drop(since - _BEHIND, stop)
                since = stop
    return target


def _is_exact(x: np.ndarray, dtype: str) -> bool:
    return bool(np.array_equal(x.astype(dtype), x, equal_nan=True))


def take_rows(raw: mne.io.BaseRaw, rows: Sequence[int]) -> np.ndarray:
    """Return a copy of some channels, in a scratch file if `raw` is in a file, else in memory.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    rows : sequence of int
        Channels to take, in this order.

    Returns
    -------
    ndarray, shape (n_rows, n_times)
        The samples, in V.
    """
    if raw.preload and scratch.find_map(raw._data) is None:
        samples: np.ndarray = raw._data[rows]
        return samples
    return transpose(raw, rows)


def _read(
    raw: mne.io.BaseRaw, file: MultiplexedFile | None, start: int, stop: int
) -> np.ndarray | Piece:
    """Return samples of all channels, from `file` if there is one."""
    if raw.preload:
        samples: np.ndarray = raw._data[:, start:stop]
        return samples
    try:
        if file is not None:
            return file.read(start, stop)
        piece: np.ndarray = raw[:, start:stop][0]
    except Exception as error:  # MNE's readers raise errors of any class for damaged files
        raise cannot_read(raw, start, stop, error) from error
    if np.iscomplexobj(piece):
        raise ValidationError("the samples are complex: take their real part or magnitude.")
    return piece


def cannot_read(raw: mne.io.BaseRaw, start: int, stop: int, error: Exception) -> FacetError:
    """Return the error about samples of a file that a reader failed to read."""
    return FacetError(
        f"samples {start} to {stop} of {raw.filenames[0]} cannot be read "
        f"({type(error).__name__}: {error}). Copy the file again from its source."
    )
