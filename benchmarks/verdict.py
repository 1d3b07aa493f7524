"""CPU time of the verdict on a result, in parts of its run's.

Runs and verdicts take turns, so that what else the machine does falls on both alike; medians.

    python benchmarks/verdict.py [--channels 16] [--seconds 60] [--repeats 7] [--chain NAME …]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from facet_nb import (
    AASCorrection,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    Pipeline,
    TriggerDetector,
    classic_correction,
)
from facet_nb.datasets import simulate

#: Chains behind the trigger detector.
CHAINS: dict[str, Callable[[], list[Any]]] = {
    "gradient, 70 Hz": lambda: [GradientCorrection(), LowPassFilter(70)],
    "x10": lambda: list(classic_correction().processors),
    "1 Hz, AAS, 70 Hz": lambda: [HighPassFilter(1), AASCorrection(), LowPassFilter(70)],
    "AAS": lambda: [AASCorrection()],
    "AAS, subsample": lambda: [AASCorrection(subsample=True)],
}


def measure(chain: list[Any], simulation: Any, repeats: int) -> tuple[float, float, float]:
    """Return medians of a run's CPU time, of its verdict's, and of their ratio."""
    pipeline = Pipeline([TriggerDetector(r"S  1|R128"), *chain])
    runs, verdicts = [], []
    for repeat in range(repeats + 1):
        context = simulation.context()
        begin = time.process_time()
        result = pipeline.run(context, show_progress=False)
        middle = time.process_time()
        quality = result.quality
        end = time.process_time()
        if not result.success or quality.verdict == "not measured":
            raise SystemExit(f"{pipeline}: {result.error or quality}")
        if repeat:  # the first run imports and compiles
            runs.append(middle - begin)
            verdicts.append(end - middle)
    ratio = np.median(np.array(verdicts) / np.array(runs))
    return float(np.median(runs)), float(np.median(verdicts)), float(ratio)


def main() -> None:
    """Print a row for each chain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--chain", nargs="*", choices=list(CHAINS), default=list(CHAINS))
    arguments = parser.parse_args()
    simulation = simulate(
        seed=1, n_channels=arguments.channels, sfreq=5000, duration_s=arguments.seconds
    )
    for name in arguments.chain:
        run_s, verdict_s, ratio = measure(CHAINS[name](), simulation, arguments.repeats)
        print(f"{name:20} {run_s:8.3f} s  {1e3 * verdict_s:6.1f} ms  {100 * ratio:5.1f} %")


if __name__ == "__main__":
    main()
