"""Where does the time of two workers go?

Tags: workers
"""

from facet_nb.lessons import load_table
from facet_nb.plots import plot_waterfall

picture = plot_waterfall(load_table("two_cores"))  # measured once, shipped with the package
