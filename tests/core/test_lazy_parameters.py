"""A lazy recording with other parameters: the same samples as a new one, and no work twice."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CommonReference,
    DownSample,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    PCACorrection,
    PickChannels,
    Pipeline,
    TriggerDetector,
    UpSample,
    ValidationError,
)
from facet_nb.core import recording
from facet_nb.core.lazy import nodes
from facet_nb.datasets import simulate
from facet_nb.kernels.resampling import double_rate_signal, windowed_sinc
from facet_nb.kernels.templates.late_alignment import LateAlignment


def detect():
    return TriggerDetector(regex=r"\b1\b")


#: A chain, and one change of each of its steps.
CHANGES = {
    "AAS": (
        lambda: [detect(), HighPassFilter(1.0), AASCorrection(window_size=9), LowPassFilter(70.0)],
        {
            "highpass_filter": {"freq": 2.0},
            "aas_correction": {"window_size": 5, "rel_window_position": 0.5},
            "lowpass_filter": {"freq": 40.0},
            "trigger_detector": {"regex": r"\b1$"},
        },
    ),
    "tenfold": (
        lambda: [detect(), HighPassFilter(2.0), UpSample(10), AASCorrection(), DownSample(10)],
        {"highpass_filter": {"freq": 1.0}, "aas_correction": {"window_size": 12}},
    ),
    "default": (
        lambda: [detect(), GradientCorrection(), CommonReference(), LowPassFilter(70.0)],
        {
            "gradient_correction": {"max_courses": 2},
            "common_reference": {"operator": "average"},
            "lowpass_filter": {"freq": 30.0, "method": "iir"},
        },
    ),
    "noise": (
        lambda: [detect(), HighPassFilter(1.0), AASCorrection(), ANCCorrection()],
        {"aas_correction": {"window_size": 7}, "anc_correction": {"hp_freq": 3.0}},
    ),
    "picked": (
        lambda: [HighPassFilter(1.0), PickChannels(["C3", "Cz"]), DownSample(2), DownSample(2)],
        {"downsample-2": {"factor": 5}, "highpass_filter": {"freq": 3.0}},
    ),
}
CASES = [(name, step) for name, (_, changes) in CHANGES.items() for step in changes]


@pytest.fixture(scope="module")
def raw():
    return simulate(4, 500.0, 60.0, 2.0, 5, seed=5, lead_in_s=2.0, lead_out_s=2.0).raw


@pytest.fixture(scope="module")
def firsts(raw):
    """A lazy recording of each chain; all changes begin with it."""
    return {name: Pipeline(make()).lazy(raw) for name, (make, _) in CHANGES.items()}


@pytest.mark.parametrize(("name", "step"), CASES)
def test_samples_are_those_of_a_new_recording(raw, firsts, name, step):
    make, changes = CHANGES[name]
    pipeline = Pipeline(make())
    before = firsts[name].get_data(start=100, stop=4000)
    changed = firsts[name].with_parameters(step, **changes[step])
    full = pipeline.set_params(**{f"{step}__{k}": v for k, v in changes[step].items()}).run(raw)
    assert changed.ch_names == full.raw.ch_names and changed.info["sfreq"] == full.raw.info["sfreq"]
    for start, stop in ((0, 300), (2111, 9000), (full.raw.n_times - 777, full.raw.n_times)):
        expected = full.raw.get_data(start=start, stop=stop)
        assert np.array_equal(changed.get_data(start=start, stop=stop), expected)
    said = [entry.parameters for entry in changed.context.get_history()]
    assert said == [entry.parameters for entry in full.context.get_history()]
    table = Pipeline(pipeline.processors).lazy(raw).describe_steps()
    assert changed.describe_steps().equals(table)
    assert np.array_equal(firsts[name].get_data(start=100, stop=4000), before), "the first changed"


@pytest.mark.parametrize(
    ("name", "step"), [("AAS", "lowpass_filter"), ("default", "lowpass_filter")]
)
def test_what_comes_before_is_not_computed_again(raw, monkeypatch, name, step):
    lazy = Pipeline(CHANGES[name][0]()).lazy(raw)
    lazy.get_data()
    made, make = set(), nodes.WindowNode._make

    def note(self, channels, start, stop):
        made.add(self.key)
        return make(self, channels, start, stop)

    monkeypatch.setattr(nodes.WindowNode, "_make", note)
    prepared = []
    correction = {"AAS": AASCorrection, "default": GradientCorrection}[name]
    monkeypatch.setattr(correction, "prepare", lambda self, view: prepared.append(self))
    for _ in range(2):  # the first leaves all to the second
        made.clear()
        other = lazy.with_parameters(step, **CHANGES[name][1][step])
        other.get_data(start=9000, stop=12_000)
        assert len(made) == 1, "only the filter computes"
    assert prepared == []
    assert other.cache_bytes == lazy.cache_bytes  # one cache


def test_the_mean_of_a_channel_is_found_once(raw, monkeypatch):
    lazy = Pipeline(CHANGES["AAS"][0]()).lazy(raw)
    lazy.get_data(start=0, stop=10)
    monkeypatch.setattr("facet_nb.kernels.windows.blocks.learn_in_one_pass", None)
    changed = lazy.with_parameters(window_size=21)
    assert changed.get_data(start=0, stop=10).shape == (4, 10)


@pytest.fixture(scope="module")
def jittered():
    """A recording whose markers are up to three samples beside the artifacts."""
    made = simulate(3, 500.0, 80.0, 2.0, 5, seed=8, lead_in_s=1.0, lead_out_s=1.0).raw
    rng = np.random.default_rng(2)
    made.annotations.onset += rng.integers(-3, 4, len(made.annotations)) / 500.0
    return made


LATE = {
    "bare": lambda: [detect(), AASCorrection(window_size=9)],
    "native": lambda: [detect(), AASCorrection(window_size=9), LowPassFilter(70.0)],
    "tenfold": lambda: [detect(), UpSample(10), AASCorrection(window_size=9), DownSample(10)],
    "slow": lambda: [detect(), UpSample(4), AASCorrection(window_size=9), DownSample(4)],
}


@given(
    name=st.sampled_from(list(LATE)),
    window_size=st.integers(1, 60),
    rel_window_position=st.sampled_from([0.0, 0.0, -1.0, 0.4]),
    correlation_threshold=st.sampled_from([0.2, 0.975, 0.9999]),
    search_window_factor=st.sampled_from([1.0, 3.0, 8.0]),
    places=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_artifacts_are_aligned_where_somebody_looks(jittered, name, places, **parameters):
    """Block by block, in any order: the samples and the triggers are those of the full run."""
    pipeline = Pipeline(LATE[name]())
    lazy = pipeline.lazy(jittered)
    changed = lazy.with_parameters("aas_correction", **parameters)
    pipeline.set_params(**{f"aas_correction__{k}": v for k, v in parameters.items()})
    full = pipeline.run(jittered)
    for place in places:
        start = int(place * (full.raw.n_times - 200))
        expected = full.raw.get_data(start=start, stop=start + 200)
        assert np.array_equal(changed.get_data(start=start, stop=start + 200), expected)
    again = changed.with_parameters("aas_correction", window_size=parameters["window_size"] + 1)
    pipeline.set_params(aas_correction__window_size=parameters["window_size"] + 1)
    other = pipeline.run(jittered)
    assert np.array_equal(again.get_data(), other.raw.get_data())
    for one, whole in ((changed, full), (again, other)):
        triggers = one.context.get_triggers()
        assert type(triggers) is np.ndarray
        assert np.array_equal(triggers, whole.context.get_triggers())
        assert one.context.metadata.to_dict() == whole.context.metadata.to_dict()
        said = [(e.parameters, e.findings) for e in one.context.get_history()]
        assert said == [(e.parameters, e.findings) for e in whole.context.get_history()]


@pytest.mark.parametrize("name", list(LATE))
def test_a_window_aligns_few_blocks(jittered, name, monkeypatch):
    aligned, align = [], LateAlignment._align
    monkeypatch.setattr(
        LateAlignment, "_align", lambda self, n, e: (aligned.append(n), align(self, n, e))
    )
    lazy = Pipeline(LATE[name]()).lazy(jittered)
    changed = lazy.with_parameters("aas_correction", window_size=5)
    assert aligned == []
    changed.get_data(start=9000, stop=9100)
    assert aligned
    if name == "bare":  # filters and the high rate look at whole cells
        assert len(aligned) < 15, "of 39"
    triggers = pickle.loads(pickle.dumps(changed)).context.get_triggers()
    assert np.array_equal(triggers, changed.context.get_triggers())
    assert len(set(aligned)) == len(aligned), "each block once"


@pytest.mark.parametrize(
    "change",
    [
        {"ref_channel": "Cz"},
        {"realign_after_averaging": False},
        {"weighting": "sliding"},
        {"apply_epoch_alpha_scaling": True},
        {"subsample": True},
    ],
)
def test_what_decides_otherwise_decides_on_the_whole_channel(jittered, change, monkeypatch):
    pipeline = Pipeline([detect(), AASCorrection(window_size=9)])
    lazy = pipeline.lazy(jittered)
    monkeypatch.setattr(LateAlignment, "__init__", None)
    changed = lazy.with_parameters("aas_correction", **change)
    pipeline.set_params(**{f"aas_correction__{k}": v for k, v in change.items()})
    assert np.array_equal(changed.get_data(), pipeline.run(jittered).raw.get_data())


def test_later_steps_that_need_a_whole_channel_get_it(jittered):
    steps = [detect(), AASCorrection(window_size=9), AASCorrection(window_size=30)]
    pipeline = Pipeline([*steps, PCACorrection(n_components=2)])
    lazy = pipeline.lazy(jittered)
    changed = lazy.with_parameters("aas_correction", window_size=12)
    pipeline.set_params(aas_correction__window_size=12)
    assert np.array_equal(changed.get_data(), pipeline.run(jittered).raw.get_data())


def test_steps_changed_afterwards_have_no_effect(raw):
    pipeline = Pipeline([detect(), AASCorrection(window_size=9, apply_epoch_alpha_scaling=True)])
    full, lazy = pipeline.run(raw).raw.get_data(), pipeline.lazy(raw)
    pipeline.set_params(aas_correction__window_size=3)
    assert np.array_equal(lazy.get_data(), full)


def test_other_steps_share_the_first_ones(raw, monkeypatch):
    first = [detect(), GradientCorrection(), LowPassFilter(70.0)]
    lazy = Pipeline(first).lazy(raw)
    again = Pipeline([detect(), GradientCorrection(), HighPassFilter(1.0), CommonReference()])
    full = again.run(raw).raw.get_data()
    monkeypatch.setattr(GradientCorrection, "prepare", None)  # equal steps need not be the same
    other = lazy.with_steps(again)
    assert np.array_equal(other.get_data(start=70, stop=9999), full[:, 70:9999])
    assert other.with_steps(first).ch_names == lazy.ch_names


def test_names_that_fit_no_step_or_several(raw, firsts):
    with pytest.raises(ValidationError, match="step='nothing': no steps; use step= and one of"):
        firsts["AAS"].with_parameters("nothing", freq=1.0)
    with pytest.raises(ValidationError, match=r"freq: several steps.*highpass_filter, lowpass"):
        firsts["AAS"].with_parameters(freq=1.0)
    with pytest.raises(ValidationError, match="weight: no steps"):
        firsts["AAS"].with_parameters(weight=1.0)
    with pytest.raises(ValidationError, match="no steps"):
        firsts["AAS"].with_parameters(7, freq=1.0)
    assert firsts["AAS"].with_parameters(-1, freq=30.0).info["lowpass"] == 30.0


def test_a_signal_is_doubled_and_its_reference_upsampled_once(raw, monkeypatch):
    """Whatever the size of the templates: they are averaged from the same samples."""
    doubled, upsampled = [], []
    double, upsample = double_rate_signal._double_rate, windowed_sinc.upsample_block
    monkeypatch.setattr(
        double_rate_signal, "_double_rate", lambda *given: (doubled.append(1), double(*given))
    )
    monkeypatch.setattr(
        windowed_sinc, "upsample_block", lambda *given: (upsampled.append(1), upsample(*given))
    )
    lazy = Pipeline(CHANGES["tenfold"][0]()).lazy(raw, cache="64 MB")
    upsampled.clear()  # the first recording decides on the whole channel
    first = lazy.with_parameters("aas_correction", window_size=12)
    first.get_data(start=9000, stop=9100)
    assert len(doubled) == 4 and upsampled, "each channel"
    doubled.clear()
    upsampled.clear()
    for window_size in (5, 10, 12):
        changed = lazy.with_parameters("aas_correction", window_size=window_size)
        changed.get_data(start=9000, stop=9100)
    assert doubled == [] and upsampled == []
    small = Pipeline(CHANGES["tenfold"][0]()).lazy(raw, cache="1 MB")
    small.get_data(start=9000, stop=9100)
    assert len(doubled) == 4
    small.with_parameters("aas_correction", window_size=12).get_data(start=9000, stop=9100)
    assert len(doubled) == 8, "there is no room for them"


ASKED = {
    "pickle": lambda lazy: pickle.loads(pickle.dumps(lazy)).annotations,
    "copy": lambda lazy: lazy.copy().annotations,
    "their copy": lambda lazy: lazy.annotations.copy(),
    "one": lambda lazy: (lazy.annotations[3], lazy.annotations)[1],
    "append and delete": lambda lazy: (
        lazy.annotations.append(lazy.annotations.onset.max() + 0.1, 0.0, "x"),
        lazy.annotations.delete(len(lazy.annotations) - 1),
        lazy.annotations,
    )[2],
    "set": lambda lazy: lazy.set_annotations(lazy.annotations).annotations,
}


@pytest.mark.parametrize("asked", list(ASKED))
def test_annotations_are_copied_when_somebody_asks(raw, monkeypatch, asked):
    """Whatever is asked of them: they are MNE's own, equal to the input's, and nobody else's."""
    marked = raw.copy()
    marked.annotations.append(5.0, 1.0, "BAD_x", extras=[{"why": "moved"}])
    lazy = Pipeline(CHANGES["AAS"][0]()).lazy(marked)
    copied, copy = [], recording.copy_annotations
    monkeypatch.setattr(
        "facet_nb.core.lazy.raw.copy_annotations", lambda a: (copied.append(1), copy(a))[1]
    )
    changed = lazy.with_parameters("lowpass_filter", freq=50.0)
    changed.get_data(start=0, stop=10)
    assert copied == [] and len(changed.annotations) == len(marked.annotations)
    found = ASKED[asked](changed)
    assert copied == [1] and type(found) is type(marked.annotations)
    assert found == marked.annotations
    assert [dict(extra) for extra in found.extras] == [
        dict(extra) for extra in marked.annotations.extras
    ]
    found.onset[:] += 1.0
    found.extras[0]["new"] = 1
    for other in (marked, lazy, lazy.with_parameters("lowpass_filter", freq=40.0)):
        assert "new" not in other.annotations.extras[0]
        assert not np.array_equal(other.annotations.onset, found.onset)
