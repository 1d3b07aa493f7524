"""Recordings in a BIDS folder, through mne-bids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.io.blocks import iter_blocks
from facet_nb.io.loader import Loader
from facet_nb.io.messages import unusable, unwritable
from facet_nb.io.sources import find_source, load_samples

#: What BIDS holds as EEG, by MNE's names: mne-bids knows no others for this modality.
_DATATYPE = "eeg"


def load_mne_bids() -> Any:
    """Return mne-bids.

    Raises
    ------
    ValidationError
        If it is not installed.
    """
    try:
        import mne_bids
    except ImportError as error:
        raise ValidationError(
            "BIDS folders need mne-bids: pip install 'facet-nb[bids]'. A single file of such a "
            "folder can be read with Loader(path)."
        ) from error
    return mne_bids


class _InBIDS(Processor):
    """Where in a BIDS folder a recording is."""

    bids_root: str | Path
    subject: str
    task: str
    session: str | None
    run: str | int | None
    processing: str | None

    def _place(self) -> Any:
        """Return mne-bids' path of the recording."""
        try:
            return load_mne_bids().BIDSPath(
                root=Path(self.bids_root).expanduser(),
                subject=self.subject,
                task=self.task,
                session=self.session,
                run=self.run,
                processing=self.processing,
                datatype=_DATATYPE,
            )
        except (ValueError, TypeError) as error:
            raise ValidationError(
                f"BIDS: {error} (subject={self.subject!r}, task={self.task!r}, "
                f"session={self.session!r}, run={self.run!r}): use letters and numbers only."
            ) from error


@register_processor
class BIDSLoader(_InBIDS):
    """Load a recording from a BIDS folder, through mne-bids.

    It needs ``pip install facet-nb[bids]``. Channel types, bad channels and events come from the
    tables beside the recording. Everything else is as with ``Loader``.

    Parameters
    ----------
    bids_root : path
        The folder that holds ``dataset_description.json``.
    subject, task : str
        Their labels, without ``sub-`` and ``task-``.
    session, run, processing : str | None
        Their labels, if there are any.
    preload : bool
        Whether to read the samples now.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).

    Raises
    ------
    ValidationError
        If mne-bids is not installed, or there is no such recording.
    """

    name = "bids_loader"
    description = "Load a recording from a BIDS folder"
    parallel_safe = False

    def __init__(
        self,
        bids_root: str | Path,
        subject: str,
        task: str,
        session: str | None = None,
        run: str | int | None = None,
        processing: str | None = None,
        preload: bool = True,
        artifact_to_trigger_offset: float = 0.0,
    ) -> None:
        self.bids_root = bids_root
        self.subject = subject
        self.task = task
        self.session = session
        self.run = run
        self.processing = processing
        self.preload = preload
        self.artifact_to_trigger_offset = artifact_to_trigger_offset

    def process(self, context: ProcessingContext) -> ProcessingContext:
        place = self._place()
        try:
            source, kind = find_source(place.fpath)
            kind.check(source)
            raw = load_mne_bids().read_raw_bids(place, verbose="error")
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise unusable(
                Path(str(place.root)), f"{place.basename}: {error}", "Check subject, task and run"
            ) from error
        if self.preload:
            load_samples(raw, source)
        offset_s = self.artifact_to_trigger_offset
        loader = Loader(source, artifact_to_trigger_offset=offset_s)
        return loader._begin(raw, context)


@register_processor
class BIDSExporter(_InBIDS):
    """Write the recording into a BIDS folder, as BrainVision files, through mne-bids.

    It needs ``pip install facet-nb[bids]``. Tables of channels, events and participants are made or
    brought up to date by mne-bids; what was written is read back and its samples compared.

    Parameters
    ----------
    bids_root : path
        The folder; made if it is missing.
    subject, task : str
        Their labels, without ``sub-`` and ``task-``.
    session, run : str | None
        Their labels.
    processing : str | None
        Label of what was done (``proc-``), such as ``facet``.
    overwrite : bool
        Whether the recording may exist already.

    Raises
    ------
    ValidationError
        If mne-bids is not installed, a label cannot be used, or the recording exists.
    FacetError
        If it cannot be written, or is not read back as it was.
    """

    name = "bids_exporter"
    description = "Write the recording into a BIDS folder"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False

    def __init__(
        self,
        bids_root: str | Path,
        subject: str,
        task: str,
        session: str | None = None,
        run: str | int | None = None,
        processing: str | None = None,
        overwrite: bool = True,
    ) -> None:
        self.bids_root = bids_root
        self.subject = subject
        self.task = task
        self.session = session
        self.run = run
        self.processing = processing
        self.overwrite = overwrite

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        self._place()

    def process(self, context: ProcessingContext) -> ProcessingContext:
        mne_bids = load_mne_bids()
        place = self._place()
        raw = context.get_raw()
        try:
            mne_bids.write_raw_bids(
                raw,
                place,
                format="BrainVision",
                allow_preload=True,
                overwrite=self.overwrite,
                verbose="error",
            )
            back = mne_bids.read_raw_bids(place, verbose="error")
        except FileExistsError as error:
            raise unusable(
                Path(str(place.root)), str(error), "Give another run, or overwrite=True"
            ) from error
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            what = f"{place.basename}: {error}"
            raise unwritable(Path(str(place.root)), what, "Write .fif instead") from error
        _check_same(raw, back, Path(str(place.root)))
        return context


def _check_same(raw: Any, back: Any, root: Path) -> None:
    """Raise FacetError if the samples are not read back as they were."""
    if list(back.ch_names) != list(raw.ch_names) or back.n_times != raw.n_times:
        raise FacetError(f"{root}: channels or length are read back otherwise than they were.")
    for (_, wanted), (_, found) in zip(iter_blocks(raw), iter_blocks(back), strict=True):
        if not np.allclose(found, wanted, rtol=1e-6, atol=1e-12, equal_nan=True):
            raise FacetError(f"{root}: samples are read back otherwise than they were.")
