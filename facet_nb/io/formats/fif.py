"""Write FIF files, with exact onsets of annotations.

MNE stores onsets as float32, which moves a trigger to the next sample beyond half an hour at 5 kHz.
Its reader accepts float64 as well: where the rounding matters, the two tags are replaced.
"""

from __future__ import annotations

import copy
import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.storage import scratch
from facet_nb.io.checksum import HandedOver
from facet_nb.io.identity import copy_header
from facet_nb.io.integrity.fif import TAG, read_tag
from facet_nb.io.markers import iter_markers, list_markers
from facet_nb.io.messages import shorten, unusable
from facet_nb.io.provenance import Note, remove_line
from facet_nb.io.verify import Written

if TYPE_CHECKING:
    import mne

_ANNOTATIONS = 3810

_BLOCK_START, _ONSET, _END = 104, 3568, 3569

_FLOAT, _DOUBLE = 4, 5

#: Shifts below this part of a sample vanish when a reader rounds to samples.
_VISIBLE_SHIFT = 0.05

_NO_INDICES = np.zeros(0, dtype=int)


def check_fif_header(raw: mne.io.BaseRaw, path: Path) -> None:
    """Raise ValidationError if names, annotations or the date do not fit the format."""
    wrong = [name for name in raw.ch_names if not name.isascii()]
    if wrong:
        raise unusable(
            path,
            f"FIF holds names of channels in ASCII only; not so {shorten(map(repr, wrong))}",
            "Rename them with raw.rename_channels({old: new}), or write .vhdr instead",
        )
    texts = dict.fromkeys(marker.description for marker in iter_markers(raw))
    wrong = [text for text in texts if not _is_latin1(text)]
    if wrong:
        raise unusable(
            path,
            "FIF holds descriptions of annotations in Latin-1 only; not so "
            f"{shorten(map(repr, wrong))}",
            "Rename them with raw.annotations.rename({old: new}), or write .vhdr instead",
        )
    date = raw.info["meas_date"]
    if date is not None and not -(2**31) < date.timestamp() < 2**31:
        raise unusable(
            path,
            f"the recording is dated {date:%Y-%m-%d}, and FIF holds dates from 1902 to 2038",
            "Change the date with raw.set_meas_date, or remove it with raw.set_meas_date(None)",
        )


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def write_fif(raw: mne.io.BaseRaw, file: Path, fmt: str, note: Note | None = None) -> Written:
    """Write `raw` to `file`; above 2 GB MNE splits it into several files.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    file : Path
        The (first) file.
    fmt : {"single", "double"}
        Samples as float32 or float64.
    note : Note | None
        Provenance, which becomes the last line of the description.

    Returns
    -------
    Written
        The rounding of the samples, and the annotations.
    """
    known = raw.info["description"]
    raw = copy_header(raw)
    raw.info["description"] = remove_line(known) if note is None else note.add_to(known)
    for ch in raw.info["chs"]:  # FIF holds factors as float32, which would scale all samples
        ch["cal"] = ch["range"] = 1.0
    handed = HandedOver(file, np.ones(len(raw.ch_names)), {"single": "<f4", "double": "<f8"}[fmt])
    _watch_reads(raw, handed).save(file, fmt=fmt, overwrite=True, verbose="error")
    onsets = np.asarray(raw.annotations.onset, dtype=float)
    shift = np.abs(onsets.astype(np.float32) - onsets) * float(raw.info["sfreq"])
    if shift.max(initial=0.0) > _VISIBLE_SHIFT:
        ends = onsets + raw.annotations.duration
        for part in sorted(file.parent.glob("*.fif")):
            _store_exactly(part, {_ONSET: onsets, _END: ends})
    relative = 2.0**-24 if fmt == "single" else 0.0
    tolerance_v, markers = np.full(len(raw.ch_names), 1e-44), list_markers(raw)
    # MNE may leave out blocks that are annotated BAD_ACQ_SKIP: then all samples are compared.
    stored = handed if handed.covers(raw.n_times) else None
    return Written(tolerance_v, relative, markers, stored=stored)


def _watch_reads(raw: mne.io.BaseRaw, handed: HandedOver) -> mne.io.BaseRaw:
    """Return `raw` such that blocks are noted as they are written, and their pages released."""
    spilled = raw.preload and scratch.is_spilled(raw._data)

    def get(self: Any, item: Any) -> Any:
        if spilled:
            scratch.forget(self._data)
        samples, times = kind.__getitem__(self, item)
        if isinstance(item[1], slice):  # MNE looks at one sample before it writes blocks
            start = item[1].start
            handed.note(start, start + samples.shape[1], samples)
        return samples, times

    def find_indices(self: Any, times: Any, *args: Any, **options: Any) -> Any:
        # MNE looks for skips that are annotated. Where there are none, it would import all of its
        # source estimates to convert no times.
        return kind.time_as_index(self, times, *args, **options) if len(times) else _NO_INDICES

    kind = type(raw)
    shown = copy.copy(raw)
    methods = {"__getitem__": get, "time_as_index": find_indices}
    shown.__class__ = type(kind.__name__, (kind,), methods)
    return shown


def _store_exactly(file: Path, times_s: dict[int, np.ndarray]) -> None:
    """Replace the float32 tags in the annotations of a FIF file by the float64 `times_s`."""
    other = file.with_suffix(".exact")
    with file.open("rb") as source, other.open("wb") as sink:
        position = 0
        for kind, start, size in _find_times(source, file.stat().st_size):
            exact = times_s[kind].astype(">f8").tobytes()
            if 2 * size != len(exact):
                continue
            source.seek(position)
            shutil.copyfileobj(_Part(source, start - position), sink)
            sink.write(TAG.pack(kind, _DOUBLE, len(exact), 0) + exact)
            position = start + TAG.size + size
        source.seek(position)
        shutil.copyfileobj(source, sink)
    os.replace(other, file)


def _find_times(file: Any, n_bytes: int) -> list[tuple[int, int, int]]:
    """Return kind, position and size of MNE's tags for onsets and ends of annotations."""
    found: list[tuple[int, int, int]] = []
    position, block = 0, 0
    while position < n_bytes and len(found) < 2:
        tag = read_tag(file, position)
        if tag is None or tag[3] != 0:
            break
        kind, type_, size, _ = tag
        if kind == _BLOCK_START:
            (block,) = struct.unpack(">i", file.read(4))
        if block == _ANNOTATIONS and kind in (_ONSET, _END) and type_ == _FLOAT:
            found.append((kind, position, size))
        position += TAG.size + size
    return found


class _Part:
    """The next `n_bytes` of a file, for ``copyfileobj``."""

    def __init__(self, file: Any, n_bytes: int) -> None:
        self.file = file
        self.left = n_bytes

    def read(self, n_bytes: int = -1) -> bytes:
        n_bytes = self.left if n_bytes < 0 else min(n_bytes, self.left)
        self.left -= n_bytes
        return self.file.read(n_bytes)
