"""Our steps beside FACETpy 2.0.2's: its outputs lie in ``tests/data/facetpy_*.npz``.

``tests/data/make_facetpy_fixtures.py`` made the files, in FACETpy's own environment. Tolerance:
1e-9 of the recording's peak for samples, none for triggers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import facet_nb as fnb

DATA = Path(__file__).resolve().parent.parent / "data"
RELATIVE_TOLERANCE = 1e-9
NAMES = ("slices", "upsampled", "volumes", "mixed")

#: Cases in which we differ on purpose; each has a test of its own below.
DEFECTS = {("slices", "remainder_1"), ("slices", "first_cut")}


@dataclass(frozen=True)
class Fixture:
    """One file: a recording, and what FACETpy's steps made of it."""

    description: dict
    arrays: dict[str, np.ndarray]

    def signal(self, settings: dict) -> np.ndarray:
        """Return what was fed, in V."""
        begin, end = settings.get("crop", (0, None))
        return self.arrays["counts"][:, begin:end] * self.description["step_v"]

    def triggers(self, settings: dict) -> np.ndarray:
        chosen = self.arrays["triggers"][slice(*settings.get("subset", (None, None)))]
        return chosen + settings.get("shift", 0) - settings.get("crop", (0,))[0]

    def context(self, settings: dict) -> fnb.ProcessingContext:
        import mne

        d = self.description
        names = [f"{kind.upper()}{i}" for i, kind in enumerate(d["types"])]
        info = mne.create_info(names, d["sfreq"], d["types"])
        raw = mne.io.RawArray(self.signal(settings), info, verbose="error")
        raw.info["bads"] = list(d["bads"])
        fields = {k: v for k, v in settings.items() if k not in ("crop", "shift", "subset")}
        metadata = fnb.ProcessingMetadata(
            triggers=self.triggers(settings), artifact_length=d["artifact_length"], **fields
        )
        return fnb.ProcessingContext(raw).with_metadata(metadata)


@cache
def load(name: str) -> Fixture:
    with np.load(DATA / f"facetpy_{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return Fixture(json.loads(str(arrays.pop("description"))), arrays)


def aas_cases() -> list[tuple[str, str]]:
    return [(name, case) for name in NAMES for case in load(name).description["aas"]]


def aligner_cases() -> list[tuple[str, int]]:
    return [(n, i) for n in NAMES for i in range(len(load(n).description["aligners"]))]


@cache
def correct(name: str, case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corrected samples (V), noise (V) and triggers of our own correction."""
    fixture = load(name)
    spec = fixture.description["aas"][case]
    context = fixture.context(spec["settings"])
    done = fnb.AASCorrection(**spec["parameters"]).execute(context)
    noise = done.get_estimated_noise()
    assert noise is not None
    return done.get_data(), noise, done.get_triggers()


def compare(name: str, case: str, span: slice = slice(None)) -> None:
    fixture = load(name)
    signal = fixture.signal(fixture.description["aas"][case]["settings"])
    theirs = fixture.arrays[f"aas_{case}_noise_v"]
    tolerance = RELATIVE_TOLERANCE * np.abs(signal).max()
    corrected, noise, _ = correct(name, case)
    expected = signal - theirs
    np.testing.assert_allclose(corrected[:, span], expected[:, span], rtol=0, atol=tolerance)
    np.testing.assert_allclose(noise[:, span], theirs[:, span], rtol=0, atol=tolerance)


# ------------------------------------------------------------------------ averaged subtraction
@pytest.mark.parametrize(("name", "case"), [c for c in aas_cases() if c not in DEFECTS])
def test_subtraction_is_facetpys(name: str, case: str) -> None:
    compare(name, case)


@pytest.mark.parametrize(("name", "case"), [c for c in aas_cases() if c not in DEFECTS])
def test_triggers_after_subtraction_are_facetpys(name: str, case: str) -> None:
    np.testing.assert_array_equal(correct(name, case)[2], load(name).arrays[f"aas_{case}_triggers"])


def test_the_cases_exercise_what_they_are_named_after() -> None:
    """Otherwise agreement would say little: epochs are rejected, triggers move, gaps are filled."""
    slices, volumes = load("slices").arrays, load("volumes").arrays
    signal = load("slices").signal({})

    def differ(arrays: dict, a: str, b: str) -> np.ndarray:
        return np.abs(arrays[f"aas_{a}_noise_v"] - arrays[f"aas_{b}_noise_v"]).max(axis=1)

    assert np.all(differ(slices, "window_30", "all_accepted")[1:] > 1e-5)
    assert np.all(differ(slices, "window_30", "window_10") > 1e-5)
    assert np.all(differ(slices, "window_30", "window_shifted") > 1e-6)
    assert np.all(differ(volumes, "gaps_left", "gaps_filled") > 1e-5)
    moved = slices["aas_window_30_triggers"] != slices["triggers"]
    assert 0.3 < moved.mean() < 1.0
    assert np.abs(signal).max() > 1e-3


def test_stim_and_bad_channels_are_left_alone_as_facetpy_does() -> None:
    signal = load("mixed").signal({})
    corrected, noise, _ = correct("mixed", "window_30")
    np.testing.assert_array_equal(corrected[:2], signal[:2])
    assert not noise[:2].any()
    assert np.all(np.std(corrected[2:], axis=1) < 0.5 * np.std(signal[2:], axis=1))


# ---------------------------------------------------------------- where FACETpy's result is wrong
def test_one_epoch_left_over_is_not_its_own_template() -> None:
    """61 triggers, window 30: FACETpy's last epoch comes out as a constant, ours does not."""
    fixture = load("slices")
    length = fixture.description["artifact_length"]
    signal, theirs = fixture.signal({}), fixture.arrays["aas_remainder_1_noise_v"]
    start = int(fixture.arrays["aas_remainder_1_triggers"][-1])
    inside = slice(start + 5, start + length - 5)
    their_rest = (signal - theirs)[:, inside]
    corrected, _, triggers = correct("slices", "remainder_1")
    own = corrected[:, int(triggers[-1]) + 5 : int(triggers[-1]) + length - 5]
    assert np.all(np.std(their_rest, axis=1) < 1e-9), "the fixture no longer shows the defect"
    assert np.all(np.std(own[[0, 2]], axis=1) > 2e-5), "the background is gone"
    compare("slices", "remainder_1", slice(0, int(fixture.arrays["triggers"][60]) - 10))


def test_an_artifact_that_began_before_the_recording_spoils_no_template() -> None:
    """FACETpy lets the cut epoch into the first block's template, and does not correct it."""
    fixture = load("slices")
    settings = fixture.description["aas"]["first_cut"]["settings"]
    theirs = fixture.arrays["aas_first_cut_noise_v"]
    signal = fixture.signal(settings)
    starts = fixture.triggers(settings) - 30
    assert starts[0] < 0 < starts[1]
    cut, block = slice(0, int(starts[1]) - 5), slice(int(starts[1]) + 5, int(starts[30]) - 5)
    corrected, _, _ = correct("slices", "first_cut")
    assert not theirs[:, cut].any(), "the fixture no longer shows the defect"
    assert np.all(rms(corrected[:, cut]) < 0.7 * rms(signal[:, cut]))
    good = [0, 2]  # channel 1 has movements
    assert np.all(rms(corrected[good, block]) < 0.95 * rms((signal - theirs)[good, block]))
    compare("slices", "first_cut", slice(int(starts[30]) + 5, None))


def rms(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(x**2, axis=1))


# ------------------------------------------------------------------------------------- alignment
@pytest.mark.parametrize(
    ("name", "index"),
    [
        c
        for c in aligner_cases()
        if load(c[0]).description["aligners"][c[1]]["aligner"] != "SubsampleAligner"
    ],
)
def test_aligned_triggers_are_facetpys(name: str, index: int) -> None:
    fixture = load(name)
    spec = fixture.description["aligners"][index]
    aligner = getattr(fnb, spec["aligner"])(**spec["parameters"])
    done = aligner.execute(fixture.context(spec["settings"]))
    np.testing.assert_array_equal(done.get_triggers(), fixture.arrays[f"aligner_{index}_triggers"])
    np.testing.assert_array_equal(done.get_data(), fixture.signal(spec["settings"]))


@pytest.mark.parametrize(("name", "tolerance"), [("slices", 0.35), ("upsampled", 1.0)])
def test_subsample_aligner_follows_the_truth_where_facetpy_runs_into_its_limit(
    name: str, tolerance: float
) -> None:
    """FACETpy moves nearly all triggers by the largest move there is, wherever the artifact is."""
    fixture = load(name)
    specs = fixture.description["aligners"]
    index = next(i for i, s in enumerate(specs) if s["aligner"] == "SubsampleAligner")
    factor = specs[index]["settings"].get("upsampling_factor", 1)
    theirs = fixture.arrays[f"aligner_{index}_triggers"] - fixture.arrays["triggers"]
    assert np.mean(theirs == 2 * factor) > 0.9, "the fixture no longer shows the defect"
    context = fixture.context(specs[index]["settings"])
    done = fnb.SubsampleAligner(search_window=5 * factor).execute(context)
    found = np.array(done.metadata.custom["subsample_alignment"]["shifts"])
    late = fixture.arrays["onsets"] - fixture.arrays["triggers"]
    within = np.ones(len(late), dtype=bool)
    within[-1] = False  # its neighbourhood may reach beyond the recording
    error = (found - found[0]) - (late - late[0])
    assert np.sqrt(np.mean(error[within] ** 2)) < tolerance


# ------------------------------------------------------------------------------ trigger detection
def detection_cases() -> list[dict]:
    return load("triggers").description["cases"]


def detect(case: dict) -> fnb.ProcessingMetadata:
    import mne

    description = load("triggers").description
    info = mne.create_info(["EEG0", "EEG1"], description["sfreq"], "eeg")
    raw = mne.io.RawArray(np.zeros((2, description["n_times"])), info, verbose="error")
    names, samples = zip(*case["marks"], strict=True)
    onsets_s = np.array(samples) / description["sfreq"]
    raw.set_annotations(mne.Annotations(onsets_s, 1 / description["sfreq"], names))
    return fnb.TriggerDetector(case["regex"]).execute(fnb.ProcessingContext(raw)).metadata


@pytest.mark.parametrize("case", detection_cases(), ids=lambda case: case["name"])
def test_detected_triggers_are_facetpys(case: dict) -> None:
    np.testing.assert_array_equal(detect(case).triggers, case["found"]["triggers"])


@pytest.mark.parametrize("case", detection_cases(), ids=lambda case: case["name"])
def test_spacing_of_detected_triggers_is_facetpys(case: dict) -> None:
    metadata, found = detect(case), case["found"]
    assert metadata.artifact_length == found["artifact_length"]
    assert metadata.volume_gaps == found["volume_gaps"]
    if found["slices_per_volume"] is not None:
        assert metadata.slices_per_volume == found["slices_per_volume"]
