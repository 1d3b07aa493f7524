"""Writing BrainVision with pybv: samples as float32, markers and header as text."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.io.brainvision_events import COMMA, make_events
from facet_nb.io.markers import check_descriptions, list_markers, start_time
from facet_nb.io.problems import shorten, unusable
from facet_nb.io.readback import Written
from facet_nb.io.units import is_voltage

#: Rounding to float32 changes a number by less than this part of it.
_FLOAT32_ROUNDING = 2.0**-24


def check_brainvision_header(raw: Any, path: Path) -> None:
    """Raise ValidationError if file name, channel names or annotations do not fit the format."""
    if path.suffix != ".vhdr":
        what = f"MNE takes no BrainVision header that ends in {path.suffix}"
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
            "BrainVision takes no channel names that are empty, have spaces around them, line "
            f"breaks, or {COMMA}: {shorten(map(repr, strange))}",
            "Rename them with raw.rename_channels({old: new}), or write .fif instead",
        )
    for marker in list_markers(raw):
        if COMMA in marker.description:
            raise unusable(
                path,
                f"the annotation {marker.description!r} contains {COMMA}, which BrainVision reads "
                "as a comma",
                "Rename it with raw.annotations.rename({old: new}), or write .fif instead",
            )


def write_brainvision(raw: Any, file: Path, path: Path) -> Written:
    """Write `raw` to `file` (``.vhdr``), with ``.eeg`` and ``.vmrk`` beside it.

    pybv makes three copies of the samples: float64 in µV, float32 of that, and, when the first is
    gone, float32 in the order of the file. The peak is 1.5 times the recording, beside the
    recording itself (pybv 0.8.1: 220 MiB for 146 MiB); one that is not loaded is read into memory.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Volts are stored in µV, other units as they are, all as float32.
    file : Path
        The header file to write now.
    path : Path
        Where it will go, for messages.

    Returns
    -------
    Written
        The rounding to float32, and the annotations: onsets in whole samples, and ``Comment/``
        before descriptions that are no number of a stimulus or response.

    Raises
    ------
    ValidationError
        If there are samples that float32 cannot hold.
    """
    import pybv

    data = recording.load_array(raw)
    voltage = is_voltage(raw)
    factors = np.where(voltage, 1e6, 1.0)
    _check_samples(raw, data, factors, path)
    events, seen = make_events(raw)
    with warnings.catch_warnings():
        # Stim codes have no unit, and µV is the only one that the format knows.
        warnings.filterwarnings("ignore", "Encountered unsupported non-voltage units")
        pybv.write_brainvision(
            data=data,
            sfreq=float(raw.info["sfreq"]),
            ch_names=list(raw.ch_names),
            fname_base=file.stem,
            folder_out=file.parent,
            events=events,
            resolution=1.0,
            unit=["µV" if volts else "n/a" for volts in voltage],
            fmt="binary_float32",
            meas_date=start_time(raw),
        )
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    return Written(smallest / factors, 1.01 * _FLOAT32_ROUNDING, seen)


def _check_samples(raw: Any, data: np.ndarray, factors: np.ndarray, path: Path) -> None:
    """Raise ValidationError for samples that are infinite or too large; NaN are stored as such."""
    limit = float(np.finfo(np.float32).max)
    for name, row, factor in zip(raw.ch_names, data, factors, strict=True):
        largest = max(float(np.fmax.reduce(row)), -float(np.fmin.reduce(row)))
        if largest * factor >= limit:
            raise unusable(
                path,
                f"channel {name} reaches {largest:.4g}, more than BrainVision's float32 holds",
                "Mend the channel or drop it, or write .fif instead",
            )
