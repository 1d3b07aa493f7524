"""The validated arguments of a simulation, and the timing derived from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import epi

MARKERS = {"slice": "Stimulus/S  1", "volume": "Response/R128"}
VOLUME_MARKER_LAG_S = 1.3e-3
MIN_SFREQ = 250.0
MAX_CUTOFF_HZ = 1000.0
_CLOCK_PHASE_S = 1e-3
_MOVEMENT_S = 0.3


@dataclass(frozen=True)
class Protocol:
    """The arguments of `simulate`, validated and in plain Python types.

    The fields are described in `facet_nb.datasets.simulate`.

    Raises
    ------
    ValidationError
        If an argument is invalid, or the recording is shorter than one volume.
    """

    n_channels: int
    sfreq: float
    duration_s: float
    tr_s: float
    n_slices: int
    seed: int
    markers: str
    multiband: int
    volume_gap_s: float
    missing: Sequence[int]
    marker_jitter_samples: int
    lead_in_s: float
    lead_out_s: float
    clock_offset_ppm: float
    artifact_amplitude_v: float
    lowpass_hz: float | None
    drift: float
    motion: float
    motions_per_min: float
    slice_variation: float
    eeg_rms_v: float
    pulse: bool
    pulse_amplitude_v: float
    heart_rate_hz: float

    def __post_init__(self) -> None:
        for field in fields(self):
            plain = _to_plain(field.name, field.type, getattr(self, field.name))
            object.__setattr__(self, field.name, plain)
        _check_ranges(self)
        _check_timing(self)

    @property
    def cutoff_hz(self) -> float:
        """Low-pass of the amplifier, in Hz."""
        return self.lowpass_hz or min(MAX_CUTOFF_HZ, self.sfreq / 5.0)

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return round(self.duration_s * self.sfreq)

    @property
    def n_groups(self) -> int:
        """Slice groups (gradient events) per volume: slices over the multiband factor."""
        return self.n_slices // self.multiband

    @property
    def slice_s(self) -> float:
        """Time from one slice group to the next within a volume, in s of the scanner clock."""
        return (self.tr_s - self.volume_gap_s) / self.n_groups

    @property
    def clock_rate(self) -> float:
        """Seconds of the EEG clock per second of the scanner clock."""
        return 1.0 + 1e-6 * self.clock_offset_ppm

    @property
    def n_volumes(self) -> int:
        """Whole volumes between lead-in and lead-out."""
        available_s = self.duration_s - self.lead_in_s - self.lead_out_s - _CLOCK_PHASE_S
        return max(0, math.floor(available_s / (self.tr_s * self.clock_rate) + 1e-9))

    @property
    def movement_s(self) -> float:
        """Duration of a head movement, in s."""
        return min(_MOVEMENT_S, 0.5 * self.tr_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments as a dict that can be written as JSON."""
        return asdict(self)

    def draw_slice_onsets(self, rng: np.random.Generator) -> np.ndarray:
        """Return onsets of slice groups, in s of the EEG clock, shape (n_volumes * n_groups,).

        The phase between the clocks is random within 1 ms.
        """
        volumes_s = self.tr_s * np.arange(self.n_volumes)
        scanner_s = np.add.outer(volumes_s, self.slice_s * np.arange(self.n_groups)).ravel()
        return self.lead_in_s + _CLOCK_PHASE_S * rng.random() + self.clock_rate * scanner_s

    def place_markers(self, slice_onsets_s: np.ndarray) -> np.ndarray:
        """Return the times at which the scanner sends the markers, in s of the EEG clock."""
        if self.markers == "slice":
            return slice_onsets_s
        return slice_onsets_s[:: self.n_groups] + VOLUME_MARKER_LAG_S

    def mark_samples(self, marker_times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the samples marked by the recorder: rounded, jittered, some missing."""
        samples = np.rint(marker_times_s * self.sfreq).astype(np.int64)
        jitter = self.marker_jitter_samples
        samples += rng.integers(-jitter, jitter, size=len(samples), endpoint=True)
        return np.clip(np.delete(samples, list(self.missing)), 0, self.n_times - 1)


def _to_plain(name: str, kind: Any, value: Any) -> Any:
    """Return an argument as int, float, bool, str, list of int or None."""
    try:
        if kind == "Sequence[int]":
            return [_to_int(item) for item in value]
        if value is None and "None" in kind:
            return None
        if kind == "int":
            return _to_int(value)
        if kind.startswith("float"):
            return _to_finite(value)
        return str(value) if kind == "str" else _to_bool(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(f"{name}={value!r} is invalid: give {_KINDS[kind]}.") from error


_KINDS = {
    "Sequence[int]": "a sequence of marker numbers, such as (10, 11)",
    "int": "a whole number",
    "float": "a finite number",
    "float | None": "a finite number or None",
    "bool": "True or False",
    "str": "a string",
}


def _to_int(value: Any) -> int:
    if int(value) != value:
        raise ValueError(value)
    return int(value)


def _to_bool(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError(value)
    return bool(value)


def _to_finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


_AT_LEAST = {
    "n_channels": 1,
    "n_slices": 1,
    "seed": 0,
    "multiband": 1,
    "sfreq": MIN_SFREQ,
    "volume_gap_s": 0.0,
    "marker_jitter_samples": 0,
    "lead_in_s": 0.0,
    "lead_out_s": 0.0,
    "artifact_amplitude_v": 0.0,
    "drift": 0.0,
    "motion": 0.0,
    "motions_per_min": 0.0,
    "slice_variation": 0.0,
    "eeg_rms_v": 0.0,
    "pulse_amplitude_v": 0.0,
}
_AT_MOST = {
    "drift": 0.5,
    "motion": 0.5,
    "slice_variation": 0.5,
    "artifact_amplitude_v": 1.0,
    "eeg_rms_v": 1.0,
    "pulse_amplitude_v": 1.0,
    "clock_offset_ppm": 10_000.0,
    "heart_rate_hz": 4.0,
}


def _check_ranges(protocol: Protocol) -> None:
    bounds = {"heart_rate_hz": 0.3, "clock_offset_ppm": -10_000.0} | _AT_LEAST
    for name, least in bounds.items():
        value, most = getattr(protocol, name), _AT_MOST.get(name, math.inf)
        if not least <= value <= most:
            limit = f"at least {least:g}" if value < least else f"at most {most:g}"
            unit = " (volts, not microvolts)" if name.endswith("_v") else ""
            raise ValidationError(f"{name}={value!r} is out of range: use {limit}{unit}.")
    if protocol.markers not in MARKERS:
        raise ValidationError(f"markers={protocol.markers!r}: use 'slice' or 'volume'.")


def _check_timing(protocol: Protocol) -> None:
    p = protocol
    if p.n_slices % p.multiband:
        raise ValidationError(
            f"multiband={p.multiband} does not divide n_slices={p.n_slices}: choose a divisor."
        )
    if p.slice_s < epi.MIN_SLICE_S:
        raise ValidationError(
            f"{1e3 * p.slice_s:.3g} ms per slice is too short for an EPI read-out (10 ms): raise "
            "tr_s or multiband, or lower n_slices or volume_gap_s."
        )
    if not 10.0 <= p.cutoff_hz <= p.sfreq / epi.MIN_RATE_PER_CUTOFF:
        raise ValidationError(
            f"lowpass_hz={p.lowpass_hz!r} must lie between 10 and {p.sfreq / 4.8:g} Hz (sfreq/4.8) "
            "so that nothing aliases: lower it, raise sfreq, or leave it None."
        )
    if p.marker_jitter_samples > 0.25 * p.slice_s * p.sfreq:
        raise ValidationError(
            f"marker_jitter_samples={p.marker_jitter_samples} could swap neighbouring slices: "
            f"use at most {int(0.25 * p.slice_s * p.sfreq)}."
        )
    if p.n_volumes < 1:
        need = p.lead_in_s + p.tr_s * p.clock_rate + p.lead_out_s + _CLOCK_PHASE_S
        raise ValidationError(
            f"duration_s={p.duration_s:g} is too short for one volume: use at least "
            f"{need:.3f} s, or shorten lead_in_s, lead_out_s or tr_s."
        )
    _check_missing(p)


def _check_missing(protocol: Protocol) -> None:
    per_volume = protocol.n_groups if protocol.markers == "slice" else 1
    n_markers = protocol.n_volumes * per_volume
    wrong = [k for k in protocol.missing if not 0 <= k < n_markers]
    if wrong:
        raise ValidationError(
            f"missing={wrong} are not markers of this simulation: numbers range from 0 to "
            f"{n_markers - 1}."
        )
