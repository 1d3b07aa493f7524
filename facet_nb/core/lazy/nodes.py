"""Nodes of a lazy recording: each reads any window of any channels from the node before it.

A node cuts what it is asked for into cells of a fixed grid and computes those that its cache lacks.
The samples are therefore the same for every window and order of reading.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.execution import threads
from facet_nb.core.execution.batch import Position, run_steps
from facet_nb.core.execution.job import Job
from facet_nb.core.lazy.cache import BlockCache
from facet_nb.core.noise import NoiseTerm
from facet_nb.core.samples import not_finite
from facet_nb.core.steps import Step
from facet_nb.core.storage.multiplexed import find_multiplexed
from facet_nb.core.storage.transpose import cannot_read
from facet_nb.kernels.views import as_slice, is_finite
from facet_nb.kernels.windows import Read, Windows

if TYPE_CHECKING:
    import mne

#: Largest number of values that a node computes at once: 16 MB; and of channels.
_VALUES = 1 << 21
_CHANNELS = 16

#: Size of stored samples that are held for reads of one channel after another, and the number of
#: spans: ten minutes of 16 channels take 96 MB as int16.
_HELD_BYTES, _HELD = 100_000_000, 2

#: What steps of other parameters share of one window takes this part of the cache at most: more
#: would drop it, and all else, before it is needed again.
_SHARED = 3

#: Keys of nodes in the cache that they share; the ``id`` of a deleted node may be reused.
_KEYS = count()


class Node(Protocol):
    """Samples that can be read."""

    n_times: int
    key: int

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples, shape (n_channels, stop - start), in V; not to be written to."""
        ...


class SourceNode:
    """The recording at the beginning.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; only this node reads it.
    checked : sequence of int
        Channels whose samples must be finite.
    """

    def __init__(self, raw: mne.io.BaseRaw, checked: Sequence[int]) -> None:
        self.raw, self.checked, self.n_times = raw, frozenset(checked), int(raw.n_times)
        self.data = raw._data if raw.preload else None
        self.file = find_multiplexed(raw)
        self.lock = threading.Lock()
        self.key = next(_KEYS)

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples; see :class:`Node`."""
        if self.data is not None:
            # Channels that follow one another are a view: reading them copies nothing.
            rows = as_slice(channels) if _is_ascending(channels) else list(channels)
            x = self.data[rows, start:stop]
        else:
            x = self._read_file(list(channels), start, stop)
        x = np.asarray(x, dtype=float)
        if self.file is not None and self.file.always_finite:
            return x
        if not np.isfinite(x.sum()):  # NaN, or a sum that overflows
            for row, channel in zip(x, channels, strict=True):
                # Bad channels, and those that hold no data, may be NaN, as in a full run.
                if channel in self.checked and not is_finite(row):
                    raise not_finite(row, self.raw.ch_names[channel])
        return x

    def hold(self, channels: Sequence[int], start: int, stop: int) -> Held | None:
        """Return samples as the file stores them, for reads of one channel after another.

        A multiplexed file must be read as a whole for each of them. None if this is another file,
        or it would take too much memory.
        """
        file = self.file
        if file is None or not file.always_finite or len(channels) < 2:
            return None
        if len(channels) * (stop - start) * np.dtype(file.dtype).itemsize > _HELD_BYTES:
            return None
        rows = self._read_file(list(channels), start, stop, stored=True)
        return Held(rows, file.factors[list(channels)], start, stop)

    def _read_file(self, channels: list[int], start: int, stop: int, stored: bool = False) -> Any:
        try:
            if self.file is not None and stored:
                return self.file.read_stored_rows(channels, start, stop)
            if self.file is not None:
                return self.file.read_rows(channels, start, stop)
            # A multiplexed file is opened anew for each read; MNE's readers may share state.
            with self.lock:
                return self.raw.get_data(channels, start, stop)
        except FacetError:  # the recording is a lazy one
            raise
        except Exception as error:  # MNE's readers raise errors of any class for damaged files
            raise cannot_read(self.raw, start, stop, error) from error


@dataclass(frozen=True)
class Held:
    """Stored samples `start` to `stop` of some channels, and the factors that make them V."""

    rows: np.ndarray
    factors: np.ndarray
    start: int
    stop: int

    def read(self, start: int, stop: int, channel: int) -> np.ndarray:
        """Return samples of the channel at a position, shape (1, stop - start), in V."""
        row = self.rows[channel : channel + 1, start - self.start : stop - self.start]
        scaled: np.ndarray = row * self.factors[channel]
        return scaled


class ChannelMemory:
    """Cached results of one channel; see :class:`facet_nb.kernels.windows.Keep`."""

    def __init__(self, key: Hashable, shared: Hashable, cache: BlockCache) -> None:
        self.known: Any = None
        self.room = cache.limit_bytes // _SHARED
        self._key, self._shared, self._cache = key, shared, cache
        self._small: dict[Hashable, Any] = {}

    def small(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return a small object that is made once and kept for good."""
        # No lock: two threads at once make the same object, and either may stay.
        if name not in self._small:
            self._small[name] = make()
        return self._small[name]

    def array(self, name: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array; it is made again if the cache has dropped it."""
        key = (self._key, name)
        found = self._cache.get(key)
        return self._cache.put(key, make()) if found is None else found

    def shared(self, name: Hashable, out: np.ndarray, fill: Callable[[np.ndarray], None]) -> None:
        """Fill an array, or take what a step of other parameters has kept of it."""
        key = (self._shared, name)
        found = self._cache.get(key)
        if found is None:
            fill(out)
            self._cache.put_copy(key, out)
        else:
            out[...] = found


@dataclass
class Learnt:
    """What is known of the channels before a step, for steps of other parameters too.

    Attributes
    ----------
    known : dict of int to object
        What was learnt of each channel (``Windows.learn``).
    key : int
        Key of their shared arrays in the cache.
    """

    known: dict[int, Any] = field(default_factory=dict)
    key: int = field(default_factory=lambda: next(_KEYS))


class WindowNode:
    """A step whose result can be computed in windows.

    Parameters
    ----------
    up : Node
        The samples before the step.
    windows : Windows
        The step.
    cache : BlockCache
        Where cells are kept.
    learnt : Learnt
        What is known of channels.
    """

    def __init__(self, up: Node, windows: Windows, cache: BlockCache, learnt: Learnt) -> None:
        self.up, self.windows, self.cache, self.key = up, windows, cache, next(_KEYS)
        self._learnt = learnt
        self.n_times, self.cell = windows.n_times, windows.cell
        self._memory: dict[int, ChannelMemory] = {}
        self._lock = threading.RLock()

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples; see :class:`Node`."""
        out = np.empty((len(channels), stop - start))
        first, last = start // self.cell, (stop - 1) // self.cell
        for low in range(0, len(channels), _CHANNELS):
            part = channels[low : low + _CHANNELS]
            n = max(1, _VALUES // (len(part) * self.cell))
            for begin in range(first, last + 1, n):
                self._fill(part, begin, min(begin + n, last + 1), start, out[low : low + _CHANNELS])
        return out

    def _fill(
        self, channels: Sequence[int], first: int, last: int, start: int, out: np.ndarray
    ) -> None:
        """Write cells `first` to `last` (exclusive) to `out`, which begins at sample `start`."""
        if self.windows.cheap:
            begin, end = first * self.cell, min(last * self.cell, self.n_times)
            low, high = max(begin, start), min(end, start + out.shape[1])
            x = self._make(list(channels), begin, end)
            out[:, low - start : high - start] = x[:, low - begin : high - begin]
            return
        cells = [[self.cache.get((self.key, c, k)) for c in channels] for k in range(first, last)]
        missing = [
            c for c, *rest in zip(channels, *cells, strict=True) if any(x is None for x in rest)
        ]
        made: dict[int, np.ndarray] = {}
        if missing:
            begin, end = first * self.cell, min(last * self.cell, self.n_times)
            made = dict(zip(missing, self._make(missing, begin, end), strict=True))
        stop = start + out.shape[1]
        for k, known in zip(range(first, last), cells, strict=True):
            low, high = k * self.cell, min((k + 1) * self.cell, self.n_times)
            a, b = max(low, start), min(high, stop)
            for i, (channel, kept) in enumerate(zip(channels, known, strict=True)):
                block = kept
                if block is None:
                    new = made[channel][low - first * self.cell : high - first * self.cell]
                    # A copy: a view would keep the samples of all channels.
                    block = self.cache.put_copy((self.key, channel, k), new)
                out[i, a - start : b - start] = block[a - low : b - low]

    def _make(self, channels: list[int], start: int, stop: int) -> np.ndarray:
        read = self._reader(channels)
        keeps = self._know(channels)
        if not self.windows.uses_blas:
            return self.windows.make(read, start, stop, keeps)
        with threads.one_thread():
            return self.windows.make(read, start, stop, keeps)

    def _reader(self, channels: Sequence[int]) -> Read:
        """Return a function that reads the samples before the step."""
        # Beside the cache and its limit, and therefore only while one window is computed.
        spans: list[Held] = []

        def find(start: int, stop: int) -> Held | None:
            for span in spans:
                if span.start <= start and stop <= span.stop:
                    return span
            # Only a file has to be read as a whole for one channel; nodes compute it alone.
            if not isinstance(self.up, SourceNode):
                return None
            held = self.up.hold(channels, start, stop)
            if held is not None:
                spans[:] = [held, *spans[: _HELD - 1]]
            return held

        def read(start: int, stop: int, channel: int | None = None) -> np.ndarray:
            if channel is None:
                return self.up.read(channels, start, stop)
            span = find(start, stop)
            if span is not None:
                return span.read(start, stop, channel)
            return self.up.read([channels[channel]], start, stop)

        return read

    def _know(self, channels: list[int]) -> list[ChannelMemory]:
        """Return the memory of channels, after learning what the step must know of them."""
        new = [c for c in channels if c not in self._memory]
        if new:
            # Learning passes over whole channels: another thread may have done it meanwhile.
            with self._lock:
                new = [c for c in channels if c not in self._memory]
                if new:
                    self._learn(new)
        return [self._memory[c] for c in channels]

    def _learn(self, channels: list[int]) -> None:
        all_known = self._learnt.known
        new = [c for c in channels if c not in all_known]
        if new and self.windows.learns:
            with threads.one_thread():
                known = self.windows.learn(self._reader(new), len(new))
            all_known.update(zip(new, known, strict=True))
        for channel in channels:
            shared = (self._learnt.key, channel)
            memory = ChannelMemory((self.key, channel), shared, self.cache)
            memory.known = all_known.get(channel)
            # Last: _know looks without a lock, and must find no memory that knows nothing yet.
            self._memory[channel] = memory


class ChannelNode:
    """Steps that take a channel as a whole; computed once, and again if the cache had no room.

    Parameters
    ----------
    up : Node
        The samples before the steps.
    steps : sequence of Step
        The steps.
    n_times : int
        Number of samples after them.
    names : tuple of str
        Names of the channels.
    terms : tuple of NoiseTerm
        Noise before the steps, for those that use it.
    cache : BlockCache
        Where channels are kept.
    """

    def __init__(
        self,
        up: Node,
        steps: Sequence[Step],
        n_times: int,
        names: tuple[str, ...],
        terms: tuple[NoiseTerm, ...],
        cache: BlockCache,
    ) -> None:
        self.up, self.n_times, self.cache, self.key = up, n_times, cache, next(_KEYS)
        nothing: Any = None  # rows are given and taken, not read and written
        self.job = Job(tuple(steps), nothing, nothing, names, terms=terms, last=len(steps) - 1)
        # One for each channel: threads that need different ones do not wait for each other.
        self._locks = [threading.Lock() for _ in names]
        self._all = None if all(s.processor.parallel_safe for s in steps) else threading.Lock()

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples; see :class:`Node`."""
        out = np.empty((len(channels), stop - start))
        for target, channel in zip(out, channels, strict=True):
            target[:] = self._find(channel)[start:stop]
        return out

    def _find(self, channel: int) -> np.ndarray:
        key = (self.key, channel)
        found = self.cache.get(key)
        if found is not None:
            return found
        with self._locks[channel]:  # another thread may have computed it meanwhile
            found = self.cache.get(key)
            return self.cache.put(key, self._compute(channel)) if found is None else found

    def _compute(self, channel: int) -> np.ndarray:
        x = np.array(self.up.read([channel], 0, self.up.n_times))
        with threads.one_thread(), nullcontext() if self._all is None else self._all:
            result, _ = run_steps(self.job, 0, [channel], x, None, Position())
        # A copy: the cache makes its arrays read-only, and they must own their memory.
        return np.array(result[0])


class JointNode:
    """A step over all channels of a sample; it is cheap, so that nothing is cached.

    Parameters
    ----------
    up : Node
        The samples before the step.
    step : Step
        The step.
    channels : sequence of int
        The channels that it looks at.
    """

    def __init__(self, up: Node, step: Step, channels: Sequence[int]) -> None:
        self.up, self.step, self.channels, self.n_times = up, step, list(channels), up.n_times
        self.key = next(_KEYS)
        self._place = {channel: i for i, channel in enumerate(self.channels)}

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples; see :class:`Node`."""
        x = self.up.read(self.channels, start, stop)
        y = self.step.run(x, self.channels)
        if list(channels) == self.channels:
            return y
        return y[[self._place[channel] for channel in channels]]


class SwitchNode:
    """Sends channels through a step if it works on them; the others bypass it.

    Parameters
    ----------
    up, inner : Node
        The samples before and after the step.
    rows : set of int
        Channels that it works on.
    beside : callable | None
        ``beside(x, channel)`` returns another channel, shape (1, n_times); None if such channels
        pass unchanged.
    cache : BlockCache
        Where other channels are kept.
    """

    def __init__(
        self,
        up: Node,
        inner: Node,
        rows: frozenset[int],
        beside: Callable[[np.ndarray, int], np.ndarray] | None,
        cache: BlockCache,
    ) -> None:
        self.up, self.inner, self.rows, self.beside, self.cache = up, inner, rows, beside, cache
        self.n_times, self.key = inner.n_times, next(_KEYS)

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples; see :class:`Node`."""
        # The usual case: nothing is put together, so that nothing is copied.
        if self.rows.issuperset(channels):
            return self.inner.read(channels, start, stop)
        inside = [i for i, channel in enumerate(channels) if channel in self.rows]
        outside = [i for i, channel in enumerate(channels) if channel not in self.rows]
        out = np.empty((len(channels), stop - start))
        if inside:
            out[inside] = self.inner.read([channels[i] for i in inside], start, stop)
        if self.beside is None:
            out[outside] = self.up.read([channels[i] for i in outside], start, stop)
        else:
            for i in outside:
                out[i] = self._find(channels[i])[start:stop]
        return out

    def _find(self, channel: int) -> np.ndarray:
        key = (self.key, channel)
        found = self.cache.get(key)
        if found is None:
            assert self.beside is not None
            x = np.array(self.up.read([channel], 0, self.up.n_times))
            found = self.cache.put(key, np.array(self.beside(x, channel)[0], dtype=float))
        return found


def read_split(
    node: Node, channels: Sequence[int], start: int, stop: int, n_workers: int
) -> np.ndarray:
    """Return samples of `node`, which the calling thread's inner threads share.

    Each takes some channels; behind a step that looks at all channels, a part of the time, as it
    would otherwise compute all channels before that step.
    """
    by_time = n_workers > 1 and _looks_at_all(node)
    if by_time:
        blocks = threads.split_times(len(channels), stop - start, n_workers)
    else:
        blocks = threads.split(len(channels), n_workers)
    if len(blocks) < 2:
        return node.read(channels, start, stop)
    out = np.empty((len(channels), stop - start))

    def work(block: slice) -> None:
        if by_time:
            out[:, block] = node.read(channels, start + block.start, start + block.stop)
        else:
            out[block] = node.read(channels[block], start, stop)

    threads.run_blocks(work, blocks)
    return out


def _looks_at_all(node: Node | None) -> bool:
    """Whether `node` or one before it is a step over all channels."""
    while node is not None and not isinstance(node, JointNode):
        node = getattr(node, "inner", getattr(node, "up", None))
    return node is not None


def _is_ascending(channels: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(channels))
