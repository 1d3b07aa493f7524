"""What ``facet-nb run`` costs from the start of its process to its exit, and what is not ours.

A recording of 16 channels and a minute at 5 kHz is corrected with the default chain, in turns with
processes that do less: one that imports MNE, one that reads the recording and writes it again with
MNE, and one that imports what the command line needs to read its arguments. The last row is what
the correction itself takes once everything is loaded. CPU time, medians over turns.

    python benchmarks/first_run.py [--turns 5] [--channels 16] [--seconds 60]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

#: The classes are imported by MNE when they are first used: a recording in memory needs both.
_IMPORT = "import mne; mne.io.read_raw_fif; mne.io.RawArray"
_COPY = "import mne, sys; mne.io.read_raw_fif(sys.argv[1], preload=True).save(sys.argv[2])"
_ARGUMENTS = "import typer.main"
_STEADY = """
import sys, time
from facet_nb import gradient_correction, load
context, chain, spent = load(sys.argv[1]), gradient_correction(sys.argv[3]), []
for _ in range(5):
    begin = time.process_time()
    chain.run(context, mode="auto", show_progress=False, raise_on_error=True)
    spent.append(time.process_time() - begin)
print(sorted(spent[1:])[1])
"""
_RUN = "from facet_nb.cli import main; main()"

#: Regular expression of the simulated markers.
_TRIGGER = r"S  1"


def make_recording(path: Path, n_channels: int, duration_s: float) -> None:
    """Write a simulated recording."""
    from facet_nb.datasets import simulate

    simulate(n_channels, 5000.0, duration_s, seed=0).raw.save(path, verbose="error")


def measure(code: str, *arguments: str) -> tuple[float, str]:
    """Return the CPU time of a process, in s, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installed package: compiled once
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in_raw.fif"), Path(folder, "out_raw.fif")
        make_recording(source, options.channels, options.seconds)
        given = [str(source), str(target)]
        works = {
            "import mne": (_IMPORT,),
            "import mne, read and write with MNE": (_COPY, *given),
            "import what reads the arguments": (_ARGUMENTS,),
            "facet-nb run": (_RUN, "run", *given, "--trigger", _TRIGGER),
            "the chain, each further run": (_STEADY, *given, _TRIGGER),
        }
        spent: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(options.turns + 1):  # the first one fills caches, and does not count
            for name in list(works)[:: 1 if turn % 2 else -1]:
                for file in Path(folder).glob("out_*"):
                    file.unlink()
                cpu_s, output = measure(*works[name])
                if name.startswith("the chain"):
                    cpu_s = float(output.split()[-1])
                if turn:
                    spent[name].append(cpu_s)
    middle = {name: statistics.median(values) for name, values in spent.items()}
    for name, values in spent.items():
        print(f"{name:<37} {middle[name]:.2f} ({min(values):.2f}–{max(values):.2f}) s")
    chain = middle["the chain, each further run"]
    others = "import mne, read and write with MNE", "import what reads the arguments"
    floor = sum(middle[name] for name in others)
    print(
        f"facet-nb run takes {middle['facet-nb run'] / chain:.1f} times a further run of the chain;"
    )
    print(f"what is not the chain's, alone: {floor / chain:.1f} times.")


if __name__ == "__main__":
    main()
