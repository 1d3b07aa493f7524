"""An executor of one's own: tell of each step, and keep to threads whatever was asked for.

Tags: workers
"""

from __future__ import annotations

import time

from facet_nb import AASCorrection, HighPassFilter, TriggerDetector
from facet_nb.core import ParallelExecutor
from facet_nb.datasets import example


class TimedExecutor(ParallelExecutor):
    """Runs steps over threads, and keeps their times.

    Attributes
    ----------
    wall_s : dict of str to float
        Time of each step, in s.
    """

    def __init__(self, n_jobs: int = -1) -> None:
        super().__init__(n_jobs=n_jobs, backend="threading")
        self.wall_s: dict[str, float] = {}

    def execute(self, processor, context):
        start = time.perf_counter()
        done = super().execute(processor, context)
        self.wall_s[processor.name] = time.perf_counter() - start
        return done


if __name__ == "__main__":
    executor = TimedExecutor(n_jobs=2)
    context = example().context()
    for step in (TriggerDetector(r"\b1\b"), HighPassFilter(1.0), AASCorrection()):
        context = executor.execute(step, context)
    for name, wall_s in executor.wall_s.items():
        print(f"{name:20} {wall_s:6.3f} s")
