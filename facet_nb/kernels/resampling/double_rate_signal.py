"""Double and halve the sampling rate of a channel, group by group, in a few megabytes.

Groups start at fixed samples, so that results do not depend on how much is requested at once.
Buffers are reused for the next channel of the same thread, because page faults of new memory cost
more time than the filters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, partial

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.compiled.dispatch import aligned_empty, find_compiled
from facet_nb.kernels.filters.edges import segment
from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.resampling.double_rate_grid import HALF, Form, Sums

#: Half-length of the long filters, in native samples.
REACH = windowed_sinc.HALF_WIDTH + 1

#: Length of their transforms, and the number of output samples of each.
_N_FFT = 16384

_HOP = _N_FFT - 2 * REACH

#: Native samples of a group: the output of 2 pairs of transforms, which are computed at once. A
#: window takes whole groups.
GROUP = 4 * _HOP

#: Double-rate samples beyond each end of the signal that interpolation may need.
PAD = 2 * HALF + 2

#: ``read(start, stop)`` returns samples of a signal, extended beyond its ends.
ReadSamples = Callable[[int, int], np.ndarray]

#: ``keep(name, out, fill)`` fills `out` by ``fill(out)``, or with what it has kept of that name.
KeepSamples = Callable[[Hashable, np.ndarray, Callable[[np.ndarray], None]], None]


class _Buffers(threading.local):
    """Buffers of one thread, by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def get(self, name: str, size: int) -> np.ndarray:
        """Return a buffer of `size` elements; its contents are undefined."""
        array = self.arrays.get(name)
        if array is None or len(array) < size:
            array = self.arrays[name] = aligned_empty(size, float)
        return array[:size]


_buffers = _Buffers()


class DoubleRateSignal:
    """A sliding window over a signal at twice its rate, from which epochs are taken.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns samples of the signal, in V, extended beyond its ends
        (:func:`facet_nb.kernels.filters.edges.segment`, repeated).
    n_times : int
        Length of the signal.
    form : Form
        Representation of the epochs.
    centre : float
        Value that is subtracted from the signal, to reduce rounding errors.
    span : int
        Number of double-rate samples that one call of :meth:`take` may need.
    window : ndarray, shape (count_window(n_times, span),) | None
        Memory for the samples; by default that of this thread, for one instance at a time.
    hold : callable | None
        Keeps double-rate samples for other signals of this channel.
    """

    def __init__(
        self,
        read: ReadSamples,
        n_times: int,
        form: Form,
        centre: float,
        span: int,
        window: np.ndarray | None = None,
        hold: KeepSamples | None = None,
    ) -> None:
        self.read, self.hold = read, hold
        self.n_times = n_times
        self.form = form
        self.centre = centre
        self.keep = max(span, 4 * PAD)
        size = count_window(n_times, span)
        self.window = _buffers.get("window", size) if window is None else window[:size]
        self._rewind()

    def _rewind(self) -> None:
        self.begin, self.filled = -PAD, PAD  # position and number of the samples in the window
        self.done = 0  # native samples that were processed

    def take(self, places: np.ndarray, parts: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out`, shape (n_epochs, n_columns), with epochs, and return it.

        Parameters
        ----------
        places, parts : ndarray of int
            Their positions (:meth:`facet_nb.kernels.resampling.double_rate_grid.Form.locate`).
        out : ndarray, shape (n_epochs, n_columns)
            Their columns.
        """
        delay_rows(self.window, self._fill(places), parts, self.form.phases, out)
        return out

    def sum(
        self, places: np.ndarray, parts: np.ndarray, sums: Sums, out: np.ndarray
    ) -> np.ndarray | None:
        """Fill `out`, shape (n_columns,), with the sum of epochs, as :meth:`take` gives them.

        Returns
        -------
        ndarray, shape (n_epochs,) | None
            Pearson correlation of each epoch with the sum of all before it; 0 for the first. None,
            and no sum, without compiled kernels.
        """
        compiled = find_compiled("fractional_delay", "sum_rows")
        if compiled is None:
            return None
        found: np.ndarray = compiled(
            self.window, self._fill(places), parts, self.form.phases, sums, out
        )
        return found

    def _fill(self, places: np.ndarray) -> np.ndarray:
        """Compute all samples that epochs at `places` need; return where they start."""
        first = places - (2 * HALF - 1)
        if int(first.min()) < self.begin:
            self._rewind()
        if (start := self.find_start(places)) > self.done:
            self.begin, self.filled, self.done = 2 * start, 0, start
        high = find_end(places, self.form.n_columns)
        while self.begin + self.filled < high:
            self._advance()
        return first - self.begin

    def find_start(self, places: np.ndarray) -> int:
        """Return the native sample at which processing must resume for epochs at `places`.

        Groups before it are skipped.
        """
        start = find_group(int(places.min()))
        if self.n_times - start < 4 * PAD:  # too few for the reflection at the signal's end
            start -= GROUP
        return max(self.done, start)

    def _advance(self) -> None:
        """Append the next group of samples at the double rate."""
        n, low = self.n_times, self.done
        high = min(low + GROUP, n)
        size = 2 * (high - low)
        if self.filled + size + PAD > len(self.window):
            moved = self.filled - self.keep
            self.window[: self.keep] = self.window[moved : self.filled].copy()
            self.begin, self.filled = self.begin + moved, self.keep
        new = self.window[self.filled : self.filled + size]
        if self.hold is None:
            self._double(low, high, new)
        else:
            self.hold(("double rate", low), new, partial(self._double, low, high))
        self.filled += size
        self.done = high
        if low == 0:
            self.window[:PAD] = segment(new, -PAD, 0, repeat=True)
        if high == n:  # reflect about the last native sample, which is the last but one here
            known = self.window[: self.filled - 1]
            end = len(known)
            tail = segment(known, end - 4 * PAD, end + 1 + PAD, repeat=True)[4 * PAD + 1 :]
            self.window[self.filled : self.filled + PAD] = tail
            self.filled += PAD

    def _double(self, low: int, high: int, out: np.ndarray) -> None:
        _double_rate(self.read(low - REACH, high + REACH), self.centre, out)


def count_window(n_times: int, span: int) -> int:
    """Return the length of the window of :class:`DoubleRateSignal`."""
    return min(max(span, 4 * PAD), 2 * n_times + 2 * PAD) + 2 * min(GROUP, n_times) + 2 * PAD


def find_group(place: int) -> int:
    """Return the native sample at which the group of an epoch at `place` begins."""
    return (place - (2 * HALF - 1)) // 2 // GROUP * GROUP


def find_end(places: np.ndarray, n_columns: int) -> int:
    """Return the double-rate sample after the last one that epochs at `places` need."""
    return int(places.max()) + n_columns


def count_known(end: int, n_times: int) -> int:
    """Return how many native samples determine all double-rate samples before `end`."""
    doubled = -(-min(-(-end // 2), n_times) // GROUP) * GROUP
    return min(doubled + REACH, n_times) if doubled < n_times else n_times


def _double_rate(x: np.ndarray, centre: float, out: np.ndarray) -> None:
    """Fill `out` with a signal at twice its rate, without REACH samples at either end of `x`."""
    known = len(x)
    size = known - 2 * REACH
    source = _buffers.get("even", count_places(size))
    np.subtract(x, centre, out=source[:known])
    source[known:] = 0.0
    between = _buffers.get("result", size)
    filter_sum(source, source[:0], "up", between)
    out[::2], out[1::2] = source[REACH : REACH + size], between


def halve_rate(even: np.ndarray, odd: np.ndarray, size: int) -> np.ndarray:
    """Return a signal at half its rate, shape (size,).

    Parameters
    ----------
    even, odd : ndarray, shape (count_places(size),)
        Even and odd samples of the signal, from REACH before the first output sample on.
    size : int
        Number of output samples, GROUP at most.
    """
    out = _buffers.get("result", size)
    filter_sum(even, odd, "down", out)
    return out


def take_parts(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two zero-filled buffers for :func:`halve_rate`."""
    parts = tuple(_buffers.get(name, count_places(size)) for name in ("even", "odd"))
    for part in parts:
        part[...] = 0.0
    return parts[0], parts[1]


def count_places(size: int) -> int:
    """Return the number of input samples for `size` output samples of the filters."""
    return -(-size // (2 * _HOP)) * 2 * _HOP + 2 * REACH


@lru_cache(maxsize=4)
def _spectra(direction: str) -> np.ndarray:
    """Return the spectra of the long filters, shape (1 or 2, _N_FFT / 2 + 1)."""
    if direction == "up":  # the first tap is for the sample REACH - 2 before
        taps = np.pad(windowed_sinc.up_taps(2), ((0, 0), (2, 0)))
    else:  # for the sample REACH - 1 before
        taps = np.pad(windowed_sinc.down_taps(2), ((0, 0), (1, 1)))
    return np.conj(fft.rfft(np.roll(np.pad(taps, ((0, 0), (0, _HOP))), -REACH, axis=1)))


@lru_cache(maxsize=2)
def _sorted_spectrum(direction: str) -> np.ndarray:
    """Return the spectra of the long filters as the compiled filter takes them."""
    order = find_compiled("overlap_save", "order")
    assert order is not None  # this function is called only if the compiled filter was found
    halves = _spectra(direction)
    whole = np.concatenate([halves, np.conj(halves[:, -2:0:-1])], axis=1)[:, order(_N_FFT)] / _N_FFT
    return whole[0] - 1j * whole[1] if len(whole) == 2 else whole[0]


def filter_sum(x: np.ndarray, second: np.ndarray, direction: str, out: np.ndarray) -> None:
    """Filter one signal, or filter two signals and add the results, by overlap-save.

    Parameters
    ----------
    x, second : ndarray, shape (count_places(n_times),)
        Signals that start REACH samples before the first output sample. `second` is empty for
        ``"up"``.
    direction : {"up", "down"}
        The filters.
    out : ndarray, shape (n_times,)
        The result.
    """
    if compiled := find_compiled("overlap_save", "filter_sum"):
        compiled(x, second, 2 * REACH + 1, _sorted_spectrum(direction), out)
        return
    spectra = _spectra(direction)
    # Always two blocks at a time: SciPy's FFT makes one of two rows by the same instructions.
    blocks, others = _cut_blocks(x), _cut_blocks(second)
    for first in range(0, -(-len(out) // _HOP), 2):
        product = fft.rfft(blocks[first : first + 2], axis=-1)
        product *= spectra[0]
        if len(second):
            other = fft.rfft(others[first : first + 2], axis=-1)
            other *= spectra[1]
            product += other
        filtered = fft.irfft(product, _N_FFT, axis=-1, overwrite_x=True)
        for start, row in zip((first * _HOP, (first + 1) * _HOP), filtered, strict=True):
            stop = min(start + _HOP, len(out))
            out[start:stop] = row[REACH : REACH + max(0, stop - start)]


def _cut_blocks(x: np.ndarray) -> np.ndarray:
    """Return a view of the overlapping blocks of a signal, shape (n_blocks, _N_FFT)."""
    if not len(x):
        return x
    return np.lib.stride_tricks.sliding_window_view(x, _N_FFT)[::_HOP]


# --------------------------------------------------------- compiled loops, or their NumPy fallbacks
def delay_rows(
    x: np.ndarray, places: np.ndarray, parts: np.ndarray, taps: np.ndarray, out: np.ndarray
) -> None:
    """Fill each row of `out` with a filtered piece of `x`.

    See :mod:`facet_nb.kernels.compiled.fractional_delay`.
    """
    compiled = find_compiled("fractional_delay", "delay_rows")
    if compiled is not None:
        compiled(x, places, parts, taps, out)
        return
    n = out.shape[1] + taps.shape[1] - 1
    for row, place, part in zip(out, places.tolist(), parts.tolist(), strict=True):
        row[...] = np.convolve(x[place : place + n], taps[part, ::-1], "valid")


def add_rows(
    even: np.ndarray, odd: np.ndarray, places: np.ndarray, which: np.ndarray, rows: np.ndarray
) -> None:
    """Add rows to a signal that is split into even and odd samples.

    See :mod:`facet_nb.kernels.compiled.fractional_delay`.
    """
    compiled = find_compiled("fractional_delay", "add_rows")
    if compiled is not None:
        compiled(even, odd, places, which, rows)
        return
    n = len(even)
    for place, number in zip(places.tolist(), which.tolist(), strict=True):
        for part, target in enumerate((even, odd)):
            begin = (place + 1 - part) // 2
            row = rows[number, 2 * begin + part - place :: 2]
            low, high = max(0, -begin), min(len(row), n - begin)
            if low < high:
                target[begin + low : begin + high] += row[low:high]
