"""What goes wrong in everyday recordings, for :func:`facet_nb.datasets.simulate`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError

_FILTER_ORDER = 4
_BLOCK_RISE_S, _BLOCK_DECAY_S, _BLOCK_S = 2e-3, 30e-3, 0.2
_EXCITATION_S = 3e-3
_RING_DECAY_S, _RING_S, _RING_PERIOD_S = 60e-3, 0.6, 20.0
_EMG_BAND_HZ = (25.0, 300.0)
_BURST_S = (0.5, 3.0)
_DEAD_NOISE_V = 0.2e-6
_LOOSE_NOISE_V = 100e-6


@dataclass(frozen=True)
class Imperfections:
    """Properties of everyday recordings that a regular simulation lacks.

    The defaults add nothing. Give an instance, or a dictionary of its fields, to
    ``simulate(imperfections=…)``. Each part has its own random stream, so that the background EEG
    and the regular artifact are those of the same seed without it.

    Parameters
    ----------
    causal_lowpass_hz : float | None
        Corner (−3 dB) of a causal Butterworth low-pass of order 4 in the amplifier, in Hz. EEG
        and artifact pass through it, and so does the truth; artifacts get a tail.
    preparation_v : float
        Peak of a unipolar block at the start of each volume, in V, which decays with 30 ms (a
        preparation pulse, an amplifier that settles). It has a net mean.
    rectification_v : float
        Peak of the rectified radio-frequency pulse at the start of each slice, in V, 3 ms long;
        its size differs among the slices of a volume.
    vibration_v : float
        Peak of a decaying 23 Hz oscillation after each slice, in V, whose amplitude changes by
        ±50 % within 20 s.
    emg_bursts : int
        Number of muscle bursts (25 to 300 Hz, 0.5 to 3 s). They are neither artifact of the
        scanner nor EEG: :attr:`Simulation.other` holds them.
    emg_v : float
        Root mean square of the bursts at their peak, in V.
    emg_share : float
        Share of the channels, from 0 to 1, that pick up the bursts.
    extra_markers : int
        Markers at random times within the scan that belong to nothing.
    doubled_share : float
        Share of the markers, from 0 to 1, that the recorder notes a second time.
    doubled_after_s : float
        Interval from a marker to its double, in s.
    dummy_volumes : int
        Volumes at the start of the scan without markers.
    start_in_volume : float
        Part of the first volume, from 0 to 1, that was over when the recording began; the lead-in
        is then omitted. 0 keeps the lead-in.
    second_tr_s, second_n_slices : float | None, int | None
        Repetition time (in s) and slices per volume of a second sequence in the same recording.
        None repeats the value of the first; there is a second sequence if one of the three
        options with ``second_`` is given.
    second_echo_spacing_s : float | None
        Echo spacing of the second sequence, in s: another value gives another waveform.
    second_start : float
        Part of the scan after which the first sequence ends, from 0 to 1.
    second_break_s : float
        Time between the two sequences, in s.
    dead_channels : sequence of int
        EEG channels (rows) that hold 0.2 µV of noise and nothing else.
    loose_channels : sequence of int
        EEG channels (rows) that hold 0.1 mV of slow noise, and an artifact whose size changes at
        random from second to second.
    jump_s : float | None
        Duration of a head movement, in s, in place of 0.3 s: short ones are abrupt jumps.
    clip_v : float | None
        Largest value that the amplifier records, in V; None for no limit.
    clock_curve_ppm : float
        Change of the relative clock rate from the start of the scan to its end, in parts per
        million, as an amplifier that warms up (exponential, with a third of the scan).

    Raises
    ------
    ValidationError
        If a value is out of range.
    """

    causal_lowpass_hz: float | None = None
    preparation_v: float = 0.0
    rectification_v: float = 0.0
    vibration_v: float = 0.0
    emg_bursts: int = 0
    emg_v: float = 60e-6
    emg_share: float = 0.5
    extra_markers: int = 0
    doubled_share: float = 0.0
    doubled_after_s: float = 5e-3
    dummy_volumes: int = 0
    start_in_volume: float = 0.0
    second_tr_s: float | None = None
    second_n_slices: int | None = None
    second_echo_spacing_s: float | None = None
    second_start: float = 0.5
    second_break_s: float = 5.0
    dead_channels: Sequence[int] = ()
    loose_channels: Sequence[int] = ()
    jump_s: float | None = None
    clip_v: float | None = None
    clock_curve_ppm: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_channels"):
                object.__setattr__(self, field.name, tuple(int(row) for row in value))
                continue
            if value is None and "None" in str(field.type):
                continue
            _check_number(field.name, value)

    @classmethod
    def of(cls, options: Imperfections | Mapping[str, Any] | None) -> Imperfections:
        """Return an instance from one, from a dictionary of its fields, or from None."""
        if options is None:
            return cls()
        if isinstance(options, cls):
            return options
        if not isinstance(options, Mapping):
            raise ValidationError(
                f"imperfections={options!r}: give Imperfections(…) or a dictionary of its fields."
            )
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise ValidationError(
                f"imperfections: {', '.join(unknown)} is no field; choose among "
                f"{', '.join(sorted(known))}."
            )
        return cls(**options)

    @property
    def has_second(self) -> bool:
        """Whether there is a second sequence."""
        options = (self.second_tr_s, self.second_n_slices, self.second_echo_spacing_s)
        return any(value is not None for value in options)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as a dictionary that can be written as JSON."""
        values = asdict(self)
        for name in ("dead_channels", "loose_channels"):
            values[name] = list(values[name])
        return values

    def check_channels(self, n_channels: int) -> None:
        """Raise :class:`ValidationError` if a row is not an EEG channel."""
        rows = [*self.dead_channels, *self.loose_channels]
        if wrong := [row for row in rows if not 0 <= row < n_channels]:
            raise ValidationError(
                f"dead_channels, loose_channels: {wrong} are not rows of {n_channels} EEG channels."
            )

    # ------------------------------------------------------------------------------- amplifier
    def filter(self, data: np.ndarray, sfreq: float) -> np.ndarray:
        """Return rows after the amplifier's causal low-pass, shape (n_rows, n_times)."""
        if self.causal_lowpass_hz is None:
            return data
        from scipy.signal import butter, sosfilt

        if not self.causal_lowpass_hz < sfreq / 2:
            raise ValidationError(
                f"causal_lowpass_hz={self.causal_lowpass_hz:g} must be below {sfreq / 2:g} Hz, "
                "half the sampling rate."
            )
        sos = butter(_FILTER_ORDER, self.causal_lowpass_hz, fs=sfreq, output="sos")
        return sosfilt(sos, data, axis=-1)

    # ---------------------------------------------------------------------------------- timing
    def bend_clock(self, onsets_s: np.ndarray) -> np.ndarray:
        """Return times after the change of the clock's rate, in s."""
        if not self.clock_curve_ppm or not len(onsets_s):
            return onsets_s
        elapsed = onsets_s - onsets_s[0]
        tau = max(elapsed[-1] / 3.0, 1e-3)
        return onsets_s + 1e-6 * self.clock_curve_ppm * (
            elapsed - tau * (1 - np.exp(-elapsed / tau))
        )

    def mark(
        self, samples: np.ndarray, sfreq: float, n_times: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Return marker samples with doubled and extra ones, in order."""
        added = [samples]
        if self.doubled_share:
            n = round(self.doubled_share * len(samples))
            chosen = np.sort(rng.permutation(len(samples))[:n])
            added.append(samples[chosen] + max(1, round(self.doubled_after_s * sfreq)))
        if self.extra_markers and len(samples) > 1:
            added.append(rng.integers(samples[0], samples[-1], size=self.extra_markers))
        if len(added) == 1:
            return samples
        return np.unique(np.clip(np.concatenate(added), 0, n_times - 1))

    # -------------------------------------------------------------------------------- artifact
    def render_sources(
        self,
        slice_onsets_s: np.ndarray,
        volume_onsets_s: np.ndarray,
        slice_numbers: np.ndarray,
        sfreq: float,
        n_times: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return waveforms that the gradients' slopes do not make, and their peaks in V.

        Shapes are (n_sources, n_times) and (n_sources,). The waveforms have unit peaks and are
        sampled at the exact onsets.
        """
        parts = []
        if self.preparation_v:
            ones = np.ones(len(volume_onsets_s))
            wave = _add_events(_block, _BLOCK_S, volume_onsets_s, ones, sfreq, n_times)
            parts.append((wave, self.preparation_v))
        if self.rectification_v:
            sizes = rng.uniform(0.2, 1.0, int(slice_numbers.max()) + 1)[slice_numbers]
            wave = _add_events(_pulse, 3 * _EXCITATION_S, slice_onsets_s, sizes, sfreq, n_times)
            parts.append((wave, self.rectification_v))
        if self.vibration_v:
            turns = 2 * np.pi * (slice_onsets_s / _RING_PERIOD_S + rng.random())
            sizes = 1.0 + 0.5 * np.sin(turns)
            wave = _add_events(_ring, _RING_S, slice_onsets_s, sizes, sfreq, n_times)
            parts.append((wave / max(np.abs(wave).max(), 1e-300), self.vibration_v))
        if not parts:
            return np.zeros((0, n_times)), np.zeros(0)
        return np.stack([wave for wave, _ in parts]), np.array([peak for _, peak in parts])

    # ------------------------------------------------------------------------- other activity
    def draw_emg(
        self, n_channels: int, n_times: int, sfreq: float, rng: np.random.Generator
    ) -> np.ndarray | None:
        """Return muscle bursts, in V, shape (n_channels, n_times); None without bursts."""
        if not self.emg_bursts or not self.emg_v:
            return None
        from scipy.signal import butter, sosfiltfilt

        band = _EMG_BAND_HZ[0], min(_EMG_BAND_HZ[1], 0.45 * sfreq)
        sos = butter(2, band, "bandpass", fs=sfreq, output="sos")
        out = np.zeros((n_channels, n_times))
        near = rng.permutation(n_channels)[: max(1, round(self.emg_share * n_channels))]
        for _ in range(self.emg_bursts):
            n = min(n_times, round(rng.uniform(*_BURST_S) * sfreq))
            begin = int(rng.integers(0, n_times - n + 1))
            noise = sosfiltfilt(sos, rng.standard_normal((len(near), n)), axis=-1)
            noise *= np.hanning(n) / np.std(noise)
            sizes = rng.uniform(0.3, 1.0, (len(near), 1))
            out[near, begin : begin + n] += self.emg_v * sizes * noise
        return out

    def spoil_channels(self, data: np.ndarray, sfreq: float, rng: np.random.Generator) -> None:
        """Replace dead channels, and disturb loose ones, in place."""
        n_times = data.shape[1]
        for row in self.dead_channels:
            data[row] = _DEAD_NOISE_V * rng.standard_normal(n_times)
        for row in self.loose_channels:
            seconds = np.arange(0.0, n_times / sfreq + 1.0)
            times_s = np.arange(n_times) / sfreq
            data[row] *= np.interp(times_s, seconds, rng.uniform(0.0, 1.5, len(seconds)))
            steps = np.cumsum(rng.standard_normal(len(seconds)))
            slow = np.interp(times_s, seconds, steps - steps.mean())
            data[row] += _LOOSE_NOISE_V * slow / max(np.std(slow), 1e-300)
        if self.clip_v is not None:
            np.clip(data, -self.clip_v, self.clip_v, out=data)


def _check_number(name: str, value: Any) -> None:
    shares = {"emg_share", "doubled_share", "start_in_volume", "second_start"}
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValidationError(f"{name}={value!r} is invalid: give a number.")
    if not math.isfinite(value) or (value < 0 and name != "clock_curve_ppm"):
        raise ValidationError(f"{name}={value!r} is out of range: use 0 or more.")
    if name in shares and value > 1:
        raise ValidationError(f"{name}={value!r} is out of range: use at most 1.")
    if name.endswith("_v") and value > 1:
        raise ValidationError(f"{name}={value!r} is out of range: volts, not microvolts.")
    positive = {"causal_lowpass_hz", "second_tr_s", "second_n_slices", "jump_s", "clip_v"}
    if name in positive and value == 0:
        raise ValidationError(f"{name}=0 is out of range: use a number above 0, or None.")


def _add_events(
    wave: Any,
    length_s: float,
    onsets_s: np.ndarray,
    sizes: np.ndarray,
    sfreq: float,
    n_times: int,
) -> np.ndarray:
    """Return the sum of waveforms at exact onsets, shape (n_times,)."""
    out = np.zeros(n_times)
    for onset_s, size in zip(onsets_s, sizes, strict=True):
        first = max(0, math.ceil(onset_s * sfreq))
        last = min(n_times, math.ceil((onset_s + length_s) * sfreq))
        if last > first:
            out[first:last] += size * wave(np.arange(first, last) / sfreq - onset_s)
    return out


def _block(times_s: np.ndarray) -> np.ndarray:
    return np.exp(-times_s / _BLOCK_DECAY_S) * (1.0 - np.exp(-times_s / _BLOCK_RISE_S))


def _pulse(times_s: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((times_s - 1.5 * _EXCITATION_S) / (0.5 * _EXCITATION_S)) ** 2)


def _ring(times_s: np.ndarray) -> np.ndarray:
    return np.exp(-times_s / _RING_DECAY_S) * np.sin(2.0 * np.pi * 23.0 * times_s)
