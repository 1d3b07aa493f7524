"""Averaged artifact subtraction at the native rate, compared with ten times upsampling.

Prints, from one interleaved run, the CPU time of both chains, how much artifact each leaves (the
simulated artifact alone goes through the steps that were decided on the whole recording), and the
signal-to-noise ratio against the truth.

    python benchmarks/subsample.py [--channels 32] [--sfreq 5000] [--duration 120] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from facet_nb import (
    AASCorrection,
    DownSample,
    HighPassFilter,
    LowPassFilter,
    Pipeline,
    ProcessingContext,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)
from facet_nb.core.recording import replace_data
from facet_nb.datasets import Simulation, simulate

TENFOLD = [UpSample(10), TriggerAligner(), AASCorrection(30), DownSample(10)]
CHAINS = {
    "x10 (UpSample, TriggerAligner, AASCorrection(30), DownSample)": TENFOLD,
    "native (AASCorrection(30, subsample=True))": [AASCorrection(30, subsample=True)],
    'native, weighting="sliding"': [AASCorrection(30, subsample=True, weighting="sliding")],
}


def make_pipeline(steps: list) -> Pipeline:
    """Return the whole chain around `steps`."""
    return Pipeline([TriggerDetector(r"\b1\b"), HighPassFilter(1.0), *steps, LowPassFilter(70.0)])


def run(
    steps: list, context: ProcessingContext, fuse: bool = True
) -> tuple[ProcessingContext, float]:
    """Return the corrected context and the CPU time, in s."""
    begin = time.process_time()
    result = make_pipeline(steps).run(
        context, mode="channel_sequential", fuse=fuse, show_progress=False, raise_on_error=True
    )
    return result.get_context(), time.process_time() - begin


def measure_left_db(sim: Simulation, steps: list, fuse: bool = True) -> float:
    """Return the power of the residual artifact over that of the artifact, in dB (0 to 70 Hz)."""
    context = ProcessingContext(replace_data(sim.raw, sim.artifact))
    before, _ = run([], context)
    after, _ = run(steps, context, fuse)
    a, b = (int(t * sim.sfreq) for t in sim.acquisition_s)
    core = slice(a + int(2 * sim.sfreq), b - int(2 * sim.sfreq))
    power = [np.mean(c.get_data()[:, core] ** 2, axis=1) for c in (after, before)]
    return float(np.median(10 * np.log10(power[0] / power[1])))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--sfreq", type=float, default=5000.0)
    parser.add_argument("--duration", type=float, default=120.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sim = simulate(options.channels, options.sfreq, options.duration)
    still = simulate(4, options.sfreq, min(options.duration, 60.0), motion=0.0, drift=0.0)
    context = sim.context()
    times: dict[str, list[float]] = {name: [] for name in CHAINS}
    snr = {}
    for repeat in range(options.repeats + 1):  # the first is the warm-up
        for name, steps in CHAINS.items():
            corrected, cpu_s = run(steps, context)
            snr[name] = float(np.median(sim.snr_db(corrected)))
            if repeat:
                times[name].append(cpu_s)
    base = np.median(times[next(iter(CHAINS))])
    print(f"{options.channels} channels, {options.sfreq:g} Hz, {options.duration:g} s, CPU time")
    print(f"{'chain':<64}{'CPU s':>8}{'min':>7}{'max':>7}{'ratio':>7}{'left dB':>9}{'SNR dB':>8}")
    for name, steps in CHAINS.items():
        t = times[name]
        left = measure_left_db(still, steps)
        print(
            f"{name:<64}{np.median(t):>8.2f}{min(t):>7.2f}{max(t):>7.2f}"
            f"{base / np.median(t):>7.1f}{left:>9.1f}{snr[name]:>8.1f}"
        )


if __name__ == "__main__":
    main()
