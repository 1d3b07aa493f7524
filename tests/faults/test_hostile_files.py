"""Hostile files are refused before a reader is asked: one FacetError, within 2 s and 200 MB."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from facet_nb.core import FacetError, Pipeline, ValidationError, limits
from facet_nb.io import load
from facet_nb.preprocessing import NotchFilter
from tests.faults import hostile_files, programs
from tests.faults.hostile_files import FILES
from tests.io.conftest import make_recording

READ = """
    import json, resource, sys, time, warnings
    from pathlib import Path
    import mne
    from facet_nb.core import FacetError
    from facet_nb.io import load
    from tests.faults.hostile_files import read

    warnings.simplefilter("ignore")
    mne.set_log_level("error")
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("warm*")):  # imports are no part of it
        read(path)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20), size + (200 << 20)))
    told = {}
    for path in map(Path, sys.argv[2:]):
        begin = time.process_time()
        try:
            read(path)
            kind, text = "read", ""
        except FacetError as error:
            kind, text = "FacetError", str(error)
        except BaseException as error:
            kind, text = type(error).__name__, str(error)[:300]
        told[f"{path.parent.name}/{path.name}"] = kind, text, time.process_time() - begin
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What is told of each file, by a process that may take 200 MB more than it has."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = []
    for where in ("files", "cli"):
        (folder / where).mkdir()
    for name, write in FILES.items():
        paths.append(folder / "files" / name)
        write(paths[-1])
        if name.endswith(".npz"):
            paths.append(folder / "cli" / name)
            shutil.copy(paths[-2], paths[-1])  # half a gigabyte takes seconds to compress
    hostile_files.save_set(folder / "warm.set")
    recording = make_recording()
    recording.save(folder / "warm_raw.fif", verbose="error")
    recording.export(folder / "warm.edf", verbose="error")
    Pipeline([NotchFilter([50.0])]).to_yaml(folder / "warm.yaml")
    return json.loads(programs.run(READ, folder, folder, *paths).splitlines()[-1])


NAMES = [f"files/{name}" for name in FILES] + [f"cli/{n}" for n in FILES if n.endswith(".npz")]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_refused(name, told):
    kind, text, seconds = told[name]
    assert kind == "FacetError", text
    assert seconds < 2.0
    assert len(text) < 2000 and text.rstrip().endswith("."), text


def test_ordinary_files_are_read(tmp_path):
    """Zeros, repeated values and aliases as they occur are no reason to refuse a file."""
    path = tmp_path / "zeros.set"
    zeros = np.zeros((32, 100_000), np.float32)
    zeros[3] = np.random.default_rng(0).standard_normal(100_000)
    hostile_files.save_set(path, compressed=True, nbchan=32, pnts=100_000, data=zeros)
    np.testing.assert_allclose(load(path).get_data()[3], 1e-6 * zeros[3], rtol=1e-6)

    freqs = [50.0, 100.0]
    pipeline = Pipeline([NotchFilter(freqs), NotchFilter(freqs)])
    text = "a: &f [50.0, 100.0]\n" + pipeline.to_yaml()
    assert "*" in text.replace("parameters:", "*") and Pipeline.from_yaml(text).to_dict()
    repeated = "processors:\n- {processor: notch_filter, parameters: {freqs: &f [50.0]}}\n"
    repeated += "- {processor: notch_filter, parameters: {freqs: *f}}\n"
    assert [p.freqs for p in Pipeline.from_yaml(repeated).processors] == [[50.0], [50.0]]


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("padding", [b"", bytes(512)])
def test_compressed_recordings_are_read(tmp_path, n_members, padding):
    whole, path = tmp_path / "whole_raw.fif", tmp_path / "packed_raw.fif.gz"
    make_recording().save(whole, verbose="error")
    content = whole.read_bytes()
    size = -(-len(content) // n_members)
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    path.write_bytes(b"".join(map(gzip.compress, parts)) + padding)
    np.testing.assert_array_equal(load(path).get_data(), load(whole).get_data())
    path.write_bytes(gzip.compress(content)[:-3000])
    with pytest.raises(FacetError, match="truncated"):
        load(path)


def test_a_packed_element_of_a_wrong_type_is_seen_before_scipy(tmp_path):
    """Such a file ends the process: its checksum is right, and its content is not."""
    plain, packed = tmp_path / "plain.mat", tmp_path / "packed.set"
    scipy.io.savemat(plain, {"EEG": {"nbchan": 2, "data": np.zeros((2, 3))}})
    content = bytearray(plain.read_bytes())
    at = content.index(np.array([9, 48], "<u4").tobytes())
    content[at : at + 4] = np.array([77], "<u4").tobytes()
    element = zlib.compress(bytes(content[128:]))
    packed.write_bytes(bytes(content[:128]) + struct.pack("<II", 15, len(element)) + element)
    with pytest.raises(ValidationError, match="no numbers where they should be"):
        load(packed)


def test_proportion_is_measured_everywhere():
    size = limits.UnpackedSize()
    for _ in range(100):
        size.add(2**20, 2**22)  # an ordinary beginning
    with pytest.raises(ValueError, match="200 times"):
        for _ in range(100):
            size.add(2**12, 2**22)


def test_endless_files_are_not_read_to_their_end():
    with pytest.raises(ValidationError, match="more than 1048576 bytes"):
        Pipeline.from_yaml("/dev/zero")
