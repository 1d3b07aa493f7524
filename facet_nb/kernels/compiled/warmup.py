"""Compile all kernels in advance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from time import perf_counter

import numpy as np

from facet_nb.kernels.compiled.dispatch import has_compiler
from facet_nb.kernels.filters.common_reference import subtract_common
from facet_nb.kernels.filters.fir import filter_zero_phase
from facet_nb.kernels.filters.iir import filter_sos
from facet_nb.kernels.filters.lms import cancel_adaptively
from facet_nb.kernels.resampling.double_rate_signal import compile_loops
from facet_nb.kernels.templates import subsample_channel
from facet_nb.kernels.templates.subsample import HALO, Layout, find_onsets

#: Name of each kernel, and the module that holds it.
NAMES = {
    "overlap_save": "FIR filter",
    "sos_rows": "recursive filter",
    "median": "median reference",
    "shifted_templates": "averaging between samples",
    "scalar_loops": "adaptive filter",
    "fractional_delay": "averaging at a higher rate",
}


def list_kernels(
    dtypes: Sequence[str] = ("float64",), modules: Collection[str] | None = None
) -> list[tuple[str, Callable[[], object]]]:
    """Return the name of each kernel, and a function that compiles it.

    Compilation takes half a second to seven seconds per kernel, once per machine; loading from
    Numba's cache takes a few hundredths of a second.

    Parameters
    ----------
    dtypes : sequence of {"float64", "float32"}
        Types of the signals that will be processed.
    modules : collection of str | None
        Modules of the kernels (:data:`NAMES`); None for all.
    """
    sections = np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    work: dict[str, Callable[[np.ndarray], object]] = {
        "overlap_save": lambda x: filter_zero_phase(x, np.ones(1)),
        "sos_rows": lambda x: filter_sos(x, sections, padlen=0),
        "median": lambda x: subtract_common(x, "median"),
        "shifted_templates": _average,
        "scalar_loops": lambda x: _adapt(x[0].astype(float)),
        "fractional_delay": lambda x: compile_loops(),
    }
    return [
        (f"{NAMES[module]}, {dtype}", partial(run, np.zeros((1, 2), dtype)))
        for dtype in dtypes
        for module, run in work.items()
        if (modules is None or module in modules)
        and (module != "fractional_delay" or dtype == "float64")
    ]


def warm_up(dtypes: Sequence[str] = ("float64",)) -> Iterator[tuple[str, float]]:
    """Compile all kernels one by one, or load them from Numba's cache.

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
    for name, run in list_kernels(dtypes):
        begin = perf_counter()
        run()
        yield name, perf_counter() - begin


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


if __name__ == "__main__":
    if not has_compiler():
        raise SystemExit("numba is missing or switched off: there is nothing to compile.")
    for name, seconds in warm_up(["float64", "float32"]):
        print(f"{name}: {seconds:.1f} s")
