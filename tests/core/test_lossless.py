"""Samples are stored in fewer bytes, and come back bit for bit."""

from __future__ import annotations

import pickle
from dataclasses import replace

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facet_nb.core import ProcessingContext
from facet_nb.core.backends.base import dumps
from facet_nb.core.result import PipelineResult
from facet_nb.core.storage.lossless import pack, pack_integers, unpack, unpack_integers
from facet_nb.core.study.recording_run import SpilledContext, _pack_triggers
from facet_nb.core.study.rows import StudyRow
from facet_nb.io import Exporter
from tests.core import toys

ANY = arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(0, 9)))
FLOATS = st.floats(1e-12, 1e3)


def bits(x):
    return x.shape, x.tobytes()


@given(ANY, FLOATS)
def test_anything_comes_back(x, step):
    assert bits(unpack(pack(x, [step] * len(x)), x.shape)) == bits(x)
    assert bits(unpack(pack(x), x.shape)) == bits(x)


@given(arrays.arrays(np.int16, (2, 7), elements=st.integers(-(2**15) + 1, 2**15 - 1)), FLOATS)
def test_counts_of_a_recorder_are_counts(counts, step):
    x = counts * step
    rows = pack(x, [step] * 2)
    assert {row.dtype for _, row in rows} <= {np.dtype("int16")}
    assert bits(unpack(rows, (2, 7))) == bits(x)


@given(arrays.arrays(st.sampled_from([np.int64, np.int32, np.uint8]), st.integers(0, 50)))
def test_integers_come_back(x):
    back = unpack_integers(*pack_integers(x))
    assert back.dtype == x.dtype and bits(back) == bits(x)


@pytest.mark.parametrize("jitter", [0, 2])
def test_an_outcome_takes_few_bytes(jitter):
    """What goes through a scheduler for an hour of slices: 53,000 triggers."""
    rng = np.random.default_rng(0)
    triggers = np.arange(53_000) * 338 + rng.integers(-jitter, jitter + 1, 53_000)
    context = ProcessingContext(toys.make_raw(n_times=3000)).with_trigger_samples(triggers[:5])
    context = context.with_metadata(replace(context.metadata, triggers=triggers))
    result = PipelineResult(context, success=True)
    result.release_raw()
    packed = dumps((result, StudyRow(0, "a", "done")), _pack_triggers)
    assert len(packed) < 50_000
    back, row = pickle.loads(packed)
    assert np.array_equal(back.context.metadata.triggers, triggers) and row.state == "done"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ([1.5, -2.25], "float32"),
        ([np.nan, np.inf], "float32"),
        ([0.1, 0.2], "float64"),
        ([-0.0, 1e-6], "float32"),  # as a count, -0.0 would become 0.0
        ([0.0, 3e-6], "int16"),
        ([1e300, 0.0], "float64"),
        ([40000e-6, 0.0], "float32"),  # beyond 16 bits
    ],
)
def test_the_smallest_type(row, kind):
    ((_, stored),) = pack(np.array([row]), [1e-6])
    assert stored.dtype == kind


HEADER = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
DataFile=a.eeg
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels=2
SamplingInterval=1000
[Binary Infos]
BinaryFormat=INT_16
[Channel Infos]
Ch1=Fp1,,0.1,µV
Ch2=ECG,,0.48828125,µV
"""


def write_recorded(folder):
    """A recording of 16-bit counts, as a recorder writes it."""
    counts = np.random.default_rng(0).integers(-(2**15) + 1, 2**15 - 1, (20_000, 2))
    (folder / "a.eeg").write_bytes(counts.astype("<i2").tobytes())
    (folder / "a.vhdr").write_text(HEADER, encoding="utf-8")
    return mne.io.read_raw_brainvision(folder / "a.vhdr", preload=True, verbose="error")


def write_single(folder):
    """A file of float32 samples in microvolts."""
    context = toys.make_context(n_times=20_000)
    Exporter(folder / "b.vhdr", provenance=False).execute(context)
    return mne.io.read_raw_brainvision(folder / "b.vhdr", preload=True, verbose="error")


@pytest.mark.parametrize(("write", "share"), [(write_recorded, 0.26), (write_single, 0.52)])
def test_a_context_in_a_file(tmp_path, write, share):
    """A recording from a file takes a quarter or a half; a computed one all of it."""
    raw = write(tmp_path)
    computed = raw.copy().apply_function(lambda x: np.sin(x) / 3, picks="all")
    for one, most in ((raw, share), (computed, 1.02)):
        spilled = SpilledContext.of(ProcessingContext(one), tmp_path, 0)
        size = (tmp_path / "context-0").stat().st_size
        assert bits(spilled.read().get_raw().get_data()) == bits(one.get_data())
        assert most - 0.06 < size / one._data.nbytes < most + 0.04
