"""Spectra of the window that a viewer shows, and the rate of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.measures.spectrum import average_spectrum
from facet_nb.models.signal_tiles import GROUP, TiledSignal

#: Highest frequency shown and resolution, in Hz; shortest and longest window, in s.
TOP_HZ, _RESOLUTION_HZ = 80.0, 0.5
_SHORTEST_S, _LONGEST_S = 4.0, 20.0
#: Floor of the power, in µV²/Hz.
_NONE = 1e-6


@dataclass(frozen=True, eq=False)
class WindowSpectrum:
    """Spectra of some channels over a window, averaged over the channels.

    Attributes
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, in Hz.
    density_db : dict of str to ndarray, shape (n_freqs,)
        Power spectral density of each signal, in dB relative to 1 µV²/Hz.
    slice_hz : float
        Rate of the markers in the window, in Hz; 0 if there are too few.
    """

    freqs_hz: np.ndarray
    density_db: dict[str, np.ndarray]
    slice_hz: float


def compute_spectrum(
    signals: dict[str, TiledSignal],
    markers_s: np.ndarray,
    places: Sequence[int],
    begin_s: float,
    span_s: float,
) -> WindowSpectrum:
    """Return the spectra of a window, of at most eight channels.

    Windows shorter than four seconds are made longer: they would not resolve the harmonics of
    slices.

    Parameters
    ----------
    signals : dict of str to TiledSignal
        The signals by their label.
    markers_s : ndarray, shape (n_markers,)
        Times of triggers, in s.
    places : sequence of int
        Positions of the channels in the viewer.
    begin_s, span_s : float
        Start and length of the window, in s.
    """
    first = next(iter(signals.values()))
    rate = min(s.sfreq for s in signals.values())
    span_s = min(max(span_s, _SHORTEST_S), _LONGEST_S)
    last_s = first.offset_s + first.n_times / first.sfreq - span_s
    begin_s = max(first.offset_s, min(begin_s, last_s))
    top = min(TOP_HZ, 0.45 * rate)
    freqs = np.arange(_RESOLUTION_HZ, top, _RESOLUTION_HZ)
    found = {
        label: _average(signal, list(places)[:GROUP], begin_s, span_s, freqs)
        for label, signal in signals.items()
    }
    inside = markers_s[(markers_s >= begin_s) & (markers_s <= begin_s + span_s)]
    slice_hz = 1.0 / float(np.median(np.diff(inside))) if len(inside) > 2 else 0.0
    return WindowSpectrum(freqs, found, slice_hz if np.isfinite(slice_hz) else 0.0)


def _average(
    signal: TiledSignal, places: Sequence[int], begin_s: float, span_s: float, freqs: np.ndarray
) -> np.ndarray:
    """Return the mean density of the channels without missing values, in dB; NaN without any."""
    start = max(0, round((begin_s - signal.offset_s) * signal.sfreq))
    x = 1e6 * signal.read(places, start, start + round(span_s * signal.sfreq))
    n_segment = min(x.shape[1], round(signal.sfreq / _RESOLUTION_HZ))
    rows = [row for row in x if np.isfinite(row).all()]
    if n_segment < 2 or not rows:
        return np.full(len(freqs), np.nan)
    spectra = [average_spectrum([row], signal.sfreq, n_segment) for row in rows]
    density = np.mean([power for _, power in spectra], axis=0)
    return 10 * np.log10(np.maximum(np.interp(freqs, spectra[0][0], density), _NONE))
