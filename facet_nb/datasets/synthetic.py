"""A seeded simulator of EEG recorded during fMRI, with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.datasets import background, coupling, epi, heart
from facet_nb.datasets.protocol import MARKERS, Protocol
from facet_nb.datasets.simulation import Mixture, Simulation

if TYPE_CHECKING:
    import mne

ECG_NAME = "ECG"
_ECG_ARTIFACT = 1.5
_STREAMS = ("clock", "jitter", "eeg", "gradient", "gains", "movements", "heart", "pulse", "ecg")


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
    amplifier are not simulated.

    Examples
    --------
    >>> from facet_nb.datasets import simulate
    >>> simulation = simulate(n_channels=4, sfreq=1000, duration_s=20, seed=7)
    >>> simulation.clean.shape
    (4, 20000)
    """
    protocol = Protocol(**locals())
    rngs = _spawn(protocol.seed)
    montage = background.load_montage()
    names, positions_m = background.pick_channels(montage, protocol.n_channels)
    onsets_s = protocol.draw_slice_onsets(rngs["clock"])
    marker_times_s = protocol.place_markers(onsets_s)
    clean = background.simulate_eeg(
        positions_m,
        background.locate_alpha(montage),
        protocol.n_times,
        protocol.sfreq,
        rngs["eeg"],
        rms_v=protocol.eeg_rms_v,
        cutoff_hz=protocol.cutoff_hz,
    )
    gradient = _build_gradient(protocol, positions_m, onsets_s, rngs)
    beats_s, pulse_mixture = _build_pulse(protocol, positions_m, rngs)
    triggers = protocol.mark_samples(marker_times_s, rngs["jitter"])
    data = _add_up(protocol, clean, gradient, pulse_mixture, beats_s)
    names = [*names, ECG_NAME] if protocol.pulse else names
    return Simulation(
        raw=_wrap(data, names, montage, protocol, triggers),
        clean=_freeze(clean),
        onsets_s=_freeze(marker_times_s),
        triggers=_freeze(triggers),
        sfreq=protocol.sfreq,
        spec=protocol.to_dict(),
        slice_onsets_s=_freeze(onsets_s),
        movements_s=_freeze(gradient.changes_s),
        r_peaks_s=_freeze(beats_s),
        gradient=gradient,
        pulse=pulse_mixture,
    )


def _spawn(seed: int) -> dict[str, np.random.Generator]:
    """Return independent random streams for the parts of a simulation."""
    children = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    return {
        name: np.random.default_rng(child) for name, child in zip(_STREAMS, children, strict=True)
    }


def _build_gradient(
    protocol: Protocol,
    positions_m: np.ndarray,
    onsets_s: np.ndarray,
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
    gains = coupling.draw_gains(
        onsets_s, p.n_groups, rngs["gains"], drift=p.drift, slice_variation=p.slice_variation
    )
    movements_s = coupling.draw_movements(
        onsets_s[:: p.n_groups],
        p.tr_s,
        rngs["movements"],
        per_min=p.motions_per_min if p.motion else 0.0,
        movement_s=p.movement_s,
    )
    weights = np.concatenate([weights, ecg_weights])
    return Mixture(
        sources=epi.render_train(slopes, onsets_s, gains, p.sfreq, p.n_times, cutoff_hz=cutoff_hz),
        weights=coupling.move_weights(weights, len(movements_s), p.motion, rngs["movements"]),
        changes_s=movements_s,
        sfreq=p.sfreq,
        ramp_s=p.movement_s,
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
