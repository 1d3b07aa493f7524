"""A recording that is corrected while it arrives: blocks of samples in, corrected blocks out."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import is_recording
from facet_nb.core.errors import PlanError, ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Processor, View
from facet_nb.core.recording import channel_kinds, find_rows, kind_of
from facet_nb.core.samples import not_finite

if TYPE_CHECKING:
    import mne

#: Interval at which the size of a growing file is checked, in s.
_LOOK_S = 0.2

#: Samples of a block, shape (n_channels, n), in V, and its events: position and text.
Arrival = tuple[np.ndarray, Sequence[tuple[int, str]]]


@dataclass(frozen=True)
class LiveBlock:
    """Corrected samples.

    Attributes
    ----------
    start : int
        Position of the first sample, from the start of the recording.
    data : ndarray, shape (n_channels, n)
        The samples, in V; all channels of the recording.
    triggers : ndarray of int, shape (n_triggers,)
        Triggers within them, from the start of the recording.
    """

    start: int
    data: np.ndarray
    triggers: np.ndarray


class LiveStream:
    """Corrected blocks of a source; see :meth:`facet_nb.Pipeline.stream`.

    It is an iterator and an asynchronous iterator. A source is read once.

    Attributes
    ----------
    info : mne.Info
        Header of the recording.
    latency_s : float
        Longest time from a sample to its block, in s, without the time of computing: the length of
        a block, as the steps need no later samples. None where the source chooses its blocks.
    """

    def __init__(self, processors: Sequence[Processor], source: Any, block_s: float) -> None:
        if not block_s > 0:
            raise ValidationError(f"block_s={block_s!r}: use a length above 0, in s.")
        self._detector, steps = _divide(processors)
        self._source = _open(source, block_s)
        self.info: mne.Info = self._source.info
        self.latency_s = None if self._source is source else block_s
        self._kinds = channel_kinds(self.info)
        self._steps = [(step.live(view), rows) for step, view, rows in self._divide(steps)]
        self._blocks = self._correct()

    def _divide(
        self, steps: Sequence[ArrayProcessor]
    ) -> Iterator[tuple[ArrayProcessor, View, np.ndarray]]:
        """Yield each step with its view, and the rows that it works on."""
        names = tuple(self.info["ch_names"])
        types = tuple(map(kind_of, names, self.info.get_channel_types()))
        good = [i for i, kind in enumerate(self._kinds) if kind == "data"]
        for step in steps:
            rows = find_rows(step, self.info, good)
            picks = good if rows is None else sorted(rows)
            # A stream has no length and no triggers yet: a step must not ask for them here.
            view = View(
                float(self.info["sfreq"]),
                1,
                ProcessingMetadata(),
                tuple(names[i] for i in picks),
                ch_types=tuple(types[i] for i in picks),
                info=self.info,
            )
            yield step, view, np.array(picks, dtype=int)

    def __iter__(self) -> Iterator[LiveBlock]:
        return self

    def __next__(self) -> LiveBlock:
        return next(self._blocks)

    async def __aiter__(self) -> AsyncIterator[LiveBlock]:
        # On a thread, as the steps would hold up the event loop, and so would waiting for a file.
        # None marks the end: StopIteration cannot pass through a future.
        while (block := await asyncio.to_thread(next, self._blocks, None)) is not None:
            yield block

    def _correct(self) -> Iterator[LiveBlock]:
        start = 0
        for samples, events in self._source:
            data = self._check(samples, events, start)
            # astype for blocks without events: an empty array is one of floats.
            triggers = np.unique([at for at, text in events if self._matches(text)]).astype(int)
            for step, rows in self._steps:
                x = data[rows]
                out = np.empty_like(x)
                step.push(x, triggers, out)
                data[rows] = out
            yield LiveBlock(start, data, triggers)
            start += data.shape[1]

    def _check(self, samples: Any, events: Sequence[tuple[int, str]], start: int) -> np.ndarray:
        """Return a copy of a block; raise an error if it cannot be used."""
        # A copy, because the steps write their results into it: the source may hand over a part of
        # a buffer that it fills again.
        data = np.array(samples, dtype=float)
        if data.ndim != 2 or len(data) != len(self._kinds):
            raise ValidationError(
                f"a block has shape {data.shape}; it must be ({len(self._kinds)}, n), in V."
            )
        for row, name, kind in zip(data, self.info["ch_names"], self._kinds, strict=True):
            # Only what steps change: the other channels leave a block as they came.
            if kind == "data" and not np.isfinite(row).all():
                raise not_finite(row, name)
        stop = start + data.shape[1]
        # The block of a late event was handed over with the artifact in it: nobody would know if
        # the event were left out without a word.
        if outside := [at for at, _ in events if not start <= at < stop]:
            raise ValidationError(
                f"events at {outside} came with the samples from {start} to {stop - 1}: count from "
                "the first sample of all, and hand over an event with the block in which it is "
                "(hold samples back until their events are known)."
            )
        return data

    def _matches(self, text: str) -> bool:
        return self._detector is not None and self._detector.matches(text)


def why_not_live(processor: Processor) -> str | None:
    """Return why a step cannot be part of a stream; None if it can."""
    # The detector belongs to a floor above and cannot be imported here.
    if hasattr(processor, "matches"):
        return None
    if not isinstance(processor, ArrayProcessor):
        return "takes whole recordings"
    return processor.why_not_live()


def _divide(processors: Sequence[Processor]) -> tuple[Any, list[ArrayProcessor]]:
    """Return the detector of triggers, if any, and the steps that change samples.

    Raises
    ------
    PlanError
        If a step cannot be part of a stream; the message names each one.
    """
    refused = [f"{p.name} {why}" for p in processors if (why := why_not_live(p)) is not None]
    if refused:
        raise PlanError(
            f"these steps cannot stream: {'; '.join(refused)}. Steps that can: TriggerDetector, "
            "OnlineAASCorrection, CommonReference, and filters with method='iir', phase='forward'. "
            "For recordings that are complete, use run or lazy."
        )
    detectors = [p for p in processors if hasattr(p, "matches")]
    if len(detectors) > 1:
        raise PlanError("a stream has one TriggerDetector; remove the others.")
    steps = [p for p in processors if isinstance(p, ArrayProcessor)]
    return (detectors[0] if detectors else None), steps


def _open(source: Any, block_s: float) -> Any:
    if isinstance(source, str | Path):
        return GrowingFile(source, block_s)
    if is_recording(source):
        return Player(source, block_s)
    if isinstance(source, Iterable) and hasattr(source, "info"):
        return source
    raise ValidationError(
        "a stream needs an mne Raw, the path of a file, or an iterable of (samples, events) with "
        f"an attribute info, not {type(source).__name__}."
    )


class Player:
    """A recording as a source: its blocks one after another, as fast as they are taken.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    block_s : float
        Length of a block, in s.
    """

    def __init__(self, raw: mne.io.BaseRaw, block_s: float) -> None:
        self.raw, self.info = raw, raw.info
        self.size = max(1, round(block_s * raw.info["sfreq"]))

    def __iter__(self) -> Iterator[Arrival]:
        events = read_events(self.raw)
        for start in range(0, self.raw.n_times, self.size):
            stop = min(start + self.size, self.raw.n_times)
            yield self.raw.get_data(start=start, stop=stop), _within(events, start, stop)


class GrowingFile:
    """A file that is still written (BrainVision) as a source.

    Parameters
    ----------
    path : path
        The file.
    block_s : float
        Length of a block, in s.
    idle_s : float
        Time without new samples after which the recording is taken to have ended, in s.
    """

    def __init__(self, path: str | Path, block_s: float, idle_s: float = 5.0) -> None:
        self.path, self.idle_s = Path(path), idle_s
        self.info = self._open().info
        self.size = max(1, round(block_s * self.info["sfreq"]))

    def __iter__(self) -> Iterator[Arrival]:
        start, length, grown = 0, 0, time.monotonic()
        while True:
            # MNE reads length and markers when it opens a file, and never again.
            raw = self._open()
            # Not only with each block, which may be longer than the pause that ends a recording.
            if raw.n_times > length:
                length, grown = raw.n_times, time.monotonic()
            ended = time.monotonic() - grown > self.idle_s
            events = read_events(raw)
            # At its end whatever is left is a block: nothing of the file may be lost.
            while raw.n_times - start >= (1 if ended else self.size):
                stop = min(start + self.size, raw.n_times)
                yield raw.get_data(start=start, stop=stop), _within(events, start, stop)
                # Behind the yield: the time that the caller took for the block is no pause of the
                # recorder.
                start, grown = stop, time.monotonic()
            if ended:
                return
            time.sleep(_LOOK_S)

    def _open(self) -> mne.io.BaseRaw:
        import mne

        return mne.io.read_raw(self.path, preload=False, verbose="error")


def read_events(raw: mne.io.BaseRaw) -> list[tuple[int, str]]:
    """Return position, from the first sample of the data, and text of each event, in order."""
    marks = raw.annotations
    at = np.rint(marks.onset * raw.info["sfreq"]).astype(int) - raw.first_samp
    return sorted(zip(at.tolist(), map(str, marks.description), strict=True))


def _within(events: list[tuple[int, str]], start: int, stop: int) -> list[tuple[int, str]]:
    """Return the events of a block; they are in order."""
    # (start,) comes before every (start, text).
    return events[bisect_left(events, (start,)) : bisect_left(events, (stop,))]
