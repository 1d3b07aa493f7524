"""Read and write recordings in BIDS folders, through mne-bids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import FacetError, ValidationError, import_extra
from facet_nb.core.parameters import check_offset, take_arguments
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.io.blocks import iter_blocks
from facet_nb.io.exporters import ExportStep
from facet_nb.io.identity import remove_identity, tell_identity
from facet_nb.io.loader import Loader
from facet_nb.io.messages import unusable, unwritable
from facet_nb.io.provenance import collect
from facet_nb.io.sources import find_source, load_samples

if TYPE_CHECKING:
    import mne

#: The only data type of mne-bids for EEG with auxiliary channels.
_DATATYPE = "eeg"


def load_mne_bids() -> Any:
    """Import mne-bids and return it; raise if it is missing."""
    return import_extra(
        "mne_bids",
        "BIDS folders need mne-bids: pip install 'facet-nb[bids]'. A single file of such a "
        "folder can be read with Loader(path).",
    )


class _BIDSStep(Processor):
    """A step that reads or writes one recording of a BIDS folder."""

    parallel_safe = False

    def __init__(
        self,
        bids_root: str | Path,
        subject: str,
        task: str,
        session: str | None = None,
        run: str | int | None = None,
        processing: str | None = None,
    ) -> None:
        self.bids_root = bids_root
        self.subject = subject
        self.task = task
        self.session = session
        self.run = run
        self.processing = processing

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self._find_path()

    @property
    def _root(self) -> Path:
        return Path(self.bids_root).expanduser()

    def _find_path(self) -> Any:
        """Return the recording's ``mne_bids.BIDSPath``."""
        try:
            return load_mne_bids().BIDSPath(
                root=self._root,
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
class BIDSLoader(_BIDSStep):
    """Load a recording from a BIDS folder, through mne-bids.

    Requires ``pip install facet-nb[bids]``. Channel types, bad channels and events come from the
    tables beside the recording. Everything else is as in :class:`Loader`.

    Parameters
    ----------
    bids_root : path
        The folder that holds ``dataset_description.json``.
    subject, task : str
        Labels, without ``sub-`` and ``task-``.
    session, run, processing : str | None
        Labels, where the recording has them.
    preload : bool
        Whether to read the samples now.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).
    anonymize : bool
        As for :class:`Loader`; it removes what the tables say about the person as well.

    Raises
    ------
    ValidationError
        If mne-bids is not installed, or the recording does not exist.
    """

    name = "bids_loader"
    description = "Load a recording from a BIDS folder"

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
        anonymize: bool = False,
    ) -> None:
        super().__init__(**take_arguments(_BIDSStep, locals()))
        self.preload = preload
        self.artifact_to_trigger_offset = artifact_to_trigger_offset
        self.anonymize = anonymize

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        super().check_parameters(sfreq)
        check_offset(self.artifact_to_trigger_offset)

    def process(self, context: ProcessingContext) -> ProcessingContext:
        check_offset(self.artifact_to_trigger_offset)
        place = self._find_path()
        try:
            source, kind = find_source(place.fpath)
            kind.check(source)
            raw = load_mne_bids().read_raw_bids(place, verbose="error")
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            what = f"{place.basename}: {error}"
            raise unusable(self._root, what, "Check subject, task and run") from error
        if self.preload:
            load_samples(raw, source)
        found = () if self.anonymize else tell_identity(raw)
        raw = remove_identity(raw) if self.anonymize else raw
        offset_s = self.artifact_to_trigger_offset
        loader = Loader(source, artifact_to_trigger_offset=offset_s)
        return loader._begin(raw, context).with_findings(found)


@register_processor
@fill_doc
class BIDSExporter(_BIDSStep, ExportStep):
    """Write the recording into a BIDS folder, as BrainVision files, through mne-bids.

    Requires ``pip install facet-nb[bids]``. mne-bids creates or updates the tables of channels,
    events and participants. The recording is then read back and its samples are compared.

    Parameters
    ----------
    bids_root : path
        The folder; created if it is missing.
    subject, task : str
        Labels, without ``sub-`` and ``task-``.
    session, run : str | None
        Further labels.
    processing : str | None
        Label of the processing (``proc-``), such as ``facet``.
    overwrite : bool
        Whether to replace an existing recording.
    provenance : bool
        Whether to tell in the ``_eeg.json`` file beside the recording (entries ``GeneratedBy`` and
        ``facet_nb``) how it was made; see :func:`facet_nb.read_provenance`.
    anonymize : bool
        Whether to leave out what the header says about a person, as ``mne.io.Raw.anonymize`` does.

    Raises
    ------
    ValidationError
        If mne-bids is not installed, a label cannot be used, or the recording exists.
    %(export_fails)s
    """

    name = "bids_exporter"
    description = "Write the recording into a BIDS folder"

    def __init__(
        self,
        bids_root: str | Path,
        subject: str,
        task: str,
        session: str | None = None,
        run: str | int | None = None,
        processing: str | None = None,
        overwrite: bool = True,
        *,
        provenance: bool = True,
        anonymize: bool = False,
    ) -> None:
        super().__init__(**take_arguments(_BIDSStep, locals()))
        self.overwrite = overwrite
        self.provenance = provenance
        self.anonymize = anonymize

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        self._find_path()

    def process(self, context: ProcessingContext) -> ProcessingContext:
        mne_bids = load_mne_bids()
        place = self._find_path()
        raw = context.get_raw()
        found = () if self.anonymize else tell_identity(raw)
        if self.anonymize:  # of a recording in a file, mne-bids would copy the file itself
            raw = remove_identity(raw).load_data(verbose="error")
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
            if self.provenance:
                entries = self._describe(context, raw, Path(back.filenames[0]))
                sidecar = place.copy().update(suffix=_DATATYPE, extension=".json")
                mne_bids.update_sidecar_json(sidecar, entries, verbose="error")
        except FileExistsError as error:
            remedy = "Give another run, or overwrite=True"
            raise unusable(self._root, str(error), remedy) from error
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            what = f"{place.basename}: {error}"
            raise unwritable(self._root, what, "Write .fif instead") from error
        _check_same(raw, back, self._root)
        return context.with_findings(found)

    def _describe(
        self, context: ProcessingContext, raw: mne.io.BaseRaw, written: Path
    ) -> dict[str, Any]:
        target = written.with_suffix(".vhdr")
        made = collect(context, raw, target, "BrainVision", self._plan, self.anonymize)
        by = [{"Name": "facet_nb", "Version": made.facet_nb}]
        return {"GeneratedBy": by, "facet_nb": made.to_dict()}


def _check_same(raw: mne.io.BaseRaw, back: mne.io.BaseRaw, root: Path) -> None:
    """Raise FacetError if `back`, what was read, differs from `raw`, what was written."""
    if list(back.ch_names) != list(raw.ch_names) or back.n_times != raw.n_times:
        raise _differs(root, "channels or length")
    for (_, wanted), (_, found) in zip(iter_blocks(raw), iter_blocks(back), strict=True):
        if not np.allclose(found, wanted, rtol=1e-6, atol=1e-12, equal_nan=True):
            raise _differs(root, "samples")


def _differs(root: Path, what: str) -> FacetError:
    return FacetError(f"{root}: reading the recording back gives other {what}. Write .fif instead.")
