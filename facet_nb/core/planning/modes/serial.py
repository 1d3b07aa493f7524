"""One step after another, each over all channels: the baseline of every benchmark."""

from __future__ import annotations

from facet_nb.core.planning.modes.base import Mode

#: Channels of a batch per inner thread: few, so that progress and cancellation are timely.
_CHANNELS_PER_THREAD = 4


class Serial(Mode):
    """Each step over all channels, one after another."""

    name = "serial"
    short_label = "serial"
    rank = 0
    color = "#595959"
    uses_jobs = False
    summary = "step by step"
    details = "all channels, step by step"

    def count_channels(self, batch_size: int, n_workers: int) -> int:
        """Return the number of channels of one batch."""
        return max(batch_size, n_workers * _CHANNELS_PER_THREAD)
