"""Which chain is nearer to the truth?

Tags: signal
"""

from facet_nb import classic_correction, compare, gradient_correction
from facet_nb.datasets import example

recording = example()
chains = {"default": gradient_correction(r"\b1\b"), "classic": classic_correction(r"\b1\b")}
results = {name: chain.run(recording.context()) for name, chain in chains.items()}
picture = compare(results, truth=recording.clean).plot()
