"""Measuring what a choice of mode, workers and batch size costs, in time and in memory.

Points and tables are immutable data; measurements happen in fresh processes; statistics and laws
are pure functions.
"""

from __future__ import annotations

from facet_nb.benchmark.advice import Advice
from facet_nb.benchmark.advisor import advise
from facet_nb.benchmark.environment import Environment
from facet_nb.benchmark.events import (
    BenchmarkDone,
    BenchmarkEvent,
    BenchmarkFailed,
    BenchmarkStarted,
    BenchmarkState,
    PointMeasured,
    PointStarted,
)
from facet_nb.benchmark.measurement import BenchmarkPoint, Configuration, MemoryUse, Subject, Trace
from facet_nb.benchmark.scaling import benchmark_scaling
from facet_nb.benchmark.session import benchmark
from facet_nb.benchmark.summary import Row
from facet_nb.benchmark.table import BenchmarkTable

__all__ = [
    "Advice",
    "BenchmarkDone",
    "BenchmarkEvent",
    "BenchmarkFailed",
    "BenchmarkPoint",
    "BenchmarkStarted",
    "BenchmarkState",
    "BenchmarkTable",
    "Configuration",
    "Environment",
    "MemoryUse",
    "PointMeasured",
    "PointStarted",
    "Row",
    "Subject",
    "Trace",
    "advise",
    "benchmark",
    "benchmark_scaling",
]
