"""Describe recordings as text, and name their files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from facet_nb.cli.problems import to_line

if TYPE_CHECKING:
    import mne

    from facet_nb.core import ProcessingContext

_LISTED = 20


def describe_size(raw: mne.io.BaseRaw) -> str:
    """Return channels, duration and sampling rate of a recording."""
    sfreq = float(raw.info["sfreq"])
    n_channels = len(raw.ch_names)
    plural = "" if n_channels == 1 else "s"
    return f"{n_channels} channel{plural} × {raw.n_times / sfreq:.1f} s at {sfreq:g} Hz"


def describe_memory(raw: mne.io.BaseRaw) -> str:
    """Return the size of the samples in memory."""
    return f"{8 * len(raw.ch_names) * raw.n_times / 1e6:.1f} MB as float64"


def describe_triggers(context: ProcessingContext) -> str:
    """Return number, time range and artifact length of the detected triggers."""
    triggers, sfreq = context.get_triggers(), context.get_sfreq()
    assert triggers is not None  # a detector that finds none raises
    regex = to_line(context.metadata.trigger_regex)
    text = f"{len(triggers)} found with the expression {regex}"
    length = context.get_artifact_length()
    text += f", from {triggers[0] / sfreq:.2f} s to {triggers[-1] / sfreq:.2f} s"
    if length:
        text += f"; an artifact takes {length} samples ({1e3 * length / sfreq:.1f} ms)"
    return text


def list_channels(raw: mne.io.BaseRaw) -> list[str]:
    """Return the names of the channels by type, and of the bad ones."""
    by_type: dict[str, list[str]] = {}
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        by_type.setdefault(kind, []).append(name)
    lines = [f"{kind} ({len(names)}): {_shorten(names)}" for kind, names in by_type.items()]
    bads = raw.info["bads"]
    return lines + ([f"bad ({len(bads)}): {_shorten(bads)}"] if bads else [])


def list_annotations(raw: mne.io.BaseRaw) -> list[str]:
    """Return the descriptions of annotations with their counts, the most frequent first."""
    counts = Counter(str(text) for text in raw.annotations.description).most_common()
    lines = [f"{n} × {text!r}" for text, n in counts[:_LISTED]]
    more = len(counts) - _LISTED
    return lines + ([f"… and {more} other descriptions"] if more > 0 else [])


def list_stim_codes(raw: mne.io.BaseRaw) -> list[str]:
    """Return the stim channels with their codes and counts."""
    from facet_nb.preprocessing.triggers import read_stim_codes

    lines = []
    for name, events in read_stim_codes(raw).items():
        counts = Counter(code for _, code in events).most_common()
        codes = _shorten([f"{n} × {code}" for code, n in counts])
        lines.append(f"{to_line(name)}: {codes or 'no codes'}")
    return lines


def make_name(path: Path) -> str:
    """Return the name of the corrected file, in another format if its own cannot be written."""
    from facet_nb.core.study.targets import split_name

    stem, suffix = split_name(path)
    return f"{stem}_corrected{suffix}"


def find_head(path: Path) -> Path:
    """Return the main file of `path`: the header for files of a BrainVision recording."""
    path = path.resolve()
    return path.with_suffix(".vhdr") if path.suffix.lower() in (".eeg", ".vmrk") else path


def check_not_input(path: Path, output: Path) -> None:
    """Check that writing `output` does not replace files of the recording `path`.

    Raises
    ------
    ValidationError
        If it would not.
    """
    from facet_nb.core.errors import ValidationError

    if find_head(path) == find_head(output):
        raise ValidationError(f"{output} is the recording itself: use another name for the output.")


def _shorten(names: list[str]) -> str:
    listed = ", ".join(to_line(name) for name in names[:_LISTED])
    return listed + (f", … {len(names) - _LISTED} more" if len(names) > _LISTED else "")
