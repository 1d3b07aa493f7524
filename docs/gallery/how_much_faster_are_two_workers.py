"""How much faster are two workers?

Tags: workers
"""

from facet_nb.lessons import load_table
from facet_nb.plots import plot_scaling

picture = plot_scaling(load_table("two_cores"))  # measured once, shipped with the package
