"""Small pictures of steps: the response of a filter, the markers, or the artifact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import mne
import numpy as np

from facet_nb.core import ProcessingContext, Processor
from facet_nb.core.errors import FacetError
from facet_nb.preprocessing import TriggerDetector
from facet_nb.preprocessing.filtering import Filter

#: Most artifacts in a mean, most markers in a picture, and the floor of a response, in dB.
_EPOCHS, _MARKERS, _FLOOR_DB = 30, 16, -60.0
#: Length of the test signal of a filter, in s: it resolves 0.1 Hz.
_IMPULSE_S = 10.0


@dataclass(frozen=True, eq=False)
class StepPicture:
    """A small picture of a step.

    Attributes
    ----------
    kind : {"response", "markers", "artifact"}
        What it shows: gain in dB over the logarithm of the frequency, 1 at the times of markers, or
        the mean artifact of a channel, in V.
    x, y : ndarray, shape (n_points,)
        The curve; `x` is from 0 to 1.
    text : str
        What it shows, in a sentence.
    """

    kind: str
    x: np.ndarray
    y: np.ndarray
    text: str


def find_picture(
    processor: Processor, recording: ProcessingContext, preview: ProcessingContext | None
) -> StepPicture | None:
    """Return the picture of a step; None for a step that has none.

    Parameters
    ----------
    processor : Processor
        The step.
    recording : ProcessingContext
        The recording before the chain.
    preview : ProcessingContext | None
        The same after the chain, with its markers; without it only filters have a picture.
    """
    if isinstance(processor, Filter):
        return _find_response(processor, recording.get_sfreq())
    triggers = None if preview is None else preview.get_triggers()
    if triggers is None or len(triggers) < 3:
        return None
    if isinstance(processor, TriggerDetector):
        times = triggers[:_MARKERS] / recording.get_sfreq()
        period = float(np.median(np.diff(times)))
        text = f"{len(triggers)} markers, every {period:.3g} s"
        x = (times - times[0]) / max(times[-1] - times[0], 1e-9)
        return StepPicture("markers", x, np.ones(len(x)), text)
    subtracts = processor.requires_triggers and getattr(processor, "subtracts", False)
    return _find_artifact(recording, triggers) if subtracts else None


def _find_response(processor: Filter, sfreq: float) -> StepPicture | None:
    """Return the gain of a filter, measured on an impulse."""
    parameters = tuple((k, repr(v)) for k, v in processor.get_parameters().items())
    return _try_impulse(_Key((type(processor), parameters, sfreq), processor), sfreq)


class _Key:
    """A processor that is equal to those with the same parameters."""

    def __init__(self, values: tuple[object, ...], processor: Filter) -> None:
        self.values, self.processor = values, processor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)


@lru_cache(maxsize=32)
def _try_impulse(key: _Key, sfreq: float) -> StepPicture | None:
    n = round(_IMPULSE_S * sfreq) | 1
    impulse = np.zeros((1, n))
    impulse[0, n // 2] = 1.0
    raw = mne.io.RawArray(impulse, mne.create_info(1, sfreq, "eeg"), verbose="error")
    try:
        data = key.processor.execute(ProcessingContext(raw)).get_data()
    except FacetError:  # e.g. an edge above the Nyquist frequency; the card gives the reason
        return None
    gain = np.abs(np.fft.rfft(data[0]))[1:]
    freqs = np.fft.rfftfreq(n, 1 / sfreq)[1:]
    shown = np.geomspace(freqs[0], freqs[-1], 120)
    db = 20 * np.log10(np.maximum(np.interp(shown, freqs, gain), 1e-9))
    x = np.linspace(0, 1, len(shown))
    return StepPicture("response", x, np.maximum(db, _FLOOR_DB), _describe_band(freqs, gain))


def _describe_band(freqs: np.ndarray, gain: np.ndarray) -> str:
    """Return the edges at which a gain falls to half, in words."""
    passes = gain > 0.5
    if passes.all() or not passes.any():
        return "passes all" if passes.all() else "passes nothing"
    turns = freqs[np.flatnonzero(np.diff(passes))]
    edges = " and ".join(f"{f:.3g} Hz" for f in turns[:2])
    return f"half the amplitude at {edges}" + (" …" if len(turns) > 2 else "")


#: The last picture of each recording, and the markers it is from. A file with interleaved channels
#: is read in full for one channel, and cards are drawn again whenever a parameter changes.
_artifacts: WeakKeyDictionary[ProcessingContext, tuple[bytes, StepPicture | None]] = (
    WeakKeyDictionary()
)


def _find_artifact(recording: ProcessingContext, triggers: np.ndarray) -> StepPicture | None:
    """Return the mean of the first artifacts of a channel."""
    known = _artifacts.get(recording)
    if known is None or known[0] != triggers.tobytes():
        picture = _average_artifact(recording.get_raw(), triggers)
        known = _artifacts[recording] = triggers.tobytes(), picture
    return known[1]


def _average_artifact(raw: mne.io.BaseRaw, triggers: np.ndarray) -> StepPicture | None:
    picks = mne.pick_types(raw.info, eeg=True)
    length = int(np.median(np.diff(triggers)))
    starts = [int(t) for t in triggers[:_EPOCHS] if t + length <= raw.n_times]
    if not len(picks) or length < 2 or not starts:
        return None
    x = raw.get_data(picks[:1], start=starts[0], stop=starts[-1] + length, verbose="error")[0]
    mean = np.mean([x[s - starts[0] : s - starts[0] + length] for s in starts], axis=0)
    size_mv = 1e3 * float(np.ptp(mean))
    name = raw.ch_names[picks[0]]
    text = f"mean of {len(starts)} artifacts in {name}: {size_mv:.3g} mV from peak to peak"
    return StepPicture("artifact", np.linspace(0, 1, length), mean - mean.mean(), text)
