"""How many artifacts should a template average?

Tags: signal
"""

import numpy as np

from facet_nb import AASCorrection, Pipeline, TriggerDetector
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

recording = simulate(4, 1000, 60, 2.0, 10)
windows, snr_db = [5, 10, 20, 30, 50, 100], []
for n in windows:
    chain = Pipeline([TriggerDetector(r"\b1\b"), AASCorrection(window_size=n, subsample=True)])
    snr_db.append(np.median(recording.snr_db(chain.run(recording.context()).raw)))

picture = make_picture(6, 3.5)
(ax,) = add_axes(picture)
ax.semilogx(windows, snr_db, "o-")
ax.set(xticks=windows, xticklabels=windows, xlabel="window_size", ylabel="SNR (dB)")
picture.caption = (
    f"SNR from {min(snr_db):.1f} to {max(snr_db):.1f} dB; best: {windows[np.argmax(snr_db)]}."
)
