"""Measure the time and memory that a mode, a number of workers and a batch size need.

Points and tables are immutable data; measurements run in fresh processes; statistics and scaling
laws are pure functions.
"""

from __future__ import annotations

from facet_nb.benchmark.advice import Advice
from facet_nb.benchmark.advisor import advise, recommend
from facet_nb.benchmark.callers import CallerTables, measure_callers
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
from facet_nb.benchmark.laws import find_serial_share
from facet_nb.benchmark.measurement import (
    BenchmarkInput,
    BenchmarkPoint,
    Configuration,
    MemoryUse,
    RunTrace,
)
from facet_nb.benchmark.scaling import benchmark_scaling
from facet_nb.benchmark.session import benchmark
from facet_nb.benchmark.summary import SummaryRow
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.benchmark.whatif import WhatIf, ask_what_if, schedule

# The public names of these classes; inside the package, each class name occurs once.
Row, Subject, Trace = SummaryRow, BenchmarkInput, RunTrace

__all__ = [
    "Advice",
    "BenchmarkDone",
    "BenchmarkEvent",
    "BenchmarkFailed",
    "BenchmarkInput",
    "BenchmarkPoint",
    "BenchmarkStarted",
    "BenchmarkState",
    "BenchmarkTable",
    "CallerTables",
    "Configuration",
    "Environment",
    "MemoryUse",
    "PointMeasured",
    "PointStarted",
    "Row",
    "RunTrace",
    "Subject",
    "SummaryRow",
    "Trace",
    "WhatIf",
    "advise",
    "ask_what_if",
    "benchmark",
    "benchmark_scaling",
    "find_serial_share",
    "measure_callers",
    "recommend",
    "schedule",
]
