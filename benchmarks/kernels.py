"""Kernels compared with public counterparts and with the limits of the machine.

Prints one table from one interleaved run: CPU time (one thread, median), the ratio to the
counterpart within each round (median and range), the largest difference from it relative to its
peak, and the floor: the time that the kernel's arithmetic or its reading and writing would take at
the rates that are measured first. Results are allocated by each call, ours and theirs.

    python benchmarks/kernels.py [--only sos,median,fir,resample] [--repeats 7] [--share 1.0]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mne
import numpy as np
from _measure import describe_commit, describe_machine, describe_packages, ratios, spread
from scipy import fft, signal
from threadpoolctl import threadpool_limits

from facet_nb.kernels.compiled.dispatch import aligned_empty, has_compiled
from facet_nb.kernels.compiled.library import count_vector_bytes, find_instructions
from facet_nb.kernels.compiled.overlap_save import find_twiddles
from facet_nb.kernels.filters import common_reference, fir, iir
from facet_nb.kernels.resampling import windowed_sinc

PACKAGES = ("facet-nb", "numpy", "scipy", "mne")


@dataclass
class Case:
    """One kernel on one recording."""

    name: str
    against: str
    ours: Callable[[], np.ndarray]
    theirs: Callable[[], np.ndarray]
    twin: Callable[[], np.ndarray] | None = None
    n_bytes: float = 0.0
    n_flops: float = 0.0
    rate: str = ""
    is_same: bool = True
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    error: float = np.nan


# ------------------------------------------------------------------------------------ the machine
def measure_cpu_s(run: Callable[[], Any]) -> float:
    """Return the CPU time of one call, in s."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def best_s(run: Callable[[], Any], repeats: int = 7) -> float:
    """Return the shortest CPU time, in s."""
    return min(measure_cpu_s(run) for _ in range(repeats))


def measure_roof() -> dict[str, float]:
    """Return memory rates in bytes per s, and arithmetic rates in operations per s."""
    a, b = np.ones(32_000_000), np.zeros(32_000_000)
    roof = {
        "read": a.nbytes / best_s(lambda: a.max()),
        "copy": 2 * a.nbytes / best_s(lambda: np.copyto(b, a)),
    }
    for kind in ("complex128", "complex64"):
        x = np.ones((4, 4096), kind)
        flops = 50 * 4 * 5 * 4096 * 12
        rate = flops / best_s(lambda x=x: [fft.fft(x).shape for _ in range(50)])
        roof[f"scipy {kind}"] = rate
    if shutil.which("cc") and has_compiled():
        roof.update(measure_lanes())
    else:
        print("no compiled kernels, or no compiler: no floors for arithmetic", file=sys.stderr)
    return roof


def measure_lanes() -> dict[str, float]:
    """Return rates of loops as the kernels have them, on data in the innermost cache."""
    roof = {}
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        loops = compile_lanes(dtype)
        width = count_vector_bytes() // dtype.itemsize
        factors = find_twiddles(256, dtype.char)
        spectrum = np.full(256, 1 / 256, dtype)
        points, tile = aligned_empty(512 * width, dtype), aligned_empty(32 * width, dtype)
        points[:] = 1.0
        given = [ctypes.c_void_p(a.ctypes.data) for a in (points, factors, spectrum, tile)]
        flops = 2000 * 2 * 5 * 256 * 8 * width
        roof[f"lanes {dtype}"] = flops / best_s(partial(loops.transform_often, *given, 2000))
        if dtype == np.float64:
            n = 300_000
            seconds = best_s(partial(loops.add_and_multiply, given[0], n))
            roof["multiply, add"] = 12 * width * n / seconds
    return roof


def compile_lanes(dtype: np.dtype) -> ctypes.CDLL:
    """Compile the loops of _lanes.c for a type, with the instructions that the kernels use."""
    source = Path(__file__).with_name("_lanes.c")
    single, avx2 = dtype == np.float32, find_instructions() == "avx2"
    with TemporaryDirectory() as folder:
        target = Path(folder) / "lanes.so"
        options = ["-std=gnu11", "-O3", "-ffp-contract=off", "-Wno-psabi", "-shared", "-fPIC"]
        kinds = [f"-DREAL_IS_FLOAT={single:d}", f"-DUSE_AVX2={avx2:d}"]
        subprocess.run(["cc", *options, *kinds, source, "-o", target], check=True)
        return ctypes.CDLL(str(target))


def floor_s(case: Case, roof: dict[str, float]) -> tuple[float, str]:
    """Return the least time for arithmetic or memory, and which of them it is."""
    memory = case.n_bytes / roof["copy"]
    arithmetic = case.n_flops / roof[case.rate] if case.rate in roof else 0.0
    return max((memory, "memory"), (arithmetic, "arithmetic"))


# -------------------------------------------------------------------------------------- the cases
def make_signals(n_channels: int, n_times: float, dtype: str = "float64") -> np.ndarray:
    """Return noise, shape (n_channels, n_times)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_channels, int(n_times))).astype(dtype)


def make_sos(share: float) -> Iterator[Case]:
    """Band-pass filters of order 5, forwards and backwards."""
    spikes = signal.butter(5, [300, 6000], "bandpass", fs=30_000, output="sos")
    eeg = signal.butter(5, [1, 40], "bandpass", fs=1000, output="sos")
    for n_channels, n_times, dtype, sos, label in (
        (64, 300_000, "float64", spikes, "300-6000 Hz"),
        (64, 300_000, "float64", eeg, "1-40 Hz"),
        (384, 30_000, "float32", spikes, "300-6000 Hz"),
        (1, 600_000, "float64", eeg, "1-40 Hz"),
    ):
        x = make_signals(n_channels, n_times * share, dtype)
        padlen = min(3000 if sos is eeg else 300, x.shape[1] - 1)
        yield Case(
            f"SOS {label}, {n_channels} x {x.shape[1]} {dtype}",
            "scipy.signal.sosfiltfilt",
            lambda x=x, s=sos, p=padlen: iir.filter_sos(x, s, padlen=p),
            lambda x=x, s=sos, p=padlen: signal.sosfiltfilt(s, x, padlen=p),
            n_bytes=2 * x.nbytes,
            n_flops=2 * 9 * len(sos) * x.size,
            rate="multiply, add",
        )


def make_median(share: float) -> Iterator[Case]:
    """Median across channels, alone and subtracted."""
    for n_channels, n_times, dtype in ((64, 300_000, "float64"), (384, 30_000, "float32")):
        x = make_signals(n_channels, n_times * share, dtype)
        shape = f"{n_channels} x {x.shape[1]} {dtype}"

        def find(x: np.ndarray = x) -> np.ndarray:
            from facet_nb.kernels.compiled.median import median_across

            return median_across(x)

        try:
            find(x[:, :1])
        except ImportError:
            pass
        else:
            yield Case(
                f"median, {shape}",
                "numpy.median",
                find,
                lambda x=x: np.median(x, axis=0),
                n_bytes=x.nbytes,
            )
        yield Case(
            f"median reference, {shape}",
            "x - numpy.median(x)",
            lambda x=x: common_reference.subtract_common(x, "median"),
            lambda x=x: x - np.median(x, axis=0),
            n_bytes=2 * x.nbytes,
        )


def make_fir(share: float) -> Iterator[Case]:
    """MNE's default filters at 5 kHz; its arithmetic is float64 whatever the input."""
    x = make_signals(32, 600_000 * share)
    for low, high, label in ((1.0, None, "high-pass 1 Hz"), (None, 70.0, "low-pass 70 Hz")):
        taps = mne.filter.create_filter(None, 5000.0, low, high, verbose="error")
        n_fft = fir.choose_n_fft(len(taps))
        n_pairs = -(-x.shape[1] // (2 * (n_fft - len(taps) + 1)))
        for dtype in ("float64", "float32"):
            y = x.astype(dtype)
            yield Case(
                f"FIR {label}, 32 x {x.shape[1]} {dtype}",
                "mne.filter.filter_data",
                lambda y=y, t=taps: fir.filter_zero_phase(y, t),
                lambda a=low, b=high: mne.filter.filter_data(
                    x, 5000.0, a, b, n_jobs=1, verbose="error"
                ),
                lambda y=y, t=taps: fir.filter_in_scipy(y, t),
                n_bytes=2 * y.nbytes,
                n_flops=32 * n_pairs * 2 * 5 * n_fft * np.log2(n_fft),
                rate=f"lanes {dtype}",
            )


def make_resample(share: float) -> Iterator[Case]:
    """Ten times the rate, and back."""
    x = make_signals(4, 300_000 * share)
    high = windowed_sinc.upsample(x, 10)
    n_fft, hop = windowed_sinc.N_FFT, windowed_sinc.N_FFT - 2 * windowed_sinc.HALF_WIDTH + 1
    peers = {
        "mne.filter.resample": lambda x, up, down: mne.filter.resample(
            x, up, down, npad="auto", verbose="error"
        ),
        "scipy.signal.resample_poly": lambda x, up, down: signal.resample_poly(x, up, down, axis=1),
    }
    for name, run in peers.items():
        for up, down, source in ((10, 1, x), (1, 10, high)):
            n_transforms = (up + down) * len(x) * -(-x.shape[1] // hop)
            yield Case(
                f"resample x{up}/{down}, 4 x {source.shape[1]} float64",
                name,
                lambda s=source, u=up, d=down: windowed_sinc.resample(s, u, d),
                lambda s=source, u=up, d=down, run=run: run(s, u, d),
                n_bytes=x.nbytes + high.nbytes,
                n_flops=n_transforms * 2.5 * n_fft * np.log2(n_fft),
                rate="lanes float64",
                is_same=False,  # other filters, other ends
            )


KINDS = {"sos": make_sos, "median": make_median, "fir": make_fir, "resample": make_resample}


# ------------------------------------------------------------------------------------- measuring
def compare(case: Case) -> None:
    """Run once to warm up; note the largest difference from the counterpart."""
    ours, theirs = case.ours(), case.theirs()
    if case.is_same:
        case.error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if case.twin is not None:
        case.twin()


def measure_all(cases: list[Case], repeats: int) -> None:
    """Run all repeatedly in random order."""
    order = random.Random(0)
    for _ in range(repeats):
        for case in order.sample(cases, len(cases)):
            ways = {"ours": case.ours, "theirs": case.theirs, "twin": case.twin}
            for way in order.sample(list(ways), len(ways)):
                run = ways[way]
                if run is not None:
                    case.cpu_s.setdefault(way, []).append(measure_cpu_s(run))


def format_row(case: Case, roof: dict[str, float]) -> list[str]:
    """Return the cells of one row."""
    median, low, high = spread(ratios(case.cpu_s["theirs"], case.cpu_s["ours"]))
    cells = [
        case.name,
        case.against,
        f"{1e3 * np.median(case.cpu_s['theirs']):.1f}",
        f"{1e3 * np.median(case.cpu_s['ours']):.1f}",
        f"**{median:.1f}** ({low:.1f}-{high:.1f})",
    ]
    twin = case.cpu_s.get("twin")
    cells.append(f"{spread(ratios(case.cpu_s['theirs'], twin))[0]:.1f}" if twin else "")
    floor, what = floor_s(case, roof)
    distance = np.median(case.cpu_s["ours"]) / floor
    error = f"{case.error:.1e}" if case.is_same else ""
    return [*cells, error, f"{1e3 * floor:.1f} {what}", f"{distance:.1f}"]


HEAD = (
    "kernel",
    "against",
    "theirs, ms",
    "ours, ms",
    "times less CPU",
    "not compiled",
    "difference",
    "floor, ms",
    "times the floor",
)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, separated by commas")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--share", type=float, default=1.0, help="share of the recordings' length")
    parser.add_argument("--out", type=Path, help="file for all samples, as JSON")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.only.split(",")) - set(KINDS)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))}; choose from {', '.join(KINDS)}")
    return arguments


def main() -> None:
    """Measure, print the table, and write the samples."""
    arguments = parse()
    environment = {
        "machine": describe_machine(),
        "packages": describe_packages(PACKAGES),
        "commit": describe_commit(Path(__file__).parent),
    }
    roof = measure_roof()
    print(json.dumps(environment))
    for name, rate in roof.items():
        unit = "GB/s" if name in ("read", "copy") else "GFLOP/s"
        print(f"{name}: {rate / 1e9:.1f} {unit}")
    rows = []
    kinds = [KINDS[kind] for kind in arguments.only.split(",")]
    for make in kinds:  # kind after kind: the recordings of all would not fit into small machines
        cases = list(make(arguments.share))
        for case in cases:
            compare(case)
        measure_all(cases, arguments.repeats)
        rows += [(case.name, case.cpu_s, format_row(case, roof)) for case in cases]
    print("\n| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for _, _, cells in rows:
        print("| " + " | ".join(cells) + " |")
    if arguments.out:
        samples = {f"{name}; {cells[1]}": cpu_s for name, cpu_s, cells in rows}
        table = {"schema": 1, **environment, "roof": roof, "samples": samples}
        arguments.out.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
