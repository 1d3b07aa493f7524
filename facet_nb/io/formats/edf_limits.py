"""The limits of EDF+ and BDF+ files.

edfio checks names, date and finite samples when it writes. The same limits are checked here before
a run, for all channels at once and with the remedy; annotations are not checked by edfio.

The layout: EDF+, https://doi.org/10.1016/S1388-2457(03)00123-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.storage import scratch
from facet_nb.io.checksum import Extremes
from facet_nb.io.markers import EDF_MARKS, check_descriptions, is_voltage, list_markers, start_time
from facet_nb.io.messages import shorten, unusable
from facet_nb.kernels.resampling.windowed_sinc import find_ratio

if TYPE_CHECKING:
    import mne

#: Channel names: printable ASCII, up to 16 characters, no space at either end.
_LABEL = re.compile(r"[!-~]([ -~]{0,14}[!-~])?")

#: A record is a whole number of seconds; longer ones would pad short recordings too much.
_LONGEST_RECORD_S = 10

#: Physical limits have eight characters, including the sign.
_LARGEST_VALUE = 9_999_999

_YEARS = (1985, 2084)

#: Samples of a channel that are examined at once: 512 KB, which stay in the CPU's cache.
_PIECE = 2**16


@dataclass(frozen=True)
class Depth:
    """Range and size of a stored sample: ``low`` to ``high``, in ``n_bytes`` bytes."""

    label: str
    low: int
    high: int
    n_bytes: int


EDF = Depth("EDF", -(2**15), 2**15 - 1, 2)

BDF = Depth("BDF", -(2**23), 2**23 - 1, 3)


def check_edf_header(raw: mne.io.BaseRaw, path: Path, depth: Depth) -> None:
    """Raise ValidationError if channel names, rate, date or annotations do not fit the format."""
    reserved = f"{depth.label} Annotations"
    wrong = [name for name in raw.ch_names if not _LABEL.fullmatch(name) or name == reserved]
    if wrong:
        raise unusable(
            path,
            f"{depth.label} channel names have 1 to 16 printable ASCII characters without spaces "
            f"around them, and {reserved!r} is reserved; not so {shorten(map(repr, wrong))}",
            "Rename them with raw.rename_channels({old: new}), or write .fif instead",
        )
    record_length(float(raw.info["sfreq"]), path, depth)
    begin = start_time(raw)
    if begin is not None and not _YEARS[0] <= begin.year <= _YEARS[1]:
        raise unusable(
            path,
            f"the recording is dated {begin:%Y-%m-%d}, and {depth.label} holds the years "
            f"{_YEARS[0]} to {_YEARS[1]}",
            "Remove the date with raw.set_meas_date(None), or write .fif instead",
        )
    check_descriptions(raw, path, EDF_MARKS)
    empty = [m for m in list_markers(raw) if not m.description]
    if empty:
        raise unusable(
            path,
            f"the annotation at {empty[0].onset_s:.3f} s has no description, and "
            f"{depth.label} drops empty ones",
            "Give it a description, or write .fif instead",
        )


def record_length(sfreq: float, path: Path, depth: Depth) -> tuple[int, int]:
    """Return the length of the shortest record with exactly this rate, in samples and in s.

    Raises
    ------
    ValidationError
        If no record of up to ten seconds has.
    """
    exact = Fraction(sfreq).limit_denominator(_LONGEST_RECORD_S)
    if abs(float(exact) - sfreq) > 1e-9 * sfreq:
        near = float(max(round(sfreq), 1))
        change = (
            f"Put Resample({near}) before the export, or write"
            if (find_ratio(sfreq, near)[1])
            else "Write"
        )
        raise unusable(
            path,
            f"{depth.label} cannot hold a sampling rate of {sfreq:.9g} Hz: no record of up to "
            f"{_LONGEST_RECORD_S} s has a whole number of samples",
            f"{change} .fif or .vhdr",
        )
    return exact.numerator, exact.denominator


@dataclass(frozen=True)
class Extent:
    """Minimum and maximum of a channel, where they are, and whether it has whole numbers only."""

    low: float
    high: float
    whole: bool
    samples: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, row: np.ndarray) -> Extent:
        """Return the extent of the samples of a channel."""
        extremes, is_nan = Extremes(1), False
        for start in range(0, len(row), _PIECE):
            piece = row[start : start + _PIECE].astype(float)
            is_nan |= extremes.note(start, piece[np.newaxis])
        low, high = (np.nan, np.nan) if is_nan else extremes.values[0].tolist()
        return cls(low, high, _is_whole(row), tuple(extremes.samples[0].tolist()))

    def scaled(self, row: np.ndarray, factor: float) -> Extent:
        """Return the extent of `factor` times the samples `row` that this one is of."""
        # A product is rounded monotonically: its extremes are those of the samples.
        return replace(
            self, low=self.low * factor, high=self.high * factor, whole=_is_whole(row, factor)
        )

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return max(-self.low, self.high)

    def is_exact(self, depth: Depth) -> bool:
        """Whether all values are whole numbers that can be stored with a step of one."""
        return self.whole and self.high - self.low <= depth.high - depth.low


def _is_whole(row: np.ndarray, factor: float = 1.0) -> bool:
    """Whether `factor` times each sample is a whole number."""
    for start in range(0, len(row), _PIECE):
        piece = row[start : start + _PIECE].astype(float) * factor
        if not np.array_equal(piece, np.rint(piece)):
            return False
    return True


def check_samples(raw: mne.io.BaseRaw, data: np.ndarray, path: Path, depth: Depth) -> list[Extent]:
    """Return the extent of each channel of `data`, shape (n_channels, n_times).

    Raises
    ------
    ValidationError
        If the format cannot hold a sample.
    """
    columns = (raw.ch_names, data, is_voltage(raw), raw.get_channel_types())
    found = []
    for name, row, volts, kind in zip(*columns, strict=True):
        extent = Extent.of(row)
        found.append(extent)
        scratch.forget(data)
        if not (np.isfinite(extent.low) and np.isfinite(extent.high)):
            raise unusable(
                path,
                f"channel {name} has samples that are NaN or infinite, which {depth.label} "
                "cannot hold",
                "Repair or drop the channel, or write .fif instead",
            )
        if extent.largest * choose_unit(extent, volts)[1] > _LARGEST_VALUE:
            raise unusable(
                path,
                f"channel {name} reaches {extent.largest:.4g}, and {depth.label} holds up to "
                f"{_LARGEST_VALUE}",
                "Check its unit (samples are in V), or write .fif instead",
            )
        if kind == "stim" and not extent.is_exact(depth):
            raise unusable(
                path,
                f"channel {name} has codes from {extent.low:.9g} to {extent.high:.9g}, which "
                f"{depth.label} cannot hold exactly",
                "Drop the channel, or write .fif instead",
            )
    return found


def choose_unit(extent: Extent, is_voltage: bool) -> tuple[str, float]:
    """Return the unit in which a channel is written, and the factor for its samples.

    Volts are written in µV. A channel that reaches 10 V is not an electrode (but perhaps a trigger
    channel that was read as one): it stays in V, where its codes are whole numbers.
    """
    if not is_voltage:
        return "", 1.0
    return ("uV", 1e6) if extent.largest * 1e6 <= _LARGEST_VALUE else ("V", 1.0)


def choose_ranges(extent: Extent, depth: Depth) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return the physical and digital range of a channel.

    The quantisation step is one for whole numbers, otherwise as fine as the format allows.
    """
    digital = (depth.low, depth.high)
    low, high = extent.low, extent.high
    if extent.is_exact(depth):
        bottom = depth.low if depth.low <= low and high <= depth.high else int(low)
        return (bottom, bottom + depth.high - depth.low), digital
    return (low, high if high > low else low + 1.0), digital
