"""Loading a recording from a file."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.planning.memory_forecast import RunInput
from facet_nb.core.processor import Processor
from facet_nb.core.recording import Shape
from facet_nb.core.registry import register_processor
from facet_nb.io.messages import shorten, suggest, unusable
from facet_nb.io.sources import find_source, load_samples, open_recording


@register_processor
class Loader(Processor):
    """Load a recording: EDF, BDF, GDF, BrainVision, EEGLAB ``.set`` or FIF, by suffix.

    A file that is damaged, truncated, or misses one of its parts is refused: half a recording
    never passes for a short one. (A BrainVision header need not tell how long the recording is, and
    pybv's do not: without ``DataPoints`` it must reach to its last marker.)

    The new context begins a new history. What a caller had put into a context without a recording
    (triggers, ``metadata.custom``, earlier steps) is kept, for it tells of the recording to come;
    of a context that held another recording only ``metadata.custom`` is kept, without its metrics.

    Parameters
    ----------
    path : path
        The file; for BrainVision the ``.vhdr`` (or the ``.eeg`` or ``.vmrk`` beside it).
    bad_channels : sequence of str | None
        Channels to add to ``raw.info["bads"]``.
    preload : bool
        Whether to read the samples now. Without, a step that needs them reads the file again.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).
    upsampling_factor : int
        Sampling rate of the file over that of the recorder.
    start_sample, stop_sample : int | None
        First sample, and the one after the last, counted from the start of the file. Annotations
        outside go.

    Raises
    ------
    ValidationError
        If the file, a channel's name or a sample cannot be used; names the file and the remedy.
    """

    name = "auto_loader"
    description = "Load a recording from a file"
    parallel_safe = False
    accepts_lazy = True

    def __init__(
        self,
        path: str | Path,
        bad_channels: Sequence[str] | None = None,
        preload: bool = True,
        artifact_to_trigger_offset: float = 0.0,
        upsampling_factor: int = 1,
        start_sample: int | None = None,
        stop_sample: int | None = None,
    ) -> None:
        self.path = path
        self.bad_channels = bad_channels
        self.preload = preload
        self.artifact_to_trigger_offset = artifact_to_trigger_offset
        self.upsampling_factor = upsampling_factor
        self.start_sample = start_sample
        self.stop_sample = stop_sample

    def process(self, context: ProcessingContext) -> ProcessingContext:
        if _whole("upsampling_factor", self.upsampling_factor) < 1:
            raise ValidationError(f"upsampling_factor={self.upsampling_factor}: give 1 or more.")
        source, kind = find_source(self.path)
        raw = open_recording(source, preload=bool(self.preload) and kind.at_once)
        _add_bads(raw, self.bad_channels, source)
        _crop(raw, self.start_sample, self.stop_sample, source)
        if self.preload:
            load_samples(raw, source)
        return self._begin(raw, context)

    def forecast(self) -> RunInput:
        """Return the recording that will be loaded, as its header tells."""
        source, kind = find_source(self.path)
        raw = open_recording(source, preload=False, verbose="error")
        _crop(raw, self.start_sample, self.stop_sample, source)
        data = raw.filenames[0]
        must_load = kind.at_once and (data is None or Path(data).suffix.lower() != ".fdt")
        return RunInput(Shape.of(raw), lazy=not (self.preload or must_load), must_load=must_load)

    def left_in_file(self) -> Loader:
        """Return the step that leaves samples in the file."""
        options = {**self.get_parameters(), "preload": False}
        return type(self)(**options)

    def _begin(self, raw: Any, context: ProcessingContext) -> ProcessingContext:
        metadata = context.metadata
        if context.has_raw():
            custom = {k: v for k, v in metadata.copy().custom.items() if k != "metrics"}
            metadata = ProcessingMetadata(custom=custom)
        new = ProcessingContext(
            raw,
            metadata=metadata.updated(
                artifact_to_trigger_offset=float(self.artifact_to_trigger_offset),
                upsampling_factor=int(self.upsampling_factor),
            ),
        )
        for step in [] if context.has_raw() else context.get_history():
            new.add_history_entry(step.name, step.processor_type, step.parameters)
        return new


def _add_bads(raw: Any, names: Sequence[str] | None, source: Path) -> None:
    bads = [names] if isinstance(names, str) else list(names or ())
    unknown = [name for name in bads if name not in raw.ch_names]
    if unknown:
        near = {other for name in unknown for other in suggest(str(name), raw.ch_names)}
        remedy = f"Did you mean {', '.join(sorted(near))}" if near else "Leave it out"
        raise unusable(
            source,
            f"bad_channels: it has no channel {shorten(map(str, unknown))} among its "
            f"{len(raw.ch_names)} ({shorten(raw.ch_names)})",
            remedy,
        )
    raw.info["bads"] = list(dict.fromkeys([*raw.info["bads"], *bads]))


def _crop(raw: Any, start: int | None, stop: int | None, source: Path) -> None:
    if start is None and stop is None:
        return
    first = _whole("start_sample", 0 if start is None else start)
    last = _whole("stop_sample", raw.n_times if stop is None else stop)
    if not 0 <= first < last <= raw.n_times:
        what = f"start_sample={start}, stop_sample={stop} is no part of its {raw.n_times} samples"
        raise unusable(source, what, f"Use 0 ≤ start_sample < stop_sample ≤ {raw.n_times}")
    raw.crop(raw.times[first], raw.times[last - 1], verbose="error")


def _whole(label: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ValidationError(f"{label}={value!r}: give a whole number.") from error


def load(path: str | Path, **options: Any) -> ProcessingContext:
    """Load a recording.

    Parameters
    ----------
    path : path
        The file.
    **options
        As for :class:`Loader`: ``bad_channels``, ``preload``, ….

    Returns
    -------
    ProcessingContext
        The recording, with no other step in its history.

    Raises
    ------
    ValidationError
        If the file cannot be used.
    """
    return Loader(path, **options).execute(ProcessingContext())
