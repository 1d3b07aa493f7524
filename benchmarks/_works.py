"""The kinds of work that ``table.py`` compares: each function prepares one and returns it.

What the work returns, a dictionary or a function that makes one after the measurement, is noted.
Some need FACETpy, others facet_nb; what is imported is imported where it is needed.
"""

from __future__ import annotations

import gc
import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HIGHPASS_HZ, LOWPASS_HZ, WINDOW, FACTOR = 1.0, 70.0, 30, 10
MARK = r"\b1\b"


def read(path: str) -> Any:
    """Return the recording in memory."""
    import mne

    return mne.io.read_raw_fif(path, preload=True, verbose="error")


# ---------------------------------------------------------------------------------------- FACETpy
def _peer(path: str) -> tuple[Any, Any, Any, Any]:
    import facet.correction as correction
    import facet.preprocessing as preprocessing
    from facet.core import Pipeline, ProcessingContext
    from loguru import logger

    logger.remove()

    def run(steps: list, context: Any) -> Any:
        result = Pipeline(steps).run(initial_context=context, show_progress=False)
        if not result.success:
            raise RuntimeError(f"FACETpy failed: {result.error}")
        return result.context

    return preprocessing, correction, run, ProcessingContext(read(path))


def peer_chain(path: str) -> Callable[[], None]:
    """FACETpy's chain of seven steps, serial."""
    pre, cor, run, context = _peer(path)
    steps = [
        pre.TriggerDetector(MARK),
        pre.HighPassFilter(HIGHPASS_HZ),
        pre.UpSample(FACTOR),
        pre.TriggerAligner(),
        cor.AASCorrection(window_size=WINDOW),
        pre.DownSample(FACTOR),
        pre.LowPassFilter(LOWPASS_HZ),
    ]
    return lambda: run(steps, context) and None


def peer_step(path: str, step: str, factor: int = 1, **options: Any) -> Callable[[], None]:
    """One of FACETpy's corrections after averaging, at `factor` times the native rate."""
    pre, cor, run, context = _peer(path)
    before = [pre.TriggerDetector(MARK), cor.AASCorrection(window_size=WINDOW)]
    if factor > 1:
        before.insert(1, pre.UpSample(factor))
    corrected = run(before, context)
    return lambda: run([getattr(cor, step)(**options)], corrected) and None


def peer_qrs(path: str) -> Callable[[], dict]:
    """FACETpy's QRS detector."""
    pre, _, run, context = _peer(path)
    step = pre.QRSTriggerDetector()
    return lambda: {"n_found": len(run([step], context).get_triggers())}


# --------------------------------------------------------------------------------------- facet_nb
def _ours(chain: str) -> list:
    import facet_nb as fnb

    if chain == "tenfold":
        middle = [
            fnb.UpSample(FACTOR),
            fnb.TriggerAligner(),
            fnb.AASCorrection(WINDOW),
            fnb.DownSample(FACTOR),
        ]
    else:
        middle = [fnb.AASCorrection(WINDOW, subsample=True)]
    ends = fnb.HighPassFilter(HIGHPASS_HZ), fnb.LowPassFilter(LOWPASS_HZ)
    return [fnb.TriggerDetector(MARK), ends[0], *middle, ends[1]]


def our_chain(
    path: str, chain: str = "native", memory: bool = False, **options: Any
) -> Callable[[], dict]:
    """Our chain: `options` are those of ``Pipeline.run``.

    Answers with the time outside batches, in s; with `memory`, also with the peak memory above that
    before the run and the output's size, in MB: to look at that takes 0.1 s of CPU by itself.
    """
    import facet_nb as fnb

    context = fnb.ProcessingContext(read(path))
    pipeline = fnb.Pipeline(_ours(chain))
    known = inspect.signature(pipeline.run).parameters
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"Pipeline.run has no option {', '.join(unknown)}")
    options = {"mode": "channel_sequential", **options}

    def run() -> dict:
        before = reset_peak_mb() if memory else 0.0
        begin, spans = time.time(), []

        def note(event: Any) -> None:
            if getattr(event, "ended_s", 0.0):  # of a batch
                spans.append((event.began_s, event.ended_s))

        result = pipeline.run(
            context, show_progress=False, raise_on_error=True, on_event=note, **options
        )
        first, last = min(b for b, _ in spans), max(e for _, e in spans)
        alone_s = time.time() - begin - (last - first)
        if not memory:
            return {"alone_s": alone_s}
        output_mb = result.get_raw()._data.nbytes / 1e6
        return {"above_mb": read_mb("VmHWM:") - before - output_mb, "alone_s": alone_s}

    return run


def our_artifact(chain: str, n_channels: int = 4, duration_s: float = 60.0) -> Callable[[], dict]:
    """Residual artifact of a chain, in dB of its power, and the epochs that it averages.

    Meant for a process without compiled code: then all averaging asks one function which epochs
    are alike.
    """
    import subsample

    from facet_nb.datasets import simulate
    from facet_nb.kernels.templates import averaging

    still = simulate(n_channels, 5000.0, duration_s, motion=0.0, drift=0.0)
    middle = _ours(chain)[2:-1]
    chosen: list[list[int]] = []
    choose = averaging.choose_greedily

    def note(gram: np.ndarray, n_seed: int, threshold: float) -> np.ndarray:
        found = choose(gram, n_seed, threshold)
        chosen.append(found.tolist())
        return found

    averaging.choose_greedily = note

    def run() -> dict:
        chosen.clear()
        subsample.run(middle, still.context(), fuse=False)
        epochs = list(chosen)  # those of reference channels come first
        return {"left_db": subsample.measure_left_db(still, middle, fuse=False), "epochs": epochs}

    return run


def reset_peak_mb() -> float:
    """Reset the kernel's record of peak memory; return the current memory."""
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return read_mb("VmHWM:")


def read_mb(key: str) -> float:
    with open("/proc/self/status") as file:
        lines = [line for line in file if line.startswith(key)]
    return float(lines[0].split()[1]) * 1024 / 1e6


def our_step(path: str, step: str, **options: Any) -> Callable[[], None]:
    """One of our corrections after averaging, at the native rate."""
    import facet_nb as fnb

    before = [fnb.TriggerDetector(MARK), fnb.AASCorrection(WINDOW)]
    corrected = fnb.Pipeline(before)(fnb.ProcessingContext(read(path)))
    pipeline = fnb.Pipeline([getattr(fnb, step)(**options)])
    return lambda: pipeline(corrected) and None


def our_qrs(path: str) -> Callable[[], dict]:
    """Our QRS detector."""
    import facet_nb as fnb

    context = fnb.ProcessingContext(read(path))
    pipeline = fnb.Pipeline([fnb.QRSTriggerDetector()])
    return lambda: {"n_found": len(pipeline(context).get_triggers())}


# ----------------------------------------------- averaging alone, on a recording with known truth
def mne_gradient(path: str, n_slices: int) -> Callable[[], Callable]:
    """MNE's averaged artifact subtraction over whole volumes of `n_slices` markers."""
    from mne.preprocessing import remove_fmri_gradient_artifact

    raw, markers = read(path), _markers(path)
    volumes = markers[::n_slices]

    def run() -> Callable[[], dict]:
        done = remove_fmri_gradient_artifact(raw, volumes, window=(12, 12), tr_tol=2, verbose=40)
        return lambda: {"snr_db": _snr_db(path, done.get_data(), volumes[13], volumes[-14])}

    return run


def our_gradient(path: str, n_slices: int) -> Callable[[], Callable]:
    """Averaging over slices between samples, with facet_nb."""
    import facet_nb as fnb

    context, markers = fnb.ProcessingContext(read(path)), _markers(path)
    volumes = markers[::n_slices]
    steps = [fnb.TriggerDetector(MARK), fnb.AASCorrection(WINDOW, subsample=True)]
    pipeline = fnb.Pipeline(steps)

    def run() -> Callable[[], dict]:
        done = pipeline(context).get_raw().get_data()
        return lambda: {"snr_db": _snr_db(path, done, volumes[13], volumes[-14])}

    return run


def _markers(path: str) -> np.ndarray:
    raw = read(path)
    return raw.time_as_index(raw.annotations.onset, use_rounding=True)


def _snr_db(path: str, corrected: np.ndarray, start: int, stop: int) -> float:
    """Return the signal-to-noise ratio against the true EEG, median over channels."""
    from facet_nb.datasets.agreement import compare_snr_db

    with np.load(path.replace("_raw.fif", "_truth.npz")) as truth:
        clean, sfreq = truth["clean"] * 1e-6, float(truth["fs"])
    part = slice(start, stop)
    return float(np.median(compare_snr_db(corrected[:, part], clean[:, part], sfreq)))
