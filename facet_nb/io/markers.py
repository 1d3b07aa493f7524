"""Annotations with onsets relative to the first sample of the recording."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.io.messages import unusable

if TYPE_CHECKING:
    import mne

#: Characters that no text format can hold in a description, and those that EDF+ reserves.
_ENDS = "\n\r\0"

EDF_MARKS = _ENDS + "\x14\x15"


@dataclass(frozen=True, slots=True)
class Marker:
    """One annotation.

    Attributes
    ----------
    onset_s, duration_s : float
        In s; the onset is relative to the first sample.
    description : str
        The text.
    ch_names : tuple of str
        Channels that it applies to; empty for all.
    """

    onset_s: float
    duration_s: float
    description: str
    ch_names: tuple[str, ...] = ()


def list_markers(raw: mne.io.BaseRaw) -> list[Marker]:
    """Return the annotations of a recording, in the order of their onsets."""
    return list(iter_markers(raw))


def iter_markers(raw: mne.io.BaseRaw) -> Iterator[Marker]:
    """Yield the annotations of a recording in the order of their onsets."""
    # A generator with interned texts: an hour of scanning has tens of thousands of annotations.
    found = raw.annotations
    columns = (found.onset - raw.first_time, found.duration, found.description, found.ch_names)
    for onset, duration, text, names in zip(*columns, strict=True):
        yield Marker(float(onset), float(duration), sys.intern(str(text)), tuple(names))


def start_time(raw: mne.io.BaseRaw) -> datetime | None:
    """Return the time of the first sample, which is after ``meas_date`` if it was cropped."""
    date = raw.info["meas_date"]
    return None if date is None else date + timedelta(seconds=float(raw.first_time))


def check_descriptions(raw: mne.io.BaseRaw, path: Path, forbidden: str = _ENDS) -> None:
    """Raise ValidationError if a description has a character that the format cannot hold."""
    for marker in iter_markers(raw):
        found = [c for c in marker.description if c in forbidden]
        if found:
            raise unusable(
                path,
                f"the annotation {marker.description!r} at {marker.onset_s:.3f} s contains "
                f"{found[0]!r}, which this format cannot hold",
                "Rename it with raw.annotations.rename({old: new}), or write .fif instead",
            )


def is_voltage(raw: mne.io.BaseRaw) -> np.ndarray:
    """Return whether each channel is in V, shape (n_channels,); stim channels hold codes."""
    from mne.io.constants import FIFF

    units = [ch["unit"] == FIFF.FIFF_UNIT_V for ch in raw.info["chs"]]
    codes = [kind == "stim" for kind in raw.get_channel_types()]
    return np.array(units, dtype=bool) & ~np.array(codes, dtype=bool)
