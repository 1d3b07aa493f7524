"""How does a mode divide a recording?

Tags: modes
"""

from facet_nb import gradient_correction
from facet_nb.datasets import example

chain = gradient_correction(r"\b1\b")
plan = chain.plan(example().context(), mode="channel_sequential", n_jobs=2, batch_size=2)
picture = plan.plot()
