"""Which worker waits?

Tags: workers
"""

from facet_nb.lessons import construct
from facet_nb.plots import plot_lanes

run = construct("imbalance")
picture = plot_lanes(run.trace, note="constructed")
