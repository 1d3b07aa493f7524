"""Background EEG: spatially correlated 1/f activity with bursts of alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import epi
from facet_nb.kernels.fft import irfft, next_fast_len

if TYPE_CHECKING:
    import mne

# Order in which channels are chosen: spread over the head for any number, then an MR cap's 32.
_FIRST = (
    *("Cz", "Oz", "Fz", "C3", "C4", "Pz", "O1", "O2", "Fp1", "Fp2", "F3", "F4", "P3", "P4"),
    *("T7", "T8", "F7", "F8", "P7", "P8", "FC1", "FC2", "CP1", "CP2", "FC5", "FC6"),
    *("CP5", "CP6", "TP9", "TP10", "POz", "Fpz"),
)
_OTHER_NAMES = {"T3", "T5", "T4", "T6", "M1", "M2", "A1", "A2"}
_EXPONENT = 1.5
_KNEE_HZ = 0.5
_HIGHPASS_HZ = 0.1
_FLOOR = 1e-5
_ALPHA_HZ = 10.0
_ALPHA_WIDTH_HZ = 0.6
_ALPHA_BURST_HZ = 0.25
_ALPHA_SHARE = 1.0
_ALPHA_REACH_M = 0.055
_ALPHA_SITES = ("O1", "O2")
_MIX_REACH_M = 0.045
_PRIVATE_SHARE = 0.35
_ROWS_PER_FFT = 4
_SAMPLES_PER_BLOCK = 32_768


def load_montage() -> mne.channels.DigMontage:
    """Return MNE's montage of the extended 10-05 system."""
    import mne

    # Newer versions of MNE have renamed it.
    known = set(mne.channels.get_builtin_montages())
    name = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    return mne.channels.make_standard_montage(name)


def pick_channels(
    montage: mne.channels.DigMontage, n_channels: int
) -> tuple[list[str], np.ndarray]:
    """Return channel names, front to back, and positions in m, shape (n_channels, 3).

    Raises
    ------
    ValidationError
        If the montage has fewer channels.
    """
    rest = [name for name in montage.ch_names if name not in {*_FIRST, *_OTHER_NAMES}]
    names = [*_FIRST, *rest]
    if n_channels > len(names):
        raise ValidationError(
            f"n_channels={n_channels}: the 10-05 montage has {len(names)} positions; use at most "
            "that many."
        )
    chosen = set(names[:n_channels])
    names = [name for name in montage.ch_names if name in chosen]
    return names, locate(montage, names)


def locate(montage: mne.channels.DigMontage, names: list[str] | tuple[str, ...]) -> np.ndarray:
    """Return positions of named electrodes, in m, shape (n_names, 3)."""
    positions = montage.get_positions()["ch_pos"]
    return np.array([positions[name] for name in names])


def locate_alpha(montage: mne.channels.DigMontage) -> np.ndarray:
    """Return the sites of strongest alpha, in m, shape (2, 3)."""
    return locate(montage, _ALPHA_SITES)


def simulate_eeg(
    positions_m: np.ndarray,
    alpha_sites_m: np.ndarray,
    n_times: int,
    sfreq: float,
    rng: np.random.Generator,
    *,
    rms_v: float,
    cutoff_hz: float,
) -> np.ndarray:
    """Return background EEG: a 1/f^1.5 spectrum above 0.5 Hz, alpha bursts, correlated channels.

    There is a source under each channel, and a channel picks up those within about 5 cm. Two
    further sources produce alpha of varying amplitude at the back of the head. The amplifier's
    low-pass is applied.

    Parameters
    ----------
    positions_m : array, shape (n_channels, 3)
        Electrode positions, in m.
    alpha_sites_m : array, shape (n_alpha, 3)
        Sites of strongest alpha, in m.
    n_times : int
        Number of samples.
    sfreq : float
        Sampling rate, in Hz.
    rng : numpy.random.Generator
        Random number generator.
    rms_v : float
        Root mean square over all channels and samples, in V.
    cutoff_hz : float
        Low-pass of the amplifier, in Hz.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        EEG, in V.
    """
    n_fft = next_fast_len(n_times, real=True)
    freqs_hz = np.arange(n_fft // 2 + 1) * (sfreq / n_fft)
    shape = _shape_background(freqs_hz) * epi.respond(freqs_hz, cutoff_hz)
    eeg = np.empty((len(positions_m), n_times))
    _fill_noise(eeg, shape, n_fft, rng)
    alpha = _simulate_alpha(len(alpha_sites_m), n_times, n_fft, freqs_hz, rng)
    _mix_in_place(eeg, alpha, *_weigh_sources(positions_m, alpha_sites_m, rng))
    total = sum(float(np.sum(np.square(row))) for row in eeg)
    eeg *= rms_v / np.sqrt(total / eeg.size)
    return eeg


def _shape_background(freqs_hz: np.ndarray) -> np.ndarray:
    """Return the amplitude spectrum of the background, unscaled."""
    power = (1.0 + (freqs_hz / _KNEE_HZ) ** 2) ** (-_EXPONENT / 2.0) + _FLOOR
    return np.sqrt(power) * (1.0 - np.exp(-((freqs_hz / _HIGHPASS_HZ) ** 2)))


def _fill_noise(out: np.ndarray, shape: np.ndarray, n_fft: int, rng: np.random.Generator) -> None:
    """Fill rows with Gaussian noise of unit variance with the amplitude spectrum `shape`."""
    scale = shape * (n_fft / (2.0 * np.sqrt(np.sum(np.square(shape)))))
    for k in range(0, len(out), _ROWS_PER_FFT):
        rows = out[k : k + _ROWS_PER_FFT]
        spectrum = rng.standard_normal((len(rows), 2 * len(shape))).view(complex)
        spectrum *= scale
        rows[:] = irfft(spectrum, n_fft, axis=-1, overwrite_x=True)[:, : out.shape[1]]


def _simulate_alpha(
    n_sources: int, n_times: int, n_fft: int, freqs_hz: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return alpha bursts: narrow-band noise around 10 Hz times an envelope from 0 to 1."""
    alpha, envelope = np.empty((n_sources, n_times)), np.empty((n_sources, n_times))
    _fill_noise(alpha, np.exp(-0.5 * ((freqs_hz - _ALPHA_HZ) / _ALPHA_WIDTH_HZ) ** 2), n_fft, rng)
    _fill_noise(envelope, np.exp(-0.5 * (freqs_hz / _ALPHA_BURST_HZ) ** 2), n_fft, rng)
    alpha *= 1.0 / (1.0 + np.exp(-3.0 * envelope))
    return alpha


def _weigh_sources(
    positions_m: np.ndarray, alpha_sites_m: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of background and alpha sources, shapes (n_channels, n_sources)."""
    background = _near(positions_m, positions_m, _MIX_REACH_M)
    background *= rng.choice([-1.0, 1.0], size=len(positions_m))
    background += _PRIVATE_SHARE * np.eye(len(positions_m))
    background /= np.linalg.norm(background, axis=1, keepdims=True)
    background *= rng.uniform(0.8, 1.2, size=(len(positions_m), 1))
    alpha = _near(positions_m, alpha_sites_m, _ALPHA_REACH_M)
    return background, 2.0 * _ALPHA_SHARE * alpha / np.sqrt(len(alpha_sites_m))


def _near(targets_m: np.ndarray, sources_m: np.ndarray, reach_m: float) -> np.ndarray:
    distance_m = np.linalg.norm(targets_m[:, np.newaxis] - sources_m, axis=-1)
    return np.exp(-0.5 * (distance_m / reach_m) ** 2)


def _mix_in_place(
    eeg: np.ndarray, alpha: np.ndarray, background_weights: np.ndarray, alpha_weights: np.ndarray
) -> None:
    """Replace sources by channels, block by block, which avoids a second large array."""
    for begin in range(0, eeg.shape[1], _SAMPLES_PER_BLOCK):
        span = slice(begin, begin + _SAMPLES_PER_BLOCK)
        mixed = np.einsum("cs,st->ct", background_weights, eeg[:, span])
        mixed += np.einsum("cs,st->ct", alpha_weights, alpha[:, span])
        eeg[:, span] = mixed
