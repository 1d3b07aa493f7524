"""What does a correction remove?

Tags: signal
"""

from facet_nb import gradient_correction
from facet_nb.datasets import example
from facet_nb.plots import plot_before_after

result = gradient_correction(r"\b1\b").run(example().context())
picture = plot_before_after(result.context, tmin_s=8.0, tmax_s=11.0)
