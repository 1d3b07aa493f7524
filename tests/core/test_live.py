"""A stream gives the samples of a run, bit for bit, whatever its blocks are."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import (
    AASCorrection,
    CommonReference,
    HighPassFilter,
    LambdaProcessor,
    LowPassFilter,
    OnlineAASCorrection,
    Pipeline,
    TriggerDetector,
)
from facet_nb.core import live
from facet_nb.core.errors import FacetError, PlanError, ValidationError
from facet_nb.core.live import GrowingFile
from facet_nb.datasets import example, simulate
from facet_nb.io import BrainVisionExporter
from facet_nb.kernels.templates.past_average import FEWEST, PastAverage

CAUSAL = {"method": "iir", "phase": "forward"}
CHAIN = Pipeline(
    [
        TriggerDetector(r"\b1\b"),
        HighPassFilter(1.0, **CAUSAL),
        OnlineAASCorrection(20),
        LowPassFilter(70.0, **CAUSAL),
    ]
)


@pytest.fixture(scope="module")
def recording():
    return simulate(3, sfreq=500, duration_s=24, tr_s=2, n_slices=10, seed=4, clock_offset_ppm=0)


@pytest.fixture(scope="module")
def offline(recording) -> np.ndarray:
    return CHAIN.run(recording.raw, mode="serial", raise_on_error=True).raw.get_data()


@pytest.mark.parametrize("block_s", [0.014, 0.05, 0.333, 1.0, 1000.0])
def test_a_replayed_recording_gives_the_same_bits(recording, offline, block_s):
    stream = CHAIN.stream(recording.raw, block_s)
    blocks = list(stream)
    assert np.array_equal(np.concatenate([b.data for b in blocks], axis=1), offline)
    assert [b.start for b in blocks] == list(np.cumsum([0, *(b.data.shape[1] for b in blocks)]))[
        :-1
    ]
    found = CHAIN[0].execute(recording.context()).get_triggers()
    assert np.array_equal(np.concatenate([b.triggers for b in blocks]), found)
    assert stream.latency_s == block_s


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
        {"mode": "channel_sequential", "batch_size": 2},
    ],
)
def test_every_mode_gives_them(recording, offline, how):
    assert np.array_equal(CHAIN.run(recording.raw, **how).raw.get_data(), offline)


def test_nothing_looks_ahead(recording, offline):
    """A later change of the recording leaves earlier samples as they were."""
    raw, at = recording.raw.copy(), 6000
    raw._data[:3, at:] = 1e-3
    changed = np.concatenate([b.data for b in CHAIN.stream(raw, 0.1)], axis=1)
    assert np.array_equal(changed[:, :at], offline[:, :at])
    assert not np.array_equal(changed[:, at:], offline[:, at:])


def test_it_removes_artifacts():
    simulation = example()
    pipeline = Pipeline([TriggerDetector(r"\b1\b"), OnlineAASCorrection()])
    data = np.concatenate([b.data for b in pipeline.stream(simulation.raw)], axis=1)
    raw = mne.io.RawArray(data, simulation.raw.info, verbose="error")
    raw.set_annotations(simulation.raw.annotations)
    late = slice(int(10 * simulation.sfreq), int(30 * simulation.sfreq))
    left = np.std(data[:6, late] - simulation.clean[:, late])
    before = np.std(simulation.raw.get_data()[:6, late] - simulation.clean[:, late])
    assert left < before / 100


def test_it_is_an_asynchronous_iterator(recording, offline):
    async def collect() -> list[np.ndarray]:
        return [block.data async for block in CHAIN.stream(recording.raw, 2.0)]

    assert np.array_equal(np.concatenate(asyncio.run(collect()), axis=1), offline)


class Source:
    """Blocks of a recording, of any length, as a client of a network stream has them."""

    def __init__(self, raw, cuts):
        self.info, self.raw, self.cuts = raw.info, raw, cuts

    def __iter__(self):
        marks = self.raw.annotations
        at = np.rint(marks.onset * self.info["sfreq"]).astype(int)
        events = list(zip(at, marks.description, strict=True))
        for start, stop in zip(self.cuts, self.cuts[1:], strict=False):
            yield (
                self.raw.get_data(start=start, stop=stop),
                [e for e in events if start <= e[0] < stop],
            )


def test_a_source_of_ones_own(recording, offline):
    cuts = [0, 1, 1, 700, 701, 5000, recording.raw.n_times]  # one block is empty
    stream = CHAIN.stream(Source(recording.raw, cuts))
    assert np.array_equal(np.concatenate([b.data for b in stream], axis=1), offline)
    assert stream.latency_s is None


def test_steps_over_some_channels_and_over_all(recording):
    raw = recording.raw.copy()
    raw.info["bads"] = [raw.ch_names[0]]
    raw.set_channel_types({raw.ch_names[2]: "ecg"})
    steps = [
        TriggerDetector(r"\b1\b"),
        HighPassFilter(1.0, picks=[raw.ch_names[2]], **CAUSAL),
        CommonReference("average", reference=[raw.ch_names[1]]),
        OnlineAASCorrection(20),
    ]
    offline = Pipeline(steps).run(raw, raise_on_error=True).raw.get_data()
    blocks = Pipeline(steps).stream(raw, 0.3)
    assert np.array_equal(np.concatenate([b.data for b in blocks], axis=1), offline)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([(np.zeros((4, 10)), [])], "shape"),
        ([(np.zeros(10), [])], "shape"),
        ([(np.full((3, 10), np.nan), [])], "NaN"),
        ([(np.zeros((3, 10)), []), (np.zeros((3, 10)), [(5, "1")])], r"events at \[5\]"),
        ([(np.zeros((3, 10)), [(10, "1")])], "hold samples back"),
    ],
)
def test_blocks_that_cannot_be_used(blocks, message):
    class Blocks(list):
        info = mne.create_info(3, 500.0, "eeg")

    with pytest.raises(FacetError, match=message):
        list(CHAIN.stream(Blocks(blocks)))


@given(
    n=st.integers(40, 400),
    gaps=st.lists(st.integers(5, 40), min_size=2, max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=10),
    window=st.integers(FEWEST, 9),
)
@settings(max_examples=60, deadline=None)
def test_blocks_do_not_matter(n, gaps, cuts, window):
    """Against a plain loop over artifacts, for one channel and for several."""
    x = np.random.default_rng(n).standard_normal((2, n))
    onsets = [int(t) for t in np.cumsum(gaps) if t < n]
    expected, length = x.copy(), (onsets[1] - onsets[0] if len(onsets) > 1 else 0)
    for k, onset in enumerate(onsets[1:], 1):
        past = [x[:, o : o + length] for o in onsets[:k] if o + length <= onset][-window:]
        stop = min(onset + length, onsets[k + 1] if k + 1 < len(onsets) else n, n)
        if len(past) >= FEWEST:
            template = sum(past, np.zeros((2, length))) / len(past)
            template = template - template.mean(axis=1, keepdims=True)
            expected[:, onset:stop] -= template[:, : stop - onset]
    edges = sorted({0, n, *(c for c in cuts if c < n)})
    kernels, got = [PastAverage(window), PastAverage(window)], np.empty_like(x)
    for start, stop in itertools.pairwise(edges):
        inside = [t for t in onsets if start <= t < stop]
        out = np.empty((2, stop - start))
        kernels[0].push(x[:, start:stop], inside, out)
        got[:, start:stop] = out
        kernels[1].push(x[1:, start:stop], inside, out[1:])
        assert np.array_equal(out[1:], got[1:, start:stop])
    assert np.array_equal(got, expected)


def begin_file(folder, n_times):
    """Write the first samples of a recording; return the whole, all samples, and bytes of a row."""
    simulation = simulate(2, sfreq=500, duration_s=12, tr_s=2, n_slices=10, clock_offset_ppm=0)
    BrainVisionExporter(path=folder / "whole.vhdr").execute(simulation.context())
    whole = mne.io.read_raw(folder / "whole.vhdr", verbose="error")
    samples = (folder / "whole.eeg").read_bytes()
    text = (folder / "whole.vhdr").read_text()
    (folder / "live.vhdr").write_text(text.replace("whole.", "live."))
    (folder / "live.vmrk").write_bytes((folder / "whole.vmrk").read_bytes())
    row = len(samples) // whole.n_times
    (folder / "live.eeg").write_bytes(samples[: n_times * row])
    return whole, samples, row


def test_a_block_longer_than_the_pause_that_ends_a_recording(tmp_path, monkeypatch):
    """A file that grows has not ended, however long its block takes."""
    whole, samples, row = begin_file(tmp_path, 100)
    clock, written = [0.0], [100]

    def sleep(_):
        clock[0] += 0.4  # longer than half of idle_s
        start, written[0] = written[0], written[0] + 200
        with open(tmp_path / "live.eeg", "ab") as file:
            file.write(samples[start * row : written[0] * row])

    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    blocks = [data for data, _ in GrowingFile(tmp_path / "live.vhdr", 4.0, idle_s=0.5)]
    assert np.array_equal(np.concatenate(blocks, axis=1), whole.get_data())
    assert blocks[0].shape[1] == 2000


def test_a_growing_file(tmp_path):
    """The samples of a file are handed over while it is written, and the rest at its end."""
    whole, samples, row = begin_file(tmp_path, 1000)
    source = GrowingFile(tmp_path / "live.vhdr", 1.0, idle_s=1.0)
    blocks = iter(CHAIN.stream(source))
    first = [next(blocks), next(blocks)]

    def write() -> None:
        with open(tmp_path / "live.eeg", "ab") as file:
            for at in range(1000, whole.n_times, 700):
                time.sleep(0.02)
                file.write(samples[at * row : (at + 700) * row])

    writer = threading.Thread(target=write)
    writer.start()
    data = np.concatenate([b.data for b in [*first, *blocks]], axis=1)
    writer.join()
    assert np.array_equal(data, CHAIN.run(whole, mode="serial").raw.get_data())


def test_steps_that_cannot_stream_are_named(recording):
    steps = [
        CommonReference(groups=[["Cz"]]),
        AASCorrection(),
        LowPassFilter(70.0),
        LambdaProcessor(lambda c: c),
    ]
    with pytest.raises(PlanError) as error:
        Pipeline([TriggerDetector("1"), *steps]).stream(recording.raw)
    assert all(step.name in str(error.value) for step in steps)
    with pytest.raises(ValidationError, match="info"):
        CHAIN.stream([1, 2])
    with pytest.raises(ValidationError, match="block_s"):
        CHAIN.stream(recording.raw, 0)
    with pytest.raises(FacetError, match="phase='forward' needs method='iir'"):
        Pipeline([HighPassFilter(1.0, phase="forward")]).run(recording.raw, raise_on_error=True)


@pytest.mark.parametrize("cls", [HighPassFilter, LowPassFilter])
def test_a_causal_filter_is_scipys(cls):
    from scipy.signal import butter, sosfilt, sosfilt_zi

    x = np.random.default_rng(0).standard_normal((2, 800))
    kind = "highpass" if cls is HighPassFilter else "lowpass"
    sos = butter(4, 20.0, kind, fs=500.0, output="sos")
    info = mne.create_info(2, 500.0, "eeg")
    got = cls(20.0, **CAUSAL)(mne.io.RawArray(x, info, verbose="error")).get_data()
    for row, y in zip(x, got, strict=True):
        expected, _ = sosfilt(sos, row, zi=sosfilt_zi(sos) * row[0])
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
