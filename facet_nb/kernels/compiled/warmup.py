"""Compile all kernels in advance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled
from facet_nb.kernels.filters.common_reference import subtract_common
from facet_nb.kernels.filters.fir import filter_zero_phase
from facet_nb.kernels.filters.iir import filter_sos
from facet_nb.kernels.filters.lms import cancel_adaptively
from facet_nb.kernels.resampling.double_rate_signal import compile_loops
from facet_nb.kernels.templates import subsample_channel
from facet_nb.kernels.templates.subsample import HALO, Layout, find_onsets


def warm_up(dtypes: Sequence[str] = ("float64",)) -> Iterator[tuple[str, float]]:
    """Compile the kernels one by one, or load them from Numba's cache.

    Compilation takes one to three seconds per kernel, once per machine; loading from the cache
    takes a few hundredths of a second.

    Parameters
    ----------
    dtypes : sequence of {"float64", "float32"}
        Types of the signals that will be processed.

    Yields
    ------
    name : str
        Name of the kernel that is ready.
    seconds : float
        Duration of its compilation or loading, in s.
    """
    sections = np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    work = {
        "FIR filter": lambda x: filter_zero_phase(x, np.ones(1)),
        "recursive filter": lambda x: _filter_recursively(x, sections),
        "median reference": lambda x: subtract_common(x, "median"),
        "averaging between samples": _average,
        "adaptive filter": lambda x: _adapt(x[0].astype(float)),
    }
    for dtype in dtypes:
        for name, run in work.items():
            begin = perf_counter()
            run(np.zeros((1, 2), dtype))
            yield f"{name}, {dtype}", perf_counter() - begin
    if "float64" in dtypes:
        begin = perf_counter()
        compile_loops()
        yield "averaging at a higher rate, float64", perf_counter() - begin


def _filter_recursively(x: np.ndarray, sections: np.ndarray) -> None:
    """Filter a whole signal, and a window of it."""
    filter_sos(x, sections, padlen=0)
    run = find_compiled("sos_rows", "filter_between")
    if run is not None:
        rest = np.zeros((1, 2, 1))
        run(x.astype(float), sections, rest, rest, np.empty(x.shape))


def _average(x: np.ndarray) -> None:
    """Correct three short artifacts with block and sliding averages, and find their onsets."""
    row = np.zeros(4 * HALO, x.dtype)
    row[[HALO, HALO + 8, HALO + 16]] = 1.0
    onsets = find_onsets(row, np.arange(HALO, HALO + 24, 8), 8, n_rounds=1)
    layout = Layout.of(onsets, 8, len(row))
    for sliding in (False, True):
        subsample_channel.correct(row, layout, window=2, threshold=0.5, sliding=sliding)


def _adapt(row: np.ndarray) -> None:
    cancel_adaptively(row, row, 1, 0.0)
