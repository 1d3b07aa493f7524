"""Recordings of a study that holds everything which goes wrong, and its chain."""

from __future__ import annotations

import os
import time
from pathlib import Path

import mne
import psutil

from facet_nb import TriggerDetector
from facet_nb.core import Pipeline, ProcessingContext, Processor
from facet_nb.io import Exporter
from tests.core import toys

#: The states of :func:`make_inputs`, in their order, where the budget is :func:`find_budget`.
STATES = ["done"] * 4 + ["failed"] * 4 + ["done"] * 4


class Logged(Processor):
    """Notes each recording that it computes; sees all channels, and thus loads the recording."""

    requires_raw = True

    def __init__(self, log: str, factor: float = 2.0, sleep_s: float = 0.0) -> None:
        self.log = log
        self.factor = factor
        self.sleep_s = sleep_s

    def process(self, context: ProcessingContext) -> ProcessingContext:
        name = Path(context.get_history()[0].parameters["path"]).name
        time.sleep(self.sleep_s)
        line = f"{name}\n".encode()
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)
        raw = context.get_raw().copy().load_data(verbose="error")
        raw._data *= self.factor
        return context.with_raw(raw)


def make_pipeline(log: Path, **options) -> Pipeline:
    """Triggers, a built-in kind of step, and one of anyone's that loads the recording."""
    return Pipeline([TriggerDetector(regex="one"), toys.Halved(), Logged(str(log), **options)])


def stretch(path: Path, n_times: int, n_channels: int = len(toys.NAMES)) -> None:
    """Make a BrainVision recording long; its samples take no space on the disk."""
    with open(path.with_suffix(".eeg"), "r+b") as file:
        file.truncate(4 * n_channels * n_times)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("DataPoints")))


def write(path: Path, seed: int = 0, triggers: bool = True, n_times: int = 3000) -> Path:
    """Write a recording."""
    raw = toys.make_raw(seed=seed, n_times=n_times, first_samp=0)
    onsets = [1.0 + i for i in range(4)]
    raw.set_annotations(mne.Annotations(onsets, 0.0, "one" if triggers else "other"))
    path.parent.mkdir(parents=True, exist_ok=True)
    Exporter(path, provenance=False).execute(ProcessingContext(raw))
    return path


def write_folder(folder: Path, n: int) -> Path:
    """Write `n` recordings, and a file that is none."""
    for i in range(n):
        write(folder / f"r{i}.fif", i)
    (folder / "bad.edf").write_text("nothing")
    return folder


def make_inputs(folder: Path) -> list[Path]:
    """Write 12 inputs: eight good ones, and four of which each fails in its own way."""
    good = [write(folder / f"s{i}" / "rec.fif", i) for i in range(2)]  # equal names
    good += [write(folder / f"r{i}.vhdr", i) for i in (2, 3)]
    corrupt = folder / "corrupt.fif"
    corrupt.write_bytes(b"not a recording" * 100)
    silent = write(folder / "silent.fif", 4, triggers=False)
    huge = write(folder / "huge.edf", 5)
    content = bytearray(huge.read_bytes())
    content[236:244] = b"99999999"  # records that the header states
    huge.write_bytes(content)
    beyond = write(folder / "beyond.vhdr", 6)
    stretch(beyond, 400_000_000)  # 25.6 GB as float64
    rest = [write(folder / f"t{i}.fif", i) for i in range(7, 11)]
    return [*good, corrupt, silent, huge, beyond, *rest]


def list_written(folder: Path) -> dict[str, bytes]:
    """Return the samples that were written below a folder, by name."""
    from facet_nb import load

    found = {}
    for path in sorted([*folder.rglob("*_corrected.fif"), *folder.rglob("*_corrected.vhdr")]):
        raw = load(path).get_raw()
        found[str(path.relative_to(folder))] = raw.get_data().tobytes()
    return found


def list_listening(processes) -> set[str]:
    """Return the addresses at which processes and their children listen."""
    trees = [psutil.Process(process.pid) for process in processes]
    trees += [child for tree in trees for child in tree.children(recursive=True)]
    found = [c for tree in trees for c in tree.net_connections() if c.status == "LISTEN"]
    return {c.laddr.ip for c in found}
