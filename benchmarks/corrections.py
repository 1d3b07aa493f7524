"""All corrections in one table: CPU time, signal-to-noise ratio, and harm to clean EEG.

    python benchmarks/corrections.py [--channels 8] [--duration 120] [--repeats 3]

Each works with its defaults on a simulated recording (2048 Hz, 20 slices per volume of 2 s, slice
markers; with pauses, heartbeats, and loops that move as the heart's artifact does, where these are
corrected). What cleans up behind an averaging stands behind `AASCorrection(30, subsample=True)`.
CPU time is that of the whole run in steady state, median over rounds in which they take turns.

`--everyday` prints instead what steps behind an average and behind `GradientCorrection` change on
each everyday recording of `quality.py`: dB of the channel that loses most, and a mark below -0.5.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
from quality import EVERYDAY, Recording
from threadpoolctl import threadpool_limits

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CorrespondingSliceCorrection,
    FARMCorrection,
    GradientCorrection,
    MoosmannCorrection,
    OBSCorrection,
    PCACorrection,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    SliceTriggerCorrection,
    VolumeArtifactCorrection,
    VolumeTriggerCorrection,
    WireLoopCorrection,
)
from facet_nb.datasets import Simulation, simulate

SFREQ, TR_S, N_SLICES = 2048.0, 2.0, 20


def make_gradient(
    n_channels: int, duration_s: float, pause_s: float = 0.0
) -> tuple[Recording, Simulation]:
    """Return a recording with the gradient artifact, and pauses between volumes."""
    options = {"volume_gap_s": pause_s, "seed": 21}
    sim = simulate(n_channels, SFREQ, duration_s, TR_S, N_SLICES, **options)
    begin, end = (int(t * SFREQ) for t in sim.acquisition_s)
    context = sim.context().with_trigger_samples(sim.triggers)
    return Recording(context, sim.clean, slice(begin + 2048, end - 2048)), sim


def make_pulse(n_channels: int, duration_s: float) -> Recording:
    """Return a recording with the pulse artifact, its beats, and four carbon-wire loops."""
    options = {"pulse": True, "artifact_amplitude_v": 0.0, "seed": 22}
    sim = simulate(n_channels, 500.0, duration_s, TR_S, N_SLICES, **options)
    eeg = sim.raw.get_data()[:n_channels]
    rng = np.random.default_rng(23)
    motion = rng.normal(size=(4, n_channels)) @ (eeg - sim.clean)
    wires = motion + 0.05 * motion.std() * rng.normal(size=motion.shape)
    names = [*sim.raw.ch_names[:n_channels], *(f"CW{i}" for i in range(1, 5))]
    info = mne.create_info(names, 500.0, ["eeg"] * n_channels + ["misc"] * 4)
    raw = mne.io.RawArray(np.concatenate([eeg, wires]), info, verbose="error")
    beats = np.rint(sim.r_peaks_s * 500.0).astype(int)
    context = ProcessingContext(raw).with_trigger_samples(beats)
    return Recording(context, sim.clean, slice(2500, eeg.shape[1] - 2500))


def list_corrections(motion_file: str) -> dict[str, Callable[[], list]]:
    """Return the corrections of the gradient artifact."""

    def behind(step: object) -> list:
        return [AASCorrection(30, subsample=True), step]

    return {
        "AASCorrection(30)": lambda: [AASCorrection(30)],
        "AASCorrection(30, subsample=True)": lambda: [AASCorrection(30, subsample=True)],
        "the same, weighting='sliding', 120": lambda: [
            AASCorrection(120, subsample=True, weighting="sliding")
        ],
        "VolumeTriggerCorrection": lambda: [VolumeTriggerCorrection(subsample=True)],
        "SliceTriggerCorrection": lambda: [SliceTriggerCorrection(subsample=True)],
        "CorrespondingSliceCorrection": lambda: [
            CorrespondingSliceCorrection(slices_per_volume=N_SLICES, subsample=True)
        ],
        "FARMCorrection": lambda: [FARMCorrection(subsample=True)],
        "MoosmannCorrection": lambda: [MoosmannCorrection(motion_file, subsample=True)],
        "GradientCorrection": lambda: [GradientCorrection()],
        "… then PCACorrection": lambda: behind(PCACorrection()),
        "… then OBSCorrection": lambda: behind(OBSCorrection()),
        "… then ANCCorrection": lambda: behind(ANCCorrection()),
    }


def write_motion(folder: str, n_volumes: int) -> str:
    """Write realignment parameters of a head that lies still; return the file's name."""
    path = Path(folder) / "rp_still.txt"
    np.savetxt(path, 1e-3 * np.random.default_rng(24).normal(size=(n_volumes, 6)))
    return str(path)


def measure(works: dict[str, tuple[Recording, Callable[[], list]]], repeats: int) -> None:
    """Print a row for each correction."""
    cpu_s: dict[str, list[float]] = {name: [] for name in works}
    found: dict[str, tuple[float, float]] = {}
    for name, (recording, steps) in works.items():  # imports, compiled code: not counted
        harm_db = -recording.without_artifact().measure(steps())[0]
        found[name] = (recording.measure(steps())[0], harm_db)
    for _ in range(repeats):
        for name in random.sample(list(works), len(works)):
            recording, steps = works[name]
            cpu_s[name].append(recording.measure(steps())[2])
    print("| correction | CPU s | SNR, dB | harm to clean EEG, dB |\n|---|---|---|---|")
    for name, (snr_db, harm_db) in found.items():
        print(f"| {name} | {np.median(cpu_s[name]):.2f} | {snr_db:.1f} | {harm_db:.1f} |")


def compare_second_steps(duration_s: float, seed: int = 301) -> None:
    """Print what a second step changes on everyday recordings, in dB of the worst channel."""
    seconds: dict[str, Callable[[], Any]] = {
        "PCA": PCACorrection,
        "OBS": OBSCorrection,
        "ANC": ANCCorrection,
    }
    firsts = {"average": lambda: AASCorrection(30, subsample=True), "own": GradientCorrection}
    columns = [f"{first}, {second}" for first in firsts for second in ("alone", *seconds)]
    print(f"| recording | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    base = {"sfreq": 1000, "tr_s": TR_S, "n_slices": N_SLICES}
    for name, (arguments, imperfections) in EVERYDAY.items():
        given = {**base, **arguments, "seed": seed, "duration_s": duration_s}
        sim = simulate(3, **given, imperfections=imperfections or None)
        context = sim.context().with_trigger_samples(sim.triggers)
        cells = []
        for first in firsts.values():
            chains = [[first()], *([first(), second()] for second in seconds.values())]
            done = [
                Pipeline(chain).run(context, show_progress=False, raise_on_error=True)
                for chain in chains
            ]
            alone, *changed = (sim.snr_db(result.get_raw()) for result in done)
            cells.append(f"{np.nanmedian(alone):.1f}")
            for snr_db in changed:
                least = float(np.nanmin(snr_db - alone))
                cells.append(f"{least:+.1f}{' (!)' if least < -0.5 else ''}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--duration", type=float, default=120.0, help="in s")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--everyday", action="store_true", help="steps behind others")
    options = parser.parse_args()
    if options.everyday:
        compare_second_steps(options.duration)
        return
    gradient, sim = make_gradient(options.channels, options.duration)
    pulse = make_pulse(options.channels, options.duration)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        motion = write_motion(folder, len(sim.slice_onsets_s) // N_SLICES)
        works = {"(no correction)": (gradient, list)}
        works |= {name: (gradient, steps) for name, steps in list_corrections(motion).items()}
        paused, _ = make_gradient(options.channels, options.duration, 0.2)
        between = [AASCorrection(30, subsample=True)]
        works["AASCorrection(30, subsample=True), pauses of 0.2 s"] = (paused, lambda: between)
        works["… then VolumeArtifactCorrection"] = (
            paused,
            lambda: [*between, VolumeArtifactCorrection()],
        )
        works["(no correction, pulse artifact)"] = (pulse, list)
        for method in ("obs", "mean", "median", "gmean"):
            works[f"PulseCorrection({method!r})"] = (pulse, lambda m=method: [PulseCorrection(m)])
        wires = ["CW1", "CW2", "CW3", "CW4"]
        works["WireLoopCorrection"] = (pulse, lambda: [WireLoopCorrection(wires)])
        measure(works, options.repeats)


if __name__ == "__main__":
    main()
