"""Streams of Lab Streaming Layer as sources of ``Pipeline.stream``, with MNE-LSL."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import ValidationError, check_extra
from facet_nb.io.units import read_volts

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

#: Interval at which inlets are asked for samples, in s.
_LOOK_S = 0.01


class LslSource:
    """A recording that arrives over Lab Streaming Layer [1]_, with its markers.

    Use it as ``pipeline.stream(LslSource("actiCHamp"))``. It needs the extra ``lsl`` (MNE-LSL).

    Parameters
    ----------
    name : str | None
        Name of the stream of samples. None for the only one that has a sampling rate.
    markers : str | None
        Name of the stream of markers: texts, or, as MNE-LSL's player sends them, one channel for
        each text. None for the only one without a sampling rate, if there is one.
    block_s : float
        Length of a block, in s.
    delay_s : float
        Time for which samples wait for the markers within them, in s. It adds to the latency.
    idle_s : float
        Time without samples after which the recording is taken to have ended, in s.
    timeout_s : float
        Time for which streams are searched for, in s.

    Attributes
    ----------
    info : mne.Info
        Header of the recording.

    Raises
    ------
    MissingExtraError
        If MNE-LSL is not installed.
    ValidationError
        If a stream is not found, or there are several.

    References
    ----------
    .. [1] Kothe et al. (2025), Imaging Neuroscience, doi:10.1162/IMAG.a.136.
    """

    info: mne.Info

    def __init__(
        self,
        name: str | None = None,
        markers: str | None = None,
        *,
        block_s: float = 0.5,
        delay_s: float = 0.1,
        idle_s: float = 5.0,
        timeout_s: float = 2.0,
    ) -> None:
        check_extra("lsl", "mne_lsl")
        from mne_lsl.lsl import resolve_streams

        found = resolve_streams(timeout=timeout_s)
        regular = [s for s in found if s.sfreq > 0 and name in (None, s.name)]
        irregular = [s for s in found if s.sfreq == 0 and markers in (None, s.name)]
        chosen = _choose(regular, name, "samples", [s.name for s in found])
        assert chosen is not None
        self._samples = _open(chosen)
        beside = _choose(irregular, markers, "markers", [s.name for s in found])
        self._markers = None if beside is None else _open(beside)
        header = self._samples.get_sinfo()
        self.info = header.get_channel_info()
        self._texts = None if self._markers is None else _list_texts(self._markers.get_sinfo())
        units = header.get_channel_units() or ["0"] * len(self.info["ch_names"])
        self._volts = np.array([_read_unit(unit) for unit in units])[:, np.newaxis]
        self.block_s, self.delay_s, self.idle_s = block_s, delay_s, idle_s

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[tuple[int, str]]]]:
        sfreq = float(self.info["sfreq"])
        size, delay = max(1, round(self.block_s * sfreq)), round(self.delay_s * sfreq)
        x, times = np.zeros((len(self._volts), 0)), np.zeros(0)
        waiting: list[tuple[float, str]] = []
        start, arrived = 0, time.monotonic()
        while True:
            new, at = self._samples.pull_chunk(timeout=0.0)
            if len(at):
                arrived = time.monotonic()
                x = np.concatenate([x, self._volts * np.asarray(new, dtype=float).T], axis=1)
                times = np.concatenate([times, at + self._samples.time_correction()])
            waiting += self._pull_markers()
            ended = time.monotonic() - arrived > self.idle_s
            while len(times) >= (1 if ended else size + delay):
                n = min(size, len(times))
                yield x[:, :n], self._take(waiting, times[:n], start, sfreq)
                x, times, start = x[:, n:], times[n:], start + n
            if ended:
                self.close()
                return
            time.sleep(_LOOK_S)

    def close(self) -> None:
        """Close the streams."""
        for inlet in (self._samples, self._markers):
            if inlet is not None:
                inlet.close_stream()

    def _pull_markers(self) -> list[tuple[float, str]]:
        """Return time and text of new markers."""
        if self._markers is None:
            return []
        values, at = self._markers.pull_chunk(timeout=0.0)
        at = np.asarray(at) + (self._markers.time_correction() if len(at) else 0.0)
        if self._texts is None:
            return [(t, str(row[0])) for t, row in zip(at.tolist(), values, strict=True)]
        return [
            (t, text)
            for t, row in zip(at.tolist(), values, strict=True)
            for text, value in zip(self._texts, row, strict=True)
            if value != 0
        ]

    def _take(
        self, waiting: list[tuple[float, str]], times: np.ndarray, start: int, sfreq: float
    ) -> list[tuple[int, str]]:
        """Take the markers within samples of these times; positions count from the first of all."""
        end = times[-1] + 0.5 / sfreq
        events = []
        for at, text in [marker for marker in waiting if marker[0] < end]:
            place = int(np.searchsorted(times, at - 0.5 / sfreq))
            if at < times[0] - 0.5 / sfreq:
                if start:  # not those of before the connection
                    logger.warning(
                        "the marker %r came %.3f s too late and is left out: use a longer delay_s.",
                        text,
                        times[-1] - at,
                    )
            else:
                events.append((start + place, text))
            waiting.remove((at, text))
        return sorted(events)


def _choose(found: list[Any], name: str | None, what: str, known: list[str]) -> Any:
    """Return the only stream; None if there is no stream of markers, and none was asked for."""
    if len(found) == 1:
        return found[0]
    if not found and name is None and what == "markers":
        return None
    raise ValidationError(
        f"{len(found) or 'no'} streams of {what}"
        f"{'' if name is None else f' with the name {name!r}'}; there are "
        f"{', '.join(known) or 'no streams at all'}. Name one, or start it, or use a longer "
        "timeout_s."
    )


def _open(stream: Any) -> Any:
    from mne_lsl.lsl import StreamInlet

    inlet = StreamInlet(stream)
    inlet.open_stream(timeout=10.0)
    return inlet


def _list_texts(header: Any) -> list[str] | None:
    """Return the text of each channel of a stream of markers; None if they are texts themselves."""
    if header.dtype == "string" or header.dtype is str:
        return None
    return list(header.get_channel_names() or [str(i) for i in range(header.n_channels)])


def _read_unit(text: str) -> float:
    """Return the volts in a unit of a stream: a word, or a power of ten, as MNE-LSL sends it."""
    try:
        return float(10.0 ** int(text))
    except ValueError:
        volts = read_volts(text)
        return 1.0 if volts is None else volts
