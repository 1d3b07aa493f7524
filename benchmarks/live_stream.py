"""CPU time and latency of a causal chain over blocks of samples, as they arrive.

Run: python benchmarks/live_stream.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from facet_nb import BandPassFilter, CommonReference, OnlineAASCorrection, Pipeline, TriggerDetector
from facet_nb.datasets import simulate


def main() -> None:
    """Print the share of one core, and how long blocks take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--duration", type=float, default=60.0, help="in s")
    parser.add_argument("--block", type=float, default=0.2, help="in s")
    args = parser.parse_args()
    raw = simulate(n_channels=args.channels, duration_s=args.duration, n_slices=20, seed=1).raw
    chain = [
        TriggerDetector(regex="S  1"),
        OnlineAASCorrection(),
        CommonReference("average"),
        BandPassFilter(0.5, 70.0, method="iir", phase="forward"),
    ]
    stream = Pipeline(chain).stream(raw, args.block)
    cpu, wall, spent = time.process_time(), time.perf_counter(), []
    for _ in stream:
        spent.append(time.perf_counter() - wall)
        wall = time.perf_counter()
    cpu = time.process_time() - cpu
    print(
        f"{args.channels} channels, {raw.info['sfreq']:g} Hz, blocks of {args.block:g} s: "
        f"{100 * cpu / args.duration:.1f} % of one core; a block takes "
        f"{1e3 * np.median(spent):.1f} ms (median), {1e3 * max(spent):.0f} ms (longest)"
    )


if __name__ == "__main__":
    main()
