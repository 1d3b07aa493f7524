"""A long recording within 1 GB: 64 channels × 5 kHz × 20 min (3 GB as float64), corrected with ×10.

Writes the recording as BrainVision (int16), runs the chain of seven steps on it from file to file
in a fresh process under ``memory_budget="1 GB"`` and ``RLIMIT_DATA``, samples the memory of the
process tree, and compares some channels with a run without limits, bit by bit.

    python benchmarks/out_of_core.py --folder /some/disk
    python benchmarks/out_of_core.py --channels 8 --minutes 1 --budget "500 MB"
    python benchmarks/out_of_core.py --libraries
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _works
import numpy as np
import psutil

SFREQ = 5000.0
EPOCH_S = 0.1


# ------------------------------------------------------------------------------------- recording
def write_recording(path: Path, n_channels: int, minutes: float) -> None:
    """Write EEG with a gradient artifact every 0.1 s as int16 BrainVision, piece by piece."""
    n_times = round(minutes * 60 * SFREQ)
    period = round(EPOCH_S * SFREQ)
    rng = np.random.default_rng(0)
    artifact = np.cumsum(rng.standard_normal((n_channels, period)), axis=1)
    artifact = 800.0 * (artifact - artifact.mean(1, keepdims=True)) / np.abs(artifact).max()
    first = 5 * round(SFREQ)
    with path.with_suffix(".eeg").open("wb") as sink:
        for start in range(0, n_times, period * 20):
            stop = min(start + period * 20, n_times)
            piece = 10.0 * rng.standard_normal((n_channels, stop - start))
            if first <= start < n_times - 2 * first:
                piece += np.tile(artifact, 20)[:, : stop - start]
            np.rint(piece.T / 0.1).astype("<i2").tofile(sink)
    n_triggers = (n_times - 3 * first) // period
    _write_texts(path, n_channels, first + period * np.arange(n_triggers))


def _write_texts(path: Path, n_channels: int, triggers: np.ndarray) -> None:
    channels = "\n".join(f"Ch{i + 1}=E{i + 1},,0.1,µV" for i in range(n_channels))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={n_channels}\n"
        f"SamplingInterval={1e6 / SFREQ}\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    marks = "\n".join(
        f"Mk{i}=Stimulus,S  1,{t + 1},1,0" for i, t in enumerate(triggers.tolist(), 1)
    )
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\n\n[Marker Infos]\n{marks}\n",
        encoding="utf-8",
    )


# --------------------------------------------------------------------------------- in the child
def make_steps(source: Path, target: Path | None, up: int, picks: list[str] | None) -> list:
    """Return the chain as a user writes it; with `picks` for some of the channels only."""
    from facet_nb import (
        AASCorrection,
        DownSample,
        Exporter,
        HighPassFilter,
        Loader,
        LowPassFilter,
        PickChannels,
        TriggerAligner,
        TriggerDetector,
        UpSample,
    )

    steps: list[Any] = [Loader(source, preload=bool(picks)), TriggerDetector(regex=r"\b1\b")]
    if picks:
        steps.append(PickChannels(picks))
    steps.append(HighPassFilter(1.0))
    if up > 1:
        steps += [UpSample(up), TriggerAligner(), AASCorrection(), DownSample(up)]
    else:
        steps.append(AASCorrection(subsample=True))
    steps.append(LowPassFilter(70.0))
    return steps if target is None else [*steps, Exporter(target)]


def run_child(options: dict[str, Any]) -> None:
    """Run the chain; print the plan, time and memory."""
    if options["limit_mb"]:
        limit = options["limit_mb"] * 10**6
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from facet_nb import Pipeline

    def run(source: str, target: str | None) -> Any:
        place = Path(target) if target else None
        return Pipeline(make_steps(Path(source), place, options["up"], None)).run(
            mode="channel_sequential",
            n_jobs=options["n_jobs"],
            backend="threading",
            memory_budget=options["budget"],
            fuse=not options["literal"],
            chunk_duration_s=options["chunk_s"],
            dtype=options["dtype"],
            show_progress=False,
            raise_on_error=True,
        )

    before_mb = 0.0
    if options["warm"]:  # libraries come to memory with a short recording
        run(options["warm"], str(Path(options["rows"]).with_name("warm.vhdr")))
        before_mb = _works.reset_peak_mb()
    begin, cpu = time.perf_counter(), time.process_time()
    result = run(options["source"], options["target"])
    told = {
        "wall_s": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "ns_per_sample": 0.0,
        "above_mb": _works.read_mb("VmHWM:") - before_mb,
        "forecast_mb": result.plan.forecast.peak_bytes / 1e6,
        "steps": {str(r.step): round(r.cpu_s, 1) for r in result.step_times.itertuples()},
    }
    raw = result.get_raw()
    told["ns_per_sample"] = told["cpu_s"] / (len(raw.ch_names) * raw.n_times) * 1e9
    print(result.plan)
    print("@@" + json.dumps(told), flush=True)
    names = choose_channels(raw.ch_names)
    np.savez(options["rows"], **{n: raw.get_data(picks=[n])[0] for n in names})


def choose_channels(names: list[str]) -> list[str]:
    """Return the channels that are compared; the first is the reference."""
    return sorted({names[0], names[len(names) // 2], names[-1]})


def compare(options: dict[str, Any]) -> dict[str, bool]:
    """Compare some channels with a run on these channels alone, in memory and without limits."""
    from facet_nb import Pipeline

    with np.load(options["rows"]) as found:
        steps = make_steps(Path(options["source"]), None, options["up"], list(found))
        alone = (
            Pipeline(steps)
            .run(
                fuse=not options["literal"],
                dtype=options["dtype"],
                show_progress=False,
                raise_on_error=True,
            )
            .get_raw()
        )
        pairs = zip(alone.ch_names, alone._data, strict=True)
        return {name: bool(np.array_equal(found[name], row)) for name, row in pairs}


def measure_libraries() -> None:
    """Print the memory of libraries in a fresh process: see core/planning/memory_forecast.py."""
    rss = psutil.Process().memory_info
    before = rss().rss
    for name in ("numpy", "scipy.fft", "scipy.signal", "mne"):
        __import__(name)
        now = rss().rss
        print(f"{name:<14} + {(now - before) / 1e6:.0f} MB")
        before = now
    from facet_nb.kernels.filters.fir import filter_zero_phase

    filter_zero_phase(np.zeros((1, 100_000)), np.ones(1001) / 1001)
    print(f"{'first kernel':<14} + {(rss().rss - before) / 1e6:.0f} MB")


# -------------------------------------------------------------------------------- in the parent
def tree_memory(root: psutil.Process) -> tuple[float, float]:
    """Return the memory of a process tree in MB: without, and with pages of files.

    Private memory of all processes, and the largest part that they share (libraries); anonymous
    memory alone is what no system can take back without a swap.
    """
    anonymous = private = shared = 0.0
    try:
        pids = [root.pid, *(p.pid for p in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes: dict[str, float] = {}
        for line in text.splitlines()[1:]:
            key, value = line.split(":")
            sizes[key] = float(value.split()[0]) * 1024 / 1e6
        anonymous += sizes["Anonymous"]
        private += sizes["Private_Clean"] + sizes["Private_Dirty"]
        shared = max(shared, sizes["Shared_Clean"] + sizes["Shared_Dirty"])
    return anonymous, private + shared


def watch(options: dict[str, Any]) -> dict[str, Any]:
    """Run the child; return its report and its peak memory."""
    command = [sys.executable, __file__, "--child", json.dumps(options)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    root, peaks, told = psutil.Process(child.pid), (0.0, 0.0), {}
    assert child.stdout is not None
    import threading

    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True)
    reader.start()
    hwm = 0.0
    while reader.is_alive() and not any(line.startswith("@@") for line in lines):
        now = tree_memory(root)
        peaks = max(peaks[0], now[0]), max(peaks[1], now[1])
        hwm = max(hwm, _high_water_mb(child.pid))
        time.sleep(options["look_s"])
    reader.join()
    if child.wait() != 0:
        raise SystemExit(f"the run ended with code {child.returncode}")
    for line in lines:
        if line.startswith("@@"):
            told |= json.loads(line[2:])
        else:
            print(line, end="")
    return {**told, "peak_anonymous_mb": peaks[0], "peak_mb": peaks[1], "vmhwm_mb": hwm}


def _high_water_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(float(x.split()[1]) * 1024 / 1e6 for x in lines if x.startswith("VmHWM"))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("out_of_core"))
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--up", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--budget", default="1 GB")
    parser.add_argument("--limit-mb", type=int, default=0, help="RLIMIT_DATA; 0 for none")
    parser.add_argument("--literal", action="store_true", help="no fusion: upsample whole channels")
    parser.add_argument("--chunk-s", type=float, help="chunks of time, with --up 1")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--suffix", default=".vhdr", help="suffix of the result")
    parser.add_argument(
        "--warm", action="store_true", help="a short recording first: peak above the libraries"
    )
    parser.add_argument("--look-s", type=float, default=0.02, help="s between readings of memory")
    parser.add_argument("--no-compare", action="store_true")
    parser.add_argument("--libraries", action="store_true")
    parser.add_argument("--child")
    return parser.parse_args(argv)


def main() -> None:
    """Make, run, measure, compare."""
    options = parse()
    if options.libraries:
        return measure_libraries()
    if options.child:
        return run_child(json.loads(options.child))
    told, child = measure(options)
    if not options.no_compare:
        told["identical"] = compare(child)
    print(json.dumps(told, indent=1))
    return None


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one chain from file to file; return time, memory and settings."""
    options.folder.mkdir(parents=True, exist_ok=True)

    def find(n_channels: int, minutes: float) -> str:
        path = options.folder / f"in_{n_channels}_{minutes:g}.vhdr"
        if not path.exists():
            write_recording(path, n_channels, minutes)
        return str(path)

    child = {
        "source": find(options.channels, options.minutes),
        "target": str(options.folder / f"out{options.suffix}"),
        "rows": str(options.folder / "rows.npz"),
        "up": options.up,
        "n_jobs": options.n_jobs,
        "budget": options.budget,
        "literal": options.literal,
        "chunk_s": options.chunk_s,
        "dtype": options.dtype,
        "limit_mb": options.limit_mb,
        "look_s": options.look_s,
        "warm": find(2, 1.0) if options.warm else None,
    }
    return watch(child), child


if __name__ == "__main__":
    main()
