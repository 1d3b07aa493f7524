"""The gradient-artifact chain compared with FACETpy's: CPU time, peak memory, error.

    python benchmarks/peer_chain.py [--peer-python PATH] [--repeats 3] [--out table.json]

`PATH` is the Python of an environment with ``facetpy==2.0.2`` and psutil; without it one is made,
once, in ``build/peer``. One simulated recording is written
once and read by all; every run is a fresh process. Runs for CPU time and runs for memory are kept
apart, and configurations alternate in random order within each block of runs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from _measure import (
    Sample,
    describe_commit,
    describe_machine,
    describe_packages,
    measure,
    ratios,
    serve,
    spread,
)

PEER_PACKAGE = "facetpy==2.0.2"
FACTOR, WINDOW, HIGHPASS_HZ, LOWPASS_HZ = 10, 30, 1.0, 70.0
PACKAGES = ("facet-nb", "facetpy", "numpy", "scipy", "mne", "joblib")


@dataclass(frozen=True)
class Configuration:
    """One configuration of the chain."""

    label: str
    package: str
    options: dict[str, Any]


PEER = "FACETpy serial"
OURS = "facet_nb serial"
CONFIGURATIONS = (
    Configuration(PEER, "facet", {}),
    Configuration("FACETpy channel_sequential", "facet", {"channel_sequential": True}),
    Configuration(OURS, "facet_nb", {"mode": "serial"}),
    Configuration(
        "facet_nb channel_sequential", "facet_nb", {"mode": "channel_sequential", "n_jobs": 1}
    ),
    Configuration(
        "facet_nb channel_sequential, not fused",
        "facet_nb",
        {"mode": "channel_sequential", "n_jobs": 1, "fuse": False},
    ),
    Configuration(
        "facet_nb channel_sequential, 2 threads",
        "facet_nb",
        {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"},
    ),
    Configuration(
        "facet_nb channel_sequential, 2 processes",
        "facet_nb",
        {"mode": "channel_sequential", "n_jobs": 2, "backend": "multiprocessing"},
    ),
    Configuration(
        "facet_nb parallel, 2 processes",
        "facet_nb",
        {"mode": "parallel", "n_jobs": 2, "backend": "multiprocessing"},
    ),
)


# ------------------------------------------------------------------------------ the measured runs
def chain(package: str) -> Callable[[Any], Any]:
    """Return the chain of `package` as ``run(context, options)``."""
    if package == "facet":
        return _peer_chain()
    import facet_nb as fnb

    steps = [
        fnb.TriggerDetector(r"\b1\b"),
        fnb.HighPassFilter(HIGHPASS_HZ),
        fnb.UpSample(FACTOR),
        fnb.TriggerAligner(),
        fnb.AASCorrection(window_size=WINDOW),
        fnb.DownSample(FACTOR),
        fnb.LowPassFilter(LOWPASS_HZ),
    ]
    return lambda context, options: fnb.Pipeline(steps).run(
        context, show_progress=False, raise_on_error=True, **options
    )


def _peer_chain() -> Callable[[Any], Any]:
    from facet.core import Pipeline
    from facet.correction import AASCorrection
    from facet.preprocessing import (
        DownSample,
        HighPassFilter,
        LowPassFilter,
        TriggerAligner,
        TriggerDetector,
        UpSample,
    )
    from loguru import logger

    logger.remove()
    steps = [
        TriggerDetector(r"\b1\b"),
        HighPassFilter(HIGHPASS_HZ),
        UpSample(FACTOR),
        TriggerAligner(),
        AASCorrection(window_size=WINDOW),
        DownSample(FACTOR),
        LowPassFilter(LOWPASS_HZ),
    ]

    def run(context: Any, options: dict) -> Any:
        result = Pipeline(steps).run(initial_context=context, show_progress=False, **options)
        if not result.success:
            raise RuntimeError(f"FACETpy failed: {result.error}")
        return result

    return run


def run_child(job: dict) -> None:
    """Serve one run; `job` says which."""

    def load() -> tuple[Any, Any]:
        import mne

        module = __import__(job["package"] + ".core", fromlist=["ProcessingContext"])
        run = chain(job["package"])
        raw = mne.io.read_raw_fif(job["path"], preload=True, verbose="error")
        return run, module.ProcessingContext(raw)

    def keep(result: Any) -> dict:
        if job["output"]:
            np.save(job["output"], result.context.get_raw().get_data(picks="eeg"))
        return {"packages": describe_packages(PACKAGES)}

    serve(load, lambda subject: subject[0](subject[1], job["options"]), keep)


# ------------------------------------------------------------------------------------ the parent
def make_recording(folder: Path, arguments: argparse.Namespace) -> tuple[Any, Path]:
    """Return a simulation and the file that all runs read.

    Its markers are called ``1`` as in the recordings of Niazy et al.: FACETpy's expressions must
    match from the beginning of a description, and ours are searched in it.
    """
    from facet_nb.datasets import simulate

    simulation = simulate(
        arguments.channels, arguments.sfreq, arguments.duration, seed=arguments.seed
    )
    raw = simulation.raw
    raw.annotations.rename(dict.fromkeys(set(raw.annotations.description), "1"))
    path = folder / "recording_raw.fif"
    raw.save(path, fmt="double", verbose="error")
    return simulation, path


def command(configuration: Configuration, path: Path, output: Path | None, python: str) -> list:
    """Return the command of one run."""
    job = {
        "package": configuration.package,
        "options": configuration.options,
        "path": str(path),
        "output": str(output) if output else None,
    }
    interpreter = python if configuration.package == "facet" else sys.executable
    return [interpreter, str(Path(__file__).resolve()), "--child", json.dumps(job)]


def choose(arguments: argparse.Namespace) -> list[Configuration]:
    """Return the requested configurations."""
    return [c for c in CONFIGURATIONS if arguments.only in c.label]


def measure_all(
    arguments: argparse.Namespace, path: Path, folder: Path
) -> dict[str, dict[str, list[Sample]]]:
    """Return samples for time and for memory, by configuration."""
    chosen = choose(arguments)
    samples: dict[str, dict[str, list[Sample]]] = {
        c.label: {"time": [], "memory": []} for c in chosen
    }
    for configuration in (c for c in chosen if c.package == "facet_nb"):
        # Compiled loops are read from their cache afterwards; this run is not counted.
        measure(command(configuration, path, None, arguments.peer_python), watch_pss=False)
        break
    order = random.Random(arguments.seed)
    passes = ["time"] * arguments.repeats + ["memory"] * arguments.memory_repeats
    for number, kind in enumerate(passes):
        for configuration in order.sample(chosen, len(chosen)):
            output = None if number else folder / f"{CONFIGURATIONS.index(configuration)}.npy"
            call = command(configuration, path, output, arguments.peer_python)
            sample = measure(call, watch_pss=kind == "memory")
            samples[configuration.label][kind].append(sample)
            _report_progress(number + 1, len(passes), kind, configuration.label, sample)
    return samples


def _report_progress(number: int, total: int, kind: str, label: str, sample: Sample) -> None:
    peak = f", {sample.pss_mb:.0f} MB" if sample.pss_mb else ""
    text = f"[{number}/{total} {kind}] {label}: {sample.cpu_s:.2f} CPU-s{peak}"
    print(text, file=sys.stderr, flush=True)


def compare(simulation: Any, folder: Path) -> dict[str, dict[str, float]]:
    """Return each configuration's SNR (dB, median over channels) and difference from serial."""
    outputs = {
        c.label: np.load(path, mmap_mode="r")
        for i, c in enumerate(CONFIGURATIONS)
        if (path := folder / f"{i}.npy").exists()
    }
    quality = {}
    for configuration in CONFIGURATIONS:
        if configuration.label not in outputs:
            continue
        data = outputs[configuration.label]
        serial = outputs.get(PEER if configuration.package == "facet" else OURS, data)
        quality[configuration.label] = {
            "snr_db": float(np.median(simulation.snr_db(data))),
            "max_difference_from_serial_uv": float(np.abs(data - serial).max() * 1e6),
        }
    return quality


def summarise(samples: dict, quality: dict) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    rows = []
    for label, passes in samples.items():
        timed, watched = passes["time"], passes["memory"]
        row = {"configuration": label, **quality[label]}
        row["cpu_s"] = spread([s.cpu_s for s in timed])
        row["system_s"] = spread([s.system_s for s in timed])
        row["wall_s"] = spread([s.wall_s for s in timed])
        row["hwm_mb"] = spread([s.hwm_mb for s in timed])
        row["load_cpu_s"] = spread([s.load_cpu_s for s in timed])
        if watched:
            row["pss_mb"] = max(s.pss_mb for s in watched)
            row["base_mb"] = watched[0].base_mb
        if PEER in samples:
            peer = [s.cpu_s for s in samples[PEER]["time"]]
            row["peer_cpu_ratio"] = spread(ratios(peer, [s.cpu_s for s in timed]))
            if watched:
                theirs = max(s.pss_mb for s in samples[PEER]["memory"])
                row["peer_memory_ratio"] = theirs / row["pss_mb"]
        rows.append(row)
    return rows


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    head = (
        "configuration",
        "CPU s (min–max)",
        "of it system",
        "× less CPU",
        "wall s",
        "peak MB",
        "before run",
        "Σ VmHWM MB",
        "× less memory",
        "SNR dB",
        "differs from serial, µV",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cpu, low, high = row["cpu_s"]
        cells = (
            row["configuration"],
            f"{cpu:.2f} ({low:.2f}–{high:.2f})",
            f"{row['system_s'][0]:.2f}",
            f"{row['peer_cpu_ratio'][0]:.1f}" if "peer_cpu_ratio" in row else "",
            f"{row['wall_s'][0]:.2f}",
            f"{row['pss_mb']:.0f}" if "pss_mb" in row else "",
            f"{row['base_mb']:.0f}" if "base_mb" in row else "",
            f"{row['hwm_mb'][0]:.0f}",
            f"{row['peer_memory_ratio']:.1f}" if "peer_memory_ratio" in row else "",
            f"{row['snr_db']:.1f}",
            f"{row['max_difference_from_serial_uv']:.3g}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def make_peer() -> str:
    """Return the Python of FACETpy's own environment; create it if necessary."""
    folder = Path(__file__).resolve().parent.parent / "build" / "peer"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"making an environment with {PEER_PACKAGE} in {folder.name} …", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", PEER_PACKAGE, "psutil"], check=True
        )
        done.touch()
    return str(python)


def peer_versions(python: str) -> dict[str, str]:
    """Return the versions in FACETpy's environment."""
    code = f"import json, _measure; print(json.dumps(_measure.describe_packages({PACKAGES!r})))"
    command = [python, "-c", code]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = (done.stderr.splitlines() or ["it does not start"])[-1]
        raise SystemExit(f"{python}: {problem}. It needs {PEER_PACKAGE} and psutil.")
    return json.loads(done.stdout)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help=f"Python of an environment with {PEER_PACKAGE}")
    parser.add_argument("--repeats", type=int, default=3, help="runs for CPU time")
    parser.add_argument("--memory-repeats", type=int, default=1, help="runs for memory")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--sfreq", type=float, default=5000.0, help="in Hz")
    parser.add_argument("--duration", type=float, default=60.0, help="in s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="configurations whose label contains this")
    parser.add_argument("--out", type=Path, help="file for all samples, as JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def describe_environment(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return date, command, machine and versions; paths of this machine are left out."""
    given = re.sub(r"(--peer-python|--out)[= ]\S+", r"\1 PATH", shlex.join(sys.argv[1:]))
    environment = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/peer_chain.py {given}".strip(),
        "machine": describe_machine(),
        "packages": describe_packages(PACKAGES),
        "commit": describe_commit(Path(__file__).parent),
    }
    if arguments.peer_python:
        environment["peer_packages"] = peer_versions(arguments.peer_python)
    return environment


def run_benchmark(arguments: argparse.Namespace) -> None:
    """Measure, print the table, and write the samples."""
    if not arguments.peer_python and any(c.package == "facet" for c in choose(arguments)):
        arguments.peer_python = make_peer()
    environment = describe_environment(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulation, path = make_recording(folder, arguments)
        samples = measure_all(arguments, path, folder)
        rows = summarise(samples, compare(simulation, folder))
    print(json.dumps(environment, indent=1))
    print(format_table(rows))
    table = {"schema": 1, **environment, "recording": simulation.spec, "rows": rows}
    table["samples"] = {
        label: {kind: [asdict(s) for s in some] for kind, some in passes.items()}
        for label, passes in samples.items()
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(table, indent=1), encoding="utf-8")


def main() -> None:
    """Run as the parent, or as a measured child."""
    arguments = parse()
    if arguments.child:
        run_child(json.loads(arguments.child))
    else:
        run_benchmark(arguments)


if __name__ == "__main__":
    main()
