"""Small files that state, or unpack to, more than the memory of a machine; how each is read."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io

from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.cli.truths import read_truth
from facet_nb.core import Pipeline
from facet_nb.evaluation.truth import read_truth as read_array
from facet_nb.io import load
from tests.io.conftest import make_recording

GB = 2**30

#: Name of each file, and how it is made; the suffix says how it is read.
FILES: dict[str, Callable[[Path], object]] = {}


def hostile(name: str):
    """Register a function that writes a file."""

    def note(function):
        FILES[name] = function
        return function

    return note


def pack_zeros(n_bytes: int, begin: bytes = b"", wbits: int = 31) -> bytes:
    """Return the compressed form of a beginning and `n_bytes` zeros, but for its checksum."""
    packer = zlib.compressobj(9, wbits=wbits)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(2**22)) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block depends on nothing before it: it may be repeated.
    return head + piece * (n_bytes // 2**22) + packer.flush()


def save_set(path: Path, compressed: bool = False, **fields: object) -> None:
    """Write an EEGLAB file with the fields that MNE needs, and others."""
    eeg = {
        "setname": "x",
        "nbchan": 2,
        "trials": 1,
        "pnts": 100,
        "srate": 250.0,
        "xmin": 0.0,
        "xmax": 0.4,
        "chanlocs": np.zeros((0, 0)),
        "event": np.zeros((0, 0)),
        "data": np.zeros((2, 100), np.float32),
    }
    scipy.io.savemat(path, {"EEG": {**eeg, **fields}}, do_compression=compressed)


@hostile("channels.set")
def _(path):
    save_set(path, nbchan=10**9)


@hostile("channels_packed.set")
def _(path):
    save_set(path, compressed=True, nbchan=10**9)


@hostile("channels_apart.set")
def _(path):
    scipy.io.savemat(path, {"nbchan": 1e9, "trials": 1, "pnts": 1, "srate": 1.0, "data": "x.fdt"})


@hostile("channels_behind_the_samples.set")
def _(path):
    data = np.zeros((2, 12_000_000), np.float32)
    data[:, ::50] = 1.0 + np.arange(data.shape[1] // 50)
    eeg = {"data": data, "chanlocs": np.zeros((0, 0)), "nbchan": 10**9, "pnts": 1, "trials": 1}
    scipy.io.savemat(path, {"EEG": eeg}, do_compression=True)


@hostile("samples.set")
def _(path):
    save_set(path, pnts=10**12, data="x.fdt")
    path.with_suffix(".fdt").write_bytes(bytes(800))


@hostile("unpacks.set")
def _(path):
    body = struct.pack("<II", 14, GB) + struct.pack("<IIII", 6, 8, 6, 0)
    packed = pack_zeros(6 * GB, body, wbits=15)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)


@hostile("unpacks_late.set")
def _(path):
    noise = np.random.default_rng(0).bytes(2**20)
    packed = pack_zeros(6 * GB, struct.pack("<II", 14, GB) + noise, wbits=15)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)


@hostile("nested.set")
def _(path):
    inner = b""
    for _ in range(3000):  # cells in cells
        body = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1)
        body += struct.pack("<II", 1, 0) + inner
        inner = struct.pack("<II", 14, len(body)) + body
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    path.write_bytes(header + inner)


@hostile("unpacks_raw.fif.gz")
def _(path):
    path.write_bytes(pack_zeros(8 * GB))


@hostile("unpacks_late_raw.fif.gz")
def _(path):
    whole = path.with_name("part_raw.fif")
    make_recording().save(whole, verbose="error")
    path.write_bytes(pack_zeros(8 * GB, whole.read_bytes()))


@hostile("members_raw.fif.gz")
def _(path):
    one = gzip.compress(bytes(2**22))
    path.write_bytes(one * 2000)


def pack_npz(path: Path, arrays: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def make_npy(shape: tuple[int, ...], content: bytes) -> bytes:
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


SMALL = make_npy((2,), bytes(16))


@hostile("unpacks.npz")
def _(path):
    big = make_npy((64, 2**20), bytes(2**29))
    pack_npz(path, {"clean": big, "fs": SMALL, "trig": SMALL})


@hostile("states_more.npz")
def _(path):
    pack_npz(path, {"clean": make_npy((10**6, 10**7), bytes(80)), "fs": SMALL, "trig": SMALL})


@hostile("states_too_much.npz")
def _(path):
    pack_npz(path, {"clean": make_npy((2**62, 2**62), b""), "fs": SMALL, "trig": SMALL})


@hostile("aliases.yaml")
def _(path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path.write_text("\n".join([*lines, "processors: *a11"]))


@hostile("merged.yaml")
def _(path):
    lines = ["m0: &m0 {a: 1, b: 2}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 30)}]}}" for i in range(1, 8)]
    path.write_text("\n".join([*lines, "processors: *m7"]))


@hostile("itself.yaml")
def _(path):
    path.write_text("processors: &p\n- processor: *p\n")


@hostile("nested.yaml")
def _(path):
    path.write_text("processors:\n" + "[" * 20_000 + "]" * 20_000)


@hostile("nested_in_lines.yaml")
def _(path):
    path.write_text("processors:\n" + " [\n" * 20_000 + " ]\n" * 20_000)


@hostile("long.yaml")
def _(path):
    path.write_text("processors:\n" + "- x\n" * 3_000_000)


@hostile("many.yaml")
def _(path):
    path.write_text("processors:\n" + "- x\n" * 150_000)


@hostile("digits.yaml")
def _(path):
    path.write_text("processors:\n- " + "9" * 500_000 + "\n")


@hostile("nested.json")
def _(path):
    path.write_text('{"kind": ' + "[" * 100_000 + "]" * 100_000 + "}")


@hostile("digits.json")
def _(path):
    path.write_text('{"kind": ' + "9" * 100_000 + "}")


@hostile("long.json")
def _(path):
    path.write_text('{"kind": "' + "x" * (80 << 20) + '"}')


@hostile("channels.vhdr")
def _(path):
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=x.eeg\n"
        "DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=1000000000\n"
        "SamplingInterval=4000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        "Ch1=Cz,,0.1,µV\n",
        encoding="utf-8",
    )
    path.with_name("x.eeg").write_bytes(bytes(2000))


@hostile("records.edf")
def _(path):
    make_recording().export(path, verbose="error", overwrite=True)
    content = bytearray(path.read_bytes())
    content[236:244] = b"99999999"
    path.write_bytes(content)


@hostile("samples.edf")
def _(path):
    make_recording().export(path, verbose="error", overwrite=True)
    content = bytearray(path.read_bytes())
    n = int(content[252:256])
    for i in range(n):
        content[256 + 216 * n + 8 * i : 264 + 216 * n + 8 * i] = b"99999999"
    path.write_bytes(content)


@hostile("tag_raw.fif")
def _(path):
    make_recording().save(path, verbose="error")
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack(">iI", 200, 3))  # the number of channels
    content[at + 16 : at + 20] = struct.pack(">i", 10**9)
    path.write_bytes(content)


READERS: dict[str, Callable[[Path], object]] = {
    ".npz": read_array,
    ".yaml": Pipeline.from_yaml,
    ".json": BenchmarkTable.from_json,
}


def read(path: Path) -> object:
    """Read a file by its suffix; truths in a folder ``cli`` as the command line does."""
    if path.suffix == ".npz" and path.parent.name == "cli":
        return read_truth(path)
    return READERS.get(path.suffix, lambda p: load(p).get_data())(path)
