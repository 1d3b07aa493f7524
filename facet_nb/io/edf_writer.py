"""Writing EDF+ and BDF+.

Every channel has a physical range of its own, so that one with an outlier does not cost the
others their precision; channels of whole numbers (stim codes) are stored exactly.

The layout: EDF+, https://doi.org/10.1016/S1388-2457(03)00123-8.
"""

from __future__ import annotations

import logging
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.io.edf_limits import (
    EDF,
    Depth,
    check_samples,
    choose_ranges,
    choose_unit,
    is_exact,
    record_length,
)
from facet_nb.io.markers import Marker, list_markers, start_time
from facet_nb.io.readback import Written
from facet_nb.io.units import is_voltage

logger = logging.getLogger("facet_nb")


def write_edf(raw: Any, file: Path, path: Path, depth: Depth) -> Written:
    """Write `raw` to `file`.

    Samples are stored as integers, in memory too: it takes half as much as the recording
    (BDF: as much), and for a recording that is not preloaded the recording itself.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; volts are stored in µV, other units as they are. The last record is filled
        up with the last samples, and an annotation ``BAD_ACQ_SKIP`` says so.
    file : Path
        Where to write now.
    path : Path
        Where it will go, for messages.
    depth : Depth
        ``EDF`` or ``BDF``.

    Returns
    -------
    Written
        Half a quantisation step of each channel, and the annotations.

    Raises
    ------
    ValidationError
        If there are samples that the format cannot hold.
    """
    import edfio

    data = recording.load_array(raw)
    check_samples(raw, data, path, depth)
    n_record, record_s = record_length(float(raw.info["sfreq"]), path, depth)
    n_pad = -raw.n_times % n_record
    signals, steps = _make_signals(raw, data, n_pad, Fraction(n_record, record_s), depth)
    markers = [*list_markers(raw), *_padding(raw, n_pad)]
    begin = start_time(raw)
    container: Any = edfio.Edf if depth is EDF else edfio.Bdf
    container(
        signals,
        patient=_patient(raw, path, depth),
        recording=edfio.Recording(startdate=None if begin is None else begin.date()),
        starttime=None if begin is None else begin.time(),
        data_record_duration=record_s,
        annotations=_annotations(markers),
    ).write(file)
    # Beside half a step there is the rounding of the reader's own arithmetic.
    return Written(steps * (0.5 + 1e-6), 1e-12, markers, steps)


def _make_signals(
    raw: Any, data: np.ndarray, n_pad: int, sfreq: Fraction, depth: Depth
) -> tuple[list[Any], np.ndarray]:
    """Return a signal for each channel, and their quantisation steps in the channels' units.

    Channels of whole numbers have no quantisation: a step of 0.
    """
    import edfio

    signal = edfio.EdfSignal if depth is EDF else edfio.BdfSignal
    filters = f"HP:{raw.info['highpass']:.6g}Hz LP:{raw.info['lowpass']:.6g}Hz"
    voltage = is_voltage(raw)
    signals, steps = [], np.empty(len(data))
    for i, name in enumerate(raw.ch_names):
        unit, factor = choose_unit(data[i], voltage[i])
        values = np.pad(data[i] * factor, (0, n_pad), mode="edge")
        physical, digital = choose_ranges(values, depth)
        signals.append(
            signal(
                values,
                float(sfreq),
                label=name,
                physical_dimension=unit,
                physical_range=physical,
                digital_range=digital,
                prefiltering=filters,
            )
        )
        low, high = signals[-1].physical_range
        step = (high - low) / (digital[1] - digital[0]) / factor
        steps[i] = 0.0 if is_exact(values, depth) else step
    return signals, steps


def _padding(raw: Any, n_pad: int) -> list[Marker]:
    sfreq = float(raw.info["sfreq"])
    return [Marker(raw.n_times / sfreq, n_pad / sfreq, "BAD_ACQ_SKIP")] if n_pad else []


def _annotations(markers: list[Marker]) -> list[Any]:
    """Return annotations for edfio; ``text@@channel`` is how MNE marks a single channel."""
    import edfio

    rows = []
    for marker in markers:
        for suffix in [f"@@{name}" for name in marker.ch_names] or [""]:
            text = marker.description + suffix
            rows.append(edfio.EdfAnnotation(marker.onset_s, marker.duration_s, text))
    return rows


def _patient(raw: Any, path: Path, depth: Depth) -> Any:
    """Return who was recorded, or nobody if the names do not fit."""
    import edfio

    subject: dict[str, Any] = dict(raw.info["subject_info"] or {})
    names = [subject.get(f"{part}_name") for part in ("first", "middle", "last")]
    birthday, sex = subject.get("birthday"), subject.get("sex")
    try:
        return edfio.Patient(
            code=str(subject.get("his_id") or "X").replace(" ", "_"),
            sex="M" if sex == 1 else "F" if sex == 2 else "X",
            birthdate=birthday if isinstance(birthday, date) else None,
            name="_".join(str(n).replace(" ", "_") for n in names if n) or "X",
        )
    except ValueError as error:
        logger.warning("%s: subject left out, for %s cannot hold it (%s)", path, depth.label, error)
        return edfio.Patient()
