"""Is the answer the same in every mode?

Tags: modes
"""

import numpy as np

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

recording, chain = simulate(4, 1000, 30, 2.0, 10).context(), gradient_correction(r"\b1\b")
ways = {
    "channel by channel": {"mode": "channel_sequential", "batch_size": 1},
    "2 threads": {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
    "chunks of 5 s": {"chunk_duration_s": 5.0},
}
serial = chain.run(recording).raw.get_data()
differing = {
    name: np.sum(chain.run(recording, **way).raw.get_data() != serial) for name, way in ways.items()
}
picture = make_picture(6, 2.5)
(ax,) = add_axes(picture)
ax.barh(list(differing), [serial.size - n for n in differing.values()], color="#009E73")
for i, n in enumerate(differing.values()):
    ax.text(
        serial.size / 2, i, f"{n} of {serial.size} differ", ha="center", va="center", color="white"
    )
ax.set_xlabel("samples equal to those of serial, to the bit")
picture.caption = (
    f"{sum(differing.values())} of {serial.size} samples differ from serial, in {len(ways)} ways."
)
