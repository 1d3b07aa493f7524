"""What a large study needs: 1,000 recordings of 64 channels × 5 kHz × 1 h, from small ones.

Corrects four small recordings that stay in their files, each in a fresh process, as a worker of a
study does: chain, quality, and export. CPU time is fitted as ``a + b × channels × minutes``;
bytes per sample are counted. Everything beyond 16 channels × 20 min is extrapolation.

    python benchmarks/large_study.py --folder /some/disk
    python benchmarks/large_study.py --recordings 200 --channels 32 --minutes 20 --workers 16
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from _measure import cpu_times_s
from out_of_core import EPOCH_S, SFREQ, write_recording

from facet_nb import gradient_correction
from facet_nb.lessons import write_header_only

#: Channels and minutes that are measured.
SIZES = ((8, 10.0), (16, 10.0), (8, 20.0), (16, 20.0))
#: What one hour of a core costs, for scale only: an on-demand virtual core of a large provider.
CORE_HOUR_USD = 0.05


def correct(path: str, output: str) -> None:
    """Correct one recording as a study does, and print what it took (in a process of its own)."""
    begin_s, peak = sum(cpu_times_s()), _PeakMemory()
    batch = gradient_correction().map([path], output=output, n_jobs=1, show_progress=False)
    used = {"cpu_s": sum(cpu_times_s()) - begin_s, "peak_bytes": peak.stop()}
    if not batch.rows[0].success:
        raise SystemExit(batch.summary())
    used["written"] = _count_bytes(Path(batch.rows[0].output))
    print(json.dumps(used))


class _PeakMemory(threading.Thread):
    """Samples the memory of this process without pages of files, which the system may drop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._done = 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.02):
            text = Path("/proc/self/status").read_text()
            self.peak = max(self.peak, 1024 * int(text.split("RssAnon:")[1].split()[0]))

    def stop(self) -> int:
        """Return the largest memory, in bytes."""
        self._done.set()
        self.join()
        return self.peak


def _count_bytes(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*"))


def measure(folder: Path) -> list[dict[str, Any]]:
    """Measure each size."""
    found = []
    for channels, minutes in SIZES:
        path = folder / f"c{channels}m{minutes:g}.vhdr"
        write_recording(path, channels, minutes)
        words = [sys.executable, __file__, "--correct", str(path), str(folder / "out")]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        row |= {"channels": channels, "minutes": minutes, "read": _count_bytes(path)}
        print(
            f"{channels} ch × {minutes:g} min: {row['cpu_s']:.2f} CPU-s, "
            f"{row['peak_bytes'] / 1e6:.0f} MB, in {row['read'] / 1e6:.1f} MB, "
            f"out {row['written'] / 1e6:.1f} MB"
        )
        found.append(row)
    return found


def predict(rows: list[dict[str, Any]], options: argparse.Namespace, folder: Path) -> None:
    """Print the plan."""
    n, channels, minutes = options.recordings, options.channels, options.minutes
    design = np.array([[1.0, r["channels"] * r["minutes"]] for r in rows])
    cpu = np.array([r["cpu_s"] for r in rows])
    (a, b), *_ = np.linalg.lstsq(design, cpu, rcond=None)
    worst = float(np.abs(design @ [a, b] - cpu).max() / cpu.max())
    samples = channels * minutes * 60 * SFREQ
    each_s = a + b * channels * minutes
    last = rows[-1]
    size = last["channels"] * last["minutes"] * 60 * SFREQ
    read, written = (samples * last[key] / size for key in ("read", "written"))
    path = write_header_only(folder, "planned", channels, SFREQ, 60 * minutes, EPOCH_S)
    plan = gradient_correction().plan_map(
        [path], output=folder / "out", n_jobs=options.workers, memory_budget="64 GB"
    )
    hours = n * each_s / 3600
    print(
        f"\nCPU-s = {a:.2f} + {b:.4f} × channels × minutes "
        f"(worst residual {worst:.0%})\n"
        f"{n} recordings of {channels} channels × {minutes:g} min:\n"
        f"  one recording   {each_s / 60:.1f} CPU-min (extrapolated)\n"
        f"  all             {hours:.0f} core-hours; {hours / options.workers:.1f} h with "
        f"{options.workers} workers (extrapolated, without waiting for disks)\n"
        f"  memory          {plan.files[0].needs_bytes / 1e6:.0f} MB for each worker (forecast)\n"
        f"  network         {n * read / 1e12:.2f} TB in, {n * written / 1e12:.2f} TB out; "
        f"{(read + written) / each_s / 1e6:.1f} MB/s for each worker\n"
        f"  storage         {n * written / 1e12:.2f} TB beside {n * read / 1e12:.2f} TB of inputs\n"
        f"  cost            {hours * CORE_HOUR_USD:.0f} USD at {CORE_HOUR_USD} USD for a core-hour"
    )


def main() -> None:
    """Measure, and print the plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a disk with 1 GB")
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--correct", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.correct:
        correct(*options.correct)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        predict(measure(folder), options, folder)


if __name__ == "__main__":
    main()
