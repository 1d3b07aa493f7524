"""Units in headers, and files whose time is not continuous."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import Loader, Pipeline, load
from facet_nb.io.units import read_volts

HEADER = """Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
MarkerFile=a.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n}
SamplingInterval=1000

[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
"""


def write_brainvision(folder, units):
    n = len(units)
    samples = np.tile(np.arange(1, 2001)[:, np.newaxis], (1, n)).astype("<i2")
    samples.tofile(folder / "a.eeg")
    head = "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nDataFile=a.eeg\n"
    (folder / "a.vmrk").write_text(head + "\n[Marker Infos]\n")
    rows = "".join(f"Ch{i + 1}=E{i},,0.5,{unit}\n" for i, unit in enumerate(units))
    (folder / "a.vhdr").write_text(HEADER.format(n=n) + rows, encoding="utf-8")
    return folder / "a.vhdr"


def write_edf(path, units, reserved="EDF+C", onsets=range(3), sfreq=200):
    """Write a ramp of whole numbers in each channel, with a record per onset."""
    n, size = len(units), 30

    def join(values, width):
        return b"".join(str(v).encode().ljust(width) for v in values)

    labels = [f"E{i}" for i in range(n)] + ["EDF Annotations"]
    head = join(["0"], 8) + join(["X X X X", "Startdate 01-JAN-2026 X X X"], 80)
    head += b"01.01.2610.00.00" + join([256 * (n + 2)], 8) + join([reserved], 44)
    head += join([len(onsets), 1], 8) + join([n + 1], 4) + join(labels, 16)
    head += join([""] * (n + 1), 80) + join([*units, ""], 8)
    head += join([-32768] * n + [-1], 8) + join([32767] * n + [1], 8)
    head += join([-32768] * (n + 1), 8) + join([32767] * (n + 1), 8) + join([""] * (n + 1), 80)
    head += join([sfreq] * n + [size], 8) + join([""] * (n + 1), 32)
    for k, onset in enumerate(onsets):
        ramp = np.arange(k * sfreq, (k + 1) * sfreq).astype("<i2").tobytes()
        text = f"+{onset:g}".encode() + b"\x14\x14\x00"
        head += ramp * n + text.ljust(2 * size, b"\x00")
    path.write_bytes(head)
    return path


GOOD = [
    ("µV", 1e-6),
    ("\u03bcV", 1e-6),
    ("uV", 1e-6),
    ("UV", 1e-6),
    ("mcV", 1e-6),
    ("microV", 1e-6),
    ("Microvolts", 1e-6),
    ("mV", 1e-3),
    ("nV", 1e-9),
    ("V", 1.0),
    ("\u00c2µV", 1e-6),
]


@pytest.mark.parametrize(
    ("text", "volts"), [*GOOD, ("MV", None), ("%", None), ("", None), ("C", None)]
)
def test_spellings(text, volts):
    assert read_volts(text) == volts


@pytest.mark.parametrize("preload", [True, False])
def test_brainvision(tmp_path, preload):
    """Each spelling gives the same volts, and an EEG channel."""
    path = write_brainvision(tmp_path, [unit for unit, _ in GOOD])
    result = Pipeline([Loader(path, preload=preload)]).run()
    raw = result.get_raw()
    assert set(raw.get_channel_types()) == {"eeg"}
    expected = np.array([[0.5 * volts] for _, volts in GOOD]) * np.arange(1, 2001)
    np.testing.assert_allclose(raw.get_data(), expected, rtol=1e-12)
    assert result.findings == ()


@pytest.mark.parametrize("preload", [True, False])
def test_edf(tmp_path, preload):
    units = [unit for unit, _ in GOOD if unit.isascii() and len(unit) <= 8]
    raw = load(write_edf(tmp_path / "a.edf", units), preload=preload).get_raw()
    expected = np.array([[dict(GOOD)[unit]] for unit in units]) * np.arange(600)
    np.testing.assert_allclose(raw.get_data(), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("unit", ["MV", "xV"])
def test_unknown_units_are_named(tmp_path, unit):
    for path in (
        write_brainvision(tmp_path, ["µV", unit, "°C", "%"]),
        write_edf(tmp_path / "a.edf", ["uV", unit]),
    ):
        result = Pipeline([Loader(path)]).run()
        (found,) = result.findings
        assert (found.code, found.step, found.channels) == ("units_unknown", "auto_loader", ("E1",))
        assert repr(unit) in found.detail


# ------------------------------------------------------------------------------------------- EDF+D
@pytest.mark.parametrize("onsets", [[0, 1, 9.3], [0, 5, 6, 6.5], [3, 4, 4.5]])
def test_a_discontinuous_file_is_refused(tmp_path, onsets):
    path = write_edf(tmp_path / "d.edf", ["uV"], "EDF+D", onsets)
    result = Pipeline([Loader(path)]).run()
    (found,) = result.findings
    assert (found.code, found.severity) == ("recording_discontinuous", "error")
    steps = np.diff(onsets)
    gaps = np.flatnonzero(steps != 1)
    assert found.evidence["n"] == len(gaps)
    assert found.span_s[0][0] == pytest.approx(onsets[gaps[0]] + 1 - onsets[0])
    assert "gaps in time" in str(result.error)


@pytest.mark.parametrize(
    ("reserved", "onsets"), [("EDF+D", [0, 1, 2]), ("EDF+D", [7, 8, 9]), ("EDF+C", [0, 1, 2])]
)
def test_a_file_without_gaps_is_read(tmp_path, reserved, onsets):
    raw = load(write_edf(tmp_path / "c.edf", ["uV"], reserved, onsets)).get_raw()
    assert raw.n_times == 600


def test_a_damaged_onset(tmp_path):
    path = write_edf(tmp_path / "d.edf", ["uV"], "EDF+D", [1, 2])
    content = path.read_bytes()
    path.write_bytes(content.replace(b"+2\x14", b"\xff\xff\x14"))
    result = Pipeline([Loader(path)]).run()
    assert "has no onset" in str(result.error)
