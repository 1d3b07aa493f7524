"""Load a recording from a file."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.parameters import check_offset
from facet_nb.core.planning.memory_forecast import RunInput
from facet_nb.core.processor import Processor
from facet_nb.core.recording import Shape
from facet_nb.core.registry import register_processor
from facet_nb.core.storage.originals import list_files
from facet_nb.io.identity import remove_identity, tell_identity
from facet_nb.io.messages import shorten, suggest, unusable
from facet_nb.io.saturation import tell_saturated
from facet_nb.io.sources import find_source, load_samples, open_recording
from facet_nb.io.units import tell_units

if TYPE_CHECKING:
    import mne


@register_processor
class Loader(Processor):
    """Load a recording: EDF, BDF, GDF, BrainVision, EEGLAB ``.set`` or FIF, by suffix.

    A file that is damaged, truncated or lacks one of its parts is an error, so that half a
    recording is never mistaken for a short one. (BrainVision headers need not state the length of
    the recording, and those of pybv do not. Without ``DataPoints`` the samples must reach the last
    marker.)

    The new context starts a new history. If the given context has no recording yet, its triggers,
    ``metadata.custom`` and history are kept, since they describe the recording to be loaded. If it
    holds another recording, only ``metadata.custom`` is kept, without the metrics.

    Parameters
    ----------
    path : path
        The file; for BrainVision the ``.vhdr`` (or the ``.eeg`` or ``.vmrk`` beside it).
    bad_channels : sequence of str | None
        Channels to add to ``raw.info["bads"]``.
    preload : bool
        Whether to read the samples now. Otherwise each step that needs them reads the file.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).
    upsampling_factor : int
        Ratio of the sampling rate of the file to that of the recorder.
    start_sample, stop_sample : int | None
        First sample to load, and the one after the last, counted from the start of the file.
        Annotations outside are dropped.
    anonymize : bool
        Whether to remove what the header says about a person, as ``mne.io.Raw.anonymize`` does:
        names and codes are replaced, and the recording begins on 2000-01-01. Otherwise it is kept,
        and a finding tells which entries there are.

    Raises
    ------
    ValidationError
        If the file, a channel name or a sample range cannot be used.
    """

    loads_scipy_signal = False
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
        anonymize: bool = False,
    ) -> None:
        self.path = path
        self.bad_channels = bad_channels
        self.preload = preload
        self.artifact_to_trigger_offset = artifact_to_trigger_offset
        self.upsampling_factor = upsampling_factor
        self.start_sample = start_sample
        self.stop_sample = stop_sample
        self.anonymize = anonymize

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if _whole("upsampling_factor", self.upsampling_factor) < 1:
            raise ValidationError(f"upsampling_factor={self.upsampling_factor}: give 1 or more.")
        check_offset(self.artifact_to_trigger_offset)
        start, stop = self.start_sample, self.stop_sample
        first = _whole("start_sample", 0 if start is None else start)
        if first < 0 or (stop is not None and _whole("stop_sample", stop) <= first):
            what = f"start_sample={start}, stop_sample={stop} is no part of a file"
            raise unusable(Path(self.path), what, "Use 0 ≤ start_sample < stop_sample")

    def process(self, context: ProcessingContext) -> ProcessingContext:
        self.check_parameters(float("inf"))
        source, kind = find_source(self.path)
        raw = open_recording(source, preload=bool(self.preload) and kind.at_once)
        _add_bads(raw, self.bad_channels, source)
        _crop(raw, self.start_sample, self.stop_sample, source)
        if self.preload:
            load_samples(raw, source)
        found = tell_units(raw, source)
        if self.anonymize:
            raw = remove_identity(raw)
        else:
            found += tell_identity(raw)
        if raw.preload:
            found += tell_saturated(raw)
        return self._begin(raw, context).with_findings(found)

    def forecast(self) -> RunInput:
        """Return the size of the recording, from its header."""
        source, kind = find_source(self.path)
        raw = open_recording(source, preload=False, verbose="error")
        _crop(raw, self.start_sample, self.stop_sample, source)
        data = raw.filenames[0]
        must_load = kind.at_once and (data is None or Path(data).suffix.lower() != ".fdt")
        return RunInput(Shape.of(raw), lazy=not (self.preload or must_load), must_load=must_load)

    def left_in_file(self) -> Loader:
        """Return a copy of this step that leaves the samples in the file."""
        options = {**self.get_parameters(), "preload": False}
        return type(self)(**options)

    def list_files(self) -> list[Path]:
        """Return the files of the recording: header, samples, markers, further parts.

        Raises
        ------
        ValidationError
            If it cannot be read.
        """
        source, _ = find_source(self.path)
        return list_files([open_recording(source, verbose="error")], [source, self.path])

    def moved_to(self, folder: Path) -> Loader:
        """Return a copy of this step that reads the files of the same names in `folder`."""
        options = {**self.get_parameters(), "path": str(folder / Path(self.path).name)}
        return type(self)(**options)

    def _begin(self, raw: mne.io.BaseRaw, context: ProcessingContext) -> ProcessingContext:
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
        if not context.has_raw():
            new._history = context._history
        return new


def _add_bads(raw: mne.io.BaseRaw, names: Sequence[str] | None, source: Path) -> None:
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


def _crop(raw: mne.io.BaseRaw, start: int | None, stop: int | None, source: Path) -> None:
    if start is None and stop is None:
        return
    first = _whole("start_sample", 0 if start is None else start)
    last = _whole("stop_sample", raw.n_times if stop is None else stop)
    if not 0 <= first < last <= raw.n_times:
        what = f"start_sample={start}, stop_sample={stop} exceeds its {raw.n_times} samples"
        raise unusable(source, what, f"Use 0 ≤ start_sample < stop_sample ≤ {raw.n_times}")
    raw.crop(raw.times[first], raw.times[last - 1], verbose="error")


def _whole(label: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ValidationError(f"{label}={value!r}: give a whole number.") from error


def load(path: str | Path, **options: Any) -> ProcessingContext:
    """Load a recording with :class:`Loader`.

    Parameters
    ----------
    path : path
        The file.
    **options
        Further arguments of :class:`Loader`: ``bad_channels``, ``preload``, ….

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
