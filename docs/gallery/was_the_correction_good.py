"""Was the correction good, without a known truth?

Tags: findings
"""

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

recording = simulate(8, 1000, 60, 2.0, 10, imperfections={"emg_bursts": 4, "emg_v": 60e-6})
result = gradient_correction(r"\b1\b").run(recording.context())
measures = [m for m in result.quality.measures if m.value is not None and m.limit]
picture = make_picture(7, 3)
(ax,) = add_axes(picture)
ax.barh([m.name for m in measures], [m.value / m.limit for m in measures])
ax.axvline(1, color="#D55E00", linestyle="--")
ax.set_xlabel("measure / its limit")
picture.caption = str(result.quality)
