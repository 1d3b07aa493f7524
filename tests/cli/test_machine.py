"""``info``."""

from __future__ import annotations

import mne
import numpy as np
import psutil
import pytest

from facet_nb.cli import machine
from facet_nb.core.backends.registry import count_cores
from facet_nb.kernels.compiled import library


def test_machine(facet_nb):
    result = facet_nb("info")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["mne"] == mne.__version__ and lines["numpy"] == np.__version__
    assert lines["cores"].startswith(f"{count_cores()} that this process may use")
    assert "GiB" in lines["memory"]
    assert lines["kernels"] == library.describe()


def test_the_remedy_where_kernels_are_not_compiled(facet_nb, monkeypatch):
    monkeypatch.setattr(library, "load_library", lambda: (None, "they were not built"))
    said = facet_nb("info").stdout
    assert "none: they were not built" in said and "C compiler" in said


def test_package_that_is_not_installed(facet_nb, monkeypatch):
    monkeypatch.setattr(machine, "_PACKAGES", ("no-such-package",))
    assert "not installed" in facet_nb("info").stdout


def test_memory_limit_is_the_smallest(tmp_path, monkeypatch):
    total = psutil.virtual_memory().total
    group = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMITS", (str(group), str(tmp_path / "absent")))
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    assert machine.find_memory_limit() == (total, "the machine's")
    group.write_text("max\n")
    assert machine.find_memory_limit() == (total, "the machine's")
    group.write_text("500000000\n")
    assert machine.find_memory_limit() == (500_000_000, "the container's")
    monkeypatch.setenv("MEM_LIMIT", "1000")
    assert machine.find_memory_limit() == (1000, "MEM_LIMIT")


@pytest.fixture
def hostile(tmp_path):
    """A recording with stim codes, a bad channel and names that would confuse a terminal."""
    names = ["[bold]Fz", "Cz\x1b[2J", "STI"]
    data = np.zeros((3, 1000))
    data[2, [100, 300, 500]] = 7
    data[2, 700] = 9
    raw = mne.io.RawArray(
        data, mne.create_info(names, 100.0, ["eeg", "eeg", "stim"]), verbose="error"
    )
    raw.info["bads"] = ["[bold]Fz"]
    raw.set_annotations(mne.Annotations([1, 2, 3], 0, ["Stimulus/S  1", "Stimulus/S  1", "a\x07b"]))
    path = tmp_path / "scan_raw.fif"
    raw.save(path, verbose="error")
    return path


def test_recording(facet_nb, hostile):
    result = facet_nb("info", hostile)
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert "3 channels × 10.0 s at 100 Hz (1000 samples)" in text
    assert "0.0 MB as float64" in text
    assert r"eeg (2): [bold]Fz, Cz\x1b[2J" in text and "bad (1): [bold]Fz" in text
    assert "annotations: 3" in text and "2 × 'Stimulus/S  1'" in text and r"1 × 'a\x07b'" in text
    assert "STI: 3 × 7, 1 × 9" in text
    assert "\x1b" not in text and "\x07" not in text


def test_memory_of_a_recording(facet_nb, files):
    assert f"memory: {6 * 72000 * 8 / 1e6:.1f} MB as float64" in facet_nb("info", files.vhdr).stdout


def test_recording_that_is_none(facet_nb, tmp_path):
    result = facet_nb("info", tmp_path / "absent.edf")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
