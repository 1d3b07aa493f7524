"""What do lost and doubled markers cost?

Tags: signal, findings
"""

import numpy as np

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

kinds = {
    "regular": {},
    "3 lost": {"missing": (40, 41, 90)},
    "5 extra": {"imperfections": {"extra_markers": 5}},
    "20 % doubled": {"imperfections": {"doubled_share": 0.2}},
}
found = {}
for name, options in kinds.items():
    recording = simulate(4, 500, 60, 2.0, 10, **options)
    result = gradient_correction(r"\b1\b").run(recording.context())
    codes = {
        f.code for f in result.findings if f.severity != "note" or f.step == "trigger_detector"
    }
    found[name] = np.median(recording.snr_db(result.raw)), ", ".join(sorted(codes)) or "no finding"
picture = make_picture(7, 3)
(ax,) = add_axes(picture)
ax.barh(list(found), [snr for snr, _ in found.values()])
for i, (snr_db, codes) in enumerate(found.values()):
    ax.text(0.5, i, f"{snr_db:.1f} dB: {codes}", va="center", color="white", fontsize=8)
ax.set_xlabel("SNR (dB)")
picture.caption = "; ".join(
    f"{name}: {snr:.1f} dB ({codes})" for name, (snr, codes) in found.items()
)
