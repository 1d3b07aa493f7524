"""How much time do modes, workers and backends take, and is the result the same?

Prints the plan of the fastest setting, writes its picture to ``channelwise_execution.png``, and
compares backends on a step of one's own.

Tags: modes, workers
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facet_nb import AASCorrection, HighPassFilter, Pipeline, Processor, TriggerDetector
from facet_nb.benchmark import benchmark
from facet_nb.core import ParallelExecutor
from facet_nb.datasets import example


class ChannelZScore(Processor):
    """Each channel with zero mean and unit variance: a channel needs no other one."""

    name = "channel_z_score"
    channel_wise = True
    parallel_safe = True

    def process(self, context):
        raw = context.get_raw().copy()
        data = raw.get_data()
        deviation = data.std(axis=1, keepdims=True)
        data -= data.mean(axis=1, keepdims=True)
        raw._data[:] = data / np.where(deviation == 0, 1.0, deviation)
        return context.with_raw(raw)


def compare_modes(pipeline, context):
    """Measure modes and workers in fresh processes, and return the table."""
    return benchmark(
        pipeline,
        context,
        modes=["serial", "channel_sequential"],
        n_jobs=2,
        backends="threading",
        repeats=2,
        memory=False,
        time_budget_s=20,
    )


def compare_backends(context):
    """Run one step on each backend; return the largest difference to the first result, in V."""
    results = []
    for backend in ("serial", "threading", "multiprocessing"):
        executor = ParallelExecutor(n_jobs=2, backend=backend)
        results.append(executor.execute(ChannelZScore(), context).get_raw().get_data())
    return max(float(np.abs(x - results[0]).max()) for x in results)


if __name__ == "__main__":
    context = example().context()
    pipeline = Pipeline([TriggerDetector(r"\b1\b"), HighPassFilter(1.0), AASCorrection()])
    table = compare_modes(pipeline, context)
    print(table.summary())
    print("largest difference between backends:", compare_backends(context), "V")
    plan = pipeline.plan(context, mode="channel_sequential", n_jobs=2, backend="threading")
    print(plan)
    Path("channelwise_execution.png").write_bytes(plan.plot().to_png())
