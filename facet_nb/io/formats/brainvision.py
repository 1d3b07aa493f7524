"""Write BrainVision files: samples as float32, markers and header as text, with pybv."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facet_nb.io.atomic_write import reserve
from facet_nb.io.blocks import iter_blocks
from facet_nb.io.checksum import CheckedFile, Extremes, Stored
from facet_nb.io.markers import Marker, check_descriptions, is_voltage, iter_markers, start_time
from facet_nb.io.messages import shorten, unusable
from facet_nb.io.provenance import Note
from facet_nb.io.verify import Written
from facet_nb.kernels.compiled.dispatch import as_rows, find_compiled

if TYPE_CHECKING:
    import mne

#: Largest relative error of rounding to float32.
_FLOAT32_ROUNDING = 2.0**-24

#: The format's escape for a comma inside a field, which pybv leaves to its callers.
COMMA = r"\1"

_CODE = re.compile(r"(Stimulus/S|Response/R) *(0|[1-9][0-9]{0,8})")

#: The largest number that pybv pads to three characters.
_LARGEST_SHORT = 1000


def check_brainvision_header(raw: mne.io.BaseRaw, path: Path) -> None:
    """Raise ValidationError if file name, channel names or annotations do not fit the format."""
    if path.suffix != ".vhdr":
        what = f"MNE does not read BrainVision headers that end in {path.suffix}"
        raise unusable(path, what, f"Name it {path.with_suffix('.vhdr').name}")
    check_descriptions(raw, path)
    strange = [
        name
        for name in raw.ch_names
        if not name.isprintable() or name != name.strip() or not name or COMMA in name
    ]
    if strange:
        raise unusable(
            path,
            "BrainVision channel names must not be empty, begin or end with a space, or contain "
            f"line breaks or {COMMA}; not so {shorten(map(repr, strange))}",
            "Rename them with raw.rename_channels({old: new}), or write .fif instead",
        )
    for marker in iter_markers(raw):
        if COMMA in marker.description:
            raise unusable(
                path,
                f"the annotation {marker.description!r} contains {COMMA}, which BrainVision reads "
                "as a comma",
                "Rename it with raw.annotations.rename({old: new}), or write .fif instead",
            )


def write_brainvision(
    raw: mne.io.BaseRaw, file: Path, path: Path, note: Note | None = None
) -> Written:
    """Write `raw` to `file` (``.vhdr``), with ``.eeg`` and ``.vmrk`` beside it.

    pybv holds a copy of all samples and has no way to append. So it writes the header and the
    beginning of the marker file for a recording of one sample; markers and samples are appended
    here, block by block.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Volts are stored in µV, other units as they are, all as float32.
    file : Path
        The header file to write.
    path : Path
        Its final name, for messages.
    note : Note | None
        Provenance, which becomes a line of the header's comment.

    Returns
    -------
    Written
        The rounding to float32, and the annotations: onsets at whole samples, and the prefix
        ``Comment/`` for descriptions other than numbers of stimuli and responses.

    Raises
    ------
    ValidationError
        If a sample exceeds the range of float32.
    """
    import pybv

    voltage = is_voltage(raw)
    factors = np.where(voltage, 1e6, 1.0)
    with warnings.catch_warnings():
        # pybv warns about units other than V; stim codes have none.
        warnings.filterwarnings("ignore", "Encountered unsupported non-voltage units")
        pybv.write_brainvision(
            data=np.zeros((len(raw.ch_names), 1)),
            sfreq=float(raw.info["sfreq"]),
            ch_names=list(raw.ch_names),
            fname_base=file.stem,
            folder_out=file.parent,
            events=None,
            resolution=1.0,
            unit=["µV" if volts else "n/a" for volts in voltage],
            fmt="binary_float32",
            meas_date=start_time(raw),
        )
    if note is not None:  # pybv ends the header with an empty comment
        with file.open("a", encoding="utf-8") as sink:
            sink.write(f"{note.line}\n")
    seen = _append_markers(file.with_suffix(".vmrk"), raw)
    stored = _write_samples(file.with_suffix(".eeg"), raw, factors, path)
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    return Written(smallest / factors, 1.01 * _FLOAT32_ROUNDING, seen, stored=stored)


def _append_markers(file: Path, raw: mne.io.BaseRaw) -> list[Marker]:
    """Append markers to a file begun by pybv, and return the annotations that MNE will read."""
    names, numbers = list(raw.ch_names), find_codes(raw).values()
    width = max(3, math.ceil(math.log10(max([1, *numbers]))))  # as find_codes
    first = 1 if start_time(raw) is None else 2  # pybv writes the date as the first marker
    seen = []
    with file.open("a", encoding="utf-8") as sink:
        for number, line in enumerate(iter_marker_lines(raw), first):
            what = line.what
            if isinstance(what, int):
                what = f"{line.kind[0]}{what:>{width}}"
            one = line.channel is not None and len(names) > 1
            channel = names.index(line.channel) + 1 if one else 0
            place = f"{line.onset + 1},{line.duration},{channel}"
            sink.write(f"Mk{number}={line.kind},{what},{place}\n")
            seen.append(line.seen)
    return seen


def _write_samples(file: Path, raw: mne.io.BaseRaw, factors: np.ndarray, path: Path) -> Stored:
    """Write samples as float32, block by block, into a preallocated file.

    Raises ValidationError for samples that are infinite or too large; NaN are kept.
    """
    reserve(file, 4 * len(raw.ch_names) * raw.n_times)
    extremes = Extremes(len(raw.ch_names))
    with file.open("r+b", buffering=0) as sink:
        checked = CheckedFile(sink)
        for start, block in iter_blocks(raw, as_stored=True):
            extremes.note(start, block)
            _check_range(raw, extremes.values, factors, path)
            checked.write(_interleave(block, factors))
    return checked.close(file, extremes.samples)


def _interleave(block: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return samples times factors as float32, shape (n_times, n_channels)."""
    # float32 times 1e6 is rounded to float32 alike, in float32 and by way of float64.
    scale = factors.astype(block.dtype)
    compiled = find_compiled("multiplexed", "put_rows")
    if compiled and block.dtype == np.float32 and as_rows(block) is block:
        x: np.ndarray = compiled(block, scale).astype("<f4", copy=False)
        return x
    return (block * scale[:, np.newaxis]).astype("<f4", copy=False).T


def _check_range(
    raw: mne.io.BaseRaw, extremes: np.ndarray, factors: np.ndarray, path: Path
) -> None:
    largest = np.maximum(extremes[:, 1], -extremes[:, 0])
    bad = np.flatnonzero(largest * factors > float(np.finfo(np.float32).max))
    if len(bad):
        name, value = raw.ch_names[bad[0]], largest[bad[0]]
        raise unusable(
            path,
            f"channel {name} reaches {value:.4g}, beyond the range of float32",
            "Repair or drop the channel, or write .fif instead",
        )


# --------------------------------------------------------------------------------- marker lines
# pybv writes numbered stimuli and responses, and comments with a text. Any other annotation becomes
# a comment with its whole description.
class MarkerLine(NamedTuple):
    """One line of a marker file.

    Attributes
    ----------
    kind : str
        ``"Stimulus"``, ``"Response"`` or ``"Comment"``.
    what : int | str
        Number or text.
    onset, duration : int
        In samples, within the recording.
    channel : str | None
        The channel that it applies to; None for all.
    seen : Marker
        The annotation that MNE reads from the line.
    """

    kind: str
    what: int | str
    onset: int
    duration: int
    channel: str | None
    seen: Marker


def iter_marker_lines(raw: mne.io.BaseRaw) -> Iterator[MarkerLine]:
    """Yield the annotations of a recording as lines of a marker file."""
    sfreq = float(raw.info["sfreq"])
    codes = find_codes(raw)
    for marker in iter_markers(raw):
        kind, what, read = _classify(marker.description, codes)
        onset = min(max(round(marker.onset_s * sfreq), 0), raw.n_times - 1)
        size = min(round(marker.duration_s * sfreq), raw.n_times - onset)
        channel = marker.ch_names[0] if len(marker.ch_names) == 1 else None
        seen = Marker(onset / sfreq, size / sfreq, sys.intern(read))
        yield MarkerLine(kind, what, onset, size, channel, seen)


def _classify(description: str, codes: dict[str, int]) -> tuple[str, str | int, str]:
    """Return type and content of the line, and the description that MNE reads."""
    if description in codes:
        return description.partition("/")[0], codes[description], description
    text = description.removeprefix("Comment/")
    return "Comment", text.replace(",", COMMA), f"Comment/{text}"


def find_codes(raw: mne.io.BaseRaw) -> dict[str, int]:
    """Return the descriptions that pybv can write unchanged as numbered markers, and their numbers.

    pybv pads all numbers of a file to the width of the largest, at least three: ``S  1``, but
    ``S   1`` beside ``S2000``. If that would change a description, numbers above 1000 are left out
    and become comments.
    """
    descriptions = {str(text) for text in set(raw.annotations.description)}
    matches = [_CODE.fullmatch(text) for text in descriptions]
    found = [(match[0], match[1], int(match[2])) for match in matches if match]
    right: dict[str, int] = {}
    for largest in (math.inf, _LARGEST_SHORT):
        fitting = [code for code in found if code[2] <= largest]
        width = max(3, math.ceil(math.log10(max([1, *(number for *_, number in fitting)]))))
        right = {
            text: number for text, kind, number in fitting if text == f"{kind}{number:>{width}}"
        }
        if len(right) == len(fitting):
            break
    return right
