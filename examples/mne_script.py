"""Two lines in a script that uses MNE: correct the gradient artifact, and go on with epochs.

Tags: signal
"""

from __future__ import annotations

import mne
import numpy as np

import facet_nb
from facet_nb.datasets import example

if __name__ == "__main__":
    simulation = example()
    raw = simulation.raw  # or mne.io.read_raw_brainvision("recording.vhdr", preload=True)

    corrected = facet_nb.correct_gradient(raw, r"\b1\b")
    filtered = corrected.copy().filter(1.0, 40.0, verbose="error")

    epochs = mne.make_fixed_length_epochs(filtered, duration=2.0, verbose="error")
    print(epochs)
    before, after = (np.median(simulation.snr_db(r)) for r in (raw, corrected))
    print(f"SNR against the known EEG: {before:.1f} dB before, {after:.1f} dB after")
