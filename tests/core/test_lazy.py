"""Lazy recordings: cells, caches, threads, and all that MNE does with a Raw."""

from __future__ import annotations

import pickle
import threading

import mne
import numpy as np
import pybv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    BandPassFilter,
    CommonReference,
    Crop,
    DownSample,
    FacetError,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
    PickChannels,
    Pipeline,
    PlanError,
    Processor,
    TriggerDetector,
    UpSample,
    ValidationError,
    set_defaults,
)
from facet_nb.core.lazy import engine, nodes
from facet_nb.core.lazy.cache import BlockCache
from facet_nb.core.storage.multiplexed import MultiplexedFile
from facet_nb.datasets import simulate
from tests.contract.recordings import make_context

DETECT = TriggerDetector(regex=r"\b1\b")

#: Chains in which every step is computed in windows, over several cells of each.
WINDOWED = {
    "FIR": [HighPassFilter(2.0), LowPassFilter(70.0)],
    "notch": [NotchFilter(50.0)],
    "IIR": [BandPassFilter(1.0, 40.0, method="iir")],
    "IIR and median": [BandPassFilter(1.0, 40.0, method="iir"), CommonReference()],
    "odd IIR": [HighPassFilter(0.5, method="iir", order=3, picks=["C3", "Cz"])],
    "AAS": [DETECT, AASCorrection(window_size=7), LowPassFilter(70.0)],
    "AAS behind a filter": [DETECT, HighPassFilter(1.0), AASCorrection(rel_window_position=0.5)],
    "crop": [DETECT, Crop(3.3, 150.0), AASCorrection(window_size=9), LowPassFilter(70.0)],
    "fused": [DETECT, HighPassFilter(2.0), UpSample(10), AASCorrection(), DownSample(10)],
    "default": [DETECT, GradientCorrection(), LowPassFilter(70.0)],
    "short blocks": [DETECT, GradientCorrection(block_s=40.0, max_courses=3)],
}


@pytest.fixture(scope="module")
def raw():
    """Nearly three minutes at 500 Hz: several cells of each step."""
    sim = simulate(4, 500.0, 160.0, 2.0, 5, seed=11, lead_in_s=4.0, lead_out_s=3.0)
    return sim.raw


@pytest.fixture(scope="module")
def results(raw):
    """The full run of each chain, its lazy recording, and one with a small cache."""
    made = {}

    def find(name):
        if name not in made:
            pipeline = Pipeline(WINDOWED[name])
            full = pipeline.run(raw, raise_on_error=True).raw.get_data()
            made[name] = full, pipeline.lazy(raw), pipeline.lazy(raw, cache="200 kB")
        return made[name]

    return find


# ------------------------------------------------------------------------------------ windows
@pytest.mark.parametrize("name", WINDOWED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_windows_equal_the_full_run(results, name, data):
    full, lazy, small = results(name)
    n = full.shape[1]
    start = data.draw(st.integers(0, n - 1))
    length = data.draw(st.one_of(st.integers(1, 30), st.integers(1, n)))
    picks = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
    stop = min(n, start + length)
    one = lazy if data.draw(st.booleans()) else small
    assert np.array_equal(one.get_data(picks, start=start, stop=stop), full[picks, start:stop])


def draw_key(data, n):
    """Return an index of one axis."""
    number = st.integers(-n, n - 1)
    steps = st.integers(1, 50) | st.integers(-50, -1) | st.none()
    bound = st.none() | st.integers(-n - 5, n + 5)
    key = data.draw(
        st.sampled_from([Ellipsis, slice(None)])
        | number
        | st.builds(slice, bound, bound, steps)
        | st.lists(number, max_size=5).map(lambda some: np.array(some, dtype=int))
    )
    return key


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_samples_are_indexed_as_an_array(results, data):
    full, lazy, _ = results("AAS behind a filter")
    samples = lazy._raw_extras[0]["samples"]
    rows, times = draw_key(data, 4), draw_key(data, full.shape[1])
    pairs = all(isinstance(key, np.ndarray) for key in (rows, times))
    if (rows is Ellipsis and times is Ellipsis) or (pairs and len(rows) != len(times)):
        times = slice(None)
    assert np.array_equal(samples[rows], full[rows])
    got, expected = samples[rows, times], full[rows, times]
    assert got.shape == expected.shape and np.array_equal(got, expected)
    mask = np.array([True, False, True, True])
    assert np.array_equal(samples[mask, 7], full[mask, 7])


@pytest.mark.parametrize("name", WINDOWED)
def test_these_chains_are_computed_in_windows(results, name):
    table = results(name)[1].describe_steps()
    assert set(table["how"]) <= {"windows", "at once"}, table


@pytest.mark.parametrize("name", ["FIR", "IIR", "AAS", "default"])
def test_short_recordings(raw, name):
    """Shorter than a filter, than a cell, than its padding."""
    for n in (1100, 2049, 4096, 9000):
        short = raw.copy().crop(4.0, 4.0 + (n - 1) / 500.0)
        pipeline = Pipeline(WINDOWED[name])
        result = pipeline.run(short)
        if not result.success:
            continue
        lazy = pipeline.lazy(short)
        for start, stop in ((0, n), (n - 1, n), (0, 1), (n // 3, n // 2)):
            expected = result.raw.get_data(start=start, stop=stop)
            assert np.array_equal(lazy.get_data(start=start, stop=stop), expected), (n, start)


def test_a_file_is_read_piece_by_piece(raw, tmp_path):
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    pipeline = Pipeline(WINDOWED["AAS behind a filter"])
    full = pipeline.run(raw).raw.get_data()
    for given_ in (
        tmp_path / "a_raw.fif",
        mne.io.read_raw(tmp_path / "a_raw.fif", verbose="error"),
    ):
        lazy = pipeline.lazy(given_)
        assert not lazy.preload
        assert np.array_equal(lazy.get_data([2, 0], start=555, stop=7777), full[[2, 0], 555:7777])


def test_a_brainvision_file(raw, tmp_path):
    """Its samples are read without MNE; a file that is cut meanwhile is an error of ours."""
    data, path = raw.get_data(), tmp_path / "a.vhdr"
    pybv.write_brainvision(
        data=data, sfreq=500.0, ch_names=raw.ch_names, fname_base="a", folder_out=str(tmp_path)
    )
    pipeline = Pipeline([HighPassFilter(1.0), CommonReference()])
    full, lazy = pipeline.run(path).raw.get_data(), pipeline.lazy(path, cache=1)
    for picks, start, stop in (([2, 0], 555, 17_777), ([3], 0, 10), ([1, 2], 70_000, 80_000)):
        assert np.array_equal(lazy.get_data(picks, start=start, stop=stop), full[picks, start:stop])
    path.with_suffix(".eeg").write_bytes(b"\0" * 1000)
    with pytest.raises(FacetError, match=r"a\.eeg cannot be read.*Copy the file again"):
        lazy.get_data([0], start=40_000, stop=40_010)


@pytest.mark.parametrize(
    "steps", [[GradientCorrection()], [UpSample(10), AASCorrection(), DownSample(10)]]
)
def test_a_multiplexed_file_is_read_once_for_all_channels(raw, tmp_path, monkeypatch, steps):
    onsets = np.rint((raw.annotations.onset - raw.first_time) * 500.0).astype(int)
    events = [{"onset": int(at), "description": 1, "type": "Stimulus"} for at in onsets]
    names = {"sfreq": 500.0, "ch_names": raw.ch_names, "fname_base": "a", "events": events}
    form = {"fmt": "binary_int16", "resolution": 1.0}
    pybv.write_brainvision(data=raw.get_data(), **names, **form, folder_out=str(tmp_path))
    path, pipeline, n_bytes = tmp_path / "a.vhdr", Pipeline([DETECT, *steps]), [0]
    read = MultiplexedFile._read_stored

    def count(self, start, stop):
        n_bytes[-1] += stop - start
        return read(self, start, stop)

    monkeypatch.setattr(MultiplexedFile, "_read_stored", count)
    full = pipeline.run(path, raise_on_error=True).raw.get_data()
    for picks in ([0], [3, 0, 2, 1]):
        lazy = pipeline.lazy(path)
        n_bytes.append(0)
        x = lazy.get_data(picks, start=30_000, stop=32_000)
        assert np.array_equal(x, full[picks, 30_000:32_000])
    assert 0 < n_bytes[2] <= 1.5 * n_bytes[1]


# ------------------------------------------------------------------------------------ as a Raw
@pytest.fixture(scope="module")
def pair():
    """A corrected recording with all kinds of channels and a first sample, in full and lazy."""
    raw = make_context().get_raw()
    pipeline = Pipeline([DETECT, HighPassFilter(1.0), AASCorrection(window_size=10)])
    return pipeline.run(raw, raise_on_error=True).raw, pipeline.lazy(raw)


USES = {
    "indexing": lambda raw: raw[["E3", "E1"], 100:2000][0],
    "times": lambda raw: raw.get_data("eeg", tmin=2.0, tmax=5.0, units="uV"),
    "crop": lambda raw: raw.copy().crop(2.0, 12.0).crop(1.0, 7.0).get_data(),
    "pick": lambda raw: raw.copy().pick(["E4", "STI", "E1"]).get_data(start=77, stop=4001),
    "drop": lambda raw: raw.copy().drop_channels(["E2"]).get_data(),
    "reorder": lambda raw: raw.copy().reorder_channels(raw.ch_names[::-1]).get_data(),
    "rename": lambda raw: raw.copy().rename_channels({"E1": "Cz"}).get_data("Cz"),
    "load": lambda raw: raw.copy().load_data(verbose="error").get_data(),
    "filter": lambda raw: (
        raw.copy().load_data(verbose="error").filter(1, 40, verbose="error")._data
    ),
    "psd": lambda raw: raw.compute_psd(fmax=70, verbose="error").get_data(),
    "concatenate": lambda raw: mne.concatenate_raws(
        [raw.copy().crop(0, 6), raw.copy().crop(3, 9)], verbose="error"
    ).get_data(start=10, stop=5000),
    "epochs": lambda raw: mne.make_fixed_length_epochs(
        raw, duration=1.5, preload=False, verbose="error"
    ).get_data(copy=True),
    "events": lambda raw: mne.find_events(raw, "STI", shortest_event=1, verbose="error"),
    "frame": lambda raw: raw.to_data_frame(picks="eeg", stop=900).to_numpy(),
    "annotations": lambda raw: np.r_[raw.annotations.onset, raw.first_time, raw.times[-1]],
    "projection": lambda raw: (
        raw.copy()
        .set_eeg_reference(projection=True, verbose="error")
        .apply_proj(verbose="error")
        .get_data(start=5, stop=1234)
    ),
}


@pytest.mark.parametrize("name", USES)
def test_mne_gets_the_same(pair, name):
    full, lazy = pair
    expected, found = USES[name](full), USES[name](lazy)
    if name == "projection":  # MNE multiplies windows of another length
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-20)
    else:
        assert np.array_equal(found, expected)
    assert not lazy.preload


def test_saved_it_has_the_same_samples(pair, tmp_path):
    full, lazy = pair
    lazy.save(tmp_path / "lazy_raw.fif", fmt="double", verbose="error")
    again = mne.io.read_raw(tmp_path / "lazy_raw.fif", verbose="error")
    assert np.array_equal(again.get_data(), full.get_data())
    assert np.allclose(again.annotations.onset, full.annotations.onset)


def test_copies_share_the_cache_and_pickles_do_not(pair):
    full, lazy = pair
    assert lazy.copy()._raw_extras[0]["samples"] is lazy._raw_extras[0]["samples"]
    again = pickle.loads(pickle.dumps(lazy))
    assert again._raw_extras[0]["samples"] is not lazy._raw_extras[0]["samples"]
    assert np.array_equal(again.get_data(start=30, stop=3000), full.get_data(start=30, stop=3000))


def test_the_given_recording_may_be_cropped_afterwards():
    raw = make_context().get_raw()
    pipeline = Pipeline([HighPassFilter(1.0)])
    full, lazy = pipeline.run(raw).raw.get_data(), pipeline.lazy(raw)
    raw.crop(3.0, 9.0).pick("eeg")
    assert np.array_equal(lazy.get_data(start=5, stop=8000), full[:, 5:8000])


def test_the_given_file_may_be_changed_afterwards(raw, tmp_path):
    """MNE changes lists of its reader in place."""
    raw.save(path := tmp_path / "x_raw.fif", fmt="double", verbose="error")
    given = mne.io.read_raw(path, verbose="error")
    pipeline = Pipeline([HighPassFilter(1.0)])
    full, lazy, own = (
        pipeline.run(path).raw.get_data(),
        pipeline.lazy(given),
        engine._copy_reader(given),
    )
    lists = {k: len(v) for k, v in vars(own).items() if isinstance(v, list)}
    assert {"_read_picks", "_raw_extras"} <= set(lists)
    given.append(given.copy())
    given.pick([1, 0]).rename_channels({given.ch_names[0]: "other"})
    assert {k: len(v) for k, v in vars(own).items() if isinstance(v, list)} == lists
    assert np.array_equal(lazy.get_data(start=5, stop=8000), full[:, 5:8000])


# ------------------------------------------------------------------------------------ threads
@pytest.mark.parametrize("name", ["AAS behind a filter", "IIR and median", "default"])
def test_threads_read_the_same(results, raw, name):
    full = results(name)[0]
    lazy = Pipeline(WINDOWED[name]).lazy(raw, cache="500 kB")
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(12):
            start = int(rng.integers(0, full.shape[1] - 3000))
            picks = sorted(rng.permutation(4)[:2].tolist())
            x = lazy.get_data(picks, start=start, stop=start + 3000)
            if not np.array_equal(x, full[picks, start : start + 3000]):
                wrong.append((seed, start))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert lazy.cache_bytes <= 500_000


def test_a_whole_channel_is_computed_once(raw):
    calls = []

    class Half(Processor):
        channel_wise = True

        def process(self, context):
            raw = context.get_raw().copy()
            calls.append(raw.ch_names[0])
            raw._data = 0.5 * raw._data
            return context.with_raw(raw)

    lazy = Pipeline([Half()]).lazy(raw)
    first = len(calls)
    threads = [threading.Thread(target=lambda: lazy.get_data(["C3"])) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for start in range(0, 5000, 500):
        lazy.get_data(["C3", "Cz"], start=start, stop=start + 700)
    assert sorted(calls[first:]) == ["C3", "Cz"]
    assert list(lazy.describe_steps()["how"]) == ["whole channels"]


# ------------------------------------------------------------------------------------ the cache
@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 60), max_size=40), limit=st.integers(1, 200))
def test_the_cache_keeps_to_its_limit(sizes, limit):
    cache = BlockCache(8 * limit)
    for i, size in enumerate(sizes):
        block = cache.put(i % 7, np.full(size, float(i)))
        assert not block.flags.writeable and (block == i).all()
        kept = [cache.get(k) for k in range(7)]
        assert cache.n_bytes == sum(b.nbytes for b in kept if b is not None)
        assert cache.n_bytes <= cache.peak_bytes <= 8 * limit
        assert size > limit or cache.get(i % 7) is block
    cache.clear()
    assert cache.n_bytes == len(cache) == 0


@pytest.mark.parametrize("n", [1, 5000, 8192, 8193, 20_000])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_kept_copy_shares_nothing(n, dtype):
    cache, x = BlockCache(1 << 20), np.arange(2 * n, dtype=dtype).reshape(2, n)
    expected = x.copy()
    kept = cache.put_copy("a", x)
    x += 1.0
    assert kept is cache.get("a") and np.array_equal(kept, expected) and kept.dtype == dtype
    assert cache.n_bytes == kept.nbytes == x.nbytes and not kept.flags.writeable
    cache.clear()
    assert np.array_equal(kept, expected)  # whoever holds it may go on


@pytest.mark.parametrize("wrong", ["lots", 0, -5, None])
def test_sizes_that_are_none(raw, wrong):
    with pytest.raises(PlanError, match="cache="):
        Pipeline([HighPassFilter(1.0)]).lazy(raw, cache=wrong)


# ------------------------------------------------------------------------------------ stages
MIXED = {
    "a step that loads the recording": [
        HighPassFilter(1.0),
        lambda c: c.with_raw(c.get_raw().copy().load_data(verbose="error").crop(2.0, 15.0)),
        LowPassFilter(40.0),
    ],
    "channels are picked": [HighPassFilter(1.0), PickChannels(["E1", "E4", "STI"]), Crop(1.0, 9.0)],
    "noise of the same stage": [DETECT, AASCorrection(window_size=10), ANCCorrection()],
    "noise of an earlier stage": [
        DETECT,
        AASCorrection(window_size=10),
        CommonReference("average"),
        ANCCorrection(),
        LowPassFilter(70.0),
    ],
    "another rate": [HighPassFilter(1.0), DownSample(2), UpSample(3)],
}


@pytest.mark.parametrize("name", MIXED)
def test_chains_that_are_lazy_in_part(name):
    context = make_context()
    pipeline = Pipeline(MIXED[name])
    full, lazy = pipeline.run(context, raise_on_error=True).raw, pipeline.lazy(context)
    assert lazy.ch_names == full.ch_names and lazy.info["sfreq"] == full.info["sfreq"]
    rng, n = np.random.default_rng(3), full.n_times
    for _ in range(12):
        start, stop = np.sort(rng.choice(n + 1, 2, replace=False))
        picks = rng.permutation(len(full.ch_names))[:3]
        expected = full.get_data(picks, start=start, stop=stop)
        assert np.array_equal(lazy.get_data(picks, start=start, stop=stop), expected)


# ------------------------------------------------------------------------------------ plans
def test_the_plan_says_how_each_step_is_computed():
    steps = [
        DETECT,
        HighPassFilter(1.0),
        AASCorrection(apply_epoch_alpha_scaling=True),
        CommonReference(),
        LowPassFilter(40.0, method="iir"),
    ]
    plan = Pipeline(steps).plan(mode="lazy")
    text = "\n".join(stage.reason for stage in plan.stages)
    for part in (
        "trigger_detector: at once",
        "highpass_filter: windows",
        "aas_correction: whole channels (scales or joins",
        "common_reference: windows, over all channels",
        "lowpass_filter: windows",
    ):
        assert part in text
    assert plan.mode == "lazy"


def test_steps_that_only_measure_or_write_are_not_run(raw, tmp_path):
    from facet_nb import Exporter, SNRCalculator

    path = tmp_path / "out.fif"
    steps = [DETECT, AASCorrection(), SNRCalculator(), Exporter(path=path)]
    lazy = Pipeline(steps).lazy(raw)
    assert not path.exists()
    assert list(lazy.describe_steps()["how"]) == ["at once", "windows", "not run", "not run"]


def test_without_a_recording():
    with pytest.raises(ValidationError, match="no recording"):
        Pipeline([HighPassFilter(1.0)]).lazy()


def test_threads_behind_a_common_reference_share_the_time(monkeypatch):
    """Sharing the channels, each thread would compute all of them before the reference."""
    rng = np.random.default_rng(8)
    info = mne.create_info(32, 1000.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((32, 60_000)), info, verbose="error")
    steps = [HighPassFilter(2.0), CommonReference(), LowPassFilter(70.0)]
    full = Pipeline(steps).run(raw).raw.get_data()
    computed, make = {}, nodes.WindowNode._make

    def note(self, channels, start, stop):
        computed[self.key] = computed.get(self.key, 0) + len(channels) * (stop - start)
        return make(self, channels, start, stop)

    monkeypatch.setattr(nodes.WindowNode, "_make", note)
    for n_workers in (1, 2):
        lazy = Pipeline(steps).lazy(raw, n_workers=n_workers, oversubscribe=True)
        assert np.array_equal(lazy.get_data(start=1000, stop=50_000), full[:, 1000:50_000])
    (_, before), (_, _), (_, shared), (_, _) = sorted(computed.items())
    assert 0 < shared < 1.7 * before, "the filter before the reference computed nearly all twice"


def test_a_lowered_number_of_threads_is_said(raw, caplog):
    n_workers = 1000
    Pipeline([HighPassFilter(2.0)]).lazy(raw, n_workers=n_workers)
    assert f"instead of {n_workers}" in caplog.text
    caplog.clear()
    Pipeline([HighPassFilter(2.0)]).lazy(raw, n_workers=3, oversubscribe=True)
    assert caplog.text == ""


def test_threads_of_the_session_s_defaults(raw, results):
    before = set_defaults(n_workers=2)
    try:
        lazy = Pipeline(WINDOWED["AAS"]).lazy(raw)
    finally:
        set_defaults(**before)
    assert lazy._raw_extras[0]["samples"].n_workers in (1, 2)
    assert np.array_equal(lazy.get_data(start=9, stop=9999), results("AAS")[0][:, 9:9999])


# ------------------------------------------------------------------------------------ decisions
def test_decisions_that_take_long_are_told_with_their_steps(raw, monkeypatch):
    pipeline = Pipeline(WINDOWED["AAS"])
    codes = {f.code for f in pipeline.lazy(raw).context.get_findings()}
    assert "lazy_decisions_long" not in codes
    monkeypatch.setattr(engine, "_LONG_S", 0.0)
    lazy = pipeline.lazy(raw)
    told = {f.code: f for f in lazy.context.get_findings()}["lazy_decisions_long"]
    assert "aas_correction → lowpass_filter" in told.detail and "trigger_detector" in told.detail
    assert sum(told.evidence["steps_s"].values()) == pytest.approx(
        told.evidence["total_s"], abs=0.01
    )
    changed = lazy.with_parameters("lowpass_filter", freq=40.0)
    told = {f.code: f for f in changed.context.get_findings()}["lazy_decisions_long"]
    assert list(told.evidence["steps_s"]) == ["aas_correction → lowpass_filter"]
