"""Removal of the pulse artifact, on recordings with known truth.

    python benchmarks/pulse.py [--twin bcg_twin_500.npz] [--parts] [--hard] [--beats] [--chain]
                               [--bridges]

Simulated hearts differ in number of channels, sampling rate and heart rate; none of them was used
to choose a parameter alone. The twin (16 channels, 230 s, 282 beats) is an ``.npz`` with ``x``,
``clean`` and ``ecg`` in µV, ``r_true`` in s and ``fs``. Per recording: SNR against the truth
(0.5-70 Hz, median over channels, dB) before and after each method, with beats that
``QRSTriggerDetector`` found; harm to EEG without artifact (dB relative to the EEG); CPU time of
``method="obs"``. ``--parts`` tells what each part of that method is worth, ``--hard`` what it does
with one channel and with beats that are wrong, both with true beats. ``--beats``: a noisy ECG, and
none. ``--chain``: gradient and pulse artifact, corrected one after the other, and where the loss
comes from. ``--bridges``: independent components, ZapLine and a linear denoiser.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import mne
import numpy as np
from scipy.signal import butter, sosfiltfilt

from facet_nb import (
    DenoiserCorrection,
    GradientCorrection,
    ICACorrection,
    NotchFilter,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    QRSTriggerDetector,
    ZapLineCorrection,
)
from facet_nb.datasets import simulate
from facet_nb.kernels.pulse import beat_amplitudes

METHODS = ("obs", "mean", "median", "gmean")
HEARTS = ((16, 500.0, 1.1, 180.0), (32, 250.0, 0.9, 180.0), (8, 1000.0, 1.4, 180.0))


@dataclass
class Case:
    """A recording with its truth, in V."""

    name: str
    data: np.ndarray
    clean: np.ndarray
    ecg: np.ndarray
    sfreq: float
    beats: np.ndarray

    def context(self, data: np.ndarray) -> ProcessingContext:
        """Return a context with heartbeats as triggers."""
        n = len(data)
        info = mne.create_info(
            [f"E{i}" for i in range(n)] + ["ECG"], self.sfreq, ["eeg"] * n + ["ecg"]
        )
        raw = mne.io.RawArray(np.vstack([data, self.ecg]), info, verbose="error")
        return QRSTriggerDetector().execute(ProcessingContext(raw))


def list_cases(twin: str | None) -> Iterator[Case]:
    for seed, (n, sfreq, rate, duration) in enumerate(HEARTS):
        heart = simulate(
            n, sfreq, duration, 2.0, 20, seed=seed, lead_in_s=1.0, lead_out_s=1.0,
            pulse=True, artifact_amplitude_v=0.0, heart_rate_hz=rate,
        )  # fmt: skip
        data = heart.raw.get_data()
        name = f"simulated, {n} ch, {sfreq:g} Hz, {60 * rate:.0f}/min"
        yield Case(
            name,
            data[:n],
            heart.clean,
            data[n],
            sfreq,
            np.rint(heart.r_peaks_s * sfreq).astype(int),
        )
    if twin is not None:
        with np.load(twin) as file:
            x, clean, ecg = (1e-6 * file[k].astype(float) for k in ("x", "clean", "ecg"))
            sfreq, true_s = float(file["fs"]), file["r_true"]
            yield Case("twin", x, clean, ecg, sfreq, np.rint(true_s * sfreq).astype(int))


def snr_db(clean: np.ndarray, out: np.ndarray, sfreq: float) -> float:
    sos = butter(4, [0.5, min(70.0, 0.45 * sfreq)], "bandpass", fs=sfreq, output="sos")
    clean, out = sosfiltfilt(sos, clean), sosfiltfilt(sos, out)
    with np.errstate(divide="ignore"):
        return float(np.median(10 * np.log10((clean**2).sum(1) / ((out - clean) ** 2).sum(1))))


def run_ours(context: ProcessingContext, method: str) -> np.ndarray:
    result = Pipeline([PulseCorrection(method)]).run(context, raise_on_error=True)
    return result.get_raw().get_data()[:-1]


def run_mne(context: ProcessingContext) -> np.ndarray:
    beats = context.get_triggers() / context.get_sfreq()
    raw = mne.preprocessing.apply_pca_obs(
        context.get_raw(), picks="eeg", qrs_times=beats, n_components=4, verbose="error"
    )
    return raw.get_data()[:-1]


def run_true(case: Case, data: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return the result with given beats, in samples."""
    info = mne.create_info(len(data), case.sfreq, "eeg")
    raw = mne.io.RawArray(data, info, verbose="error")
    context = ProcessingContext(raw).with_triggers(beats)
    return Pipeline([PulseCorrection()]).run(context, raise_on_error=True).get_raw().get_data()


def list_parts() -> Iterator[tuple[str, list]]:
    """Yield a name, and replacements for parts of the method."""
    choose = beat_amplitudes.choose_scores

    def keep(waves: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return waves

    def without(slow, measured, least, **evidence):
        return choose(slow, replace(measured, **evidence), least)

    no_shrink = patch.object(beat_amplitudes, "shrink_waves", keep)
    none = partial(without, size_evidence=0.0, delay_evidence=0.0)
    size = partial(without, delay_evidence=0.0)
    always = partial(without, size_evidence=9.0, delay_evidence=9.0)
    yield "mean wave only", [no_shrink, patch.object(beat_amplitudes, "choose_scores", none)]
    yield "+ size", [no_shrink, patch.object(beat_amplitudes, "choose_scores", size)]
    yield "+ delay", [no_shrink, patch.object(beat_amplitudes, "choose_scores", always)]
    yield "+ only where there is evidence", [no_shrink]
    yield "+ shrinkage", []


def print_parts(cases: list[Case]) -> None:
    names = [f"{case.name}: {what}" for case in cases for what in ("SNR", "harm")]
    print("| parts | " + " | ".join(names) + " |\n|" + "---|" * (1 + len(names)))
    for name, changes in list_parts():
        cells = []
        with ExitStack() as stack:
            for change in changes:
                stack.enter_context(change)
            for case in cases:
                out, harmed = (run_true(case, x, case.beats) for x in (case.data, case.clean))
                cells += [snr_db(case.clean, out, case.sfreq)]
                cells += [-snr_db(case.clean, harmed, case.sfreq)]
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |")


def print_hard(cases: list[Case]) -> None:
    head = [
        "recording",
        "all is well",
        "one channel",
        "10 % overlooked",
        "5 % false",
        "jitter 10 ms",
    ]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for case in cases:
        rng = np.random.default_rng(0)
        beats, n = case.beats, len(case.beats)
        gone = np.delete(beats, rng.choice(n, n // 10, replace=False))
        false = np.union1d(beats, rng.integers(beats[0], beats[-1], n // 20))
        late = beats + np.rint(0.01 * case.sfreq * rng.standard_normal(n)).astype(int)
        cells = [snr_db(case.clean, run_true(case, case.data, beats), case.sfreq)]
        one = run_true(case, case.data[2:3], beats)
        cells += [snr_db(case.clean[2:3], one, case.sfreq)]
        for changed in (gone, false, late):
            out = run_true(case, case.data, changed)
            cells += [snr_db(case.clean, out, case.sfreq)]
        print(f"| {case.name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |")


def print_table(head: list[str], rows: Iterator[tuple[str, list[float]]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, values in rows:
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |", flush=True)


def run_steps(context: ProcessingContext, *steps: object) -> np.ndarray:
    result = Pipeline(list(steps)).run(context, show_progress=False, raise_on_error=True)
    return result.get_raw().get_data()


def list_beats(cases: list[Case]) -> Iterator[tuple[str, list[float]]]:
    """Yield SNR with beats of the ECG alone, of ECG and EEG, and of the EEG alone."""
    for case in cases:
        rng = np.random.default_rng(1)
        for noise in (0.0, 1.5, 3.0, 6.0):
            noisy = case.ecg + noise * case.ecg.std() * rng.standard_normal(len(case.ecg))
            n = len(case.data)
            kinds = ["eeg"] * n + ["ecg"]
            info = mne.create_info([*(f"E{i}" for i in range(n)), "ECG"], case.sfreq, kinds)
            raw = mne.io.RawArray(np.vstack([case.data, noisy]), info, verbose="error")
            values = []
            for source in ("ecg", "auto", "eeg"):
                steps = QRSTriggerDetector(source=source), PulseCorrection()
                out = run_steps(ProcessingContext(raw), *steps)[:n]
                values.append(snr_db(case.clean, out, case.sfreq))
            yield f"{case.name}, ECG + {noise:g} SD of noise", values


def list_chains() -> Iterator[tuple[str, list[float]]]:
    """Yield SNR of pulse correction alone, behind gradient correction, and the sum of both errors.

    The errors add up if neither correction disturbs the other.
    """
    for seed in (1, 2, 3):
        sim = simulate(12, 1000.0, 90.0, 2.0, 20, seed=seed, pulse=True)
        n, (begin, end) = 12, (int(1000 * t) for t in sim.acquisition_s)
        span = slice(begin + 1000, end - 1000)
        beats = np.rint(1000 * sim.r_peaks_s).astype(int)
        pulse = sim.artifact - sim.gradient_artifact
        case = Case("", sim.clean + pulse, sim.clean, np.zeros(0), 1000.0, beats)
        alone = run_true(case, case.data, beats)
        context = sim.context().with_trigger_samples(sim.triggers)
        result = Pipeline([GradientCorrection()]).run(context, raise_on_error=True)
        rest = result.get_raw().get_data()[:n] - case.data
        chain = run_true(case, case.data + rest, beats)
        found = run_steps(result.context, QRSTriggerDetector(), PulseCorrection())[:n]
        outs = (alone, sim.clean + rest, alone + rest, chain, found)
        yield (
            f"seed {seed}",
            [snr_db(sim.clean[:, span], out[:, span], 1000.0) for out in outs],
        )


def train_linear(n_samples: int, sfreq: float) -> np.ndarray:
    """Return a linear denoiser of windows, trained by ridge regression on simulated hearts."""
    given, wanted = [], []
    for seed in (11, 12, 13):
        options = {"pulse": True, "artifact_amplitude_v": 0.0}
        heart = simulate(16, sfreq, 120.0, 2.0, 20, seed=seed, **options)
        for x, clean in zip(heart.raw.get_data()[:16], heart.clean, strict=True):
            n = len(x) // n_samples * n_samples
            given.append(1e6 * x[:n].reshape(-1, n_samples))
            wanted.append(1e6 * clean[:n].reshape(-1, n_samples))
    x, y = np.concatenate(given), np.concatenate(wanted)
    ridge = 1e-3 * np.trace(x.T @ x) / n_samples * np.eye(n_samples)
    return np.linalg.solve(x.T @ x + ridge, x.T @ y).astype(np.float32)


def list_bridges() -> Iterator[tuple[str, list[float]]]:
    """Yield SNR before and after; the pump is a line of 41.3 Hz."""
    n_channels, sfreq, rate_hz, duration_s = HEARTS[1]
    heart = simulate(
        n_channels, sfreq, duration_s, 2.0, 20, seed=1, lead_in_s=1.0, lead_out_s=1.0,
        pulse=True, artifact_amplitude_v=0.0, heart_rate_hz=rate_hz,
    )  # fmt: skip
    clean, n = heart.clean, n_channels
    before = snr_db(clean, heart.raw.get_data()[:n], sfreq)
    context = ProcessingContext(heart.raw)
    out = run_steps(context, ICACorrection(find=["ecg"]))[:n]
    yield "pulse: ICACorrection", [before, snr_db(clean, out, sfreq)]
    window = round(0.5 * sfreq / 2) * 2
    weights = train_linear(window, sfreq)
    out = run_steps(context, DenoiserCorrection(lambda x: x @ weights, window_s=window / sfreq))[:n]
    yield (
        "pulse: DenoiserCorrection, linear, trained on others",
        [before, snr_db(clean, out, sfreq)],
    )
    out = run_steps(context, QRSTriggerDetector(), PulseCorrection())[:n]
    yield "pulse: PulseCorrection", [before, snr_db(clean, out, sfreq)]
    gains = 20e-6 * np.random.default_rng(0).standard_normal((n, 1))
    line = gains * np.sin(2 * np.pi * 41.3 * np.arange(clean.shape[1]) / sfreq)
    info = mne.create_info(n, sfreq, "eeg")
    context = ProcessingContext(mne.io.RawArray(clean + line, info, verbose="error"))
    before = snr_db(clean, clean + line, sfreq)
    for name, step in {
        "ZapLineCorrection": ZapLineCorrection(41.3),
        "NotchFilter": NotchFilter(41.3),
    }.items():
        yield f"pump: {name}", [before, snr_db(clean, run_steps(context, step), sfreq)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twin")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--hard", action="store_true")
    for option in ("--beats", "--chain", "--bridges"):
        parser.add_argument(option, action="store_true")
    given = parser.parse_args()
    if given.beats:
        head = ["recording", "ECG alone", "ECG and EEG", "EEG alone"]
        print_table(head, list_beats(list(list_cases(given.twin))))
    if given.chain:
        head = ["recording", "pulse alone", "gradient alone", "sum of errors", "chain"]
        print_table([*head, "chain, detected beats"], list_chains())
    if given.bridges:
        print_table(["artifact: correction", "before", "after"], list_bridges())
    if given.parts:
        print_parts(list(list_cases(given.twin)))
    if given.hard:
        print_hard(list(list_cases(given.twin)))
    if given.parts or given.hard or given.beats or given.chain or given.bridges:
        return
    head = ["recording", "before", *METHODS, "MNE PCA-OBS", "harm of obs", "CPU s of obs"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for case in list_cases(given.twin):
        context, sfreq = case.context(case.data), case.sfreq
        run_ours(context, "obs")  # imports and compiled code
        begin = time.process_time()
        run_ours(context, "obs")
        seconds = time.process_time() - begin
        scores = [snr_db(case.clean, run_ours(context, method), sfreq) for method in METHODS]
        scores.append(snr_db(case.clean, run_mne(context), sfreq))
        harm = -snr_db(case.clean, run_ours(case.context(case.clean), "obs"), sfreq)
        cells = [snr_db(case.clean, case.data, sfreq), *scores, harm, seconds]
        print(f"| {case.name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |")


if __name__ == "__main__":
    main()
