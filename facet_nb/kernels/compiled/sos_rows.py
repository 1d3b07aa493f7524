"""Zero-phase filtering with second-order sections: channels or sections at once.

The result equals :func:`scipy.signal.sosfiltfilt` to the bit where SciPy is compiled without fused
multiply-add (on x86; elsewhere to rounding); see native/sos_rows.h.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import sosfilt_zi

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.library import count_step, find_kernel

#: Number of channels that are filtered at once.
WIDTH = 16

#: Up to this number, channels are filtered one by one: faster than mostly empty lanes.
_FEW = 3

#: Length of a chunk of the forward result, in elements: 4 MB. Longer signals are filtered forwards
#: a second time during the backward pass, chunk by chunk from saved states, to bound the memory.
_HELD = 1 << 19


def filter_rows(x: np.ndarray, sos: np.ndarray, padlen: int, out: np.ndarray) -> None:
    """Filter each row forwards and backwards into `out`.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit; sums are float64.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    padlen : int
        Number of samples by which the signal is extended at each end by odd reflection; less than
        n_times.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`; the rows of both are contiguous.
    """
    width = 1 if len(x) <= _FEW else WIDTH
    steady, by_section, by_lane = _tabulate(np.ascontiguousarray(sos, dtype=float).tobytes())
    table = by_lane if width == 1 else by_section
    n = x.shape[1] + 2 * padlen
    chunk = min(_HELD // width, n)
    n_chunks = -(-n // chunk)
    held = aligned_empty(chunk * width, float)
    n_states = 2 * width * 8 * -(-len(sos) // 8)
    states = aligned_empty((n_chunks + 1) * n_states, float)
    run = find_kernel("sos_rows", x.dtype.char)
    for first in range(0, len(x), width):
        rows, target = x[first : first + width], out[first : first + width]
        run(
            *(rows, count_step(x), target, count_step(out), len(rows), x.shape[1], padlen),
            *(table, steady, len(sos), width, held, chunk, states, n_chunks, n_states),
        )


def filter_between(
    x: np.ndarray, sos: np.ndarray, before: np.ndarray, behind: np.ndarray, out: np.ndarray
) -> None:
    """Filter pieces of signals forwards and backwards into `out`, from known states.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Pieces of the signals, float64, any unit.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    before, behind : ndarray, shape (n_sections, 2, n_channels)
        States of the forward filter before the first sample of `x`, and of the backward filter
        behind the last one.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, float64; the rows of `x` and `out` are contiguous.
    """
    sections = np.ascontiguousarray(sos, dtype=float)
    held, run = aligned_empty(x.shape[1] * WIDTH, float), find_kernel("sos_between", "d")
    states = aligned_empty(2 * sections.shape[0] * 2 * WIDTH, float).reshape(2, -1, WIDTH)
    for first in range(0, len(x), WIDTH):
        rows, target = x[first : first + WIDTH], out[first : first + WIDTH]
        states[...] = 0.0
        for state, given in zip(states, (before, behind), strict=True):
            part = given[:, :, first : first + WIDTH].reshape(2 * len(sections), -1)
            state[:, : part.shape[1]] = part
        run(
            *(rows, count_step(x), target, count_step(out), *rows.shape),
            *(sections, len(sections), held, states[0], states[1]),
        )


@lru_cache
def _tabulate(sos: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steady states, the coefficients by section, and those in groups of 8 sections.

    Groups are aligned to the end of their 8 lanes, so that the result is always in the last lane.
    a0, which is 1, is replaced by the delay of the section in samples, or by -1 in empty lanes.
    """
    sections = np.frombuffer(sos).reshape(-1, 6)
    by_lane = np.zeros((-(-len(sections) // 8), 6, 8))
    by_lane[:, 3] = -1.0
    for i, group in enumerate(np.split(sections, range(8, len(sections), 8))):
        by_lane[i, :, 8 - len(group) :] = group.T
        by_lane[i, 3, 8 - len(group) :] = 2 * np.arange(len(group))
    return sosfilt_zi(sections), sections, by_lane.reshape(-1, 8)
