"""The formats that can be written, and the steps of an export: check, write, verify, rename."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.storage.originals import find_same, list_files
from facet_nb.io.atomic_write import check_target, stage
from facet_nb.io.formats import edf_limits
from facet_nb.io.formats.brainvision import check_brainvision_header, write_brainvision
from facet_nb.io.formats.edf import write_edf
from facet_nb.io.formats.eeglab import check_eeglab, write_eeglab
from facet_nb.io.formats.fif import check_fif_header, write_fif
from facet_nb.io.markers import iter_markers
from facet_nb.io.messages import name_other_format, shorten, unusable, unwritable
from facet_nb.io.provenance import Note, list_sidecars_of
from facet_nb.io.verify import Written, compare

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

#: Quantisation steps above this, in V, are reported: they are visible in an evoked potential.
_COARSE_V = 0.5e-6


@dataclass(frozen=True)
class Writer:
    """A format that can be written.

    Attributes
    ----------
    label : str
        Name in messages.
    suffix : str
        Suffix of the header file.
    check : callable
        ``check(raw, path)`` raises ValidationError if the header does not fit the format.
    write : callable
        ``write(raw, file, path, note)`` writes `file`, whose final name is `path`, with its
        provenance (or None) as far as there is room; returns Written.
    sample_bytes : int
        Bytes per sample.
    parts : tuple of str
        Suffixes of the further files.
    keeps_all : bool
        Whether bad channels and channel types are kept.
    keeps_identity : bool
        Whether entries about a person are kept.
    """

    label: str
    suffix: str
    check: Callable[[Any, Path], None]
    write: Callable[[Any, Path, Path, Note | None], Written]
    sample_bytes: int
    parts: tuple[str, ...] = ()
    keeps_all: bool = False
    keeps_identity: bool = False


def _edf(depth: edf_limits.Depth) -> Writer:
    return Writer(
        depth.label,
        f".{depth.label.lower()}",
        partial(edf_limits.check_edf_header, depth=depth),
        partial(write_edf, depth=depth),
        depth.n_bytes,
        keeps_identity=True,
    )


def fif(fmt: str = "single") -> Writer:
    """Return the writer of FIF files; `fmt` is ``"single"`` or ``"double"``."""
    size = {"single": 4, "double": 8}[fmt]
    return Writer(
        "FIF",
        ".fif",
        check_fif_header,
        lambda raw, file, path, note: write_fif(raw, file, fmt, note),
        size,
        keeps_all=True,
        keeps_identity=True,
    )


EDF, BDF, FIF = _edf(edf_limits.EDF), _edf(edf_limits.BDF), fif()
BRAINVISION = Writer(
    "BrainVision",
    ".vhdr",
    check_brainvision_header,
    write_brainvision,
    4,
    parts=(".eeg", ".vmrk"),
)
EEGLAB = Writer("EEGLAB", ".set", check_eeglab, write_eeglab, 4)
WRITERS = (EDF, BDF, BRAINVISION, FIF, EEGLAB)


def find_writer(path: Path) -> Writer:
    """Return the writer for the suffix of `path`.

    Raises
    ------
    ValidationError
        If there is none.
    """
    suffix = path.suffix.lower()
    for writer in WRITERS:
        if suffix in (writer.suffix, *writer.parts):
            return writer
    known = ", ".join(writer.suffix for writer in WRITERS)
    what = f"the suffix {suffix}" if suffix else "a name without suffix"
    raise unusable(path, f"{what} cannot be written ({known})", "Use .edf or .fif instead")


def resolve_target(path: str | Path, writer: Writer) -> Path:
    """Return the path of the header file.

    Raises
    ------
    ValidationError
        If the suffix belongs to another format.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() in (writer.suffix, *writer.parts):
        return (
            target if target.suffix.lower() == writer.suffix else target.with_suffix(writer.suffix)
        )
    raise unusable(
        target,
        f"a {writer.label} file must end in {writer.suffix}",
        f"Name it {target.with_suffix(writer.suffix).name if target.name else 'so'}, or use "
        "Exporter(path), which chooses by suffix",
    )


def check_export(
    raw: mne.io.BaseRaw,
    path: Path,
    writer: Writer,
    overwrite: bool,
    originals: tuple[Any, ...] = (),
    replace_input: bool = False,
) -> None:
    """Check the target and the header before writing, without touching a file.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    path : Path
        The file to write.
    writer : Writer
        The format.
    overwrite : bool
        Whether existing files may be replaced.
    originals : tuple of mne.io.BaseRaw
        Recordings whose files must not be replaced.
    replace_input : bool
        Whether their files may be replaced, once their samples are in memory.

    Raises
    ------
    FacetError
        If the file cannot be written.
    """
    check_target(path, overwrite, [path.with_suffix(part) for part in writer.parts])
    check_not_original(path, writer, originals, replace_input=replace_input)
    writer.check(raw, path)


def write_recording(
    raw: mne.io.BaseRaw, path: Path, writer: Writer, note: Note | None = None
) -> None:
    """Write `raw` to a temporary file, read it back, and rename it to `path`.

    Its provenance `note` appears with it; if that is None, the one of an earlier file is removed.

    Raises
    ------
    FacetError
        If it cannot be written, or reading it back gives other data.
    """
    n_bytes = writer.sample_bytes * len(raw.ch_names) * raw.n_times
    with stage(path, n_bytes, list_sidecars_of(path)) as folder:
        file = folder / path.name
        try:
            written = writer.write(raw, file, path, note)
        except FacetError:
            raise
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            what = f"{writer.label} cannot hold it ({type(error).__name__}: {error})"
            raise unwritable(path, what, name_other_format(path)) from error
        back = compare(raw, file, written, path)
        if not writer.keeps_all:
            _log_losses(raw, back, written, path, writer)
        if note is not None:
            (folder / note.sidecar.name).write_bytes(note.content)


def check_not_original(
    path: Path,
    writer: Writer,
    raws: Sequence[Any],
    paths: Sequence[Any] = (),
    replace_input: bool = False,
) -> None:
    """Check that an export replaces no file that the recording was read from.

    Parameters
    ----------
    path : Path
        The file to write.
    writer : Writer
        The format.
    raws : sequence of mne.io.BaseRaw or None
        The recording, now and before any processing.
    paths : sequence of path
        Further files that belong to the input.
    replace_input : bool
        Whether they may be replaced, once their samples are in memory.

    Raises
    ------
    ValidationError
        If it does.
    """
    made = [path, *(path.with_suffix(part) for part in writer.parts)]
    lazy = [raw for raw in raws if raw is not None and not raw.preload]
    read = list_files(lazy)
    originals = read if replace_input else list_files(raws, paths)
    for file in made:
        if find_same(file, read) is not None:
            raise unusable(
                path,
                "the recording is still being read from this file",
                "Give another name",
            )
        same = find_same(file, originals)
        if same is not None:
            raise unusable(
                path,
                f"the export would replace {same}, a file of the input",
                "Give another name, or replace_input=True if the input may be lost",
            )


def _log_losses(
    raw: mne.io.BaseRaw, back: mne.io.BaseRaw, written: Written, path: Path, writer: Writer
) -> None:
    """Log what the format does not keep."""
    kinds = zip(raw.ch_names, raw.get_channel_types(), back.get_channel_types(), strict=True)
    types = [f"{name} ({was}, read as {now})" for name, was, now in kinds if was != now]
    losses = []
    if raw.info["bads"]:
        losses.append(f"which channels are bad: {shorten(raw.info['bads'])}")
    if types:
        losses.append(f"channel types: {shorten(types)}")
    renamed = _list_renamed(raw, written)
    if renamed:
        losses.append(f"descriptions of annotations: {shorten(renamed)}")
    if losses:
        text = "; ".join(losses)
        logger.warning("%s: %s does not keep %s. .fif does.", path, writer.label, text)
    if written.step_v is not None:
        _log_coarse_steps(raw, written.step_v, path, writer)


def _list_renamed(raw: mne.io.BaseRaw, written: Written) -> list[str]:
    """Return each description that will read differently, with the new text."""
    pairs = zip(iter_markers(raw), written.markers, strict=False)  # EDF: one more, for padding
    changes = dict.fromkeys((was.description, now.description) for was, now in pairs)
    return [f"{was!r} (read as {now!r})" for was, now in changes if was != now]


def _log_coarse_steps(raw: mne.io.BaseRaw, step_v: np.ndarray, path: Path, writer: Writer) -> None:
    volts = [
        (step, name)
        for step, name, kind in zip(step_v, raw.ch_names, raw.get_channel_types(), strict=True)
        if kind == "eeg" and step > _COARSE_V
    ]
    if volts:
        step, name = max(volts)
        logger.warning(
            "%s: %s stores %d of %d channels in steps above %.1f µV (%s: %.2g µV) because of their "
            "wide range. .bdf, .vhdr and .fif are finer.",
            path,
            writer.label,
            len(volts),
            len(step_v),
            _COARSE_V * 1e6,
            name,
            step * 1e6,
        )
