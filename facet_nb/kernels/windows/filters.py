"""Zero-phase filters over windows: FIR on the grid of its transforms, IIR from saved states."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled, has_compiled
from facet_nb.kernels.filters.fir import choose_n_fft, find_filter
from facet_nb.kernels.windows.base import Keep, LocalWindows, Read

#: Samples between two saved states of a recursive filter: 2 MB for an hour of a channel at 5 kHz
#: and four sections.
_CELL = 2048

#: Cells of a recursive filter that are surveyed at once.
_AT_ONCE = 128


def has_exact_states() -> bool:
    """Whether the recursive filter in use equals SciPy's to the bit: not where it may fuse."""
    return not has_compiled() or platform.machine().lower() in ("x86_64", "amd64")


class FirWindows(LocalWindows):
    """A zero-phase FIR filter; see :func:`facet_nb.kernels.filters.fir.filter_zero_phase`.

    A cell is a pair of blocks, which are the real and the imaginary part of one transform; both
    depend on the samples under either of them to the last bit.

    Parameters
    ----------
    taps : ndarray, shape (n_taps,)
        Symmetric filter of odd length.
    n_times : int
        Length of the signal.
    """

    uses_blas = cheap = False

    def __init__(self, taps: np.ndarray, n_times: int) -> None:
        self.n_fft, self.half, self.n_times = choose_n_fft(len(taps)), len(taps) // 2, n_times
        self.cell = 2 * (self.n_fft - 2 * self.half)
        run = find_filter(taps, np.dtype(float))
        assert run is not None
        self.run = run

    @classmethod
    def make_for(cls, taps: np.ndarray, n_times: int) -> FirWindows | None:
        """Return the filter, or None if it is not compiled."""
        return None if find_filter(taps, np.dtype(float)) is None else cls(taps, n_times)

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        whole = -(-stop // self.cell) * self.cell
        begin, end = max(0, start - self.half), min(self.n_times, whole + self.half)
        if end == self.n_times:  # the odd reflection at the end reaches back this far
            begin = max(0, min(begin, self.n_times - 2 * self.n_fft))
        x = np.ascontiguousarray(read(begin, end))
        out = np.empty((len(x), stop - start))
        self.run(x, out, start - begin)
        return out


class SosWindows:
    """A recursive filter forwards and backwards; see :func:`facet_nb.kernels.filters.iir`.

    Its states at the borders of cells are found once for a channel, forwards and backwards. Between
    them any cells are filtered as :func:`scipy.signal.sosfiltfilt` filters the whole signal.

    Parameters
    ----------
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    padlen : int
        Number of samples of the odd reflection at each end.
    n_times : int
        Length of the signal.
    """

    learns, uses_blas, cheap = True, False, True
    known_by = None

    def __init__(self, sos: np.ndarray, padlen: int, n_times: int) -> None:
        self.sos = np.ascontiguousarray(sos, dtype=float)
        self.padlen, self.n_times, self.cell = min(padlen, n_times - 1), n_times, _CELL
        self.n_cells = -(-n_times // self.cell)

    def learn(self, read: Read, n_channels: int) -> list[np.ndarray]:
        """Return the states of each channel, shape (n_cells, 2, n_sections, 2).

        The first is that of the forward filter before a cell, the second that of the backward
        filter behind it.
        """
        # scipy.signal takes half a second to import: only windows of recursive filters need it.
        from scipy.signal import sosfilt, sosfilt_zi

        sos, n, pad = self.sos, self.n_times, self.padlen
        steady = sosfilt_zi(sos)[:, np.newaxis]
        states = np.empty((self.n_cells, 2, len(sos), n_channels, 2))
        head = read(0, pad + 1)
        before = 2 * head[:, :1] - head[:, pad:0:-1]
        first = before[:, :1] if pad else head[:, :1]
        state = steady * first[np.newaxis]
        if pad:
            state = sosfilt(sos, before, zi=state)[1]
        for low in range(0, self.n_cells, _AT_ONCE):
            x = read(low * self.cell, min((low + _AT_ONCE) * self.cell, n))
            for i in range(0, x.shape[1], self.cell):
                states[low + i // self.cell, 0] = state
                state = sosfilt(sos, x[:, i : i + self.cell], zi=state)[1]
        tail = read(n - 1 - pad, n)
        after = 2 * tail[:, -1:] - tail[:, -2 : -pad - 2 : -1]
        if pad:
            after, _ = sosfilt(sos, after, zi=state)
            state = sosfilt(sos, after[:, ::-1], zi=steady * after[np.newaxis, :, -1:])[1]
        last_low = (self.n_cells - 1) // _AT_ONCE * _AT_ONCE
        for low in range(last_low, -1, -_AT_ONCE):
            start, stop = low * self.cell, min((low + _AT_ONCE) * self.cell, n)
            y = sosfilt(sos, read(start, stop), zi=states[low, 0])[0]
            if not pad and low == last_low:
                state = steady * y[np.newaxis, :, -1:]
            for i in range((stop - start - 1) // self.cell * self.cell, -1, -self.cell):
                states[low + i // self.cell, 1] = state
                state = sosfilt(sos, y[:, i : i + self.cell][:, ::-1], zi=state)[1]
        return [np.ascontiguousarray(states[:, :, :, i]) for i in range(n_channels)]

    def make(self, read: Read, start: int, stop: int, keeps: Sequence[Keep]) -> np.ndarray:
        """Return samples of the result; see :class:`facet_nb.kernels.windows.base.Windows`."""
        first, last = start // self.cell, (stop - 1) // self.cell
        forward = np.stack([keep.known[first, 0] for keep in keeps], axis=1)
        backward = np.stack([keep.known[last, 1] for keep in keeps], axis=1)
        run = find_compiled("sos_rows", "filter_between")
        if run is not None:
            x = np.ascontiguousarray(read(start, stop))
            out = np.empty_like(x)
            run(x, self.sos, forward.swapaxes(1, 2), backward.swapaxes(1, 2), out)
            return out
        from scipy.signal import sosfilt  # here, as above

        y, _ = sosfilt(self.sos, read(start, stop), zi=forward)
        return sosfilt(self.sos, y[:, ::-1], zi=backward)[0][:, ::-1]
