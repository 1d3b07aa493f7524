"""Warm-up compiles all kernels and reports each one."""

from __future__ import annotations

from facet_nb.kernels.compiled.warmup import warm_up


def test_each_kernel_is_named_with_its_time():
    ready = dict(warm_up(["float64", "float32"]))
    assert set(ready) == {
        f"{kernel}, {dtype}"
        for dtype in ("float64", "float32")
        for kernel in (
            "FIR filter",
            "recursive filter",
            "median reference",
            "averaging between samples",
            "adaptive filter",
        )
    } | {"averaging at a higher rate, float64"}
    assert all(seconds >= 0 for seconds in ready.values())
    again = dict(warm_up(["float64", "float32"]))
    assert sum(again.values()) < 0.5  # nothing is compiled twice
