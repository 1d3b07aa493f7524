"""Each channel-wise step splits all channels over the workers, and merges before the next."""

from __future__ import annotations

from facet_nb.core.planning.modes.base import Mode


class Parallel(Mode):
    """Processor by processor: channels over workers."""

    name = "parallel"
    short_label = "parallel"
    rank = 2
    color = "#D55E00"

    def count_threads(self, n_workers: int, n_jobs: int) -> int:
        """Return the inner threads of a step over all channels whose time can be split."""
        return max(n_workers, n_jobs)
