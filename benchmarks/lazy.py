"""What a lazy recording costs: decisions, the first window, sliders, and memory of a whole read.

Each chain is opened in a fresh process on a BrainVision file of 64 channels at 5 kHz with a
gradient artifact, and reads 5 s of 16 channels as a viewer does. ``--whole`` reads all samples,
second by second. Times are wall and CPU, in s; memory is what the process takes beyond its imports.

    python benchmarks/lazy.py --minutes 2
    python benchmarks/lazy.py --minutes 60 --file hour.vhdr --whole

``--windows`` measures single windows once all is decided: 1 s of 64 channels through a recursive
band-pass and the median reference, beside the bare kernels on samples in memory and MNE's filter of
what it shows; and 5 s of 16 channels of the default chain, at random places and scrolling.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import out_of_core

#: Chains, and a slider of each: a step and its values.
CHAINS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "AAS": ("AASCorrection()", {"aas_correction": [("window_size", [20, 25, 35])]}),
    "AAS, LP 70": (
        "AASCorrection(), LowPassFilter(70.0)",
        {
            "aas_correction": [("window_size", [20, 25, 35])],
            "lowpass_filter": [("freq", [40.0, 50.0, 60.0])],
        },
    ),
    "tenfold": (
        "UpSample(10), AASCorrection(), DownSample(10), LowPassFilter(70.0)",
        {
            "aas_correction": [("window_size", [20, 25, 35])],
            "lowpass_filter": [("freq", [40.0, 50.0, 60.0])],
        },
    ),
    "default": (
        "GradientCorrection(), LowPassFilter(70.0)",
        {"lowpass_filter": [("freq", [40.0, 50.0, 60.0])]},
    ),
}


def open_lazy(path: str, chain: str, cache: str) -> Any:
    """Return the lazy recording of a file."""
    import facet_nb
    from facet_nb import Pipeline, TriggerDetector

    steps = eval(f"[{CHAINS[chain][0]}]", vars(facet_nb) | {n: getattr(facet_nb, n) for n in NAMES})
    return Pipeline([TriggerDetector(regex=r"\b1\b"), *steps]).lazy(path, cache=cache)


NAMES = ["AASCorrection", "GradientCorrection", "LowPassFilter", "UpSample", "DownSample"]


def run_child(path: str, chain: str, cache: str, whole: bool) -> None:
    """Print what one chain costs, as JSON."""
    import mne
    import scipy.fft  # noqa: F401  # not counted as memory of the recording

    import facet_nb  # noqa: F401

    found: dict[str, Any] = {"chain": chain}
    base_mb = _peak_mb()
    with _Watch(found, "decisions"):
        lazy = open_lazy(path, chain, cache)
    start = round(20 * lazy.info["sfreq"])
    window = {"start": start, "stop": start + round(5 * lazy.info["sfreq"])}
    picks = np.arange(16)
    with _Watch(found, "first channel"):
        lazy.get_data(picks[:1], **window)
    with _Watch(found, "first window"):
        lazy.get_data(picks, **window)
    found["first_mb"] = _peak_mb() - base_mb
    for step, sliders in CHAINS[chain][1].items():
        for name, values in sliders:
            times = []
            for value in values:
                begin = time.perf_counter()
                lazy.with_parameters(step, **{name: value}).get_data(picks, **window)
                times.append(time.perf_counter() - begin)
            found[f"slider {name}"] = [round(t, 3) for t in times]
    if whole:
        with _Watch(found, "whole"):
            for second in range(0, lazy.n_times, round(lazy.info["sfreq"])):
                lazy.get_data(start=second, stop=second + round(lazy.info["sfreq"]))
        found["whole_mb"] = _peak_mb() - base_mb
    assert isinstance(lazy, mne.io.BaseRaw)
    print(json.dumps(found))


def measure_windows() -> None:
    """Print the CPU time of single windows, in ms: median and longest."""
    import mne

    from facet_nb import (
        BandPassFilter,
        CommonReference,
        GradientCorrection,
        LowPassFilter,
        Pipeline,
        TriggerDetector,
        signal,
    )
    from facet_nb.core.execution.threads import one_thread
    from facet_nb.datasets import simulate

    raw = simulate(64, 5000.0, 60.0, n_slices=20, seed=1).raw
    n, rng = raw.n_times, np.random.default_rng(0)
    places = rng.integers(5000, n - 30_000, 40).tolist()
    lazy = Pipeline([BandPassFilter(1.0, 40.0, method="iir"), CommonReference()]).lazy(raw)
    lazy.get_data(start=0, stop=5000)
    x = raw.get_data(start=0, stop=5000)

    def run_kernels(_: int) -> None:
        y = signal.filter_sos(x, 5000.0, l_freq=1.0, h_freq=40.0)
        signal.common_reference(y, 5000.0, operator="median", out=y)

    def run_mne(start: int) -> None:
        window = raw.get_data(start=start, stop=start + 5000)
        y = mne.filter.filter_data(window, 5000.0, 1.0, 40.0, method="iir", verbose="error")
        y -= np.median(y, axis=0)

    print("1 s × 64 channels, recursive band-pass and median, CPU ms: median, longest")
    for name, read in {
        "lazy": lambda start: lazy.get_data(start=start, stop=start + 5000),
        "kernels": run_kernels,
        "MNE": run_mne,
    }.items():
        read(places[0])
        print(f"  {name}: {_time_ms(read, places)}")
    lazy = Pipeline([TriggerDetector(regex="S  1"), GradientCorrection(), LowPassFilter(70.0)])
    lazy = lazy.lazy(raw, cache="64 MB")
    picks = np.arange(16)

    def read(start: int) -> None:
        lazy.get_data(picks, start=start, stop=start + 25_000)

    with one_thread():
        for start in range(0, n, 25_000):
            read(min(start, n - 25_000))
    samples = lazy._raw_extras[0]["samples"]

    def read_cold(start: int) -> None:
        samples.cache.clear()
        read(start)

    print("5 s × 16 channels, default chain, CPU ms: median, longest")
    print(f"  nothing in the cache: {_time_ms(read_cold, places)}")
    samples.cache.clear()
    print(f"  scrolling by 1 s: {_time_ms(read, range(50_000, 250_000, 5000))}")


def _time_ms(read: Any, places: Any) -> str:
    spent = []
    for place in places:
        begin = time.thread_time()  # not what is read ahead meanwhile
        read(place)
        spent.append(1e3 * (time.thread_time() - begin))
    return f"{np.median(spent):.1f}, {max(spent):.1f}"


class _Watch:
    """Notes wall and CPU time of a block, in s."""

    def __init__(self, found: dict[str, Any], name: str) -> None:
        self.found, self.name = found, name

    def __enter__(self) -> None:
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = self.begin
        self.found[self.name] = [
            round(time.perf_counter() - wall, 2),
            round(time.process_time() - cpu, 2),
        ]


def _peak_mb() -> float:
    """Return the highest memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1)


def main() -> int:
    """Measure each chain in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--file", type=Path, help="a BrainVision header; without it, one is made")
    parser.add_argument("--chain", choices=list(CHAINS), action="append")
    parser.add_argument("--cache", default="256 MB")
    parser.add_argument("--whole", action="store_true", help="read all samples")
    parser.add_argument("--windows", action="store_true", help="measure single windows only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_child(str(given.file), given.child, given.cache, given.whole)
        return 0
    if given.windows:
        measure_windows()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "recording.vhdr"
        if not path.exists():
            out_of_core.EPOCH_S = 0.0676  # 53,250 markers in an hour
            out_of_core.write_recording(path, 64, given.minutes)
        for chain in given.chain or CHAINS:
            command = [sys.executable, __file__, "--file", path, "--child", chain]
            command += ["--cache", given.cache, *(["--whole"] if given.whole else [])]
            subprocess.run(list(map(str, command)), check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
