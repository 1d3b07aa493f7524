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
    BandPassFilter,
    CommonReference,
    CorrespondingSliceCorrection,
    Crop,
    DownSample,
    DropChannels,
    FacetError,
    FARMCorrection,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
    OBSCorrection,
    OnlineAASCorrection,
    PCACorrection,
    PickChannels,
    Pipeline,
    PlanError,
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


def make_case(
    seed: int, folder: Path, processes: bool = False, wide: bool = False, cluster: bool = False
) -> Case:
    """Return the case of a seed; `folder` is for checkpoints and recordings.

    Where it is `wide`, it may also use processes, recordings in files, small budgets, and windows
    of a lazy recording; the same seed makes another case. With a Dask `cluster`, every fifth
    one uses it.
    """
    rng = np.random.default_rng(seed)
    context = make_context(rng)
    steps = _make_steps(rng, wide)
    dtype = str(rng.choice(["float64", "float64", "float32"]))
    options = _make_options(rng, folder / str(seed), processes or wide)
    if wide:
        if rng.random() < 0.3:
            context = _put_into_file(context, folder / f"{seed}_raw.fif")
        if rng.random() < 0.25:
            options["memory_budget"] = str(rng.choice(["1 GB", "700 MB", "600 MB"]))
        if dtype == "float64" and rng.random() < 0.2:
            options = {"mode": "lazy", "windows": int(rng.integers(1, 7)), "cache": "300 kB"}
    if cluster and seed % 5 == 0 and options["mode"] not in ("lazy", "serial"):
        options["backend"] = "dask"
    return Case(seed, context, steps, dtype, options)


def _put_into_file(context: ProcessingContext, path: Path) -> ProcessingContext:
    """Return the recording as one that is read from a file."""
    context.get_raw().save(path, fmt="double", verbose="error")
    raw = mne.io.read_raw(path, preload=False, verbose="error")
    return ProcessingContext(raw).with_metadata(context.metadata)


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
    return ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=length)


def _make_steps(rng: np.random.Generator, wide: bool) -> list[Any]:
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
    if wide:
        picked = [str(name) for name in rng.choice(["E1", "E2", "E3", "E4"], 2, False)]
        choices += [
            lambda: [GradientCorrection(max_courses=2)],
            lambda: [FARMCorrection(subsample=bool(rng.random() < 0.5))],
            lambda: [CorrespondingSliceCorrection(slices_per_volume=4)],
            lambda: [OBSCorrection(n_components=2)],
            lambda: [OnlineAASCorrection(window_size=5)],
            lambda: [AASCorrection(window_size=6, weighting="sliding")],
            lambda: [AASCorrection(window_size=6), HighPassFilter(3.0), ANCCorrection()],
            lambda: [BandPassFilter(2.0, 45.0, method="iir", phase="forward")],
            lambda: [CommonReference("average", reference=picked)],
            lambda: [CommonReference(groups=[["E1", "E2"], ["E3", "E4"]])],
            lambda: [LowPassFilter(50.0, picks=picked)],
            lambda: [DropChannels(picked[:1])],
            lambda: [PickChannels([*picked, "STI", "E4"])],
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


def compare(case: Case) -> tuple[str, bool]:
    """Return how the run differs from the serial one (empty: it does not), and if that one ends."""
    common = {"dtype": case.dtype, "show_progress": False}
    serial = Pipeline(case.steps).run(case.context, mode="serial", **common)
    if case.options["mode"] == "lazy":
        return _compare_windows(case, serial), serial.success
    try:
        other = Pipeline(case.steps).run(case.context, **common, **case.options)
    except PlanError as error:
        if "memory_budget" in str(error):  # this process alone is larger
            return "", False
        raise
    if serial.success and other.success:
        return "; ".join(_differences(serial.get_context(), other.get_context())), True
    kinds = [getattr(r.error, "cause_type", type(r.error).__name__) for r in (serial, other)]
    said = f"serial: {serial.error or 'done'}; other: {other.error or 'done'}"
    return "" if kinds[0] == kinds[1] else said, serial.success


def _compare_windows(case: Case, serial: Any) -> str:
    """Return how windows of a lazy recording differ from the serial run."""
    try:
        lazy = Pipeline(case.steps).lazy(case.context, cache=case.options["cache"])
        return _read_windows(case, lazy, serial)
    except FacetError as error:
        return "" if not serial.success else f"serial: done; lazy: {error}"


def _read_windows(case: Case, lazy: Any, serial: Any) -> str:
    rng = np.random.default_rng(case.seed)
    if not serial.success:
        lazy.get_data()
        return f"serial: {serial.error}; lazy: done"
    raw = serial.get_raw()
    if (lazy.ch_names, lazy.n_times) != (raw.ch_names, raw.n_times):
        return f"{len(lazy.ch_names)} x {lazy.n_times} and {len(raw.ch_names)} x {raw.n_times}"
    for _ in range(case.options["windows"]):
        start, stop = sorted(rng.choice(raw.n_times + 1, 2, replace=False).tolist())
        picks = rng.permutation(len(raw.ch_names))[: rng.integers(1, len(raw.ch_names))].tolist()
        given, wanted = (r.get_data(picks, start=start, stop=stop) for r in (lazy, raw))
        if not np.array_equal(given, wanted):
            return f"window {start}-{stop} of {picks} by {np.abs(given - wanted).max():.2g} V"
    return ""


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
