"""Every promise of this package about speed and memory, measured, in one table.

    python benchmarks/table.py --peer-python PATH [--only chain,steps,…] [--repeats 3] [--quick]

`PATH` is the Python of an environment with ``facetpy==2.0.2`` and psutil. Works of a row, and of
the rows beside it, take turns in random order; ratios of CPU time are taken within a turn; median
and range are shown. Each work has a process of its own, which reads its recording before: steady
state is what its second and later runs take. What the first run of a process takes more (imports,
compiled code from its cache) stands in rows of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import _roof
import kernels
import numpy as np
import out_of_core
from _measure import describe_commit, describe_machine, describe_packages, ratios, spread
from _server import Worker
from threadpoolctl import threadpool_limits

PACKAGES = ("facet-nb", "facetpy", "numpy", "scipy", "mne", "joblib")
#: Freed arrays go back to the system: memory kept from one run would hide that of the next.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
NOT_COMPILED = {"FACET_NB_COMPILED": "never"}
HEAD = ("work", "against", "to reach", "measured", "range", "theirs", "ours", "floor", "× floor")


@dataclass
class Row:
    """One line of the table."""

    work: str
    against: str
    target: str
    measured: str
    range: str = ""
    theirs: str = ""
    ours: str = ""
    floor: str = ""
    distance: str = ""
    samples: dict[str, Any] = field(default_factory=dict)

    def cells(self) -> tuple[str, ...]:
        """Return what is printed."""
        return (
            self.work,
            self.against,
            self.target,
            self.measured,
            self.range,
            self.theirs,
            self.ours,
            self.floor,
            self.distance,
        )


@dataclass
class Bench:
    """What all groups of rows share."""

    folder: Path
    peer: str | None
    repeats: int
    quick: bool
    twin: Path | None
    roof: dict[str, float]

    def record(self, n_channels: int, duration_s: float, *, pulse: bool = False) -> str:
        """Return the path of a simulated recording at 5 kHz, written once."""
        path = self.folder / f"{n_channels}x{duration_s:g}{'_pulse' * pulse}_raw.fif"
        if not path.exists():
            from facet_nb.datasets import simulate

            raw = simulate(n_channels, 5000.0, duration_s, seed=0, pulse=pulse).raw
            raw.annotations.rename(dict.fromkeys(set(raw.annotations.description), "1"))
            raw.save(path, fmt="double", verbose="error", split_size="2GB")
        return str(path)


def take_turns(works: dict[str, Worker], repeats: int, often: int = 3) -> dict[str, list[dict]]:
    """Return the times of each work; those of facet_nb are medians of `often` runs of a turn."""
    order, answers = random.Random(0), {name: [] for name in works}
    for turn in range(repeats):
        for name in order.sample(list(works), len(works)):
            runs = [works[name].run() for _ in range(1 if name.startswith("FACETpy") else often)]
            middle = sorted(runs, key=lambda run: run["cpu_s"])[len(runs) // 2]
            answers[name].append(middle)
            text = f"[{turn + 1}/{repeats}] {name}: {middle['cpu_s']:.3f} CPU-s"
            print(text, file=sys.stderr, flush=True)
    return answers


def compare(
    names: tuple[str, str, str],
    theirs: list[dict],
    ours: list[dict],
    floor: tuple[float, str] | None = None,
    what: str = "CPU",
) -> Row:
    """Return a row: `names` are the work, what it is compared with, and the target."""
    a, b = ([answer["cpu_s"] for answer in some] for some in (theirs, ours))
    median, low, high = spread(ratios(a, b))
    row = Row(*names, f"**{median:.1f}×** less {what}", f"{low:.1f}–{high:.1f}")
    row.theirs, row.ours = f"{np.median(a):.3g} s", f"{np.median(b):.3g} s"
    if floor is not None:
        row.floor = f"{floor[0]:.3g} s ({floor[1]})"
        row.distance = f"{np.median(b) / floor[0]:.1f}"
    row.samples = {"theirs": theirs, "ours": ours}
    return row


# -------------------------------------------------------------------------------------- the chain
def measure_chain(bench: Bench) -> Iterator[Row]:
    """The chain compared with FACETpy's serial run."""
    duration_s = 30.0 if bench.quick else 120.0
    path = bench.record(32, duration_s)
    ours = {
        "×10": {"chain": "tenfold"},
        "native float64": {},
        "native float32": {"dtype": "float32"},
    }
    works = {name: Worker("our_chain", {"path": path, **o}) for name, o in ours.items()}
    works["native, not compiled"] = Worker("our_chain", {"path": path}, environment=NOT_COMPILED)
    first = {name: [work.run()] for name, work in works.items()}  # what only the first run does
    if bench.peer:
        works["FACETpy"] = Worker("peer_chain", {"path": path}, bench.peer)
    answers = take_turns(works, bench.repeats)
    for work in works.values():
        work.close()
    against = f"FACETpy 2.0.2 serial, 32 ch × 5 kHz × {duration_s:g} s"
    peer = answers.get("FACETpy")
    targets = {
        "×10": "≥ 50×",
        "native float64": "≥ 80×",
        "native float32": "≥ 150×",
        "native, not compiled": "≥ 30×",
    }
    for name, target in targets.items():
        label = "the seven steps, " if name == "×10" else "the chain, "
        floor = _roof.chain_floor(path, name, bench.roof)
        if peer:
            yield compare((label + name, against, target), peer, answers[name], floor)
        extra = compare(
            (f"{label}{name}: first run of a process", "its later runs", "—"),
            first[name],
            [answers[name][0]],
        )
        extra.measured = f"{first[name][0]['cpu_s'] - _median(answers[name]):+.2f} CPU-s"
        extra.range, extra.theirs, extra.floor = "", f"{first[name][0]['cpu_s']:.3g} s", ""
        if peer:
            extra.range = f"{_median(peer) / first[name][0]['cpu_s']:.0f}× less than FACETpy"
        yield extra


def _median(answers: list[dict], key: str = "cpu_s") -> float:
    return float(np.median([answer[key] for answer in answers]))


# ------------------------------------------------------------------------------------- the workers
def measure_workers(bench: Bench) -> Iterator[Row]:
    """Two workers compared with one, in wall time: a short and a longer recording."""
    for n_channels, duration_s in ((8, 30.0),) if bench.quick else ((32, 120.0), (64, 240.0)):
        yield from _compare_workers(bench, n_channels, duration_s)


def _compare_workers(bench: Bench, n_channels: int, duration_s: float) -> Iterator[Row]:
    path = bench.record(n_channels, duration_s)
    two = {
        "2 threads (n_jobs)": {"n_jobs": 2, "backend": "threading"},
        "2 processes (n_jobs)": {"n_jobs": 2},
        "2 inner threads (n_workers)": {"n_workers": 2, "batch_size": 8},
    }
    works = {"one": Worker("our_chain", {"path": path})}
    works |= {name: Worker("our_chain", {"path": path, **o}) for name, o in two.items()}
    for work in works.values():
        work.run()
    answers = take_turns(works, bench.repeats + 2)
    idle = 100 * (1 - _roof.read_pressure())
    one, one_cpu = ([a[key] for a in answers["one"]] for key in ("wall_s", "cpu_s"))
    slower = _run_beside(works["one"], path, bench.repeats + 2) / float(np.median(one))
    for work in works.values():
        work.close()
    alone = float(np.median([a["alone_s"] / a["wall_s"] for a in answers["one"]]))
    # Amdahl's law for two, on cores that slow each other down.
    best = 1 / (2 * alone + (1 - alone) * max(1.0, slower))
    for name in two:
        wall = [a["wall_s"] for a in answers[name]]
        share = spread([r / 2 for r in ratios(one, wall)])
        size = f"{n_channels} ch × {duration_s:g} s"
        row = Row(f"native chain, {size}, {name}", "one worker, wall time", "≥ 0.85", "")
        row.measured = f"**{share[0]:.2f}**"
        extra = spread(ratios([a["cpu_s"] for a in answers[name]], one_cpu))[0]
        row.range = f"{share[1]:.2f}–{share[2]:.2f}; CPU time × {extra:.2f}"
        row.theirs, row.ours = f"{np.median(one):.3g} s", f"{np.median(wall):.3g} s"
        row.floor = f"≤ {best:.2f} (two at once: × {slower:.2f} each); cores {idle:.0f} % free"
        row.distance = f"{share[0] / best:.2f}"
        row.samples = {"one": answers["one"], "two": answers[name]}
        yield row


def _run_beside(one: Worker, path: str, repeats: int) -> float:
    """Return the wall time of a run while another process does the same: what two cores share."""
    other = Worker("our_chain", {"path": path})
    other.run()
    found = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(repeats):
            calls = [pool.submit(work.run) for work in (one, other)]
            found.append(float(np.mean([call.result()["wall_s"] for call in calls])))
    other.close()
    return float(np.median(found))


# --------------------------------------------------------------------------------------- the steps
def measure_steps(bench: Bench) -> Iterator[Row]:
    """Single corrections beside FACETpy's."""
    if not bench.peer:
        return
    hp = {"hp_freq": 70.0}
    quick = bench.quick
    cases = (
        ("PCACorrection", "PCA/OBS, native rate", "—", (4, 30.0 if quick else 120.0), hp, {}),
        (
            "PCACorrection",
            "PCA/OBS, native rate; theirs ×10 as in its chain",
            "≥ 50×",
            (1, 30.0) if quick else (8, 120.0),
            hp,
            {"factor": 10},
        ),
        (
            "ANCCorrection",
            "ANC",
            "≥ 20×",
            (2, 20.0) if quick else (8, 60.0),
            {},
            {"use_c_extension": False},
        ),
    )
    for step, label, target, (n_channels, duration_s), both, theirs in cases:
        path = bench.record(n_channels, duration_s)
        options = {"path": path, "step": step, **both}
        works = {
            "FACETpy " + step: Worker("peer_step", {**options, **theirs}, bench.peer),
            step: Worker("our_step", options),
        }
        works[step].run()
        answers = take_turns(works, bench.repeats)
        for work in works.values():
            work.close()
        against = f"FACETpy 2.0.2, {n_channels} ch × 5 kHz × {duration_s:g} s"
        yield compare((label, against, target), answers["FACETpy " + step], answers[step])
    path = bench.record(1, 60.0, pulse=True)
    works = {
        "FACETpy QRS": Worker("peer_qrs", {"path": path}, bench.peer),
        "QRS": Worker("our_qrs", {"path": path}),
    }
    for work in works.values():
        work.run()
    answers = take_turns(works, bench.repeats)
    for work in works.values():
        work.close()
    row = compare(
        ("QRS detection", "FACETpy 2.0.2, ECG of 60 s at 5 kHz", "≥ 10×"),
        answers["FACETpy QRS"],
        answers["QRS"],
    )
    found = [answers[name][0]["n_found"] for name in ("FACETpy QRS", "QRS")]
    row.range += f"; {found[0]} and {found[1]} beats"
    yield row


def measure_averaging(bench: Bench) -> Iterator[Row]:
    """Averaging alone beside MNE's."""
    if bench.twin is None:
        return
    options = {"path": str(bench.twin), "n_slices": 21}
    works = {"MNE": Worker("mne_gradient", options), "ours": Worker("our_gradient", options)}
    for work in works.values():
        work.run()
    answers = take_turns(works, bench.repeats + 2)
    for work in works.values():
        work.close()
    against = "MNE remove_fmri_gradient_artifact(window=(12, 12)), the twin"
    row = compare(
        ("averaging alone, native", against, "≥ 1×, ≥ 10 dB better"),
        answers["MNE"],
        answers["ours"],
    )
    snr = [answers[name][0]["snr_db"] for name in ("MNE", "ours")]
    row.measured += f", **{snr[1] - snr[0]:+.1f} dB**"
    row.range += f"; SNR {snr[0]:.1f} and {snr[1]:.1f} dB"
    yield row


def measure_artifact(bench: Bench) -> Iterator[Row]:
    """What is left of a simulated artifact that does not change, and which epochs are averaged."""
    options = {"n_channels": 2 if bench.quick else 4, "duration_s": 30.0 if bench.quick else 60.0}
    told = {}
    for chain in ("tenfold", "native"):
        work = Worker("our_artifact", {"chain": chain, **options}, environment=NOT_COMPILED)
        told[chain] = work.run()
        work.close()
    left = {name: answer["left_db"] for name, answer in told.items()}
    n = len(told["native"]["epochs"])
    same = told["tenfold"]["epochs"][-n:] == told["native"]["epochs"]
    row = Row("artifact left, native rate", "×10, every step as it is", "≥ 10 dB less", "")
    row.measured = f"**{left['tenfold'] - left['native']:.0f} dB less**"
    row.range = f"{n} templates of {'the same' if same else 'OTHER'} epochs"
    row.theirs, row.ours = f"{left['tenfold']:.0f} dB", f"{left['native']:.0f} dB"
    row.samples = {"left_db": left, "same_epochs": same}
    yield row


# ----------------------------------------------------------------------------- growth and memory
def measure_growth(bench: Bench) -> Iterator[Row]:
    """Time over channels and over duration; memory over channels."""
    quick = bench.quick
    seconds, counts = (20.0, (4, 16)) if quick else (60.0, (32, 64, 128, 256))
    by_channels = {n: bench.record(n, seconds) for n in counts}
    durations = (20.0, 60.0) if quick else (120.0, 240.0, 480.0, 960.0)
    by_duration = {d: bench.record(16, d) for d in durations}
    sizes = f"channels, {seconds:g} s", "duration in s, 16 ch"
    for label, paths in zip(sizes, (by_channels, by_duration), strict=True):
        works = {f"{n} {label}": Worker("our_chain", {"path": p}) for n, p in paths.items()}
        for work in works.values():
            work.run()
        answers = take_turns(works, bench.repeats + 2)
        for work in works.values():
            work.close()
        cpu = [[a["cpu_s"] for a in some] for some in answers.values()]
        slopes = spread([_slope(list(paths), turn) for turn in zip(*cpu, strict=True)])
        row = Row(f"growth with {label}", "log-log slope of CPU time", "1.0 ± 0.1", "")
        row.measured = f"**{slopes[0]:.2f}**"
        once = float(np.polyfit(list(paths), np.median(cpu, axis=1), 1)[1])
        row.range = f"{slopes[1]:.2f}–{slopes[2]:.2f}"
        row.floor = f"{once:+.2f} s of a run are fixed (straight line)"
        row.ours = ", ".join(
            f"{n:g}: {np.median(c):.2f} s" for n, c in zip(paths, cpu, strict=True)
        )
        row.samples = answers
        yield row


def _slope(sizes: list[float], cpu_s: tuple[float, ...]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(cpu_s), 1)[0])


def measure_memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of channel-sequential runs above libraries, input and output."""
    n_channels = (8, 32) if bench.quick else (32, 256)
    for n_jobs, target in ((1, "≤ 100 MB"), (2, "≤ 150 MB")):
        found = {}
        for n in n_channels:
            options = {"path": bench.record(n, 60.0), "n_jobs": n_jobs, "backend": "threading"}
            options["memory"] = True
            work = Worker("our_chain", options, environment=GIVE_BACK)
            work.run()  # imports and compiled code are libraries
            found[n] = max(work.run()["above_mb"] for _ in range(bench.repeats))
            work.close()
        name = f"peak memory, channel-sequential, {n_jobs} worker{'s' * (n_jobs > 1)}"
        row = Row(name, "libraries + input + output; 60 s at 5 kHz", target, "")
        row.measured = ", ".join(f"**{mb:.0f} MB** ({n} ch)" for n, mb in found.items())
        row.samples = {"above_mb": found}
        yield row


def measure_stream(bench: Bench) -> Iterator[Row]:
    """Peak memory of a run from file to file in chunks of time, above libraries, by length."""
    minutes = (1, 3) if bench.quick else (2, 60)
    for n_jobs, target in ((1, "≤ 100 MB"), (2, "≤ 150 MB")):
        found, cost = {}, {}
        for length in minutes:
            text = f"--channels 8 --minutes {length} --up 1 --chunk-s 30 --dtype float32 --warm"
            options = out_of_core.parse([*text.split(), "--n-jobs", str(n_jobs)])
            options.folder = bench.folder
            told, _ = out_of_core.measure(options)
            found[length], cost[length] = told["above_mb"], told["ns_per_sample"]
        name = f"peak memory, file to file in chunks, {n_jobs} worker{'s' * (n_jobs > 1)}"
        row = Row(name, "libraries; 8 ch at 5 kHz, float32, BrainVision", target, "")
        row.measured = ", ".join(f"**{mb:.0f} MB** ({length} min)" for length, mb in found.items())
        row.ours = ", ".join(f"{ns:.0f} ns a sample" for ns in cost.values())
        row.samples = {"above_mb": found, "ns_per_sample": cost}
        yield row


# --------------------------------------------------------------------------------------- kernels
def measure_kernels(bench: Bench) -> Iterator[Row]:
    """Filters and the median beside scipy, numpy and MNE."""
    targets = {
        "SOS 300-6000 Hz, 64": "≥ 4×",
        "SOS 300-6000 Hz, 384": "≥ 5×",
        "median, 64": "≥ 8×",
        "median, 384": "≥ 10×",
        "FIR": "≥ 1.3× float64, ≥ 2.5× float32",
    }
    share = 0.2 if bench.quick else 1.0
    for make in (kernels.make_sos, kernels.make_median, kernels.make_fir):
        cases = list(make(share))
        for case in cases:
            kernels.compare(case)
        kernels.measure_all(cases, bench.repeats + 2)
        for case in cases:
            target = next((t for name, t in targets.items() if case.name.startswith(name)), "—")
            theirs, ours = ([{"cpu_s": s} for s in case.cpu_s[w]] for w in ("theirs", "ours"))
            floor = kernels.floor_s(case, bench.roof)
            row = compare((case.name, case.against, target), theirs, ours, floor)
            if case.is_same:
                row.range += f"; differs by {case.error:.0e}"
            yield row


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "chain": measure_chain,
    "workers": measure_workers,
    "memory": measure_memory,
    "stream": measure_stream,
    "growth": measure_growth,
    "steps": measure_steps,
    "averaging": measure_averaging,
    "artifact": measure_artifact,
    "kernels": measure_kernels,
}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="Python of an environment with facetpy==2.0.2")
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas between")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="short recordings: to try it out")
    parser.add_argument("--twin", type=Path, help="a *_raw.fif whose truth is in *_truth.npz")
    parser.add_argument("--out", type=Path, help="file for all samples, as JSON")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.only.split(",")) - set(GROUPS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; choose from {', '.join(GROUPS)}")
    return arguments


def main() -> None:
    """Measure, print the table row by row, and write the samples."""
    arguments = parse()
    roof = kernels.measure_roof()
    environment = {
        "machine": describe_machine(),
        "packages": describe_packages(PACKAGES),
        "commit": describe_commit(Path(__file__).parent),
        "roof": {name: round(rate / 1e9, 1) for name, rate in roof.items()},
    }
    print(json.dumps(environment))
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    rows, begin = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        options = arguments.repeats, arguments.quick, arguments.twin, roof
        bench = Bench(Path(name), arguments.peer_python, *options)
        for group in arguments.only.split(","):
            for row in GROUPS[group](bench):
                rows.append(row)
                print("| " + " | ".join(row.cells()) + " |", flush=True)
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    if arguments.out:
        table = {"schema": 1, **environment, "rows": [asdict(row) for row in rows]}
        arguments.out.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
