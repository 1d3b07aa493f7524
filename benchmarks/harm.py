"""What each correction with its defaults adds to leaving it out, on everyday recordings.

Prints a row for each recording of `benchmarks/quality.py`: the change of the signal-to-noise ratio
(0.5-70 Hz against the truth, median over channels) that each correction makes, the worst of the
seeds, in dB. "refused" stands where a correction raised an error with its remedy.
Left out: `MoosmannCorrection` and `DenoiserCorrection`, which need a file of motion parameters and
a model, and `ICACorrection` (6 s of CPU time for each).

    python benchmarks/harm.py [--scenario pause] [--seeds 2] [--into docs/methods.md]

`--clean` prints instead what `GradientCorrection` and averages change in recordings with markers
and EEG, or EEG and muscles, and no artifact: power of the change relative to the signal's, in dB.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
from _pages import put_row, write_db
from quality import EVERYDAY, print_head
from scipy.signal import butter, sosfiltfilt

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CorrespondingSliceCorrection,
    FARMCorrection,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    OBSCorrection,
    OnlineAASCorrection,
    PCACorrection,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    QRSTriggerDetector,
    SliceTriggerCorrection,
    TriggerDetector,
    VolumeArtifactCorrection,
    VolumeTriggerCorrection,
    WireLoopCorrection,
    ZapLineCorrection,
)
from facet_nb.core.errors import FacetError
from facet_nb.datasets import Simulation, simulate
from facet_nb.pipelines import create_standard_pipeline

Steps = list[Any]

#: The steps before each correction, the correction, and those behind it.
CASES: dict[str, tuple[Callable[[], Steps], Callable[[], Steps], Callable[[], Steps]]] = {
    "gradient": (list, lambda: [GradientCorrection()], list),
    "AAS": (list, lambda: [AASCorrection()], list),
    "AAS between samples": (list, lambda: [AASCorrection(subsample=True)], list),
    "online AAS": (list, lambda: [OnlineAASCorrection()], list),
    "volume": (list, lambda: [VolumeTriggerCorrection()], list),
    "slice": (list, lambda: [SliceTriggerCorrection()], list),
    "corresponding": (list, lambda: [CorrespondingSliceCorrection()], list),
    "FARM": (list, lambda: [FARMCorrection()], list),
    "FARM between samples": (list, lambda: [FARMCorrection(subsample=True)], list),
    "pauses, AAS": (
        list,
        lambda: [VolumeArtifactCorrection()],
        lambda: [AASCorrection(subsample=True)],
    ),
    "pauses, gradient": (
        list,
        lambda: [VolumeArtifactCorrection()],
        lambda: [GradientCorrection()],
    ),
    "AAS, PCA": (lambda: [AASCorrection(subsample=True)], lambda: [PCACorrection()], list),
    "AAS, OBS": (lambda: [AASCorrection(subsample=True)], lambda: [OBSCorrection()], list),
    "AAS, ANC": (lambda: [AASCorrection(subsample=True)], lambda: [ANCCorrection()], list),
    "gradient, PCA": (lambda: [GradientCorrection()], lambda: [PCACorrection()], list),
    "gradient, OBS": (lambda: [GradientCorrection()], lambda: [OBSCorrection()], list),
    "gradient, ANC": (lambda: [GradientCorrection()], lambda: [ANCCorrection()], list),
    "gradient, pulse": (lambda: [GradientCorrection()], lambda: _correct_pulse(), list),
    "gradient, no pulse": (lambda: [GradientCorrection()], lambda: _correct_pulse(), list),
    "gradient, ZapLine": (lambda: [GradientCorrection()], lambda: [ZapLineCorrection()], list),
    "gradient, wires": (lambda: [GradientCorrection()], lambda: [WireLoopCorrection()], list),
    "gradient, still wires": (lambda: [GradientCorrection()], lambda: [WireLoopCorrection()], list),
    "standard": (list, lambda: _take_standard(), list),
}

#: Recordings have a pulse artifact and an ECG for these only: it would hide what others change.
_WITH_PULSE = ("gradient, pulse",)
#: Recordings have wire loops for these only, and whether the head moves.
_WITH_LOOPS = {"gradient, wires": True, "gradient, still wires": False}


def _correct_pulse() -> Steps:
    return [QRSTriggerDetector(), PulseCorrection()]


def _take_standard() -> Steps:
    """Return the steps of the standard pipeline between detection and export."""
    steps = create_standard_pipeline("in.vhdr", "out.vhdr").processors
    kept = [s for s in steps if not isinstance(s, TriggerDetector)]
    first = next(i for i, s in enumerate(kept) if isinstance(s, HighPassFilter))
    return kept[first:-1]


def _add_loops(sim: Simulation, moves: bool) -> mne.io.BaseRaw:
    """Return the recording with four wire loops, which see the scanner, and the movement if any."""
    rng = np.random.default_rng(sim.raw.n_times)
    band = butter(2, [0.3, 8.0], "bandpass", fs=sim.sfreq, output="sos")
    sources = sosfiltfilt(band, rng.standard_normal((3, sim.raw.n_times)))
    sources *= moves / sources.std(axis=1, keepdims=True)
    raw, eeg = sim.raw.copy(), mne.pick_types(sim.raw.info, eeg=True, exclude=())
    scanner = np.zeros((1, raw.n_times))  # loops see neither EEG nor muscles
    sim.gradient.add_to(scanner)
    # Movement reaches the electrodes a little later, and is as large as the EEG and larger.
    raw._data[eeg] += 3e-5 * rng.standard_normal((len(eeg), 3)) @ np.roll(sources, 8, axis=1)
    loops = 1e-3 * rng.standard_normal((4, 3)) @ sources
    loops += rng.standard_normal((4, 1)) * scanner + 1e-5 * rng.standard_normal(loops.shape)
    info = mne.create_info([f"CWL{i + 1}" for i in range(4)], sim.sfreq, "bio")
    wires = mne.io.RawArray(loops, info, first_samp=raw.first_samp, verbose="error")
    return raw.add_channels([wires], force_update_info=True)


def measure(sim: Simulation, context: ProcessingContext, steps: Steps) -> float | None:
    """Return the median SNR in dB; None if a step refused."""
    try:
        done = Pipeline(steps).run(context, mode="serial", show_progress=False, raise_on_error=True)
    except FacetError:
        return None
    return float(np.nanmedian(sim.snr_db(done.get_raw())))


def compare(sim: Simulation, columns: list[str]) -> list[float]:
    """Return what each correction adds, in dB; NaN where it was refused."""
    find_triggers = TriggerDetector(r"Response/R128|\b1\b")
    context = ProcessingContext(sim.raw) | find_triggers
    with_loops = {
        moves: ProcessingContext(_add_loops(sim, moves)) | find_triggers
        for moves in {_WITH_LOOPS[name] for name in columns if name in _WITH_LOOPS}
    }
    known: dict[str, float | None] = {}

    def ask(steps: Steps, name: str) -> float | None:
        moves = _WITH_LOOPS.get(name)
        key = f"{moves}{steps!r}"
        if key not in known:
            own = context if moves is None else with_loops[moves]
            known[key] = measure(sim, own, steps)
        return known[key]

    found = []
    for name in columns:
        before, step, behind = CASES[name]
        # Filters are no corrections: the standard pipeline is compared with its own.
        bare = [HighPassFilter(1.0), LowPassFilter(70.0)] if name == "standard" else []
        without, with_it = (ask(before() + own + behind(), name) for own in (bare, step()))
        refused = without is None or with_it is None
        found.append(np.nan if refused else with_it - without)
    return found


def compare_clean(n_channels: int, duration_s: float, n_seeds: int, page: Path | None) -> None:
    """Print what corrections change where there is no artifact, in dB: median and worst channel."""
    steps: dict[str, Callable[[], Any]] = {
        "gradient": GradientCorrection,
        "AAS": AASCorrection,
        "AAS between samples": lambda: AASCorrection(subsample=True),
    }
    print_head("Power of the change, without artifact (dB)", [f"{n}, median, worst" for n in steps])
    base = {"sfreq": 1000, "tr_s": 2.0, "n_slices": 20, "duration_s": duration_s}
    for name in ("regular, slices", "regular, volumes", "muscle bursts"):
        arguments, imperfections = EVERYDAY[name]
        harm_db: dict[str, list[float]] = {column: [] for column in steps}
        for seed in range(201, 201 + n_seeds):
            given = {**base, **arguments, "seed": seed, "artifact_amplitude_v": 0.0}
            sim = simulate(n_channels, **given, imperfections=imperfections or None)
            begin, end = (int(t * sim.sfreq) for t in sim.acquisition_s)
            x = sim.raw.get_data(picks="eeg")[:, begin:end]
            context = sim.context().with_trigger_samples(sim.triggers)
            for column, make in steps.items():
                done = Pipeline([make()]).run(context, show_progress=False, raise_on_error=True)
                changed = done.get_raw().get_data(picks="eeg")[:, begin:end] - x
                ratio = np.sum(changed**2, axis=1) / np.sum(x**2, axis=1)
                harm_db[column] += (10 * np.log10(np.maximum(ratio, 1e-30))).tolist()
        cells = [f"{write_db(np.median(v))}, {write_db(np.max(v))}" for v in harm_db.values()]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
        if page:
            put_row(page, "clean", name, cells)


def main() -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scenario", default="", help="parts of names, separated by |")
    parser.add_argument("--only", default="", help="part of a correction's name")
    parser.add_argument("--into", type=Path, help="page whose table gets the rows")
    parser.add_argument("--clean", action="store_true", help="recordings without artifact")
    options = parser.parse_args()
    if options.clean:
        compare_clean(options.channels, options.duration, options.seeds, options.into)
        return
    columns = [name for name in CASES if options.only in name]
    print_head("Change of the SNR (dB), worst seed", columns)
    base = {"sfreq": 1000, "tr_s": 2.0, "n_slices": 20, "duration_s": options.duration}
    for name, (arguments, imperfections) in EVERYDAY.items():
        if not any(part in name for part in options.scenario.split("|")):
            continue
        rows = []
        for seed in range(201, 201 + options.seeds):
            row = dict.fromkeys(columns, np.nan)
            for pulse in (False, True):
                own = [column for column in columns if (column in _WITH_PULSE) == pulse]
                given = {**base, **arguments, "seed": seed, "pulse": pulse}
                sim = simulate(options.channels, **given, imperfections=imperfections or None)
                row |= dict(zip(own, compare(sim, own), strict=True))
            rows.append(list(row.values()))
        values = np.array(rows)
        worst = np.min(np.where(np.isnan(values), np.inf, values), axis=0)
        cells = [write_db(value) if np.isfinite(value) else "refused" for value in worst]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
        if options.into:
            put_row(options.into, "harm", name, cells)


if __name__ == "__main__":
    main()
