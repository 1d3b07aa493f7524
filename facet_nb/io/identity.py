"""What a header says about a person, and headers that do not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.processor import Processor
from facet_nb.core.recording import copy_annotations
from facet_nb.core.registry import register_processor

if TYPE_CHECKING:
    import mne

#: Entries of ``info["subject_info"]`` that concern a person, as a reader calls them.
_ENTRIES = {
    "first_name": "name",
    "middle_name": "name",
    "last_name": "name",
    "his_id": "code",
    "birthday": "birthday",
    "sex": "sex",
    "hand": "handedness",
    "weight": "weight",
    "height": "height",
}
#: What formats and MNE write where nothing is known, or where it was removed.
_NOTHING = {"", "x", "0", "0.0", "unknown", "n/a", "none", "anonymous", "mne_anonymize"}


def list_identity(info: Any) -> list[str]:
    """Return what a header says about a person: names of the entries, not their content.

    Parameters
    ----------
    info : mne.Info
        The header.
    """
    subject: dict[str, Any] = dict(info["subject_info"] or {})
    found = [word for entry, word in _ENTRIES.items() if _says(subject.get(entry))]
    if _says(info.get("experimenter")):
        found.append("experimenter")
    elif info.get("experimenter"):  # anonymized by MNE, which shifts the birthday with the date
        found = [word for word in found if word != "birthday"]
    return list(dict.fromkeys(found))


def _says(value: Any) -> bool:
    return value is not None and str(value).strip().lower() not in _NOTHING


def tell_identity(raw: mne.io.BaseRaw) -> tuple[Finding, ...]:
    """Return a note if the header says who was recorded; it does not repeat what it says."""
    found = list_identity(raw.info)
    if not found:
        return ()
    return (make_finding("identity_kept", f"The header has: {', '.join(found)}.", entries=found),)


def copy_header(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Return a recording with a header and annotations of its own, and the same samples."""
    shown = copy.copy(raw)
    shown.info = raw.info.copy()
    shown._annotations = copy_annotations(raw.annotations)
    return shown


def remove_identity(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Return a recording without identity, by the rules of ``mne.io.Raw.anonymize``.

    Names, codes and other entries about a person are replaced, and the recording begins on
    2000-01-01. `raw` does not change; the samples are not copied. Names of files and texts of
    annotations stay as they are.
    """
    return copy_header(raw).anonymize(verbose="error")


def is_anonymous(context: ProcessingContext) -> bool:
    """Whether an earlier step has removed the identity."""
    steps = context.get_history()
    return any(s.name == Anonymizer.name or s.parameters.get("anonymize") for s in steps)


def keep_suffix(name: str) -> str:
    """Return the name of a file without its stem, which may name a person."""
    return f"*{Path(name).suffix}"


@register_processor
class Anonymizer(Processor):
    """Remove what the header says about a person, by the rules of ``mne.io.Raw.anonymize``.

    Names and codes are replaced, and the recording begins on 2000-01-01; the original recording in
    the context (``get_raw_original``) is replaced as well. Samples, names of files and texts of
    annotations stay as they are.
    """

    name = "anonymizer"
    description = "Remove the identity from the header"
    requires_raw = True
    parallel_safe = False
    accepts_lazy = True

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw, original = context.get_raw(), context.get_raw_original()
        new = context.with_raw(remove_identity(raw))
        new._raw_original = new._raw if original is raw else remove_identity(original)
        return new
