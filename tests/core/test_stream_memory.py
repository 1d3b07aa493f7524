"""What a stream needs is what it says: measured at 5 kHz, on volumes of two seconds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("facet_nb.kernels.compiled._native")

from facet_nb import (
    AASCorrection,
    DownSample,
    GradientCorrection,
    HighPassFilter,
    Resample,
    UpSample,
)
from facet_nb.core.execution.streaming import stream_channel
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.planning.fusion import find_fusions
from facet_nb.core.processor import View
from facet_nb.core.steps import ArrayStep
from facet_nb.core.storage.row_io import MappedRow
from facet_nb.kernels.resampling import double_rate_signal
from facet_nb.kernels.streams.base import buffer_pool

SFREQ, SECONDS, PERIOD_S, CHUNK_S = 5000.0, 200.0, 2.0, 10.0

STEPS = {
    "filter": [HighPassFilter(1.0)],
    "fused": [UpSample(10), AASCorrection(realign_after_averaging=False), DownSample(10)],
    "blocks": [AASCorrection()],
    "moved blocks": [AASCorrection(subsample=True)],
    "sliding": [AASCorrection(weighting="sliding")],
    "moved sliding": [AASCorrection(weighting="sliding", subsample=True)],
    "waveforms": [GradientCorrection(block_s=60.0)],
    "up": [UpSample(10)],
    "down": [DownSample(10)],
    "fraction": [Resample(1024.0)],
}


class Source(MappedRow):
    def write(self, start, x):
        """Forget the result."""


@pytest.fixture(scope="module")
def view():
    n_times, length = round(SECONDS * SFREQ), round(PERIOD_S * SFREQ)
    rng = np.random.default_rng(0)
    x = 20e-6 * rng.standard_normal(n_times)
    triggers = np.arange(5000, n_times - length, length)
    shape = 1e-3 * rng.standard_normal(length)
    for start in triggers:
        x[start : start + length] += shape
    metadata = ProcessingMetadata().updated(triggers=triggers, artifact_length=length)
    return View(SFREQ, n_times, metadata, ("Fz",), x, "Fz", ch_types=("eeg",))


@pytest.mark.parametrize("name", STEPS)
def test_a_stream_needs_what_it_says(view, name):
    steps = STEPS[name]
    (unit,) = find_fusions(steps).replace(steps, range(len(steps)))
    processor = unit.processor
    step = ArrayStep(0, processor, processor.prepare(view))
    assert processor.why_not_chunked() is None
    chunk = round(CHUNK_S * SFREQ)
    source = Source(view.reference)
    target = Source(np.empty(0))
    target.n_times = step.prepared.n_times or view.n_times

    def run():
        stream_channel([step], 0, source, target, chunk, {})

    run()  # compiled loops, spectra
    buffer_pool.free.clear()
    double_rate_signal._buffers.arrays.clear()
    tracemalloc.start()
    try:
        run()
        needed = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = processor.stream_memory(chunk, SFREQ)
    # In C, the fit of waveforms needs less (0.392) than in NumPy (0.41), for which it is said.
    assert 0.39 * told < needed <= told
