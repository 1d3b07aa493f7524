"""Recordings with breaks in time, and channels that are not what their type says."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import (
    AASCorrection,
    BandPassFilter,
    CommonReference,
    GradientCorrection,
    HighPassFilter,
    Loader,
    LowPassFilter,
    NotchFilter,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    QRSTriggerDetector,
    Resample,
)
from facet_nb.core.recording import find_pieces, kind_of
from facet_nb.datasets import simulate
from facet_nb.kernels.compiled.dispatch import has_compiled
from facet_nb.kernels.streams import FilterStream, PiecewiseStream

SFREQ = 250.0


def make_runs(*lengths, n=2, seed=0):
    """Return a recording of several runs with different offsets, joined."""
    rng, info = np.random.default_rng(seed), mne.create_info(n, SFREQ, "eeg")
    raws = [
        mne.io.RawArray(rng.standard_normal((n, k)) * 1e-5 + dc * 2e-3, info, verbose=False)
        for dc, k in enumerate(lengths)
    ]
    return mne.concatenate_raws(raws, verbose=False)


def skip(raw, onset_s, duration_s):
    """Return a copy with a span that the recorder did not record."""
    new = raw.copy()
    return new.set_annotations(
        new.annotations + mne.Annotations(onset_s, duration_s, "BAD_ACQ_SKIP")
    )


FILTERS = [
    HighPassFilter(1.0),
    LowPassFilter(40.0),
    BandPassFilter(1.0, 40.0),
    NotchFilter([50.0]),
    HighPassFilter(1.0, method="iir"),
]
RECORDINGS = {
    "two runs": make_runs(4000, 5000),
    "three runs, one short": make_runs(3000, 700, 2500),
    "a skip": skip(make_runs(9000), 12.0, 4.0),
    "a skip at the start": skip(make_runs(6000), 0.0, 2.0),
    "run and skip": skip(make_runs(4000, 4000), 20.0, 1.5),
    "cropped": make_runs(4000, 5000).crop(3.0, 30.0),
}


def reference(step, raw):
    raw = raw.copy()
    if isinstance(step, NotchFilter):
        return raw.notch_filter([50.0], verbose="error").get_data()
    iir = {"method": "iir"} if step.method == "iir" else {}
    return raw.filter(*step.edges(), **iir, verbose="error").get_data()


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("step", FILTERS, ids=lambda s: f"{s.name}-{getattr(s, 'method', '')}")
def test_filters_stop_at_breaks_as_mne_does(step, name):
    raw = RECORDINGS[name]
    result = Pipeline([step]).run(ProcessingContext(raw))
    assert result.success, result.error
    assert result.findings == ()
    theirs = reference(step, raw)
    np.testing.assert_allclose(result.get_raw().get_data(), theirs, atol=1e-9 * np.ptp(theirs))


def test_breaks_in_every_mode():
    raw = RECORDINGS["run and skip"]
    chain = Pipeline([HighPassFilter(1.0), LowPassFilter(40.0)])
    first = chain.run(ProcessingContext(raw)).get_raw().get_data()
    for options in (
        {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"},
        {"mode": "parallel", "n_jobs": 2, "backend": "threading", "n_workers": 2},
        {"mode": "channel_sequential", "chunk_duration_s": 1.7},
    ):
        again = chain.run(ProcessingContext(raw), **options)
        assert again.success, again.error
        np.testing.assert_array_equal(again.get_raw().get_data(), first)


@pytest.mark.skipif(not has_compiled(), reason="streams of filters need compiled kernels")
@given(st.lists(st.integers(0, 900), min_size=1, max_size=7), st.integers(1, 400), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_stream_of_pieces(lengths, chunk, odd):
    """Pieces and what is between them, in chunks of any length: each piece by itself."""
    edges = np.cumsum([0, *lengths])
    n = int(edges[-1]) + 1
    spans = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    pieces = tuple(s for s in list(spans)[int(odd) :: 2] if s[1] > s[0])
    x, taps = np.random.default_rng(0).standard_normal(n), np.hanning(33)[1:-1]

    def make(length):
        return FilterStream(taps, length, np.dtype(float))

    expected = x.copy()
    for start, stop in pieces:
        alone = make(stop - start)
        expected[start:stop] = np.concatenate([alone.push(x[start:stop]).copy(), alone.finish()])
    stream = PiecewiseStream(pieces, n, make)
    parts = [stream.push(x[i : i + chunk]) for i in range(0, n, chunk)]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), expected)


def test_other_steps_tell_of_breaks():
    raw = RECORDINGS["two runs"]
    result = Pipeline([HighPassFilter(1.0), Resample(125.0)]).run(ProcessingContext(raw))
    (found,) = result.findings
    assert (found.code, found.step, found.severity) == ("breaks_ignored", "resample", "note")
    assert found.span_s == ((16.0, 16.0),)
    # After resampling, the filter knows where the break is now.
    again = Pipeline([Resample(125.0), LowPassFilter(40.0)]).run(ProcessingContext(raw))
    before = Pipeline([Resample(125.0)]).run(ProcessingContext(raw)).get_raw()
    theirs = before.filter(None, 40.0, verbose="error").get_data()
    np.testing.assert_allclose(again.get_raw().get_data(), theirs, atol=1e-9 * np.ptp(theirs))


def cut_out(simulation, spans_s):
    """Return a recording without some spans, its triggers, and which samples are left."""
    raw, triggers, kept = simulation.raw.copy(), simulation.triggers, []
    edges = [0, *(round(edge * simulation.sfreq) for span in spans_s for edge in span), raw.n_times]
    pieces = list(zip(edges[::2], edges[1::2], strict=True))
    for start, stop in pieces:
        kept.append(np.arange(start, stop))
    left = np.concatenate(kept)
    cut = mne.concatenate_raws(
        [
            mne.io.RawArray(
                raw.get_data()[:, i],
                mne.create_info(raw.ch_names, raw.info["sfreq"], "eeg"),
                verbose=False,
            )
            for i in kept
        ],
        verbose=False,
    )
    return cut, np.flatnonzero(np.isin(left, triggers)), left


@pytest.mark.parametrize("chain", [GradientCorrection(), AASCorrection(10, subsample=True)])
@pytest.mark.parametrize("spans_s", [[(15.35, 16.9)], [(12.3, 13.1), (22.7, 23.9)]])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_artifacts_end_at_breaks(chain, spans_s, markers):
    """The recorder paused during the scan: artifacts are cut on both sides."""
    simulation = simulate(2, 500, 36, n_slices=15, markers=markers, seed=4, motion=0.0)
    raw, triggers, left = cut_out(simulation, spans_s)
    length = int(np.median(np.diff(simulation.triggers)))
    context = ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=length)
    result = Pipeline([chain]).run(context, show_progress=False)
    assert result.success, result.error
    (found,) = [f for f in result.findings if f.code in ("epochs_incomplete", "breaks_ignored")]
    assert found.code == "epochs_incomplete" and "break" in found.detail
    after, truth = result.raw.get_data(), simulation.clean[:, left]
    breaks = np.flatnonzero(np.diff(left) > 1) + 1
    # What lies behind a break is nothing of an artifact that began before it.
    for at in breaks.tolist():
        following = int(triggers[triggers >= at][0])
        np.testing.assert_array_equal(after[:, at:following], raw.get_data()[:, at:following])
    marked = np.zeros(len(left), dtype=bool)
    for t in triggers.tolist():
        end = min([b for b in breaks.tolist() if b > t], default=len(left))
        marked[t : min(t + length, end)] = True
    artifact = raw.get_data()[:, marked] - truth[:, marked]
    error = after[:, marked] - truth[:, marked]
    assert np.all(np.std(error, axis=1) < 0.05 * np.std(artifact, axis=1))


@pytest.mark.parametrize("onset_s", [15.3, 21.9])
def test_time_goes_on_behind_a_skip(onset_s):
    """A recorder that skipped samples kept their time: slices behind are where they were."""
    simulation = simulate(2, 500, 36, n_slices=15, markers="volume", seed=4, motion=0.0)
    context = ProcessingContext(skip(simulation.raw, onset_s, 0.4))
    chain = Pipeline([GradientCorrection()])
    result = chain.run(context.with_triggers(simulation.triggers), show_progress=False)
    behind = slice(round((onset_s + 0.6) * 500), round((onset_s + 3.0) * 500))
    error = (result.raw.get_data() - simulation.clean)[:, behind]
    assert np.all(np.std(error, axis=1) < 0.6 * np.std(simulation.clean[:, behind], axis=1))


@pytest.mark.parametrize("edge_s", [3.0, 35.0])
def test_a_break_outside_the_scan_is_no_matter(edge_s):
    simulation = simulate(2, 500, 36, n_slices=15, seed=4)
    raw, triggers, _ = cut_out(simulation, [(edge_s, edge_s + 0.5)])
    for chain in (GradientCorrection(), AASCorrection(10, subsample=True), AASCorrection(10)):
        context = ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=66)
        result = Pipeline([chain]).run(context, show_progress=False)
        assert result.success and not {"epochs_incomplete", "breaks_ignored"} & {
            f.code for f in result.findings
        }


def test_an_average_at_samples_tells_of_artifacts_over_a_break():
    simulation = simulate(2, 500, 36, n_slices=15, markers="volume", seed=4)
    raw, triggers, _ = cut_out(simulation, [(15.35, 17.35)])
    context = ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=1000)
    (found,) = [
        f
        for f in Pipeline([AASCorrection(5)]).run(context, show_progress=False).findings
        if f.code == "breaks_ignored"
    ]
    assert found.evidence["n"] == 1 and found.span_s[0][0] < 15.35 < found.span_s[0][1]


def test_breaks_are_heeded_in_every_mode():
    simulation = simulate(2, 500, 36, n_slices=15, seed=4)
    raw, triggers, _ = cut_out(simulation, [(15.35, 17.35)])
    for chain in (GradientCorrection(), AASCorrection(10, subsample=True)):
        known = []
        for options in (
            {"mode": "serial"},
            {"mode": "channel_sequential", "chunk_duration_s": 3.0},
            {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
        ):
            context = ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=66)
            result = Pipeline([chain]).run(context, show_progress=False, **options)
            known.append(result.get_raw().get_data())
        for other in known[1:]:
            np.testing.assert_array_equal(other, known[0])


@given(
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 300)), max_size=5), st.integers(1, 1000)
)
@settings(max_examples=60)
def test_pieces(marks, n_times):
    """Every sample is in one piece, unless a skip covers it."""
    texts = ["EDGE boundary" if duration == 0 else "bad_acq_skip" for _, duration in marks]
    onsets, durations = [m[0] for m in marks], [m[1] for m in marks]
    annotations = mne.Annotations(onsets, durations, texts)
    pieces = find_pieces(annotations, 0.0, 1.0, n_times)
    covered = np.zeros(n_times, int)
    for start, stop in pieces or ((0, n_times),):
        assert 0 <= start < stop <= n_times
        covered[start:stop] += 1
    expected = np.ones(n_times, int)
    for onset, duration in marks:
        expected[onset : onset + duration] = 0
    if pieces or expected.any():
        np.testing.assert_array_equal(covered, expected if pieces else 1)


# ------------------------------------------------------------------------------ channels and types
@pytest.mark.parametrize(
    ("name", "ch_type", "kind"),
    [
        ("ECG", "eeg", "ecg"),
        ("ekg1", "misc", "ecg"),
        ("HEOG", "eeg", "eog"),
        ("Resp", "eeg", "resp"),
        ("EMG left", "bio", "emg"),
        ("Cz", "eeg", "eeg"),
        ("ECG", "stim", "stim"),
        ("ECG", "eog", "eog"),
    ],
)
def test_kind_of(name, ch_type, kind):
    assert kind_of(name, ch_type) == kind


def make_heart(kind="eeg", bads=()):
    """Return a recording with an ECG of some type and name, last."""
    rng, t = np.random.default_rng(1), np.arange(10_000) / SFREQ
    beat = np.exp(-(((t + 0.3) % 0.9 - 0.3) ** 2) / 2e-4)
    data = rng.standard_normal((5, len(t))) * 1e-5
    data[4] = 1e-3 * beat + 1e-6 * rng.standard_normal(len(t))
    data[:4] += 3e-5 * np.roll(np.convolve(beat, np.hanning(60), "same"), 50) / 8
    raw = mne.io.RawArray(
        data,
        mne.create_info(["A", "B", "C", "D", "EKG"], SFREQ, ["eeg"] * 4 + [kind]),
        verbose=False,
    )
    raw.info["bads"] = list(bads)
    return ProcessingContext(raw)


@pytest.mark.parametrize("kind", ["eeg", "bio"])
def test_an_ecg_is_one_by_name_for_all_steps(kind):
    """The result is that of the same recording with the right type."""
    chain = Pipeline([QRSTriggerDetector(), PulseCorrection(), CommonReference()])
    right, other = chain.run(make_heart("ecg")), chain.run(make_heart(kind))
    assert right.success, right.error
    np.testing.assert_array_equal(right.get_raw().get_data(), other.get_raw().get_data())
    np.testing.assert_array_equal(
        other.get_raw().get_data()[4], make_heart().get_raw().get_data()[4]
    )


def test_an_ecg_that_is_marked_bad():
    result = Pipeline([QRSTriggerDetector()]).run(make_heart("ecg", ["EKG"]))
    assert [(f.code, f.channels) for f in result.findings] == [("ecg_marked_bad", ("EKG",))]
    assert Pipeline([QRSTriggerDetector()]).run(make_heart("ecg")).findings == ()


@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel"])
def test_channels_that_are_not_corrected(mode):
    raw = make_heart("misc", ["B"]).get_raw()
    context = ProcessingContext(raw).with_triggers(np.arange(500, 9000, 500))
    chain = Pipeline([HighPassFilter(1.0), AASCorrection(window_size=6)])
    context = context.with_trigger_samples(np.arange(500, 9000, 500), artifact_length=500)
    result = chain.run(context, mode=mode)
    assert result.success, result.error
    (found,) = result.findings
    assert (found.code, found.channels) == ("channels_uncorrected", ("B", "EKG"))
    assert found.detail == "marked bad: B; of type misc: EKG."
    (step,) = [s for s in result.get_history() if s.findings]
    assert step.name == found.step


def test_a_loader_begins_a_new_history(tmp_path):
    """Findings of an earlier recording are not those of the next."""
    raw = make_heart("ecg").get_raw()
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    old = make_heart("ecg", ["EKG"])
    result = Pipeline([QRSTriggerDetector(), Loader(tmp_path / "a_raw.fif")]).run(old)
    assert [s.name for s in result.get_history()] == ["auto_loader"]
    assert result.get_history()[0].findings == ()
