"""Random chains, recordings and settings, from a seed; each is compared with its serial run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CommonReference,
    Crop,
    DownSample,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
    PCACorrection,
    Pipeline,
    ProcessingContext,
    Resample,
    SubsampleAligner,
    TriggerAligner,
    UpSample,
)
from tests.core import toys

#: Every channel may be the reference: also bad ones, codes, and channels without data.
NAMES, TYPES = toys.NAMES, toys.TYPES


@dataclass(frozen=True)
class Case:
    """One random run.

    Attributes
    ----------
    seed : int
        It makes the same case again.
    context : ProcessingContext
        The recording.
    steps : list of Processor
        The chain.
    dtype : str
        Precision, of the serial run as well.
    options : dict
        How it is run.
    """

    seed: int
    context: ProcessingContext
    steps: list[Any]
    dtype: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.steps!r} dtype={self.dtype} {self.options}"


def make_case(seed: int, folder: Path, processes: bool = False) -> Case:
    """Return the case of a seed; `folder` is for checkpoints."""
    rng = np.random.default_rng(seed)
    context = make_context(rng)
    steps = _make_steps(rng)
    dtype = str(rng.choice(["float64", "float64", "float32"]))
    return Case(seed, context, steps, dtype, _make_options(rng, folder / str(seed), processes))


def make_context(rng: np.random.Generator) -> ProcessingContext:
    """Return a recording with bad channels, codes, triggers and annotations."""
    sfreq = float(rng.choice([200.0, 250.0, 512.0]))
    n_times = int(rng.integers(2600, 3400))
    length = int(rng.integers(60, 90))
    triggers = np.arange(150, n_times - 200, length)
    data = 1e-5 * rng.standard_normal((len(NAMES), n_times))
    artifact = 1e-3 * np.sin(2 * np.pi * np.arange(length) * rng.integers(2, 6) / length)
    for trigger in triggers:
        data[:, trigger : trigger + length] += artifact * rng.uniform(0.9, 1.1, (len(NAMES), 1))
    data[2] = 0.0
    data[2, triggers] = 5.0
    data[7] += 1e4 + 1.0 / 3.0  # a temperature, which float32 cannot hold
    info = mne.create_info(NAMES, sfreq, TYPES)
    info["bads"] = [str(b) for b in rng.choice(["E2", "E3", "E4"], rng.integers(0, 3), False)]
    first = int(rng.choice([0, 1234, 77]))
    raw = mne.io.RawArray(data, info, first_samp=first, verbose="error")
    if rng.random() < 0.4:
        raw.set_meas_date(1_600_000_000)
    onsets = rng.uniform(0.1, n_times / sfreq - 1.0, 5)
    begin = raw.first_time if raw.info["meas_date"] else 0.0
    durations = rng.choice([0.0, 0.1, 1 / 3], 5)
    marks = mne.Annotations(onsets + begin, durations, list("abcde"), raw.info["meas_date"])
    raw.set_annotations(marks)
    return ProcessingContext(raw).with_triggers(triggers)


def _make_steps(rng: np.random.Generator) -> list[Any]:
    reference = str(rng.choice(NAMES))
    factor = int(rng.integers(2, 4))
    choices = [
        lambda: [HighPassFilter(float(rng.choice([1.0, 5.0])))],
        lambda: [LowPassFilter(float(rng.choice([40.0, 70.0])))],
        lambda: [LowPassFilter(60.0, picks="eeg")],
        lambda: [NotchFilter([50.0])],
        lambda: [HighPassFilter(2.0, method="iir")],
        lambda: [UpSample(factor)],
        lambda: [DownSample(2)],
        lambda: [UpSample(2), UpSample(2)],
        lambda: [UpSample(factor), TriggerAligner(ref_channel=reference), DownSample(factor)],
        lambda: [Resample(float(rng.choice([300.0, 333.0])))],
        lambda: [TriggerAligner(ref_channel=reference)],
        lambda: [SubsampleAligner(ref_channel=reference)],
        lambda: [AASCorrection(window_size=8, subsample=bool(rng.random() < 0.5))],
        lambda: [AASCorrection(window_size=8), PCACorrection(n_components=2)],
        lambda: [AASCorrection(window_size=8), ANCCorrection()],
        lambda: [CommonReference()],
        lambda: [Crop(0.3, 4.5)],
        lambda: [toys.ZScore()],
        lambda: [toys.Scaled(1 / 3)],
        lambda: [toys.Demeaned()],
        lambda: [toys.Found()],
        lambda: [toys.Reporting()],
    ]
    steps: list[Any] = []
    for i in rng.choice(len(choices), int(rng.integers(1, 5))):
        steps.extend(choices[i]())
    return steps


def _make_options(rng: np.random.Generator, folder: Path, processes: bool) -> dict[str, Any]:
    backends = ["threading", "serial", *(["multiprocessing"] if processes else [])]
    options: dict[str, Any] = {
        "mode": str(rng.choice(["channel_sequential", "parallel", "serial", "auto"])),
        "backend": str(rng.choice(backends)),
        "n_jobs": int(rng.integers(1, 4)),
        "n_workers": int(rng.integers(1, 3)),
        "batch_size": int(rng.integers(1, 7)),
    }
    if options["mode"] == "serial":
        options["n_jobs"] = 1
    if rng.random() < 0.3:
        options["chunk_duration_s"] = float(rng.choice([0.5, 2.0]))
    if rng.random() < 0.2:
        options["memory_budget"] = "2 GB"
    if rng.random() < 0.2:
        options["checkpoint"] = folder
    if rng.random() < 0.1:
        options["timeout"] = 120.0
    return options


def compare(case: Case) -> str:
    """Return how the run differs from the serial one; empty if it does not."""
    common = {"dtype": case.dtype, "show_progress": False}
    serial = Pipeline(case.steps).run(case.context, mode="serial", **common)
    other = Pipeline(case.steps).run(case.context, **common, **case.options)
    if serial.success != other.success:
        return f"serial: {serial.error or 'done'}; other: {other.error or 'done'}"
    if not serial.success:
        kinds = [getattr(r.error, "cause_type", type(r.error).__name__) for r in (serial, other)]
        return "" if kinds[0] == kinds[1] else f"serial: {serial.error}; other: {other.error}"
    a, b = serial.get_context(), other.get_context()
    return "; ".join(_differences(a, b))


def _differences(a: ProcessingContext, b: ProcessingContext) -> list[str]:
    found = []
    x, y = a.get_data(), b.get_data()
    if x.shape != y.shape:
        return [f"shape {x.shape} and {y.shape}"]
    rows = [name for name, p, q in zip(a.get_channel_names(), x, y, strict=True) if (p != q).any()]
    if rows:
        found.append(f"samples of {rows} by up to {np.abs(x - y).max():.2g} V")
    if not np.array_equal(a.get_triggers(), b.get_triggers()):
        found.append("triggers")
    p, q = a.get_raw(), b.get_raw()
    if (p.info["sfreq"], p.first_samp) != (q.info["sfreq"], q.first_samp):
        found.append("rate or first sample")
    band = ("highpass", "lowpass")
    if any(p.info[key] != q.info[key] for key in band):
        found.append("pass band")
    s, t = p.annotations, q.annotations
    if list(s.description) != list(t.description):
        found.append(f"annotations {list(s.description)} and {list(t.description)}")
    elif not (np.array_equal(s.onset, t.onset) and np.array_equal(s.duration, t.duration)):
        found.append(f"onsets by {np.abs(s.onset - t.onset).max():.2g} s")
    m, n = a.get_estimated_noise(), b.get_estimated_noise()
    if (m is None) != (n is None) or (m is not None and not np.array_equal(m, n)):
        found.append("noise")
    return found
