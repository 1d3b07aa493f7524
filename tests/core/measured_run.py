"""One run in a fresh process, for measurements of memory: ``python measured_run.py JSON``."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

SETTINGS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


def make_context(n_channels: int, sfreq: float, duration_s: float):
    """Noise with the same artifact every 0.1 s."""
    import mne
    import numpy as np

    from facet_nb.core import ProcessingContext

    rng = np.random.default_rng(0)
    period, n_times = round(sfreq / 10), round(sfreq * duration_s)
    data = np.empty((n_channels, n_times))
    artifact = 1e-3 * rng.standard_normal(period)
    for row in data:
        row[:] = 1e-5 * rng.standard_normal(n_times)
        row.reshape(-1, period)[:] += artifact
    info = mne.create_info(n_channels, sfreq, "eeg")
    context = ProcessingContext(mne.io.RawArray(data, info, verbose="error"))
    triggers = np.arange(5 * period, n_times - 5 * period, period)
    return context.with_trigger_samples(triggers, artifact_length=period)


def make_pipeline(source: str | None = None, target: str | None = None):
    """The chain as a user writes it, perhaps from file to file."""
    import facet_nb as fn

    steps = [] if source is None else [fn.Loader(source), fn.TriggerDetector(regex=r"\b1\b")]
    steps += [fn.HighPassFilter(1.0), fn.UpSample(10), fn.TriggerAligner(), fn.AASCorrection()]
    steps += [fn.DownSample(10), fn.LowPassFilter(70.0)]
    return fn.Pipeline(steps if target is None else [*steps, fn.Exporter(target)])


def say(**what) -> None:
    """Tell the other side, and wait for its word."""
    print(json.dumps(what), flush=True)
    sys.stdin.readline()


def main() -> None:
    """Plan, tell the forecast, run."""
    if SETTINGS.get("limit"):
        resource.setrlimit(resource.RLIMIT_DATA, (SETTINGS["limit"],) * 2)
    pipeline = make_pipeline(SETTINGS.get("source"), SETTINGS.get("target"))
    context = None
    if "shape" in SETTINGS:
        context = make_context(*SETTINGS["shape"])
    plan = pipeline.plan(context or SETTINGS["source"], **SETTINGS["run"])
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's record of the peak begins anew
    say(forecast=plan.forecast.peak_bytes, spill=plan.spill)
    result = pipeline.run(context, show_progress=False, raise_on_error=True, **SETTINGS["run"])
    say(done=result.success)


if __name__ == "__main__":
    main()
