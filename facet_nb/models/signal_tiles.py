"""Pieces of a recording for a viewer: samples, or lowest and highest values, at several scales.

A tile holds up to 1024 bins of 8 channels. A bin of level k is 4**k samples long; level 0 holds the
samples themselves. A viewer asks for the level whose bins are about a pixel wide, so that what it
receives and draws does not grow with the length of the window.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.recording import load_array
from facet_nb.kernels.measures.envelope import bound_bins

if TYPE_CHECKING:
    import mne

#: Ratio of neighbouring levels, bins of a tile, and channels of a group.
FACTOR, BINS, GROUP = 4, 1024, 8
#: Tiles up to this level are computed from samples each time, which is faster than transport;
#: those above are kept.
_DIRECT = 3
#: Samples that are read at once: 4 MB for a group.
_CHUNK = BINS * FACTOR**_DIRECT
#: A channel of a lazy recording that takes longer must be decided first, in s.
_QUICK_S = 0.05
#: Code of a missing value.
MISSING = -(1 << 15)
_LARGEST = (1 << 15) - 1


@dataclass(frozen=True, eq=False)
class Tile:
    """One piece of a recording, rounded to 16 bits.

    Attributes
    ----------
    codes : ndarray of int16, shape (n_channels, n_bins) or (n_channels, n_bins, 2)
        Samples (level 0), or the lowest and highest sample of each bin; :data:`MISSING` for NaN.
    offset_uv, step_uv : ndarray of float32, shape (n_channels,)
        A value is ``offset_uv + step_uv * code``, in µV.
    """

    codes: np.ndarray
    offset_uv: np.ndarray
    step_uv: np.ndarray

    def values_uv(self) -> np.ndarray:
        """Return the values, in µV, in the shape of `codes`."""
        shape = (-1,) + (1,) * (self.codes.ndim - 1)
        values = self.offset_uv.reshape(shape) + self.step_uv.reshape(shape) * self.codes
        return np.where(self.codes == MISSING, np.nan, values)


def is_lazy(raw: mne.io.BaseRaw) -> bool:
    """Whether the samples of a recording are computed when they are read."""
    return hasattr(raw, "describe_steps")


class TiledSignal:
    """The tiles of one recording; may be used from several threads.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, in memory, on disk, or lazy.
    names : sequence of str
        Channels, in the order of the viewer; those that the recording lacks are missing values.
    offset_s : float
        Start of the recording on the viewer's clock, in s.
    cache_bytes : int
        Memory for tiles that take long to compute.
    """

    def __init__(
        self,
        raw: mne.io.BaseRaw,
        names: Sequence[str],
        offset_s: float = 0.0,
        cache_bytes: int = 48_000_000,
    ) -> None:
        known = {name: i for i, name in enumerate(raw.ch_names)}
        self._raw = raw
        self._rows = [known.get(name, -1) for name in names]
        self.offset_s = offset_s
        self.sfreq = float(raw.info["sfreq"])
        self.n_times = int(raw.n_times)
        self._kept: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._kept_bytes, self._cache_bytes = 0, cache_bytes
        self._lock = threading.Lock()

    @property
    def n_groups(self) -> int:
        """Number of groups of channels."""
        return -(-len(self._rows) // GROUP)

    @property
    def n_levels(self) -> int:
        """Number of levels; the last has the whole recording in one tile."""
        level = 0
        while self.count_bins(level) > BINS:
            level += 1
        return level + 1

    def count_bins(self, level: int) -> int:
        """Return the number of bins of a level."""
        return -(-self.n_times // FACTOR**level)

    def tile(self, level: int, index: int, group: int) -> Tile:
        """Return one tile.

        Parameters
        ----------
        level, index, group : int
            Level, position among the tiles of the level, and group of channels.

        Raises
        ------
        IndexError
            If there is no such tile.
        """
        if not (0 <= level < self.n_levels and 0 <= group < self.n_groups):
            raise IndexError(f"there is no level {level} or group {group}")
        if not 0 <= index * BINS < self.count_bins(level):
            raise IndexError(f"level {level} has no tile {index}")
        if level == 0:
            return _encode(1e6 * self._read(group, index * BINS, (index + 1) * BINS))
        return _encode(self._bound(level, index, group))

    def build(self, level: int, index: int, group: int) -> Iterator[tuple[Tile | None, int, int]]:
        """Compute one tile; of a lazy recording channel by channel, while that takes long.

        Parameters
        ----------
        level, index, group : int
            As for :meth:`tile`.

        Yields
        ------
        tile : Tile | None
            The tile, at first with missing channels; None if that would take long as well.
        n_known, n_channels : int
            Number of channels that are known, and of all. They are equal at the end.
        """
        picks = self._pick(group)
        start = index * BINS * FACTOR**level
        for k, row in enumerate(picks[:-1] if is_lazy(self._raw) else (), 1):
            began_s = time.perf_counter()
            self._raw.get_data(picks=[row], start=start, stop=min(start + 1, self.n_times))
            if time.perf_counter() - began_s < _QUICK_S:
                break  # its decisions are known, and so are those of its neighbours
            known = frozenset(picks[:k])
            tile = None
            if level == 0:
                stop = start + BINS
                tile = _encode(1e6 * self._read(group, start, stop, known))
            elif level <= _DIRECT:
                tile = _encode(self._bound_samples(level, index, group, known))
            yield tile, k, len(picks)
        yield self.tile(level, index, group), len(picks), len(picks)

    def visit_all(self, group: int) -> Iterator[float]:
        """Compute what an overview of one group needs, bit by bit; yield the part that is done."""
        level = min(_DIRECT + 1, self.n_levels - 1)
        n = -(-self.count_bins(level) // BINS)
        for index in range(n):
            self._bound(level, index, group)
            yield (index + 1) / n

    def minus(self, other: TiledSignal) -> TiledSignal | None:
        """Return the difference from another signal; None if their samples lie apart in time."""
        if self.sfreq != other.sfreq or round((self.offset_s - other.offset_s) * self.sfreq):
            return None
        return _Difference(self, other)

    # ------------------------------------------------------------------------------------ inner
    def _bound(self, level: int, index: int, group: int) -> np.ndarray:
        """Return lowest and highest values, in µV, shape (n_channels, n_bins, 2), float32."""
        key = level, index, group
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if level <= _DIRECT + 1:
            bounds = self._bound_samples(level, index, group)
        else:
            below = range(FACTOR * index, FACTOR * (index + 1))
            n = self.count_bins(level - 1)
            parts = [self._bound(level - 1, i, group) for i in below if i * BINS < n]
            whole = np.concatenate(parts, axis=1)
            low, high = bound_bins(whole[..., 0], FACTOR)[0], bound_bins(whole[..., 1], FACTOR)[1]
            bounds = np.stack([low, high], axis=-1)
        if level > _DIRECT:
            self._keep(key, bounds)
        return bounds

    def _bound_samples(
        self, level: int, index: int, group: int, known: frozenset[int] | None = None
    ) -> np.ndarray:
        size = FACTOR**level
        begin, end = index * BINS * size, min((index + 1) * BINS * size, self.n_times)
        pieces = []
        for start in range(begin, end, _CHUNK):
            x = self._read(group, start, min(start + _CHUNK, end), known)
            pieces.append(np.stack(bound_bins(x, size), axis=-1))
        return (1e6 * np.concatenate(pieces, axis=1)).astype(np.float32)

    def _pick(self, group: int) -> list[int]:
        """Return the rows of a group in the recording."""
        return [row for row in self._rows[group * GROUP : (group + 1) * GROUP] if row >= 0]

    def _read(
        self, group: int, start: int, stop: int, known: frozenset[int] | None = None
    ) -> np.ndarray:
        """Return samples of a group, in V, shape (n_channels, n_times); NaN if not `known`."""
        places = range(len(self._rows))[group * GROUP : (group + 1) * GROUP]
        if known is None:
            return self.read(places, start, stop)
        x = np.full((len(places), min(stop, self.n_times) - start), np.nan)
        inside = [k for k, place in enumerate(places) if self._rows[place] in known]
        x[inside] = self.read([places[k] for k in inside], start, stop)
        return x

    def read(self, places: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples of channels by their position in the viewer; NaN for missing channels.

        Parameters
        ----------
        places : sequence of int
            Positions among the names.
        start, stop : int
            First sample, and that after the last; the recording may end before.

        Returns
        -------
        ndarray, shape (n_places, n_times)
            Samples, in V.
        """
        stop = min(stop, self.n_times)
        rows = [self._rows[place] for place in places]
        picks = [row for row in rows if row >= 0]
        if self._raw.preload:
            found = load_array(self._raw)[picks, start:stop]
        elif picks:
            found = self._raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
        if len(picks) == len(rows):
            return found
        x = np.full((len(rows), stop - start), np.nan)
        if picks:
            x[[i for i, row in enumerate(rows) if row >= 0]] = found
        return x

    def _keep(self, key: tuple[int, int, int], bounds: np.ndarray) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept_bytes += bounds.nbytes
            self._kept[key] = bounds
            while self._kept_bytes > self._cache_bytes and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes


class _Difference(TiledSignal):
    """One signal minus another one on the same clock, as far as both reach."""

    def __init__(self, one: TiledSignal, two: TiledSignal) -> None:
        self.__dict__.update(one.__dict__)
        self.n_times = min(one.n_times, two.n_times)
        self._one, self._two = one, two
        self._kept, self._kept_bytes, self._lock = OrderedDict(), 0, threading.Lock()

    def read(self, places: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return the difference of the samples, in V, shape (n_places, n_times)."""
        stop = min(stop, self.n_times)
        return self._one.read(places, start, stop) - self._two.read(places, start, stop)


def _encode(values_uv: np.ndarray) -> Tile:
    """Return values of shape (n_channels, …), in µV, with 16 bits each."""
    flat = values_uv.reshape(len(values_uv), -1).astype(float)
    valid = np.isfinite(flat)
    low = np.where(valid, flat, np.inf).min(axis=1, initial=np.inf)
    high = np.where(valid, flat, -np.inf).max(axis=1, initial=-np.inf)
    known = valid.any(axis=1)
    low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
    # float32 first, so that the viewer computes with the same numbers as this rounding.
    offset = ((low + high) / 2).astype(np.float32)
    step = (np.maximum(high - low, 1e-6) / (2 * _LARGEST - 2)).astype(np.float32)
    scaled = np.rint((flat - offset[:, np.newaxis]) / step[:, np.newaxis])
    codes = np.clip(np.where(valid, scaled, 0), -_LARGEST, _LARGEST).astype(np.int16)
    codes[~valid] = MISSING
    return Tile(codes.reshape(values_uv.shape), offset, step)
