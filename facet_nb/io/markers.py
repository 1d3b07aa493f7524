"""Annotations, seen from the first sample of the file that they are written to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.io.messages import unusable

#: Characters that end an entry in the text of every format, and those that EDF+ uses as marks.
_ENDS = "\n\r\0"

EDF_MARKS = _ENDS + "\x14\x15"


@dataclass(frozen=True, slots=True)
class Marker:
    """One annotation.

    Attributes
    ----------
    onset_s, duration_s : float
        In s, the onset from the first sample.
    description : str
        Its text.
    ch_names : tuple of str
        Channels that it belongs to; none for all.
    """

    onset_s: float
    duration_s: float
    description: str
    ch_names: tuple[str, ...] = ()


def list_markers(raw: Any) -> list[Marker]:
    """Return the annotations of a recording, in the order of their onsets."""
    return list(iter_markers(raw))


def iter_markers(raw: Any) -> Iterator[Marker]:
    """Yield the annotations of a recording: a scan of an hour has tens of thousands."""
    found = raw.annotations
    columns = (found.onset - raw.first_time, found.duration, found.description, found.ch_names)
    for onset, duration, text, names in zip(*columns, strict=True):
        yield Marker(float(onset), float(duration), sys.intern(str(text)), tuple(names))


def start_time(raw: Any) -> datetime | None:
    """Return when the first sample was taken: later than ``meas_date`` in a cropped recording."""
    date = raw.info["meas_date"]
    return None if date is None else date + timedelta(seconds=float(raw.first_time))


def check_descriptions(raw: Any, path: Path, forbidden: str = _ENDS) -> None:
    """Raise ValidationError if a description holds characters that the format cannot."""
    for marker in iter_markers(raw):
        found = [c for c in marker.description if c in forbidden]
        if found:
            raise unusable(
                path,
                f"the annotation {marker.description!r} at {marker.onset_s:.3f} s contains "
                f"{found[0]!r}, which this format cannot hold",
                "Rename it with raw.annotations.rename({old: new}), or write .fif instead",
            )


def is_voltage(raw: Any) -> np.ndarray:
    """Return which channels hold volts, shape (n_channels,). Stim channels hold codes."""
    from mne.io.constants import FIFF

    units = [ch["unit"] == FIFF.FIFF_UNIT_V for ch in raw.info["chs"]]
    codes = [kind == "stim" for kind in raw.get_channel_types()]
    return np.array(units, dtype=bool) & ~np.array(codes, dtype=bool)
