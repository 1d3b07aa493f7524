"""Check that the three files of a BrainVision recording exist and match.

MNE reads a truncated ``.eeg`` without a warning and follows ``DataFile`` to any folder.

The layout: BrainVision Core Data Format 1.0,
https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/.
"""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path, PurePosixPath

from facet_nb.core.errors import ValidationError
from facet_nb.io.messages import COPY_AGAIN, unusable

_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}

_MARKER_POSITION = re.compile(rb"^Mk\d+=[^,\n]*,[^,\n]*,(\d{1,18})", re.MULTILINE)


def check_brainvision(path: Path) -> None:
    """Raise ValidationError if data or markers are missing, in another folder, or truncated."""
    section = _read_header(path)
    data = _companion(path, section, "DataFile")
    if data is None:
        raise _damaged(path, "it has no DataFile")
    markers = _companion(path, section, "MarkerFile")
    n_times = _count_samples(path, data, section)
    if n_times is None:
        return
    expected = _number(path, section, "DataPoints") if section.get("DataPoints") else 0
    if n_times < expected:
        what = f"truncated: {path.name} states {expected} samples, and it has {n_times}"
        raise unusable(data, what, COPY_AGAIN)
    if markers is not None:
        _check_markers(data, markers, n_times)


def _read_header(path: Path) -> configparser.SectionProxy:
    """Return the header's ``[Common Infos]``, with ``BinaryFormat`` added."""
    sections = _read_sections(path)
    section = sections["common infos"]
    binary = sections.get("binary infos")
    if binary is not None and "BinaryFormat" in binary:
        section["BinaryFormat"] = binary["BinaryFormat"]
    _check_channels(path, section, sections["channel infos"])
    return section


def list_units(path: Path) -> list[str]:
    """Return the unit of each channel, as it is spelled; microvolts where there is none."""
    entries = _read_sections(path)["channel infos"].values()
    fields = [entry.split(",") for entry in entries]
    return [parts[3].strip() or "µV" if len(parts) > 3 else "µV" for parts in fields]


def _read_sections(path: Path) -> dict[str, configparser.SectionProxy]:
    """Return the sections of the header by their names in lower case."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    body = text.partition("\n")[2].partition("[Comment]")[0]
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(body)
    except configparser.Error as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    sections = {name.lower(): parser[name] for name in parser.sections()}
    if "common infos" not in sections or "channel infos" not in sections:
        raise _damaged(path, "[Common Infos] or [Channel Infos] is missing")
    return sections


def _check_channels(
    path: Path, section: configparser.SectionProxy, channels: configparser.SectionProxy
) -> None:
    n_channels = _number(path, section, "NumberOfChannels")
    if n_channels != len(channels):
        what = f"NumberOfChannels={n_channels}, and [Channel Infos] has {len(channels)}"
        raise _damaged(path, what)


def _companion(path: Path, section: configparser.SectionProxy, key: str) -> Path | None:
    """Return the file named in the header; it must be in the folder of the header."""
    name = section.get(key, "").strip()
    if not name:
        return None
    plain = os.path.normpath(name.replace("\\", "/"))
    if PurePosixPath(plain).is_absolute() or plain.startswith("..") or re.match(r"\w:", plain):
        raise unusable(
            path,
            f"{key}={name} points outside its folder",
            f"Put that file beside {path.name} and write its name there without a folder",
        )
    found = path.parent / name
    if found.is_file():
        return found
    sibling = path.with_suffix({"DataFile": ".eeg", "MarkerFile": ".vmrk"}[key])
    remedy = f"Copy {name} into {path.parent}"
    if sibling.is_file():
        remedy = f"If {sibling.name} is meant, write {key}={sibling.name} in {path.name}"
    raise unusable(path, f"{key}={name} does not exist", remedy)


def _count_samples(path: Path, data: Path, section: configparser.SectionProxy) -> int | None:
    """Return the number of samples in a binary data file; None if it is text."""
    if section.get("DataFormat", "").strip() != "BINARY":
        return None
    kind = section.get("BinaryFormat", "").strip()
    if kind not in _BYTES:
        raise _damaged(
            path, f"BinaryFormat={kind or '(missing)'} is not one of {', '.join(_BYTES)}"
        )
    n_bytes = data.stat().st_size
    frame = _BYTES[kind] * _number(path, section, "NumberOfChannels")
    if n_bytes == 0:
        raise unusable(data, "the file is empty", COPY_AGAIN)
    if n_bytes % frame:
        what = (
            f"truncated: its size, {n_bytes} bytes, is not a multiple of the {frame} bytes of one "
            "sample of all channels"
        )
        raise unusable(data, what, COPY_AGAIN)
    return n_bytes // frame


def _check_markers(data: Path, markers: Path, n_times: int) -> None:
    positions = [int(p) for p in _MARKER_POSITION.findall(markers.read_bytes())]
    last = max(positions, default=0)
    if last > n_times:
        what = f"truncated: {markers.name} has a marker at sample {last}, and it has {n_times}"
        raise unusable(data, what, COPY_AGAIN)


def _number(path: Path, section: configparser.SectionProxy, key: str) -> int:
    text = section.get(key, "").strip()
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
        raise _damaged(path, f"{key}={text or '(missing)'} is not a positive number")
    return int(text)


def _damaged(path: Path, what: str) -> ValidationError:
    return unusable(path, f"its BrainVision header is damaged: {what}", COPY_AGAIN)
