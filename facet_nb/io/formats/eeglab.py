"""Write EEGLAB ``.set`` files, through eeglabio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import import_extra
from facet_nb.io.blocks import iter_blocks
from facet_nb.io.checksum import HandedOver
from facet_nb.io.markers import check_descriptions, list_markers
from facet_nb.io.messages import unusable
from facet_nb.io.provenance import Note
from facet_nb.io.verify import Written

if TYPE_CHECKING:
    import mne

#: The largest variable in a MATLAB file of level 5.
_LARGEST_BYTES = 2**31 - 1

#: Readers multiply the stored numbers by this.
_CAL = 1e-6


def check_eeglab(raw: mne.io.BaseRaw, path: Path) -> None:
    """Raise ValidationError if eeglabio is missing or the recording is too large."""
    load_eeglabio()
    n_bytes = 4 * len(raw.ch_names) * raw.n_times
    if n_bytes > _LARGEST_BYTES:
        raise unusable(
            path,
            f"its samples need {n_bytes / 1e9:.1f} GB, and a .set file holds 2.1 GB",
            "Use DownSample first, or write .vhdr, which EEGLAB also reads",
        )
    check_descriptions(raw, path)


def load_eeglabio() -> Any:
    """Import the module that writes ``.set`` files and return it; raise if it is missing."""
    return import_extra(
        "eeglabio.raw",
        "writing .set files needs eeglabio: pip install 'facet-nb[eeglab]'. EEGLAB also reads "
        ".vhdr and .edf files, which need no further package.",
    )


def write_eeglab(raw: mne.io.BaseRaw, file: Path, path: Path, note: Note | None = None) -> Written:
    """Write `raw` to `file` as float32 in µV; `path` is its final name.

    eeglabio writes no comments: the provenance `note` is only beside the file.
    """
    markers = list_markers(raw)
    events = [
        [marker.description for marker in markers],
        np.array([marker.onset_s for marker in markers]),
        np.array([marker.duration_s for marker in markers]),
    ]
    handed = HandedOver(file, np.full(len(raw.ch_names), _CAL), "<f4")
    for start, block in iter_blocks(raw):
        handed.note(start, start + block.shape[1], (x * 1e6 for x in block))  # as eeglabio does
    load_eeglabio().export_set(
        str(file),
        data=raw.get_data(),
        sfreq=float(raw.info["sfreq"]),
        ch_names=list(raw.ch_names),
        ch_locs=_positions(raw),
        annotations=events if markers else None,
        ch_types=[kind.upper() for kind in raw.get_channel_types()],
        precision="single",
    )
    return Written(np.full(len(raw.ch_names), 1e-44), 2.0**-22, markers, stored=handed)


def _positions(raw: mne.io.BaseRaw) -> np.ndarray | None:
    """Return positions in EEGLAB's axes (x to the nose, y to the left ear), or None."""
    places = np.array([channel["loc"][:3] for channel in raw.info["chs"]], dtype=float)
    if not np.any(np.nan_to_num(places)):
        return None
    return np.column_stack([places[:, 1], -places[:, 0], places[:, 2]])
