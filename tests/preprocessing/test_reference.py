"""Common reference: reference electrodes, groups and neighbours, against their definitions."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import CommonReference, FacetError, Pipeline, signal

NAMES = ["Fp1", "Fz", "Cz", "Pz", "O1", "O2", "TP9", "TP10", "ECG", "STI"]
GOOD = [0, 1, 2, 3, 4, 6, 7]  # O2 is bad
STATISTICS = {"median": np.median, "average": np.mean}


@pytest.fixture(scope="module")
def raw():
    info = mne.create_info(NAMES, 1000.0, ["eeg"] * 8 + ["ecg", "stim"])
    x = np.random.default_rng(0).standard_normal((10, 9000)) * 1e-5
    raw = mne.io.RawArray(x, info, verbose=False)
    places = dict(zip(NAMES[:8], np.random.default_rng(1).standard_normal((8, 3)), strict=True))
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), on_missing="ignore")
    raw.info["bads"] = ["O2"]
    return raw


def define(x, positions, operator, kind):
    """Return the result by definition, channel by channel."""
    y = x.copy()
    statistic = STATISTICS[operator]
    for row, i in enumerate(GOOD):
        if "reference" in kind:
            sources = [NAMES.index(name) for name in kind["reference"]]
        elif "groups" in kind:
            sources = [[NAMES.index(n) for n in g] for g in kind["groups"] if NAMES[i] in g]
            if not sources:
                continue
            sources = sources[0]
        else:
            distance = np.linalg.norm(positions[GOOD] - positions[i], axis=1)
            nearest = [j for j in np.argsort(distance) if j != row][: kind["neighbours"]]
            sources = [GOOD[j] for j in nearest]
        y[i] -= statistic(x[sources], axis=0)
    return y


KINDS = [
    {"reference": ["TP9", "TP10"]},
    {"reference": ["Cz"]},
    {"groups": [["O1", "Fp1", "Fz"], ["Pz", "TP9"]]},
    {"neighbours": 3},
]


@pytest.mark.parametrize("operator", ["median", "average"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_is_the_reference_of_its_definition_in_every_mode_and_window(raw, kind, operator):
    positions = np.array([ch["loc"][:3] for ch in raw.info["chs"]])
    pipeline = Pipeline([CommonReference(operator, **kind)])
    got = pipeline.run(raw, raise_on_error=True).get_raw().get_data()
    expected = define(raw.get_data(), positions, operator, kind)
    np.testing.assert_allclose(got, expected, atol=1e-19)
    assert np.array_equal(got[[5, 8, 9]], raw.get_data()[[5, 8, 9]])
    for mode in ("channel_sequential", "parallel"):
        other = pipeline.run(raw, mode=mode, n_jobs=2, n_workers=2, raise_on_error=True)
        assert np.array_equal(other.get_raw().get_data(), got)
    window = pipeline.lazy(raw).get_data(picks=[2, 4], start=4100, stop=6000)
    assert np.array_equal(window, got[[2, 4], 4100:6000])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(2, 7), operator=st.sampled_from(list(STATISTICS)))
def test_functions_over_arrays_split_time_and_keep_every_bit(seed, n, operator):
    rng = np.random.default_rng(seed)
    x, positions = rng.standard_normal((n, 20_000)), rng.standard_normal((n, 3))
    rows = rng.permutation(n)
    near = int(rng.integers(1, n))
    kinds = [{"reference": rows[:near]}, {"groups": [rows[:near], rows[near:]]}]
    for kind in [*kinds, {"neighbours": near, "positions": positions}]:
        whole = signal.common_reference(x, 1000.0, operator=operator, **kind)
        shared = signal.common_reference(x, 1000.0, operator=operator, n_workers=3, **kind)
        parts = [signal.common_reference(p, 1000.0, operator=operator, **kind) for p in
                 (x[:, :4097], x[:, 4097:])]  # fmt: skip
        assert np.array_equal(whole, shared)
        assert np.array_equal(whole, np.concatenate(parts, axis=1))
        own = x.copy()
        assert np.array_equal(
            signal.common_reference(own, 1000.0, operator=operator, out=own, **kind), whole
        )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"reference": "O2"}, "O2 cannot be a reference; use a list of good EEG channels: Fp1"),
        ({"reference": []}, "cannot be a reference"),
        ({"groups": []}, "lists of channel names"),
        ({"groups": ["Fz"]}, "cannot be a reference"),
        ({"groups": [["Fz"], ["Fz", "Cz"]]}, "twice"),
        ({"groups": [["Fz", "ECG"]]}, "ECG cannot be a reference"),
        ({"neighbours": 7}, "whole number from 1 to 6"),
        ({"neighbours": True}, "whole number"),
        ({"reference": "Fz", "neighbours": 2}, "use one of them"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(raw, kind, message):
    with pytest.raises(FacetError, match=message):
        Pipeline([CommonReference(**kind)]).run(raw, raise_on_error=True)


def test_neighbours_need_positions(raw):
    bare = raw.copy().set_montage(None)
    with pytest.raises(FacetError, match=r"Fp1, Fz.*raw.set_montage"):
        Pipeline([CommonReference(neighbours=2)]).run(bare, raise_on_error=True)


def test_it_is_written_to_a_chain_and_read_again(tmp_path):
    Pipeline([CommonReference(groups=[["Fz", "Cz"], ["O1", "O2"]])]).to_yaml(tmp_path / "c.yaml")
    step = Pipeline.from_yaml(tmp_path / "c.yaml").processors[0]
    assert step.groups == [["Fz", "Cz"], ["O1", "O2"]] and step.neighbours is None
