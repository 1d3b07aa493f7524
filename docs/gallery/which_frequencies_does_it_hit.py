"""Which frequencies does the artifact hit?

Tags: signal
"""

from facet_nb import gradient_correction
from facet_nb.datasets import example
from facet_nb.plots import plot_psd

result = gradient_correction(r"\b1\b").run(example().context())
picture = plot_psd(result.context, tmin_s=5.0, tmax_s=25.0, fmax_hz=70.0)
