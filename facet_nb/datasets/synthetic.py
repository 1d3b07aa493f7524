"""A seeded simulator of EEG recorded during fMRI, with ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import background, coupling, epi, heart
from facet_nb.datasets.imperfections import Imperfections
from facet_nb.datasets.protocol import MARKERS, Protocol
from facet_nb.datasets.simulation import Mixture, Simulation

if TYPE_CHECKING:
    import mne

ECG_NAME = "ECG"
_ECG_ARTIFACT = 1.5
_STREAMS = (
    *("clock", "jitter", "eeg", "gradient", "gains", "movements", "heart", "pulse", "ecg"),
    *("markers", "second", "sources", "emg", "channels"),
)


def simulate(
    n_channels: int = 32,
    sfreq: float = 5000.0,
    duration_s: float = 60.0,
    tr_s: float = 2.0,
    n_slices: int = 30,
    *,
    seed: int = 0,
    markers: str = "slice",
    multiband: int = 1,
    volume_gap_s: float = 0.0,
    missing: Sequence[int] = (),
    marker_jitter_samples: int = 0,
    lead_in_s: float = 5.0,
    lead_out_s: float = 4.0,
    clock_offset_ppm: float = 23.0,
    artifact_amplitude_v: float = 5e-3,
    lowpass_hz: float | None = None,
    drift: float = 0.01,
    motion: float = 0.01,
    motions_per_min: float = 2.0,
    slice_variation: float = 0.0,
    eeg_rms_v: float = 20e-6,
    pulse: bool = False,
    pulse_amplitude_v: float = 80e-6,
    heart_rate_hz: float = 1.1,
    imperfections: Imperfections | Mapping[str, Any] | None = None,
) -> Simulation:
    """Simulate EEG in the scanner: known clean EEG plus known gradient (and pulse) artifact.

    The gradient artifact is a function of continuous time, band-limited like the output of a real
    amplifier. It is evaluated at exact slice onsets, which do not fall on samples because the
    scanner clock has its own phase and rate. See `facet_nb.datasets.epi` for the waveform and its
    accuracy.

    Parameters
    ----------
    n_channels : int
        Number of EEG channels, with names and positions of the 10-05 system (1 to 335).
    sfreq : float
        Sampling rate, in Hz; at least 250.
    duration_s : float
        Length of the recording, in s.
    tr_s : float
        Repetition time: from one volume to the next, in s of the scanner clock.
    n_slices : int
        Slices per volume.
    seed : int
        The same arguments and seed give identical samples (with the same versions of numpy and
        scipy on the same kind of processor). Each part has its own random stream: `clean` does not
        depend on the options for artifacts, markers, motion or pulse.
    markers : {"slice", "volume"}
        Whether each slice (``Stimulus/S  1``) or each volume (``Response/R128``) is marked. The
        volume marker comes 1.3 ms after the volume's first slice begins.
    multiband : int
        Slices excited at once; there are ``n_slices / multiband`` gradient events per volume.
    volume_gap_s : float
        Pause without gradients at the end of each volume, in s.
    missing : sequence of int
        Markers that the recorder lost, numbered from 0. Their artifacts are still present.
    marker_jitter_samples : int
        Largest random shift of a marker in either direction, in samples, besides rounding.
    lead_in_s, lead_out_s : float
        Time before the first slice and (at least) after the last volume, in s, without gradients.
    clock_offset_ppm : float
        How much faster the EEG clock runs than the scanner clock, in parts per million. With 0 the
        clocks are synchronised; slices then repeat at the same phase if ``sfreq * tr_s / n_slices``
        is a whole number.
    artifact_amplitude_v : float
        Peak of the artifact of a slice, in V: the median over channels, which range (evenly on a
        logarithmic scale) from half to twice as much. With 0 the EEG is clean but has markers.
    lowpass_hz : float | None
        The amplifier's low-pass (−6 dB), in Hz; at most ``sfreq / 4.8``. By default 1000 Hz or
        ``sfreq / 5``, whichever is lower.
    drift : float
        Largest relative slow change of the artifact: sine waves with periods of 43 to 190 s.
    motion : float
        Relative change of the coupling of a channel by a head movement.
    motions_per_min : float
        Head movements per minute of scanning; each lasts 0.3 s in a random volume.
    slice_variation : float
        Relative standard deviation of the artifact's amplitude among the slices of a volume; the
        same in each volume.
    eeg_rms_v : float
        Root mean square of the clean EEG over all channels and samples, in V.
    pulse : bool
        Whether to add the pulse artifact to the EEG, and a channel ``ECG`` (with its own gradient
        artifact).
    pulse_amplitude_v : float
        Peak of the pulse artifact, in V: the channels range from half to twice as much.
    heart_rate_hz : float
        Heartbeats per second.
    imperfections : Imperfections | dict | None
        What goes wrong in everyday recordings: a causal low-pass, artifacts with a net mean, muscle
        bursts, wrong markers, a second sequence, dead channels … None adds nothing.

    Returns
    -------
    Simulation
        Recording, ground truth and timing.

    Raises
    ------
    ValidationError
        If an argument is invalid.

    Notes
    -----
    Memory: the recording and the clean EEG, and temporarily less than half of one of them.
    Averaging cannot distinguish EEG from artifact at multiples of the slice rate: with a slice
    every 0.1 s, alpha is affected more than with the default.
    Head movement in the static field, vibration of the helium pump and quantisation of the
    amplifier are not simulated. The truth counts EEG only: muscle bursts are in neither the truth
    nor the error, and dead or loose channels have no signal-to-noise ratio (NaN).

    Examples
    --------
    >>> from facet_nb.datasets import simulate
    >>> simulation = simulate(n_channels=4, sfreq=1000, duration_s=20, seed=7)
    >>> simulation.clean.shape
    (4, 20000)
    """
    arguments = dict(locals())
    wrong = Imperfections.of(arguments.pop("imperfections"))
    protocol = Protocol(**arguments)
    wrong.check_channels(protocol.n_channels)
    rngs = _spawn(protocol.seed)
    montage = background.load_montage()
    names, positions_m = background.pick_channels(montage, protocol.n_channels)
    scan = _plan_scan(protocol, wrong, rngs)
    clean = background.simulate_eeg(
        positions_m,
        background.locate_alpha(montage),
        protocol.n_times,
        protocol.sfreq,
        rngs["eeg"],
        rms_v=protocol.eeg_rms_v,
        cutoff_hz=protocol.cutoff_hz,
    )
    clean = wrong.filter(clean, protocol.sfreq)
    gradient = _build_gradient(protocol, wrong, positions_m, scan, rngs)
    beats_s, pulse_mixture = _build_pulse(protocol, positions_m, rngs)
    triggers = protocol.mark_samples(scan.markers_s, rngs["jitter"])
    triggers = triggers[scan.marked[np.delete(np.arange(len(scan.markers_s)), protocol.missing)]]
    triggers = wrong.mark(triggers, protocol.sfreq, protocol.n_times, rngs["markers"])
    other = wrong.draw_emg(len(clean), protocol.n_times, protocol.sfreq, rngs["emg"])
    other = None if other is None else wrong.filter(other, protocol.sfreq)
    data = _add_up(protocol, clean, gradient, pulse_mixture, beats_s)
    if other is not None:
        data[: len(other)] += other
    wrong.spoil_channels(data, protocol.sfreq, rngs["channels"])
    names = [*names, ECG_NAME] if protocol.pulse else names
    spec = protocol.to_dict()
    if wrong != Imperfections():
        spec["imperfections"] = wrong.to_dict()
    return Simulation(
        raw=_wrap(data, names, montage, protocol, triggers),
        clean=_freeze(clean),
        onsets_s=_freeze(scan.markers_s),
        triggers=_freeze(triggers),
        sfreq=protocol.sfreq,
        spec=spec,
        slice_onsets_s=_freeze(scan.slices_s),
        movements_s=_freeze(gradient.changes_s),
        r_peaks_s=_freeze(beats_s),
        gradient=gradient,
        pulse=pulse_mixture,
        other=None if other is None else _freeze(other),
        scan_end_s=scan.end_s,
    )


@dataclass(frozen=True)
class _Sequence:
    """Volumes of one sequence: its protocol, and the onsets of its slices, in s."""

    protocol: Protocol
    slices_s: np.ndarray
    echo_spacing_s: float = epi.ECHO_SPACING_S

    @property
    def volumes_s(self) -> np.ndarray:
        return self.slices_s[:: self.protocol.n_groups]

    @property
    def end_s(self) -> float:
        return float(self.volumes_s[-1] + self.protocol.tr_s * self.protocol.clock_rate)


@dataclass(frozen=True)
class _Scan:
    """The sequences of a recording, the times of their markers, and which of these are sent."""

    sequences: tuple[_Sequence, ...]
    markers_s: np.ndarray
    marked: np.ndarray

    @property
    def slices_s(self) -> np.ndarray:
        return np.concatenate([sequence.slices_s for sequence in self.sequences])

    @property
    def end_s(self) -> float:
        return self.sequences[-1].end_s


def _plan_scan(
    protocol: Protocol, wrong: Imperfections, rngs: dict[str, np.random.Generator]
) -> _Scan:
    """Return the onsets of slices and markers."""
    p, extent = protocol, protocol
    if wrong.start_in_volume:
        extent = replace(p, lead_in_s=0.0)
    slices_s = extent.draw_slice_onsets(rngs["clock"])
    if wrong.start_in_volume:
        slices_s = slices_s - wrong.start_in_volume * p.tr_s
    sequences = [_Sequence(p, wrong.bend_clock(slices_s))]
    if wrong.has_second:
        sequences = _add_second(sequences[0], wrong)
    markers_s = np.concatenate([s.protocol.place_markers(s.slices_s) for s in sequences])
    marked = (markers_s >= 0) & (markers_s < p.duration_s)
    marked[: wrong.dummy_volumes * (p.n_groups if p.markers == "slice" else 1)] = False
    if marked.sum() < 2:
        raise ValidationError("fewer than two markers are left: lower dummy_volumes.")
    return _Scan(tuple(sequences), markers_s, marked)


def _add_second(first: _Sequence, wrong: Imperfections) -> list[_Sequence]:
    """Return the first sequence, cut short, and the second one in the rest of the time."""
    p = first.protocol
    second = replace(
        p,
        tr_s=wrong.second_tr_s or p.tr_s,
        n_slices=wrong.second_n_slices or p.n_slices,
        multiband=1 if wrong.second_n_slices else p.multiband,
        missing=(),
    )
    n_first = max(1, round(wrong.second_start * len(first.volumes_s)))
    kept = replace(first, slices_s=first.slices_s[: n_first * p.n_groups])
    begin_s = kept.end_s + wrong.second_break_s
    period_s = second.tr_s * second.clock_rate
    n_volumes = int((p.duration_s - p.lead_out_s - begin_s) / period_s)
    if n_volumes < 1:
        raise ValidationError(
            f"no volume of the second sequence fits behind {begin_s:.1f} s: raise duration_s, or "
            "lower second_start or second_break_s."
        )
    within_s = second.slice_s * second.clock_rate * np.arange(second.n_groups)
    slices_s = np.add.outer(begin_s + period_s * np.arange(n_volumes), within_s).ravel()
    spacing_s = wrong.second_echo_spacing_s or epi.ECHO_SPACING_S
    return [kept, _Sequence(second, slices_s, spacing_s)]


def _spawn(seed: int) -> dict[str, np.random.Generator]:
    """Return independent random streams for the parts of a simulation."""
    children = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    return {
        name: np.random.default_rng(child) for name, child in zip(_STREAMS, children, strict=True)
    }


def _build_gradient(
    protocol: Protocol,
    wrong: Imperfections,
    positions_m: np.ndarray,
    scan: _Scan,
    rngs: dict[str, np.random.Generator],
) -> Mixture:
    """Return the gradient artifact of all channels, with the ECG in the last row."""
    p, cutoff_hz = protocol, protocol.cutoff_hz
    slopes = epi.list_slopes(p.slice_s)
    weights = coupling.weigh_gradients(
        positions_m, slopes, p.artifact_amplitude_v, rngs["gradient"], cutoff_hz=cutoff_hz
    )
    ecg_site_m = np.array([[0.05, 0.0, -0.3]])
    ecg_weights = coupling.weigh_gradients(
        ecg_site_m,
        slopes,
        _ECG_ARTIFACT * p.artifact_amplitude_v,
        rngs["ecg"],
        cutoff_hz=cutoff_hz,
    )
    sources = _render_sequences(scan, p, rngs)
    movement_s = p.movement_s if wrong.jump_s is None else min(wrong.jump_s, p.movement_s)
    movements_s = coupling.draw_movements(
        np.concatenate([sequence.volumes_s for sequence in scan.sequences]),
        min(sequence.protocol.tr_s for sequence in scan.sequences),
        rngs["movements"],
        per_min=p.motions_per_min if p.motion else 0.0,
        movement_s=movement_s,
    )
    weights = np.concatenate([weights, ecg_weights])
    weights = coupling.move_weights(weights, len(movements_s), p.motion, rngs["movements"])
    more, peaks_v = _render_more(scan, wrong, p, rngs["sources"])
    if len(more):
        sources = np.concatenate([sources, more])
        own = peaks_v * rngs["sources"].uniform(0.5, 1.5, (weights.shape[1], len(more)))
        own = np.broadcast_to(own, (len(weights), *own.shape))
        weights = np.concatenate([weights, own], axis=-1)
    return Mixture(
        sources=wrong.filter(sources, p.sfreq),
        weights=weights,
        changes_s=movements_s,
        sfreq=p.sfreq,
        ramp_s=movement_s,
    )


def _render_sequences(
    scan: _Scan, protocol: Protocol, rngs: dict[str, np.random.Generator]
) -> np.ndarray:
    """Return the voltage of each gradient axis, shape (3, n_times), over all sequences."""
    total = np.zeros(0)
    for sequence, stream in zip(scan.sequences, ("gains", "second"), strict=False):
        own = sequence.protocol
        gains = coupling.draw_gains(
            sequence.slices_s,
            own.n_groups,
            rngs[stream],
            drift=own.drift,
            slice_variation=own.slice_variation,
        )
        rendered = epi.render_train(
            epi.list_slopes(own.slice_s, sequence.echo_spacing_s),
            sequence.slices_s,
            gains,
            protocol.sfreq,
            protocol.n_times,
            cutoff_hz=protocol.cutoff_hz,
        )
        total = total + rendered if total.size else rendered
    return total


def _render_more(
    scan: _Scan, wrong: Imperfections, protocol: Protocol, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return further waveforms of the scanner, and their peaks in V."""
    numbers = [np.arange(len(s.slices_s)) % s.protocol.n_groups for s in scan.sequences]
    return wrong.render_sources(
        scan.slices_s,
        np.concatenate([sequence.volumes_s for sequence in scan.sequences]),
        np.concatenate(numbers),
        protocol.sfreq,
        protocol.n_times,
        rng,
    )


def _build_pulse(
    protocol: Protocol, positions_m: np.ndarray, rngs: dict[str, np.random.Generator]
) -> tuple[np.ndarray, Mixture | None]:
    """Return R peaks (s) and the pulse artifact of the EEG channels; empty without pulse."""
    p = protocol
    if not p.pulse:
        return np.empty(0), None
    beats_s = heart.draw_beats(p.duration_s, p.heart_rate_hz, rngs["heart"])
    weights = heart.weigh_pulse(positions_m, p.pulse_amplitude_v, rngs["pulse"])
    sources = heart.render_pulse(beats_s, p.n_times, p.sfreq, rngs["heart"])
    return beats_s, Mixture(sources, weights[np.newaxis], np.empty(0), p.sfreq, p.movement_s)


def _add_up(
    protocol: Protocol,
    clean: np.ndarray,
    gradient: Mixture,
    pulse: Mixture | None,
    beats_s: np.ndarray,
) -> np.ndarray:
    """Return the recording, shape (n_channels, n_times), with any ECG as last row."""
    n_rows = len(clean) + protocol.pulse
    data = np.empty((n_rows, clean.shape[1]))
    data[: len(clean)] = clean
    if pulse is not None:
        data[-1] = heart.render_ecg(beats_s, protocol.n_times, protocol.sfreq)
        pulse.add_to(data[: len(clean)])
    gradient.add_to(data)
    return data


def _wrap(
    data: np.ndarray,
    names: list[str],
    montage: mne.channels.DigMontage,
    protocol: Protocol,
    triggers: np.ndarray,
) -> mne.io.RawArray:
    """Return the recording as ``mne.io.RawArray`` with positions and markers."""
    import mne

    kinds = ["ecg" if name == ECG_NAME else "eeg" for name in names]
    info = mne.create_info(names, protocol.sfreq, kinds, verbose="error")
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.set_montage(montage, on_missing="ignore", verbose="error")
    sample_s = 1.0 / protocol.sfreq
    label = MARKERS[protocol.markers]
    raw.set_annotations(
        mne.Annotations(triggers / protocol.sfreq, sample_s, [label] * len(triggers)),
        verbose="error",
    )
    return raw


def _freeze(array: np.ndarray) -> np.ndarray:
    """Return a read-only view."""
    array = array.view()
    array.flags.writeable = False
    return array
