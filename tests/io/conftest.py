"""Recordings to write, and files to read."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from facet_nb.core import ProcessingContext

DATE = datetime.datetime(2021, 3, 4, 5, 6, 7, 890123, tzinfo=datetime.UTC)
CH_NAMES = ["Fp1", "Fp2", "Cz", "O1", "EOG1", "STI"]
CH_TYPES = ["eeg", "eeg", "eeg", "eeg", "eog", "stim"]


def make_recording(
    n_times: int = 2500,
    sfreq: float = 500.0,
    first_samp: int = 1000,
    date: datetime.datetime | None = DATE,
    bads: tuple[str, ...] = (),
    seed: int = 0,
) -> Any:
    """Six channels: noise of 20 µV, one with an offset of 10 mV, one with an outlier, and codes."""
    rng = np.random.default_rng(seed)
    data = 20e-6 * rng.standard_normal((len(CH_NAMES), n_times))
    data[1] += 10e-3
    data[2, n_times // 2] = 50e-3
    data[5] = rng.integers(0, 256, n_times)
    info = mne.create_info(CH_NAMES, sfreq, CH_TYPES)
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    raw.set_meas_date(date)
    raw.info["bads"] = list(bads)
    raw.set_annotations(make_annotations(raw))
    return raw


def make_annotations(raw: Any) -> Any:
    """Triggers, a comma, a duration, and one annotation of a single channel."""
    begin = raw.first_time if raw.info["meas_date"] else 0.0
    rows = [
        (0.0, 0.0, "Stimulus/S  1", ()),
        (0.502, 0.0, "Stimulus/S  1", ()),
        (1.0, 0.004, "Comment/one, two", ()),
        (2.0, 0.5, "Response/R 12", ("Fp1",)),
        (3.002, 1.0, "Stimulus/S  1", ()),
    ]
    onset, duration, description, ch_names = zip(*rows, strict=True)
    kept = np.array(onset) < raw.n_times / raw.info["sfreq"] - 1.0
    annotations = mne.Annotations(
        np.array(onset) + begin, duration, description, raw.info["meas_date"], ch_names
    )
    return annotations[kept]


def times(raw):
    """Onset in samples from the first, and description, of each annotation."""
    onsets = (raw.annotations.onset - raw.first_time) * raw.info["sfreq"]
    pairs = zip(np.round(onsets, 3), raw.annotations.description, strict=True)
    return sorted((float(t), str(text)) for t, text in pairs)


@pytest.fixture
def recording() -> Callable[..., Any]:
    """Make a recording."""
    return make_recording


@pytest.fixture
def context() -> ProcessingContext:
    """The context of a recording."""
    return ProcessingContext(make_recording())


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small, whole file of each format that can be read, by suffix."""
    from mne.export import export_raw

    from facet_nb.io import export

    folder = tmp_path_factory.mktemp("sources")
    made = ProcessingContext(make_recording(n_times=1000))
    found = {}
    for suffix in (".edf", ".bdf", ".vhdr", ".fif"):
        found[suffix] = folder / f"whole{suffix}"
        export(made, found[suffix])
    found[".gdf"] = folder / "whole.gdf"
    found[".gdf"].write_bytes(make_gdf(n_records=4))
    found[".set"] = folder / "whole.set"
    plain = made.get_raw().copy().pick("eeg")
    plain.set_annotations(None)
    export_raw(found[".set"], plain, verbose="error")
    return found


def make_gdf(n_records: int, version: float = 1.25, n_channels: int = 3, n_samples: int = 100):
    """Return the bytes of a GDF file of int16 samples: 0, 1, 2, … in every channel, in µV."""
    old = version < 1.9
    n_header = 256 * (n_channels + 1)
    size = struct.pack("<q", n_header) if old else struct.pack("<H", n_header // 256) + bytes(6)
    date = b"2021030405060700" if old else struct.pack("<Q", 0) * 2
    count = struct.pack("<I", n_channels) if old else struct.pack("<HH", n_channels, 0)
    head = f"GDF {version:.2f}".encode().ljust(8) + b"X X".ljust(80) + b"X".ljust(80)
    head += date + size + bytes(44) + struct.pack("<q", n_records) + struct.pack("<II", 1, 1)
    head += count
    assert len(head) == 256
    each = [
        b"".join(f"C{i}".encode().ljust(16) for i in range(n_channels)),
        b" " * 80 * n_channels,
        (b"uV".ljust(8) if old else b"uV".ljust(6)) * n_channels,
        b"" if old else struct.pack("<H", 4275) * n_channels,
        struct.pack("<d", -32768.0) * n_channels,
        struct.pack("<d", 32767.0) * n_channels,
        (struct.pack("<q", -32768) if old else struct.pack("<d", -32768)) * n_channels,
        (struct.pack("<q", 32767) if old else struct.pack("<d", 32767)) * n_channels,
        b"\0" * 80 * n_channels,
        struct.pack("<I", n_samples) * n_channels,
        struct.pack("<I", 3) * n_channels,
        bytes(32 * n_channels),
    ]
    counter = np.arange(n_records * n_samples, dtype="<i2").reshape(n_records, 1, n_samples)
    data = np.repeat(counter, n_channels, axis=1).tobytes()
    events = bytes([1, 0, 0, 0, 0, 0, 0, 0]) if old else bytes([1, 0, 0, 0]) + bytes(4)
    return head + b"".join(each) + data + events
