"""Make the FACETpy fixtures: run with FACETpy 2.0.2's Python, not with ours.

    python make_facetpy_fixtures.py [FOLDER]

Each file holds a small recording (integers times a power of two, so that every version of numpy
reads the same volts), and what single steps of FACETpy 2.0.2 made of it. The corrected data are
``signal − noise`` to 1e-18 V (this script checks it), so only the noise is stored.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mne
import numpy as np
from facet.core import ProcessingContext, ProcessingMetadata
from facet.correction import AASCorrection
from facet.preprocessing import SliceAligner, SubsampleAligner, TriggerAligner, TriggerDetector
from loguru import logger

#: Volts per step of the stored integers: a power of two, so that products are exact.
STEP_V = 2.0**-26
ALIGNERS = {c.__name__: c for c in (TriggerAligner, SliceAligner, SubsampleAligner)}


@dataclass
class Recording:
    """A signal with a repeated artifact, and the triggers that mark it."""

    counts: np.ndarray
    sfreq: float
    onsets: np.ndarray
    triggers: np.ndarray
    artifact_length: int
    types: list[str]
    bads: list[str] = field(default_factory=list)

    def context(self, settings: dict) -> ProcessingContext:
        """Return FACETpy's context; `settings` are fields of its metadata."""
        names = [f"{kind.upper()}{i}" for i, kind in enumerate(self.types)]
        info = mne.create_info(names, self.sfreq, self.types)
        settings = dict(settings)
        begin, end = settings.pop("crop", (0, None))
        raw = mne.io.RawArray(self.counts[:, begin:end] * STEP_V, info, copy="both")
        raw.info["bads"] = list(self.bads)
        triggers = self.triggers[slice(*settings.pop("subset", (None, None)))]
        triggers = triggers + settings.pop("shift", 0) - begin
        fields = {"upsampling_factor": 1, "artifact_length": self.artifact_length, **settings}
        return ProcessingContext(raw, metadata=ProcessingMetadata(triggers=triggers, **fields))


def wave(samples: np.ndarray, length: float) -> np.ndarray:
    """Return a gradient-like waveform that begins and ends at 0, peak about 1."""
    tones = ((2, 0.3), (3, 0.1), (7, 0.9), (11, 2.0), (17, 0.4))
    total = sum(np.sin(2 * np.pi * f * samples / length + p) / f**0.5 for f, p in tones)
    return 0.5 * total * np.clip(np.minimum(samples, length - samples) / (0.05 * length), 0, 1)


def build(
    seed: int,
    *,
    n_epochs: int,
    length: int,
    spacing: float,
    jitter: int,
    gains_v: list[float],
    noise_v: list[float],
    gap: int = 0,
    per_volume: int = 0,
    smooth: int = 1,
    **rest,
) -> Recording:
    """Simulate a recording; `noise_v` is the size of each channel's background, in V."""
    rng = np.random.default_rng(seed)
    onsets = 40.3 + spacing * np.arange(n_epochs)
    if per_volume:
        onsets += gap * (np.arange(n_epochs) // per_volume)
    n_times = int(onsets[-1] + 1.4 * spacing) + 40
    background = rng.normal(size=(len(gains_v), n_times + smooth - 1))
    kernel = np.hanning(smooth + 2)[1:-1]
    kernel /= np.sqrt(np.sum(kernel**2))
    x = np.array([np.convolve(row, kernel, "valid") for row in background])
    x *= np.array(noise_v)[:, None]
    drift = 1.0 + 0.08 * np.sin(2 * np.pi * np.arange(n_epochs) / 41.0)
    for i, onset in enumerate(onsets):
        span = np.arange(int(onset) - 1, int(onset) + length + 2)
        x[:, span] += drift[i] * np.outer(gains_v, wave(span - onset, length))
    # Movements: these epochs must not enter a template of channel 1.
    for i in range(8, n_epochs, 17):
        begin = int(onsets[i]) + length // 5
        x[1, begin : begin + length // 2] += 1.5e-3
    marks = np.rint(onsets).astype(int) + rng.integers(-jitter, jitter + 1, n_epochs)
    counts = np.rint(x / STEP_V).astype(np.int32)
    return Recording(counts, onsets=onsets, triggers=marks, artifact_length=length, **rest)


def build_all() -> dict[str, Recording]:
    """Return the recordings by name."""
    eeg3 = ["eeg"] * 3
    slices = {"n_epochs": 66, "length": 90, "spacing": 91.4, "jitter": 2, "sfreq": 1000.0}
    size = {"gains_v": [1e-3, -8e-4, 3e-4], "noise_v": [4e-5, 3e-5, 4e-5]}
    mixed = build(
        4,
        **slices | {"n_epochs": 36},
        gains_v=[0.0, 6e-4, -1e-3, 7e-4],
        noise_v=[1e-6, 3e-5, 3e-5, 3e-5],
        types=["stim", "eeg", "eeg", "eog"],
        bads=["EEG1"],
    )
    return {
        "slices": build(1, types=eeg3, **slices, **size),
        "upsampled": build(
            2,
            n_epochs=40,
            length=360,
            spacing=363.7,
            jitter=12,
            sfreq=10000.0,
            smooth=12,
            gains_v=[1e-3, -8e-4],
            noise_v=[4e-5, 3e-5],
            types=["eeg", "eeg"],
        ),
        "volumes": build(
            3,
            n_epochs=66,
            length=60,
            spacing=61.2,
            gap=17,
            per_volume=11,
            jitter=1,
            sfreq=1000.0,
            gains_v=[1e-3, -8e-4],
            noise_v=[4e-5, 3e-5],
            types=["eeg", "eeg"],
        ),
        "mixed": mixed,
    }


# Triggers that come 30 samples after their artifact begins.
MIDDLE = {"shift": 30, "artifact_to_trigger_offset": -0.03}

# Recording, name of the case, fields of the metadata, parameters of the step.
AAS_CASES = [
    ("slices", "window_30", {}, {"window_size": 30}),
    ("slices", "window_10", {}, {"window_size": 10}),
    ("slices", "all_accepted", {}, {"correlation_threshold": 0.1}),
    ("slices", "no_realignment", {}, {"realign_after_averaging": False}),
    ("slices", "search_1", {}, {"search_window_factor": 1.0}),
    ("slices", "offset", {"artifact_to_trigger_offset": -0.004}, {}),
    ("slices", "window_above_n", {"subset": [0, 20]}, {"window_size": 30}),
    ("slices", "window_shifted", {}, {"rel_window_position": 0.5}),
    ("slices", "window_shifted_back", {}, {"rel_window_position": -0.3}),
    ("slices", "first_cut", {"crop": [65, None], **MIDDLE}, {}),
    ("slices", "last_cut", {"crop": [0, 6035], **MIDDLE}, {}),
    ("slices", "remainder_1", {"subset": [0, 61]}, {}),
    ("upsampled", "window_30", {"upsampling_factor": 10}, {}),
    ("upsampled", "window_10", {"upsampling_factor": 10}, {"window_size": 10}),
    (
        "upsampled",
        "offset",
        {"upsampling_factor": 10, "artifact_to_trigger_offset": -0.002},
        {"window_size": 10},
    ),
    ("volumes", "gaps_left", {}, {}),
    ("volumes", "gaps_filled", {}, {"interpolate_volume_gaps": True}),
    (
        "volumes",
        "gaps_filled_flagged",
        {"volume_gaps": True, "slices_per_volume": 11},
        {"interpolate_volume_gaps": True},
    ),
    ("volumes", "alpha", {}, {"apply_epoch_alpha_scaling": True, "window_size": 10}),
    (
        "volumes",
        "alpha_gaps_filled",
        {"subset": [0, 36]},
        {"apply_epoch_alpha_scaling": True, "interpolate_volume_gaps": True},
    ),
    ("mixed", "window_30", {}, {}),
]

ALIGNER_CASES = [
    ("slices", "TriggerAligner", {}, {"upsample_for_alignment": False}),
    ("slices", "TriggerAligner", {}, {"upsample_for_alignment": False, "ref_trigger_index": 7}),
    ("slices", "TriggerAligner", {}, {"upsample_for_alignment": False, "search_window": 6}),
    ("slices", "TriggerAligner", {}, {"upsample_for_alignment": False, "ref_channel": 2}),
    (
        "slices",
        "TriggerAligner",
        {"artifact_to_trigger_offset": -0.004},
        {"upsample_for_alignment": False},
    ),
    (
        "upsampled",
        "TriggerAligner",
        {"upsampling_factor": 10},
        {"upsample_for_alignment": False},
    ),
    ("upsampled", "SliceAligner", {"upsampling_factor": 10}, {}),
    ("slices", "SliceAligner", {}, {}),
    ("slices", "SubsampleAligner", {}, {}),
    ("upsampled", "SubsampleAligner", {"upsampling_factor": 10}, {}),
]


def correct(recording: Recording, settings: dict, parameters: dict) -> dict:
    """Return noise and triggers after FACETpy's averaged artifact subtraction."""
    context = recording.context(settings)
    before = context.get_raw().get_data()
    done = AASCorrection(**parameters).execute(context)
    noise = np.zeros_like(before)
    given = done.get_estimated_noise()
    noise[: len(given)] = given
    after = done.get_raw().get_data()
    # Now and then the difference is one unit in the last place: two templates overlap there.
    apart = np.abs(before - noise - after).max()
    assert apart < 1e-18, f"corrected data differ from signal - noise by {apart} V"
    return {
        "noise_v": noise,
        "triggers": done.get_triggers(),
        "artifact_length": done.get_artifact_length(),
    }


def align(recording: Recording, aligner: str, settings: dict, parameters: dict) -> dict:
    """Return triggers after one of FACETpy's aligners."""
    context = recording.context(settings)
    before = context.get_raw().get_data()
    done = ALIGNERS[aligner](**parameters).execute(context)
    assert np.array_equal(before, done.get_raw().get_data()), "an aligner changed the samples"
    return {"triggers": done.get_triggers(), "artifact_length": done.get_artifact_length()}


def detection_cases() -> list[dict]:
    """Return annotation sets as BrainVision files have them, with the expression to look for."""
    slices = [100 + 100 * i for i in range(60)]
    rounded = [round(100 + 100.4 * i) for i in range(60)]
    volumes = [200 + 300 * i for i in range(20)]
    gaps = [100 + 60 * i + 40 * (i // 10) for i in range(60)]
    others = [("New Segment/", 0), ("Stimulus/S 10", 333), ("Response/R  1", 512)]
    return [
        {"name": "slices", "marks": [*others, *[("Stimulus/S  1", s) for s in slices]],
         "regex": r"Stimulus/S  1\b"},
        {"name": "word", "marks": [*others[:2], *[("Stimulus/S  1", s) for s in slices]],
         "regex": r".*\b1\b"},
        {"name": "rounded", "marks": [("1", s) for s in rounded], "regex": r"^1$"},
        {"name": "volumes", "marks": [*others, *[("Response/R128", s) for s in volumes],
                                      ("SyncStatus/Sync On", 70)], "regex": r"Response/R128"},
        {"name": "gaps", "marks": [("Stimulus/S  1", s) for s in gaps], "regex": r".*\b1\b"},
    ]  # fmt: skip


def detect(case: dict) -> dict:
    """Return what FACETpy's trigger detection finds among annotations."""
    info = mne.create_info(["EEG0", "EEG1"], 1000.0, "eeg")
    raw = mne.io.RawArray(np.zeros((2, 7000)), info)
    names, samples = zip(*sorted(case["marks"], key=lambda mark: mark[1]), strict=True)
    raw.set_annotations(mne.Annotations(np.array(samples) / 1000.0, 0.001, names))
    context = ProcessingContext(raw, metadata=ProcessingMetadata(upsampling_factor=1))
    metadata = TriggerDetector(case["regex"]).execute(context).metadata
    found = asdict(metadata)
    kept = ("artifact_length", "volume_gaps", "slices_per_volume")
    return {"triggers": metadata.triggers.tolist(), **{k: found[k] for k in kept}}


def save(folder: Path, name: str, arrays: dict, description: dict) -> None:
    """Write one fixture and say how large it is."""
    path = folder / f"facetpy_{name}.npz"
    text = json.dumps({"facetpy": "2.0.2", "step_v": STEP_V, **description})
    np.savez_compressed(path, description=text, **arrays)
    print(f"{path.name:32} {path.stat().st_size / 1e3:8.1f} kB")


def main(folder: Path) -> None:
    """Make all fixtures."""
    logger.remove()
    mne.set_log_level("ERROR")
    for name, recording in build_all().items():
        arrays = {
            "counts": recording.counts,
            "onsets": recording.onsets,
            "triggers": recording.triggers,
        }
        described: dict = {
            "sfreq": recording.sfreq,
            "artifact_length": recording.artifact_length,
            "types": recording.types,
            "bads": recording.bads,
            "aas": {},
            "aligners": [],
        }
        for _, case, settings, parameters in (c for c in AAS_CASES if c[0] == name):
            done = correct(recording, settings, parameters)
            arrays[f"aas_{case}_noise_v"] = done["noise_v"]
            arrays[f"aas_{case}_triggers"] = done["triggers"]
            described["aas"][case] = {"settings": settings, "parameters": parameters}
        for _, aligner, settings, parameters in (c for c in ALIGNER_CASES if c[0] == name):
            done = align(recording, aligner, settings, parameters)
            number = len(described["aligners"])
            arrays[f"aligner_{number}_triggers"] = done["triggers"]
            described["aligners"].append(
                {
                    "aligner": aligner,
                    "settings": settings,
                    "parameters": parameters,
                    "artifact_length": done["artifact_length"],
                }
            )
        save(folder, name, arrays, described)
    cases = [{**case, "found": detect(case)} for case in detection_cases()]
    save(folder, "triggers", {}, {"sfreq": 1000.0, "n_times": 7000, "cases": cases})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
