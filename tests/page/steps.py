"""What the guide to parallel and channel-sequential processing defines, importable by workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facet_nb import (
    AASCorrection,
    DownSample,
    EDFExporter,
    HighPassFilter,
    Loader,
    LowPassFilter,
    Pipeline,
    TriggerDetector,
    UpSample,
)
from facet_nb.core import ParallelExecutor, ProcessingContext, Processor


class MyProcessor(Processor):
    """Flags of a class of one's own."""

    parallel_safe = True
    channel_wise = True


class ChannelZScoreNormalizer(Processor):
    """Zero mean and unit variance for each channel."""

    name = "channel_zscore_normalizer"
    description = "Normalise each channel to zero mean and unit variance"
    requires_raw = True
    modifies_raw = True
    parallel_safe = True
    channel_wise = True

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Normalise a copy."""
        raw = context.get_raw().copy()
        data = raw._data
        mean = data.mean(axis=1, keepdims=True)
        std = data.std(axis=1, keepdims=True)
        std = np.where(std == 0, 1.0, std)
        raw._data = (data - mean) / std
        return context.with_raw(raw)


class GPUProcessor(Processor):
    """Sends samples elsewhere and puts the result where they were."""

    name = "gpu_processor"
    parallel_safe = False

    def process(self, context):
        """Double all samples, on a device of numpy's."""
        raw = context.get_raw()
        data = np.array(raw._data)
        raw._data = data * 2.0
        return context.with_raw(raw)


class CustomExecutor(ParallelExecutor):
    """An executor of one's own."""

    def __init__(self, n_jobs=-1, backend="multiprocessing"):
        super().__init__(n_jobs=n_jobs)
        self.backend = backend

    def execute(self, processor, context):
        """Hand over to the one that it is made from."""
        return super().execute(processor, context)


def make_chain(path, output):
    """The chain of the guide."""
    return Pipeline(
        [
            Loader(path=path, preload=True),
            TriggerDetector(regex=r"\b1\b"),
            HighPassFilter(freq=1.0),
            UpSample(factor=10),
            AASCorrection(window_size=30),
            DownSample(factor=10),
            LowPassFilter(freq=70),
            EDFExporter(path=output, overwrite=True),
        ]
    )


def process_file(input_path):
    """Process a single file."""
    output_path = str(Path(input_path).with_name(f"{Path(input_path).stem}_corrected.edf"))
    pipeline = Pipeline(
        [
            Loader(path=input_path, preload=True),
            TriggerDetector(regex=r"\b1\b"),
            AASCorrection(window_size=30),
            EDFExporter(path=output_path, overwrite=True),
        ]
    )
    return pipeline.run()


def benchmark_scaling(pipeline, context, max_workers=8):
    """Benchmark scaling with different worker counts."""
    import time

    results = {}
    for n_workers in range(1, max_workers + 1):
        start = time.time()
        pipeline.run(initial_context=context, parallel=True, n_jobs=n_workers)
        results[n_workers] = time.time() - start
    return results
