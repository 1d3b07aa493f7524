"""Writing BrainVision: samples, markers and header, each as text or float32.

The samples go out piece by piece, so that no copy of the recording is made.

The layout: BrainVision Core Data Format 1.0,
https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.io.blocks import iter_blocks
from facet_nb.io.markers import Marker, check_descriptions, list_markers, start_time
from facet_nb.io.problems import shorten, unusable
from facet_nb.io.readback import Written
from facet_nb.io.units import is_voltage, microvolt_factors

#: How the format writes a comma inside a field.
_COMMA = r"\1"
#: Rounding to float32 changes a number by less than this part of it.
_FLOAT32_ROUNDING = 2.0**-24


@dataclass(frozen=True)
class _Entry:
    """A line of the marker file: ``Stimulus/S  1`` is text ``S  1`` of kind ``Stimulus``.

    What has no kind is a comment.
    """

    kind: str
    text: str
    onset: int
    size: int
    channel: int

    def line(self, number: int) -> str:
        kind, text = (part.replace(",", _COMMA) for part in (self.kind, self.text))
        return f"Mk{number}={kind},{text},{self.onset + 1},{self.size},{self.channel}"

    def as_read(self, sfreq: float) -> Marker:
        return Marker(self.onset / sfreq, self.size / sfreq, f"{self.kind}/{self.text}")


def check_brainvision_header(raw: Any, path: Path) -> None:
    """Raise ValidationError if channel names or annotations do not fit the format."""
    check_descriptions(raw, path)
    strange = [
        name
        for name in raw.ch_names
        if not name.isprintable() or name != name.strip() or not name or _COMMA in name
    ]
    if strange:
        raise unusable(
            path,
            "BrainVision takes no channel names that are empty, have spaces around them, line "
            f"breaks, or {_COMMA}: {shorten(map(repr, strange))}",
            "Rename them with raw.rename_channels({old: new}), or write .fif instead",
        )
    for marker in list_markers(raw):
        if _COMMA in marker.description:
            raise unusable(
                path,
                f"the annotation {marker.description!r} contains {_COMMA}, which BrainVision reads "
                "as a comma",
                "Rename it with raw.annotations.rename({old: new}), or write .fif instead",
            )


def write_brainvision(raw: Any, file: Path) -> Written:
    """Write `raw` to `file` (``.vhdr``), with ``.eeg`` and ``.vmrk`` beside it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Volts are stored in µV, other units as they are, all as float32.
    file : Path
        The header file.

    Returns
    -------
    Written
        The rounding to float32, and the annotations: onsets in whole samples, and ``Comment/``
        before descriptions without a type.
    """
    data, markers = file.with_suffix(".eeg"), file.with_suffix(".vmrk")
    factors = microvolt_factors(raw)[:, np.newaxis]
    with data.open("wb") as stream:
        for _, block in iter_blocks(raw):
            np.ascontiguousarray((block * factors).T, dtype="<f4").tofile(stream)
    entries = [_entry(marker, raw) for marker in list_markers(raw)]
    markers.write_text(_marker_text(raw, entries, data.name), encoding="utf-8", newline="\n")
    file.write_text(_header_text(raw, data.name, markers.name), encoding="utf-8", newline="\n")
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    seen = [entry.as_read(float(raw.info["sfreq"])) for entry in entries]
    return Written(smallest / factors[:, 0], 1.01 * _FLOAT32_ROUNDING, seen)


def _entry(marker: Marker, raw: Any) -> _Entry:
    """Return `marker` in whole samples, within the recording."""
    sfreq = float(raw.info["sfreq"])
    kind, slash, text = marker.description.partition("/")
    if not (slash and kind):
        kind, text = "Comment", marker.description
    one = len(marker.ch_names) == 1
    return _Entry(
        kind,
        text,
        onset=min(max(round(marker.onset_s * sfreq), 0), raw.n_times - 1),
        size=round(marker.duration_s * sfreq),
        channel=raw.ch_names.index(marker.ch_names[0]) + 1 if one else 0,
    )


def _header_text(raw: Any, data: str, markers: str) -> str:
    voltage = is_voltage(raw)
    channels = [
        f"Ch{i + 1}={name.replace(',', _COMMA)},,1,{'µV' if voltage[i] else 'n/a'}"
        for i, name in enumerate(raw.ch_names)
    ]
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "; Written by facet_nb",
        "",
        "[Common Infos]",
        "Codepage=UTF-8",
        f"DataFile={data}",
        f"MarkerFile={markers}",
        "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(channels)}",
        f"DataPoints={raw.n_times}",
        "; Sampling interval in microseconds",
        f"SamplingInterval={1e6 / float(raw.info['sfreq'])!r}",
        "",
        "[Binary Infos]",
        "BinaryFormat=IEEE_FLOAT_32",
        "",
        "[Channel Infos]",
        "; Ch<number>=<name>,<reference>,<resolution>,<unit>",
        *channels,
        "",
    ]
    return "\n".join(lines)


def _marker_text(raw: Any, entries: list[_Entry], data: str) -> str:
    begin = start_time(raw)
    date = "" if begin is None else f",{begin:%Y%m%d%H%M%S%f}"
    lines = [
        "Brain Vision Data Exchange Marker File, Version 1.0",
        "",
        "[Common Infos]",
        "Codepage=UTF-8",
        f"DataFile={data}",
        "",
        "[Marker Infos]",
        "; Mk<number>=<type>,<description>,<position>,<size>,<channel, 0 for all>",
        # Readers take the first entry for the date; without this one an annotation would be lost.
        f"Mk1=New Segment,,1,1,0{date}",
        *(entry.line(number) for number, entry in enumerate(entries, 2)),
        "",
    ]
    return "\n".join(lines)
