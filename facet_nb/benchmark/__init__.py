"""Measuring what a choice of workers costs."""

from __future__ import annotations

from facet_nb.benchmark.scaling import benchmark_scaling

__all__ = ["benchmark_scaling"]
