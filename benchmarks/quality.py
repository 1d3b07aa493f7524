"""Corrections against truth, on recordings that differ in rate, TR, slices, motion and amplitude.

Prints four tables: everyday recordings (wrong markers, several sequences, muscle bursts) over
seeds, the signal-to-noise ratio of several chains on each recording, what becomes of gradient
correction when one of its parts is left out, and CPU time.

    python benchmarks/quality.py [--twin FOLDER] [--channels 3] [--duration 60] [--only everyday]

`--twin` names a folder with ``niazy_twin_2048.vhdr`` and ``niazy_twin_2048_truth.npz``.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _pages import put_row, write_db

from facet_nb import (
    AASCorrection,
    DownSample,
    FARMCorrection,
    GradientCorrection,
    Pipeline,
    ProcessingContext,
    TriggerAligner,
    TriggerDetector,
    UpSample,
    load,
)
from facet_nb.core.recording import replace_data
from facet_nb.datasets import Simulation, simulate
from facet_nb.datasets.agreement import compare_snr_db

#: Arguments of `simulate`. No default of a correction is tuned to one of them.
RECORDINGS: dict[str, dict[str, Any]] = {
    "5 kHz, slices": {"sfreq": 5000, "n_slices": 30, "seed": 101},
    "5 kHz, volumes": {"sfreq": 5000, "n_slices": 30, "seed": 102, "markers": "volume"},
    "TR 1.6 s, multiband 3, volumes": {
        **{"sfreq": 5000, "tr_s": 1.6, "n_slices": 54, "multiband": 3},
        **{"seed": 103, "markers": "volume"},
    },
    "much motion, slices differ": {
        **{"tr_s": 3.0, "n_slices": 21, "volume_gap_s": 0.005, "seed": 104},
        **{"motion": 0.1, "motions_per_min": 4, "drift": 0.05, "slice_variation": 0.05},
    },
    "much motion, volumes": {
        **{"sfreq": 2500, "tr_s": 2.5, "n_slices": 40, "seed": 105, "markers": "volume"},
        **{"motion": 0.05, "motions_per_min": 3, "drift": 0.03, "slice_variation": 0.05},
    },
    "0.3 mV, 1 kHz": {
        **{"sfreq": 1000, "n_slices": 20, "seed": 106},
        **{"artifact_amplitude_v": 3e-4, "lowpass_hz": 200},
    },
    "20 mV": {"n_slices": 30, "seed": 107, "artifact_amplitude_v": 20e-3},
    "500 Hz": {"sfreq": 500, "n_slices": 15, "seed": 108},
    "slices at 10 Hz, 4 missing": {"n_slices": 20, "seed": 109, "missing": (5, 6, 100, 300)},
    "pauses, volumes": {"n_slices": 15, "seed": 110, "markers": "volume", "volume_gap_s": 0.2},
    "markers off by 2": {"n_slices": 30, "seed": 111, "marker_jitter_samples": 2},
    "synchronised clocks": {"sfreq": 5000, "n_slices": 40, "seed": 112, "clock_offset_ppm": 0},
    "muscles, sway and pulse": {"n_slices": 30, "seed": 113, "pulse": True},
    "vibration of its own": {"n_slices": 30, "seed": 114},
}

#: Everyday recordings: arguments of `simulate`, and its imperfections. 1 kHz, TR 2 s, 20 slices.
_VOLUMES: dict[str, Any] = {"markers": "volume"}
_SECOND = {"second_tr_s": 1.5, "second_n_slices": 30}
EVERYDAY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "regular, slices": ({}, {}),
    "regular, volumes": (_VOLUMES, {}),
    "3 extra markers, slices": ({}, {"extra_markers": 3}),
    "3 extra markers, volumes": (_VOLUMES, {"extra_markers": 3}),
    "all markers doubled, slices": ({}, {"doubled_share": 1.0}),
    "some markers doubled, volumes": (_VOLUMES, {"doubled_share": 0.15}),
    "missing and extra markers": ({**_VOLUMES, "missing": (5, 9)}, {"extra_markers": 2}),
    "markers off by 1, slices": ({"marker_jitter_samples": 1}, {}),
    "two sequences, slices": ({}, _SECOND),
    "two sequences, volumes": (_VOLUMES, _SECOND),
    "two sequences, same TR": (_VOLUMES, {"second_echo_spacing_s": 0.5e-3}),
    "break of almost 5 TR": (_VOLUMES, {"second_tr_s": 2.0, "second_break_s": 9.998}),
    "preparation block, slices": ({}, {"preparation_v": 3e-4}),
    "preparation block, volumes": (_VOLUMES, {"preparation_v": 3e-4}),
    "rectified excitation": ({}, {"rectification_v": 3e-4}),
    "pause of 0.1 s, causal": (
        {"volume_gap_s": 0.1, "sfreq": 2000},
        {"causal_lowpass_hz": 250.0},
    ),
    "muscle bursts": ({"sfreq": 2000}, {"emg_bursts": 6, "emg_share": 1.0}),
    "dead first channel": (_VOLUMES, {"dead_channels": [0]}),
    "loose first channel": ({"marker_jitter_samples": 1}, {"loose_channels": [0]}),
    "3 dummy volumes": (_VOLUMES, {"dummy_volumes": 3}),
    "begins in a volume": (_VOLUMES, {"start_in_volume": 0.4}),
    "vibration of 23 Hz": ({}, {"vibration_v": 60e-6}),
    "abrupt jumps": ({"motion": 0.05}, {"jump_s": 0.01}),
    "clock with a curve": (_VOLUMES, {"clock_curve_ppm": 10.0}),
    "clipping": ({}, {"clip_v": 4e-3}),
}

METHODS: dict[str, Callable[[], list]] = {
    "before": list,
    "AAS, ×10": lambda: [UpSample(10), TriggerAligner(), AASCorrection(30), DownSample(10)],
    "AAS between samples": lambda: [AASCorrection(30, subsample=True)],
    "sliding, 120": lambda: [AASCorrection(120, subsample=True, weighting="sliding")],
    "FARM between samples": lambda: [FARMCorrection(subsample=True)],
    "GradientCorrection": lambda: [GradientCorrection()],
}

_LOWRANK, _AMPLITUDES = "facet_nb.kernels.lowrank.lowrank", "facet_nb.kernels.lowrank.amplitudes"
_LOWBAND = "facet_nb.kernels.lowrank.lowband"
_GRADIENT = "facet_nb.correction.gradient"


def _trust_nothing(markers: np.ndarray) -> Any:
    """Return the clock's fit with the markers' own times: no clock model."""
    from dataclasses import replace

    from facet_nb.kernels.triggers.clock import fit_clock

    fit = fit_clock(markers)
    return replace(fit, times=markers.astype(float), missing=np.zeros(0), trusted=True)


def _count_alike(
    courses: Any, found: int, whitening: np.ndarray, loud: np.ndarray, position: Any
) -> np.ndarray:
    return loud


def _trust_all(
    amplitudes: np.ndarray, sizes: np.ndarray, calm: np.ndarray, loud: np.ndarray
) -> np.ndarray:
    return amplitudes


def _one_level(rest: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return np.zeros((unit.shape[1], rest.shape[1]))


def _leave_trend(
    x: np.ndarray,
    layout: Any,
    sfreq: float,
    dtype: Any = float,
    courses: Any = None,
    sparse: bool = False,
) -> np.ndarray:
    return x.astype(dtype)


#: What is left out: arguments of the correction, and replaced functions.
ABLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything": ({}, {}),
    "no clock model (markers as they are)": ({}, {f"{_GRADIENT}.fit_clock": _trust_nothing}),
    "no slices within volumes": ({"slices": None}, {}),
    "no courses (a mean of all)": ({"max_courses": 0}, {}),
    "no shrinkage": ({"shrinkage": 0.0}, {}),
    "neither courses nor shrinkage": ({"max_courses": 0, "shrinkage": 0.0}, {}),
    "noise not measured beside courses": ({}, {f"{_LOWRANK}._measure_beside": _one_level}),
    "epochs weighted alike": ({}, {f"{_AMPLITUDES}._Courses.measure_loudness": _count_alike}),
    "noisy epochs as they are": ({}, {f"{_AMPLITUDES}._trust_calm": _trust_all}),
    "no slow courses": ({}, {f"{_LOWBAND}.EPOCHS_PER_COSINE": 10**9}),
    "drift left in": ({}, {f"{_LOWRANK}.remove_trend": _leave_trend}),
    "blocks of 20 s": ({"block_s": 20.0}, {}),
    "shrinkage 1": ({"shrinkage": 1.0}, {}),
    "shrinkage 6": ({"shrinkage": 6.0}, {}),
    "4 courses at most": ({"max_courses": 4}, {}),
}


@dataclass(frozen=True)
class Recording:
    """A contaminated recording with its triggers, the truth, and the samples that count."""

    context: ProcessingContext
    clean: np.ndarray
    span: slice

    def measure(self, steps: list) -> tuple[float, float, float]:
        """Return SNR (0.5-70 Hz) in dB, residual of all frequencies in µV, and CPU time in s."""
        begin = time.process_time()
        done = Pipeline(steps).run(
            self.context, mode="channel_sequential", show_progress=False, raise_on_error=True
        )
        cpu_s = time.process_time() - begin
        data = done.get_raw().get_data()[: len(self.clean)]
        sfreq = self.context.get_sfreq()
        edges = {"start": self.span.start, "stop": self.span.stop}
        snr_db = compare_snr_db(data, self.clean, sfreq, **edges)
        rest = np.std((data - self.clean)[:, self.span], axis=1)
        return float(np.median(snr_db)), 1e6 * float(np.median(rest)), cpu_s

    def without_artifact(self) -> Recording:
        """Return the same with EEG alone: every change is harm."""
        raw = self.context.get_raw()
        data = raw.get_data()
        data[: len(self.clean)] = self.clean
        triggers = self.context.get_triggers()
        context = ProcessingContext(replace_data(raw, data)).with_trigger_samples(triggers)
        return Recording(context, self.clean, self.span)


def make(name: str, n_channels: int, duration_s: float) -> Recording:
    """Return one of the simulated recordings."""
    arguments = {"sfreq": 2048, "tr_s": 2.0, **RECORDINGS[name]}
    sim = simulate(n_channels, duration_s=duration_s, **arguments)
    begin, end = (int(t * sim.sfreq) for t in sim.acquisition_s)
    second = int(sim.sfreq)
    span = slice(begin + second, end - second)
    context = sim.context().with_trigger_samples(sim.triggers)
    if name.startswith("muscles"):
        clean = sim.clean + sim.artifact - sim.gradient_artifact
        added = make_bursts(sim)
        return Recording(add(context, added), clean + added, span)
    if name.startswith("vibration"):
        return Recording(add(context, make_vibration(sim)), sim.clean, span)
    return Recording(context, sim.clean, span)


def add(context: ProcessingContext, signal: np.ndarray) -> ProcessingContext:
    """Return the recording with a signal added to its first channels."""
    data = context.get_raw().get_data()
    data[: len(signal)] += signal
    changed = ProcessingContext(replace_data(context.get_raw(), data))
    return changed.with_trigger_samples(context.get_triggers())


def make_bursts(sim: Simulation) -> np.ndarray:
    """Return artifacts that are not the scanner's: five times muscles (60 µV) and sway (0.5 mV)."""
    rng = np.random.default_rng(sim.spec["seed"])
    times_s = np.arange(sim.clean.shape[1]) / sim.sfreq
    signal = np.zeros(sim.clean.shape)
    for middle_s in rng.uniform(8.0, times_s[-1] - 8.0, 5):
        envelope = np.exp(-(((times_s - middle_s) / 0.4) ** 2))
        signal += 60e-6 * rng.standard_normal(signal.shape) * envelope
        later = np.exp(-(((times_s - middle_s - 2.0) / 0.4) ** 2))
        signal += 500e-6 * np.sin(14.0 * times_s) * later
    return signal


def make_vibration(sim: Simulation) -> np.ndarray:
    """Return 30 Hz, 20 µV after each slice's onset; its amplitude varies by half in 37 s."""
    signal = np.zeros(sim.clean.shape)
    for onset_s in sim.slice_onsets_s:
        first = int(np.ceil(onset_s * sim.sfreq))
        times_s = np.arange(first, first + int(0.06 * sim.sfreq)) / sim.sfreq - onset_s
        size = 20e-6 * (1.0 + 0.5 * np.sin(2.0 * np.pi * onset_s / 37.0))
        wave = size * np.sin(2.0 * np.pi * 30.0 * times_s) * np.exp(-times_s / 0.02)
        signal[:, first : first + len(wave)] += wave
    return signal


def load_twin(folder: Path) -> Recording:
    """Return the twin of a real recording: its EEG and markers, a simulated artifact."""
    known = np.load(folder / "niazy_twin_2048_truth.npz")
    context = load(folder / "niazy_twin_2048.vhdr") | TriggerDetector(r"\b1\b")
    markers = context.get_triggers()
    clean = 1e-6 * known["clean"].astype(float)
    return Recording(context, clean, slice(int(markers[0]), int(markers[-1]) + 293))


def print_row(name: str, values: list[float], width: int = 36) -> None:
    """Print a name and a number for each column."""
    print(f"| {name:<{width}} |" + "".join(f" {value:6.1f} |" for value in values), flush=True)


def print_head(title: str, columns: list[str], width: int = 36) -> None:
    """Print the head of a table."""
    print(f"\n{title}\n\n| {'':<{width}} |" + "".join(f" {column} |" for column in columns))
    print(f"|{'---|' * (len(columns) + 1)}")


def compare_methods(recordings: dict[str, Recording]) -> None:
    """Print SNR of each method on each recording, harm to clean EEG, and CPU time."""
    print_head("SNR (dB)", list(METHODS))
    cpu: dict[str, list[float]] = {name: [] for name in METHODS}
    for name, recording in recordings.items():
        measured = {method: recording.measure(steps()) for method, steps in METHODS.items()}
        print_row(name, [snr_db for snr_db, _, _ in measured.values()])
        for method, values in measured.items():
            cpu[method].append(values[2])
    print_row("CPU time, all (s)", [float(np.sum(values)) for values in cpu.values()])
    print_head("Harm to EEG without artifact (dB)", list(METHODS)[1:])
    for name, recording in recordings.items():
        clean = recording.without_artifact()
        harm = [-clean.measure(steps())[0] for method, steps in METHODS.items() if steps()]
        print_row(name, harm)


def compare_everyday(
    n_seeds: int, n_channels: int, duration_s: float, only: str, page: Path | None
) -> None:
    """Print SNR on everyday recordings: median and worst over seeds of the channels' median."""
    print_head("SNR (dB)", ["before", "median", "worst", "gamma"])
    base = {"sfreq": 1000, "tr_s": 2.0, "n_slices": 20}
    for name, (arguments, imperfections) in EVERYDAY.items():
        if not any(part in name for part in only.split("|")):
            continue
        values = []
        for seed in range(201, 201 + n_seeds):
            given = {**base, **arguments, "seed": seed, "duration_s": duration_s}
            sim = simulate(n_channels, **given, imperfections=imperfections or None)
            context = sim.context().with_trigger_samples(sim.triggers)
            done = Pipeline([GradientCorrection()]).run(
                context, mode="serial", show_progress=False, raise_on_error=True
            )
            raw = done.get_raw()
            found = sim.snr_db(sim.raw), sim.snr_db(raw), sim.snr_db(raw, 30.0, 100.0)
            values.append([float(np.nanmedian(snr_db)) for snr_db in found])
        before, after, gamma = np.array(values).T
        row = [np.median(before), np.median(after), np.min(after), np.median(gamma)]
        print_row(name, [float(value) for value in row])
        if page:
            put_row(page, "everyday", name, [write_db(float(value)) for value in row])


def compare_parts(recordings: dict[str, Recording]) -> None:
    """Print SNR and residual of gradient correction with one of its parts left out."""
    table = {}
    for name, (arguments, replaced) in ABLATIONS.items():
        patches = [mock.patch(target, function) for target, function in replaced.items()]
        for patch in patches:
            patch.start()
        try:
            table[name] = [
                r.measure([GradientCorrection(**arguments)])[:2] for r in recordings.values()
            ]
        finally:
            for patch in patches:
                patch.stop()
    numbers = [str(i + 1) for i in range(len(recordings))]
    for part, title in enumerate(("SNR (dB)", "Residual, all frequencies (µV)")):
        print_head(title, numbers)
        for name, values in table.items():
            print_row(name, [pair[part] for pair in values])
    print("\n" + "\n".join(f"{i + 1}: {name}" for i, name in enumerate(recordings)))


def main() -> None:
    """Measure and print."""
    logging.getLogger("facet_nb").setLevel(logging.ERROR)  # hides warnings about small windows
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--twin", type=Path)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--only", choices=["methods", "parts", "everyday"])
    parser.add_argument("--seeds", type=int, default=5, help="of everyday recordings")
    parser.add_argument("--scenario", default="", help="parts of names, separated by |")
    parser.add_argument("--into", type=Path, help="page whose table gets the everyday rows")
    options = parser.parse_args()
    if options.only in (None, "everyday"):
        given = options.seeds, options.channels, options.duration, options.scenario
        compare_everyday(*given, options.into)
    if options.only == "everyday":
        return
    recordings = {name: make(name, options.channels, options.duration) for name in RECORDINGS}
    if options.twin is not None:
        recordings["twin, 2048 Hz, slices"] = load_twin(options.twin)
    if options.only != "parts":
        compare_methods(recordings)
    if options.only != "methods":
        compare_parts(recordings)


if __name__ == "__main__":
    main()
