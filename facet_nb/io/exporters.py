"""Exporters: steps that write a recording to a file.

A file appears under its name only when it is complete and has been read back: same channels, rate
and annotations, and samples within half a quantisation step. For EDF, BDF and BrainVision a
checksum of all bytes, and the samples that determine the scale, prove this for all samples; for
FIF and EEGLAB checksums of the numbers that MNE and eeglabio were given. An interrupted export
leaves the previous file, or none.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import take_arguments
from facet_nb.core.planning.plan import Plan
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.recording import Header
from facet_nb.core.registry import get_processor, register_processor
from facet_nb.io import writers
from facet_nb.io.atomic_write import check_name, check_target
from facet_nb.io.identity import remove_identity, tell_identity
from facet_nb.io.provenance import Note, choose_sidecar, collect
from facet_nb.io.writers import (
    Writer,
    check_export,
    check_not_original,
    resolve_target,
    write_recording,
)

if TYPE_CHECKING:
    import mne


class ExportStep(Processor):
    """Base class of steps that write a recording and return the context unchanged."""

    requires_raw = True
    modifies_raw = False
    parallel_safe = False

    #: The run that the export is a step of.
    _plan: Plan | None = None

    def in_run(self, plan: Plan) -> Self:
        """Return a copy of this step that knows the plan of its run."""
        new = copy.copy(self)
        new._plan = plan
        return new


class _FileExporter(ExportStep):
    """Base class of exporters that write a file in one format."""

    accepts_lazy = True
    output_only = True
    writer: ClassVar[Writer | None] = None

    def __init__(
        self,
        path: str | Path,
        overwrite: bool = True,
        *,
        replace_input: bool = False,
        provenance: bool = True,
        anonymize: bool = False,
    ) -> None:
        self.path = path
        self.overwrite = overwrite
        self.replace_input = replace_input
        self.provenance = provenance
        self.anonymize = anonymize

    def check_early(self, context: ProcessingContext | None, earlier: Sequence[Processor]) -> None:
        """Check suffix, target and, as far as it cannot change, the header."""
        writer = self._choose()
        target = resolve_target(self.path, writer)
        check_target(target, self.overwrite, [target.with_suffix(p) for p in writer.parts])
        if self.provenance:
            check_name(choose_sidecar(target))
        loaders = [step for step in earlier if hasattr(step, "forecast")]
        raws = [] if context is None else [context._raw, context.get_raw_original()]
        paths = [step.path for step in loaders if hasattr(step, "path")]
        check_not_original(target, writer, [] if loaders else raws, paths, self.replace_input)
        raw = None if context is None or loaders else _find_header(context._raw, earlier)
        if raw is not None:
            writer.check(raw, target)

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        self._check(context)

    def process(self, context: ProcessingContext) -> ProcessingContext:
        target, writer = self._check(context)
        raw = context.get_raw()
        tells = writer.keeps_identity and not self.anonymize
        found = tell_identity(raw) if tells else ()
        if self.anonymize:
            raw = remove_identity(raw)
        note = self._write_note(context, raw, target, writer) if self.provenance else None
        write_recording(raw, target, writer, note)
        return context.with_findings(found) if found else context

    def _write_note(
        self, context: ProcessingContext, raw: mne.io.BaseRaw, target: Path, writer: Writer
    ) -> Note:
        made = collect(context, raw, target, writer.label, self._plan, self.anonymize)
        return Note.of(made, choose_sidecar(target))

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes.

        It is that of the blocks that are written, read and compared, or of the verdict before.
        """
        if not self.accepts_lazy:
            return 12 * shape[0] * shape[1]
        verdict: Any = get_processor("quality_calculator")
        blocks = 8 * min(8 * shape[0] * shape[1], 4 << 20)
        return max(blocks, int(verdict().memory(shape, sfreq)))

    def _choose(self) -> Writer:
        return self.writer or writers.find_writer(Path(self.path))

    def _check(self, context: ProcessingContext) -> tuple[Path, Writer]:
        writer = self._choose()
        target = resolve_target(self.path, writer)
        raw = context.get_raw()
        originals = (raw, context.get_raw_original())
        check_export(raw, target, writer, self.overwrite, originals, self.replace_input)
        return target, writer


def _find_header(raw: mne.io.BaseRaw | None, steps: Sequence[Processor]) -> mne.io.BaseRaw | None:
    """Return a recording with the header of `raw` after some steps; None if it is not known."""
    if raw is None:
        return None
    before = extent = (int(raw.n_times), float(raw.info["sfreq"]))
    for step in steps:
        if isinstance(step, ArrayProcessor):
            try:
                after = step.resize(*extent)
            except Exception:  # an argument of the step is wrong: it will say so itself
                return None
            if abs(after[0] / after[1] - extent[0] / extent[1]) > 2.0 / min(after[1], extent[1]):
                return None  # annotations may be cropped away
            extent = after
        elif step.modifies_raw or not type(step).__module__.startswith("facet_nb."):
            return None
    if extent == before:
        return raw
    samples = np.broadcast_to(0.0, (len(raw.ch_names), extent[0]))
    first = round(raw.first_samp * extent[1] / before[1])
    return Header.of(raw).attach(samples, sfreq=extent[1], first_samp=first)


@register_processor
@fill_doc
class EDFExporter(_FileExporter):
    """Write an EDF+ file: 16 bits per sample, with a separate range for each channel.

    EDF does not keep bad channels, channel types or ``first_samp`` (the file begins at the first
    sample, at its time of day); the log lists what is lost. Records last whole seconds: the last
    one is padded with the last sample, and the padding is annotated ``BAD_ACQ_SKIP``. Annotations
    keep their times. Without a date the file begins on 1985-01-01, as EDF+ prescribes.

    Parameters
    ----------
    path : path
        The file, ending in ``.edf``; missing folders are created.
    %(export_options)s

    Raises
    ------
    ValidationError
        If EDF cannot hold the recording: NaN, channel names over 16 characters or not ASCII, line
        breaks in annotations, a sampling rate without a whole number of samples in up to 10 s, a
        year before 1985.
    %(export_fails)s
    """

    name = "edf_exporter"
    description = "Write an EDF file"
    writer = writers.EDF


@register_processor
@fill_doc
class BDFExporter(_FileExporter):
    """Write a BDF+ file: as :class:`EDFExporter`, with 24 bits per sample.

    Parameters
    ----------
    path : path
        The file, ending in ``.bdf``; missing folders are created.
    %(export_options)s

    Raises
    ------
    ValidationError
        If BDF cannot hold the recording, for the reasons that hold for EDF.
    %(export_fails)s
    """

    name = "bdf_exporter"
    description = "Write a BDF file"
    writer = writers.BDF


@register_processor
@fill_doc
class BrainVisionExporter(_FileExporter):
    """Write a BrainVision recording: ``.vhdr``, ``.vmrk`` and ``.eeg`` with float32 samples.

    BrainVision does not keep bad channels, channel types or ``first_samp``; the log lists what is
    lost. Annotations begin at whole samples and end with the recording.
    ``Stimulus/S  1`` and ``Response/R128`` become markers of that type and number. All others
    become comments, which MNE reads with the prefix ``Comment/``: ``QRS`` as ``Comment/QRS``,
    ``SyncStatus/Sync On`` as ``Comment/SyncStatus/Sync On``. The log names them.

    Parameters
    ----------
    path : path
        The file, ending in ``.vhdr`` (or ``.eeg``, ``.vmrk``); missing folders are created.
    %(export_options)s

    Raises
    ------
    ValidationError
        If BrainVision cannot hold the recording: line breaks in annotations, channel names that do
        not fit in the header, infinite samples.
    %(export_fails)s
    """

    name = "brainvision_exporter"
    description = "Write a BrainVision recording"
    writer = writers.BRAINVISION


@register_processor
@fill_doc
class FIFExporter(_FileExporter):
    """Write a FIF file, which keeps everything: bad channels, channel types, positions, dates.

    Parameters
    ----------
    path : path
        The file, ending in ``.fif``; missing folders are created. Above 2 GB it is split.
    %(export_options)s
    fmt : {"single", "double"}
        Samples as float32 (relative rounding error 1e-7) or float64 (exact).

    Raises
    ------
    %(export_fails)s
    """

    name = "fif_exporter"
    description = "Write a FIF file"

    def __init__(
        self,
        path: str | Path,
        overwrite: bool = True,
        fmt: str = "single",
        *,
        replace_input: bool = False,
        provenance: bool = True,
        anonymize: bool = False,
    ) -> None:
        super().__init__(**take_arguments(_FileExporter, locals()))
        self.fmt = fmt

    def _choose(self) -> Writer:
        if self.fmt not in ("single", "double"):
            raise ValidationError(f"fmt={self.fmt!r}: use 'single' or 'double'.")
        return writers.fif(self.fmt)


@register_processor
@fill_doc
class EEGLABExporter(_FileExporter):
    """Write an EEGLAB ``.set`` file with float32 samples, through eeglabio.

    Requires ``pip install facet-nb[eeglab]``. EEGLAB does not keep bad channels, dates or channel
    types in a form that MNE reads; the log lists what is lost. Positions and annotations are kept.

    The export copies the samples in memory and needs about 1.5 times the size of the recording.

    Parameters
    ----------
    path : path
        The file, ending in ``.set``; missing folders are created.
    %(export_options)s

    Raises
    ------
    ValidationError
        If eeglabio is not installed, or the samples exceed the 2 GB that the format holds.
    %(export_fails)s
    """

    name = "eeglab_exporter"
    description = "Write an EEGLAB file"
    accepts_lazy = False
    writer = writers.EEGLAB


@register_processor
@fill_doc
class Exporter(_FileExporter):
    """Write a file in the format of its suffix: ``.edf``, ``.bdf``, ``.vhdr``, ``.fif``, ``.set``.

    Parameters
    ----------
    path : path
        The file; missing folders are created.
    %(export_options)s

    Raises
    ------
    ValidationError
        If no writer exists for the suffix, or the format cannot hold the recording.
    %(export_fails)s
    """

    loads_scipy_signal = False
    name = "exporter"
    description = "Write a file in the format of its suffix"

    @property
    def accepts_lazy(self) -> bool:  # type: ignore[override]
        """Whether the format is written block by block."""
        return Path(self.path).suffix.lower() != writers.EEGLAB.suffix


def export(context: ProcessingContext, path: str | Path, **options: Any) -> ProcessingContext:
    """Write the recording of `context` to a file.

    Parameters
    ----------
    context : ProcessingContext
        The context to export.
    path : path
        The file; its suffix determines the format.
    **options
        Further arguments of :class:`Exporter`: ``overwrite``, ``replace_input``, ``provenance``,
        ``anonymize``.

    Returns
    -------
    ProcessingContext
        The context, with the export in its history.

    Raises
    ------
    FacetError
        If it cannot be written.
    """
    if not isinstance(context, ProcessingContext):
        raise ValidationError(
            f"export() takes a ProcessingContext, not {type(context).__name__}: write "
            "export(ProcessingContext(raw), path)."
        )
    return Exporter(path, **options).execute(context)
