"""Less time or less memory?

Tags: workers, memory
"""

from facet_nb.lessons import load_table
from facet_nb.plots import plot_pareto

picture = plot_pareto(load_table("two_cores"))  # measured once, shipped with the package
