"""How much memory will a run take?

Tags: memory
"""

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

recording, chain = simulate(16, 1000, 30, 2.0, 10).context(), gradient_correction(r"\b1\b")
ways = {
    "serial, all channels at once": {"mode": "serial", "batch_size": 16},
    "channel-sequential": {"mode": "channel_sequential", "batch_size": 1},
    "4 threads": {"mode": "parallel", "n_jobs": 4, "backend": "threading", "oversubscribe": True},
    "chunks of 10 s": {"mode": "channel_sequential", "batch_size": 1, "chunk_duration_s": 10.0},
}
forecasts = {n: chain.plan(recording, **way).forecast.peak_bytes / 1e6 for n, way in ways.items()}
picture = make_picture(7, 3)
(ax,) = add_axes(picture)
ax.barh(list(forecasts), list(forecasts.values()))
ax.set_xlabel("predicted peak (MB), libraries included")
picture.caption = "; ".join(f"{n}: {mb:.0f} MB" for n, mb in forecasts.items()) + " (predicted)."
