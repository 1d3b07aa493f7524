"""Ways to run a pipeline, and recordings to run it on, for the tests of this folder."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import facet_nb as fnb
from facet_nb.datasets import simulate

MODES: dict[str, dict[str, Any]] = {
    "serial": {"mode": "serial"},
    "channel_sequential": {"mode": "channel_sequential"},
    "channel_sequential-2-threads": {
        "mode": "channel_sequential",
        "n_jobs": 2,
        "backend": "threading",
    },
    "channel_sequential-2-processes": {
        "mode": "channel_sequential",
        "n_jobs": 2,
        "backend": "multiprocessing",
        "batch_size": 3,
    },
    "parallel-2-threads": {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
    "parallel-2-processes": {"mode": "parallel", "n_jobs": 2, "backend": "multiprocessing"},
}
OTHER_MODES = [mode for mode in MODES if mode != "serial"]


def chain(**aas: Any) -> list[fnb.Processor]:
    """Return the chain of the benchmark."""
    return [
        fnb.TriggerDetector(r"\b1\b"),
        fnb.HighPassFilter(1.0),
        fnb.UpSample(10),
        fnb.TriggerAligner(),
        fnb.AASCorrection(**{"window_size": 30, **aas}),
        fnb.DownSample(10),
        fnb.LowPassFilter(70.0),
    ]


@cache
def simulated(**options: Any) -> Any:
    """Return a small simulation, made once; take copies of ``raw`` before changing it."""
    defaults = {
        "n_channels": 4,
        "sfreq": 1000.0,
        "duration_s": 24.0,
        "tr_s": 1.0,
        "n_slices": 15,
        "lead_in_s": 3.0,
        "lead_out_s": 2.0,
        "seed": 5,
    }
    return simulate(**{**defaults, **options})


def run(steps: list, start: Any, mode: str = "serial") -> fnb.ProcessingContext:
    """Run `steps` on a recording or context; return the context, or raise what went wrong."""
    context = start if isinstance(start, fnb.ProcessingContext) else fnb.ProcessingContext(start)
    result = fnb.Pipeline(steps).run(
        context, show_progress=False, raise_on_error=True, **MODES[mode]
    )
    return result.get_context()


def assert_same(a: fnb.ProcessingContext, b: fnb.ProcessingContext) -> None:
    """Assert that two results are equal, bit for bit: samples, triggers, noise, history, header."""
    np.testing.assert_array_equal(a.get_data(), b.get_data())
    if a.has_triggers() or b.has_triggers():
        np.testing.assert_array_equal(a.get_triggers(), b.get_triggers())
    assert a.has_estimated_noise() == b.has_estimated_noise()
    if a.has_estimated_noise():
        np.testing.assert_array_equal(a.get_estimated_noise(), b.get_estimated_noise())
    assert a.get_history() == b.get_history()
    one, two = a.get_raw(), b.get_raw()
    assert one.ch_names == two.ch_names
    assert one.first_samp == two.first_samp
    assert one.annotations == two.annotations
    for entry in ("sfreq", "highpass", "lowpass", "bads"):
        assert one.info[entry] == two.info[entry]


def rms(x: np.ndarray) -> np.ndarray:
    """Return the root mean square over the last axis."""
    return np.sqrt(np.mean(np.square(x), axis=-1))
