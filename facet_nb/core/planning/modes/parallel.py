"""Each channel-wise step distributes its channels over workers; the next starts afterwards."""

from __future__ import annotations

from facet_nb.core.planning.modes.base import Mode


class Parallel(Mode):
    """One step after another, each with its channels distributed over workers."""

    name = "parallel"
    short_label = "parallel"
    rank = 2
    color = "#D55E00"
    summary = "split every step"
    details = "split and merge each step"

    def count_threads(self, n_workers: int, n_jobs: int) -> int:
        """Return the number of inner threads of a step whose time is split into blocks."""
        # Such a step is one task: the outer workers would be idle meanwhile.
        return max(n_workers, n_jobs)
