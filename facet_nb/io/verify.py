"""Verify a written file by reading it back: its bytes or its samples, its header, its markers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.io.blocks import iter_blocks, read_block
from facet_nb.io.checksum import HandedOver, Stored
from facet_nb.io.markers import Marker, list_markers
from facet_nb.io.messages import name_other_format, unwritable
from facet_nb.io.sources import open_recording

if TYPE_CHECKING:
    import mne

#: Relative rounding error of a sampling rate that is stored as text.
_RATE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Written:
    """How closely a written file must match the recording.

    Attributes
    ----------
    tolerance_v : ndarray, shape (n_channels,)
        Largest error of a sample, in the unit of its channel: half a quantisation step.
    relative : float
        Largest error relative to the sample itself, for floating-point formats.
    markers : list of Marker
        Annotations as MNE will read them.
    step_v : ndarray, shape (n_channels,) | None
        Quantisation steps, in the unit of the channel.
    stored : Stored | HandedOver | None
        Checksums of what was handed over: of the bytes of the file with the samples, or of the
        numbers given to the library that wrote it. None compares all samples.
    """

    tolerance_v: np.ndarray
    relative: float
    markers: list[Marker]
    step_v: np.ndarray | None = None
    stored: Stored | HandedOver | None = None


def compare(raw: mne.io.BaseRaw, file: Path, written: Written, path: Path) -> mne.io.BaseRaw:
    """Read `file` and compare it with `raw`; return it without loading its samples.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    file : Path
        The written file.
    written : Written
        How closely they must match.
    path : Path
        The final name of the file, for messages.

    Raises
    ------
    FacetError
        If channels, rate, length, samples or annotations differ.
    """
    try:
        back = open_recording(file, verbose="error")
    except FacetError as error:
        raise _different(path, f"it cannot be read back ({error})") from error
    if list(back.ch_names) != list(raw.ch_names):
        pairs = zip(raw.ch_names, back.ch_names, strict=False)
        odd = next((f"{a!r} as {b!r}" for a, b in pairs if a != b), "fewer or more")
        raise _different(path, f"channels are read back under other names ({odd})")
    rate, rate_back = float(raw.info["sfreq"]), float(back.info["sfreq"])
    if abs(rate - rate_back) > _RATE_TOLERANCE * rate or back.n_times < raw.n_times:
        raise _different(
            path,
            f"{raw.n_times} samples at {rate} Hz are read back as {back.n_times} at {rate_back} Hz",
        )
    _compare_samples(raw, back, written, path)
    _compare_markers(list_markers(back), written.markers, rate, path)
    return back


def _compare_samples(
    raw: mne.io.BaseRaw, back: mne.io.BaseRaw, written: Written, path: Path
) -> None:
    stored, n_times = written.stored, raw.n_times
    if stored is not None and stored.is_intact(back):
        for part in stored.choose_windows(n_times):
            wanted, found = (read_block(source, *part) for source in (raw, back))
            _compare_block(part.start, wanted, found, part.rows, raw.ch_names, written, path)
        return
    every = range(len(raw.ch_names))
    blocks = zip(iter_blocks(raw), iter_blocks(back, stop=n_times), strict=True)
    for (start, wanted), (_, found) in blocks:
        _compare_block(start, wanted, found, every, raw.ch_names, written, path)
    if stored is not None:  # the change is smaller than a sample's rounding, or beside the samples
        raise _different(path, f"the bytes of {stored.file.name} are read back as other ones")


def _compare_block(
    start: int,
    wanted: np.ndarray,
    found: np.ndarray,
    rows: Sequence[int],
    names: list[str],
    written: Written,
    path: Path,
) -> None:
    """Compare samples of the channels `rows`, from sample `start` on, with what was read back."""
    allowed = np.abs(wanted)
    allowed *= written.relative
    allowed += written.tolerance_v[rows, np.newaxis]
    with np.errstate(invalid="ignore"):  # inf - inf
        distance = np.subtract(found, wanted)
        near = np.abs(distance, out=distance) <= allowed
    if near.all():
        return
    bad = ~near & (found != wanted) & ~(np.isnan(found) & np.isnan(wanted))
    if bad.any():
        row, sample = np.argwhere(bad)[0]
        what = (
            f"channel {names[rows[row]]} at sample {start + sample} is read back as "
            f"{found[row, sample]:.9g} instead of {wanted[row, sample]:.9g}"
        )
        raise _different(path, what)


def _compare_markers(found: list[Marker], wanted: list[Marker], sfreq: float, path: Path) -> None:
    if len(found) != len(wanted):
        what = f"{len(wanted)} annotations are read back as {len(found)}"
        raise _different(path, what)
    lost = Counter(m.description for m in wanted) - Counter(m.description for m in found)
    if lost:
        # Named by what is not there: sorted by text, others would be compared with it.
        here = next(m for m in wanted if m.description in lost)
        there = min(found, key=lambda m: abs(m.onset_s - here.onset_s))
        what = (
            f"the annotation {here.description!r} at {here.onset_s:.6f} s is read back as "
            f"{there.description!r}"
        )
        raise _different(path, what)
    found = sorted(found, key=lambda m: (m.description, m.onset_s))
    wanted = sorted(wanted, key=lambda m: (m.description, m.onset_s))
    for there, here in zip(found, wanted, strict=True):
        late = abs(there.onset_s - here.onset_s) * sfreq
        if late > 0.5 + 1e-6:
            what = (
                f"the annotation {here.description!r} at {here.onset_s:.6f} s is read back at "
                f"{there.onset_s:.6f} s"
            )
            raise _different(path, what)


def _different(path: Path, what: str) -> FacetError:
    return unwritable(path, what, name_other_format(path))
