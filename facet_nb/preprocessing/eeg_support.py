"""Heartbeats by their artifact in the EEG: without an ECG, or to check one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.recording import kind_of
from facet_nb.kernels.means import average_blocks, is_flat
from facet_nb.kernels.pulse import eeg_beats
from facet_nb.kernels.pulse.gradient_rest import has_gradient

if TYPE_CHECKING:
    import mne

#: The EEG is averaged to this rate or up to twice as much: the artifact lies below 10 Hz.
_RATE_HZ = 100.0
#: Lowest sampling rate at which the artifact can be searched.
_LOWEST_RATE_HZ = 25.0
#: Number of EEG channels that are read, spread over the recording, and of those that are checked
#: for the gradient artifact.
_MOST_CHANNELS, _MOST_CHECKED = 32, 8


class EEGPulse:
    """The pulse artifact in the EEG channels of a recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; its channels are read one by one.

    Attributes
    ----------
    has_gradient : bool
        Whether the EEG still holds the gradient artifact; the pulse artifact is then not searched.
    """

    def __init__(self, raw: mne.io.BaseRaw) -> None:
        sfreq = float(raw.info["sfreq"])
        self.n_mean = max(1, int(sfreq // _RATE_HZ))
        self.sfreq = sfreq / self.n_mean
        self.n_times = int(raw.n_times)
        self._components: np.ndarray | None = None
        channels: list[np.ndarray] = []
        checked: list[bool] = []
        for row in _list_eeg(raw):
            x = raw.get_data(picks=[row])[0]
            if not np.isfinite(x).all() or is_flat(x):
                continue
            if len(checked) < _MOST_CHECKED:
                checked.append(has_gradient(x, sfreq))
            channels.append(average_blocks(x, self.n_mean))
        self.has_gradient = sum(checked) > len(checked) / 2
        if channels and self.sfreq > _LOWEST_RATE_HZ and not self.has_gradient:
            self._components = eeg_beats.whiten(np.stack(channels), self.sfreq)

    def find_peaks(self) -> np.ndarray | None:
        """Return R peaks by the EEG alone, in samples; None without a clear pulse artifact."""
        found = self._find()
        if found is None:
            return None
        assert self._components is not None
        return self._to_samples(eeg_beats.place_r_peaks(self._components, self.sfreq, found))

    def support(self, peaks: np.ndarray) -> tuple[np.ndarray, eeg_beats.Support] | None:
        """Return R peaks after a comparison of the ECG's with the EEG, and the comparison.

        Parameters
        ----------
        peaks : ndarray of int, shape (n_peaks,)
            R peaks of an ECG, in samples.

        Returns
        -------
        tuple (ndarray of int, Support) | None
            None without a clear pulse artifact in the EEG.
        """
        small = (peaks - (self.n_mean - 1) / 2) / self.n_mean
        found = self._find(small)
        if found is None:
            return None
        assert self._components is not None
        told = eeg_beats.support_beats(small, found, self._components, self.sfreq)
        return np.union1d(peaks[told.kept], self._to_samples(told.added)), told

    def _find(self, guess: np.ndarray | None = None) -> eeg_beats.EEGBeats | None:
        if self._components is None:
            return None
        guesses = () if guess is None else (guess,)
        found = eeg_beats.find_eeg_beats(self._components, self.sfreq, guesses)
        enough = found is not None and found.evidence >= eeg_beats.LEAST_EVIDENCE
        return found if enough else None

    def _to_samples(self, places: np.ndarray) -> np.ndarray:
        """Return those of the places, at the lower rate, that lie in the recording."""
        samples = np.rint(places * self.n_mean + (self.n_mean - 1) / 2).astype(np.int64)
        return np.unique(samples[(samples >= 0) & (samples < self.n_times)])


def _list_eeg(raw: mne.io.BaseRaw) -> list[int]:
    """Return rows of good EEG channels, spread over all of them."""
    types, bads = raw.get_channel_types(), set(raw.info["bads"])
    rows = [
        i
        for i, name in enumerate(raw.ch_names)
        if kind_of(name, types[i]) == "eeg" and name not in bads
    ]
    return rows[:: max(1, -(-len(rows) // _MOST_CHANNELS))]
