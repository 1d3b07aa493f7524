"""Write EDF+ and BDF+ files.

Each channel has its own physical range, so that an outlier in one does not reduce the precision of
the others. Channels of whole numbers (stim codes) are stored exactly.

The layout: EDF+, https://doi.org/10.1016/S1388-2457(03)00123-8.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.recording import find_samples
from facet_nb.core.storage import scratch
from facet_nb.core.storage.transpose import transpose
from facet_nb.io.formats.edf_limits import (
    EDF,
    Depth,
    Extent,
    check_samples,
    choose_ranges,
    choose_unit,
    record_length,
)
from facet_nb.io.formats.edf_records import Records, write_records
from facet_nb.io.markers import Marker, is_voltage, list_markers, start_time
from facet_nb.io.provenance import Note
from facet_nb.io.verify import Written

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")


def write_edf(
    raw: mne.io.BaseRaw, file: Path, path: Path, note: Note | None = None, *, depth: Depth
) -> Written:
    """Write `raw` to `file`.

    Records are written one after another, which needs little memory besides the recording. A
    recording that is not loaded is copied to a scratch file first.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; volts are stored in µV, other units as they are. The last record is padded
        with the last sample, and the padding is annotated ``BAD_ACQ_SKIP``.
    file : Path
        The file to write.
    path : Path
        Its final name, for messages.
    note : Note | None
        Provenance, of which a few words become a part of the recording field.
    depth : Depth
        ``EDF`` or ``BDF``.

    Returns
    -------
    Written
        Half a quantisation step of each channel, and the annotations.

    Raises
    ------
    ValidationError
        If the format cannot hold a sample.
    """
    import edfio

    data = raw._data if raw.preload else find_samples(raw)
    data = transpose(raw) if data is None else data
    extents = check_samples(raw, data, path, depth)
    n_record, record_s = record_length(float(raw.info["sfreq"]), path, depth)
    n_pad = -raw.n_times % n_record
    duration = (raw.n_times + n_pad) // n_record, record_s
    signals, records, steps = _make_signals(raw, data, extents, n_record, duration, depth)
    markers = [*list_markers(raw), *_padding(raw, n_pad)]
    begin = start_time(raw)
    container: Any = edfio.Edf if depth is EDF else edfio.Bdf
    skeleton = container(
        signals,
        patient=_patient(raw, path, depth),
        recording=edfio.Recording(
            startdate=None if begin is None else begin.date(),
            additional=() if note is None else _fit(note.tag),
        ),
        starttime=None if begin is None else begin.time(),
        data_record_duration=record_s,
        annotations=_annotations(markers),
    )
    extremes = np.array([extent.samples for extent in extents])
    stored = write_records(skeleton, data, records, file, extremes)
    # The reader adds rounding errors of its own arithmetic to half a step.
    return Written(steps * (0.5 + 1e-6), 1e-12, markers, steps, stored)


def _fit(words: Sequence[str]) -> list[str]:
    """Return the words that fit behind the date and three codes; the recording field has 80."""
    room, kept = 80 - len("Startdate 02-MAR-2002 X X X"), []
    for word in words:
        if len(word) < room:
            kept.append(word)
            room -= len(word) + 1
    return kept


def _make_signals(
    raw: mne.io.BaseRaw,
    data: np.ndarray,
    extents: list[Extent],
    n_record: int,
    duration: tuple[int, int],
    depth: Depth,
) -> tuple[list[Any], Records, np.ndarray]:
    """Return edfio's signals with one sample per record, the encoding, and quantisation steps.

    `duration` is the number of records, and the length of one in s. A step is in the unit of its
    channel; 0 for whole numbers, which are exact.
    """
    import edfio

    signal = edfio.EdfSignal if depth is EDF else edfio.BdfSignal
    filters = f"HP:{raw.info['highpass']:.6g}Hz LP:{raw.info['lowpass']:.6g}Hz"
    voltage = is_voltage(raw)
    signals, steps = [], np.empty(len(data))
    factors, gains, offsets = np.empty(len(data)), np.empty(len(data)), np.empty(len(data))
    for i, name in enumerate(raw.ch_names):
        unit, factor = choose_unit(extents[i], voltage[i])
        extent = extents[i] if factor == 1.0 else extents[i].scaled(data[i], factor)
        scratch.forget(data)
        physical, digital = choose_ranges(extent, depth)
        signals.append(
            signal(
                np.full(duration[0], float(physical[0])),
                1 / duration[1],
                label=name,
                physical_dimension=unit,
                physical_range=physical,
                digital_range=digital,
                prefiltering=filters,
            )
        )
        low, high = signals[-1].physical_range  # as rounded to the header's eight characters
        gains[i] = (high - low) / (digital[1] - digital[0])
        factors[i], offsets[i] = factor, high / gains[i] - digital[1]
        steps[i] = 0.0 if extent.is_exact(depth) else gains[i] / factor
    return signals, Records(depth, n_record, factors, gains, offsets), steps


def _padding(raw: mne.io.BaseRaw, n_pad: int) -> list[Marker]:
    sfreq = float(raw.info["sfreq"])
    return [Marker(raw.n_times / sfreq, n_pad / sfreq, "BAD_ACQ_SKIP")] if n_pad else []


def _annotations(markers: list[Marker]) -> list[Any]:
    """Return edfio's annotations; MNE reads ``text@@channel`` as that of a single channel."""
    import edfio

    rows = []
    for marker in markers:
        for suffix in [f"@@{name}" for name in marker.ch_names] or [""]:
            text = marker.description + suffix
            rows.append(edfio.EdfAnnotation(marker.onset_s, marker.duration_s, text))
    return rows


def _patient(raw: mne.io.BaseRaw, path: Path, depth: Depth) -> Any:
    """Return the subject, or an anonymous one if EDF cannot hold its names."""
    import edfio

    subject: dict[str, Any] = dict(raw.info["subject_info"] or {})
    names = [subject.get(f"{part}_name") for part in ("first", "middle", "last")]
    names = [name for name in names if name != "mne_anonymize"]
    code = str(subject.get("his_id") or "")
    birthday, sex = subject.get("birthday"), subject.get("sex")
    try:
        return edfio.Patient(
            code=code.replace(" ", "_") if code not in ("", "0") else "X",
            sex="M" if sex == 1 else "F" if sex == 2 else "X",
            birthdate=birthday if isinstance(birthday, date) else None,
            name="_".join(str(n).replace(" ", "_") for n in names if n) or "X",
        )
    except ValueError as error:
        logger.warning(
            "%s: subject left out because %s cannot hold it (%s)", path, depth.label, error
        )
        return edfio.Patient()
