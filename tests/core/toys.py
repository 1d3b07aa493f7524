"""Small processors and recordings for tests of the engine; workers import them from here."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import mne
import numpy as np

from facet_nb.core import ArrayProcessor, Prepared, ProcessingContext, Processor
from facet_nb.core.errors import FacetError

NAMES = ["E1", "E2", "STI", "E3", "E4", "EOG1", "ECG1", "temp"]
TYPES = ["eeg", "eeg", "stim", "eeg", "eeg", "eog", "ecg", "misc"]
#: Channels that steps work on; E3 is bad, STI and temp hold no data.
GOOD = ["E1", "E2", "E4", "EOG1", "ECG1"]

#: Every way to run that the engine has.
RUNS = [
    {"mode": "serial"},
    {"mode": "serial", "n_workers": 2, "batch_size": 2},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "batch_size": 3, "n_workers": 2},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2},
    {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2, "batch_size": 2},
    {"mode": "parallel", "backend": "serial", "n_jobs": 2},
    {"mode": "parallel", "backend": "threading", "n_jobs": 3},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
    {"mode": "auto"},
]
#: One of each kind of place where batches run.
PLACES = [
    {"mode": "serial"},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
]


def ids(options: dict) -> str:
    """Name of a way to run, for test reports."""
    return "-".join(str(v) for v in options.values())


def list_folders() -> set[Path]:
    """Scratch folders of this process that are there now."""
    return set(Path(tempfile.gettempdir()).glob(f"facet_nb-*-{os.getpid()}-*"))


def ask(call):
    """Return the error of a call, without the channel that a run names; or nothing."""
    try:
        error = getattr(call(), "error", None)
    except FacetError as told:
        error = told
    return "" if error is None else re.sub(r" on channel [^:]*:", ":", str(error))


def make_raw(
    n_times: int = 3000, sfreq: float = 500.0, first_samp: int = 1234, seed: int = 0
) -> mne.io.RawArray:
    """Four EEG channels (one bad), stim in their midst, EOG, ECG, misc, annotations."""
    data = 1e-5 * np.random.default_rng(seed).standard_normal((len(NAMES), n_times))
    data[2] = 0.0
    data[2, 100::500] = 5.0
    info = mne.create_info(NAMES, sfreq, TYPES)
    info["bads"] = ["E3"]
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    raw.set_annotations(mne.Annotations([0.5, 2.0], [0.1, 0.0], ["one", "two"]))
    return raw


def make_context(**kwargs) -> ProcessingContext:
    """A context of :func:`make_raw` with triggers."""
    raw = make_raw(**kwargs)
    triggers = np.arange(100, raw.n_times - 100, 200)
    return ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=200)


def wide_context(n_channels: int = 8, n_times: int = 400) -> ProcessingContext:
    """A context of `n_channels` EEG channels."""
    data = 1e-5 * np.random.default_rng(1).standard_normal((n_channels, n_times))
    info = mne.create_info(n_channels, 200.0, "eeg")
    return ProcessingContext(mne.io.RawArray(data, info, verbose="error"))


# ------------------------------------------------------------------------- anyone's processors
class ChannelWise(Processor):
    """Base of the toys that see one channel at a time."""

    requires_raw = True
    channel_wise = True

    def change(self, x: np.ndarray, context: ProcessingContext) -> np.ndarray:
        """Return the new samples."""
        return x

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw().copy()
        raw._data = self.change(raw._data, context)
        return context.with_raw(raw)


class ZScore(ChannelWise):
    """Not linear, nobody's correction."""

    def change(self, x, context):
        return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


class Scaled(ChannelWise):
    """Multiplies by a factor."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def change(self, x, context):
        return self.factor * x


class Unsafe(Scaled):
    """May not leave its process."""

    parallel_safe = False


class Raising(ChannelWise):
    """Raises on one channel."""

    def __init__(self, channel: str = "E4", kind: str = "value") -> None:
        self.channel = channel
        self.kind = kind

    def change(self, x, context):
        if self.channel in context.get_channel_names():
            raise {"value": ValueError("no such thing"), "two": Awkward(3, "apples")}[self.kind]
        return x


class Awkward(Exception):
    """An exception that cannot be unpickled from its message."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{number} {what}")


class Exiting(ChannelWise):
    """Ends the interpreter, politely or not, on one channel."""

    def __init__(self, channel: str = "E4", hard: bool = False, marker: str | None = None) -> None:
        self.channel = channel
        self.hard = hard
        self.marker = marker

    def change(self, x, context):
        if self.channel in context.get_channel_names():
            if self.marker is not None:
                if Path(self.marker).exists():
                    return 2.0 * x
                Path(self.marker).touch()
            os._exit(3) if self.hard else sys.exit("enough")
        return 2.0 * x


class InPlace(ChannelWise):
    """Writes into the samples it was given."""

    def process(self, context):
        context.get_raw()._data *= 2.0
        return context


class Unpicklable(Scaled):
    """Holds something that cannot be sent."""

    def __init__(self) -> None:
        self.factor = 2.0
        self.lock = threading.Lock()


class Returning(ChannelWise):
    """Returns something else than it should."""

    def __init__(self, what: str = "none") -> None:
        self.what = what

    def process(self, context):
        raw = context.get_raw()
        if self.what == "none":
            return None
        if self.what == "raw":
            return raw.copy()
        if self.what == "two channels":
            twice = np.concatenate([raw.get_data(), raw.get_data()])
            info = mne.create_info(2, raw.info["sfreq"], "eeg")
            return context.with_raw(mne.io.RawArray(twice, info, verbose="error"))
        if self.what == "shorter":
            return context.with_raw(raw.copy().crop(0, 1.0))
        n = raw.n_times - (5 if raw.ch_names == ["E4"] else 0)
        return context.with_raw(raw.copy().crop(0, (n - 1) / raw.info["sfreq"]))


class Found(ChannelWise):
    """Looks at the reference channel once and tells all what it found."""

    run_once = True

    def process(self, context):
        metadata = context.metadata.copy()
        metadata.custom["found"] = context.get_channel_names()
        raw = context.get_raw().copy()
        raw._data = raw._data * 0.0  # samples of a step that runs once are not used
        return context.with_raw(raw).with_metadata(metadata)


class Reporting(ChannelWise):
    """A correction of anyone's: it says itself what it took away."""

    def __init__(self, part: float = 0.25) -> None:
        self.part = part

    def process(self, context):
        raw = context.get_raw().copy()
        noise = self.part * raw.get_data()
        raw._data = raw._data - noise
        new = context.with_raw(raw)
        new.accumulate_noise(noise)
        return new


class Assigning(Processor):
    """Puts other samples into the recording it was given (the way of GPU libraries)."""

    requires_raw = True
    parallel_safe = False

    def __init__(self, give: str = "with_raw") -> None:
        self.give = give

    def process(self, context):
        raw = context.get_raw()
        raw._data = 3.0 * raw._data
        return context.with_raw(raw) if self.give == "with_raw" else context


class Sleeping(ChannelWise):
    """Takes its time, and notes that it began and ended."""

    def __init__(self, seconds: float = 0.1, folder: str | None = None) -> None:
        self.seconds = seconds
        self.folder = folder

    def change(self, x, context):
        self._note(context, "began")
        time.sleep(self.seconds)
        self._note(context, "ended")
        return x

    def _note(self, context, what):
        if self.folder is not None:
            Path(self.folder, f"{context.get_channel_names()[0]}-{what}-{os.getpid()}").touch()


# ---------------------------------------------------------------------------------- array steps
class Halved(ArrayProcessor):
    """Linear."""

    linear = True

    def compute(self, x, prepared, out=None):
        return np.multiply(x, 0.5, out=out)


class Decimated(ArrayProcessor):
    """Linear, and changes the rate."""

    linear = True

    def prepare(self, view):
        n = -(-view.n_times // 2)
        triggers = view.metadata.triggers
        changes = {} if triggers is None else {"triggers": triggers // 2}
        return Prepared(sfreq=view.sfreq / 2, n_times=n, metadata=changes)

    def compute(self, x, prepared, out=None):
        if out is None:
            return np.array(x[:, ::2])
        out[...] = x[:, ::2]
        return out

    def compute_other(self, x, kind, prepared):
        return x[:, ::2]


class Demeaned(ArrayProcessor):
    """A correction: what it takes away is noise."""

    subtracts = True

    def compute(self, x, prepared, out=None):
        return np.subtract(x, x.mean(axis=1, keepdims=True) + 1e-6, out=out)


class Squared(ArrayProcessor):
    """Neither linear nor a correction."""

    def compute(self, x, prepared, out=None):
        return np.multiply(x, np.abs(x), out=out)


class Referred(ArrayProcessor):
    """Adds the largest sample of its reference channel."""

    needs = "reference"

    def __init__(self, ref_channel: str | None = None) -> None:
        self.ref_channel = ref_channel

    def prepare(self, view):
        return Prepared(float(view.reference.max()), notes={"ref_channel": view.reference_name})

    def compute(self, x, prepared, out=None):
        return np.add(x, prepared.payload, out=out)


class Summed(ArrayProcessor):
    """Adds the mean of all channels, which its decision has seen."""

    needs = "all"

    def prepare(self, view):
        return Prepared(view.data.mean(axis=0))

    def compute(self, x, prepared, out=None):
        return np.add(x, prepared.payload, out=out)


class Spread(ArrayProcessor):
    """Needs all channels at once: not channel-wise."""

    channel_wise = False
    parallel_safe = False
    splits = "times"
    types = ("eeg",)

    def compute(self, x, prepared, out=None):
        return np.subtract(x, x.mean(axis=0), out=out)


class Cancelling(ArrayProcessor):
    """Takes a part of the estimated noise away."""

    subtracts = True
    uses_noise = True

    def compute(self, x, prepared, out=None, noise=None):
        return np.subtract(x, 0.1 * noise, out=out)


class Overwriting(ArrayProcessor):
    """Writes into its input, which it must not."""

    def compute(self, x, prepared, out=None):
        x *= 2.0
        return x


class Picked(Halved):
    """Works on some channels only."""

    def __init__(self, picks=None, exclude_channels=None) -> None:
        self.picks = picks
        self.exclude_channels = exclude_channels


def chain() -> list:
    """Steps of every kind, in an order that moves noise, rate and triggers."""
    return [
        Halved(),
        Referred("E2"),
        Demeaned(),
        Found(),
        Decimated(),
        Referred(),
        Cancelling(),
        Spread(),
        ZScore(),
        Summed(),
        Picked(["E1", "EOG1"]),
        Demeaned(),
        Halved(),
    ]
