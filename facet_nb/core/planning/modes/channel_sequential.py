"""A batch of channels is sent through all steps of a stage before the next batch starts."""

from __future__ import annotations

from collections.abc import Sequence

from facet_nb.core.planning.modes.base import Mode
from facet_nb.core.processor import Processor


class ChannelSequential(Mode):
    """Consecutive channel-wise steps are one stage: little memory, and fast with workers."""

    name = "channel_sequential"
    short_label = "sequential"
    rank = 1
    color = "#0072B2"
    summary = "channel by channel"
    details = "batches through all steps"

    def joins(self, group: Sequence[Processor], processor: Processor, n_jobs: int) -> bool:
        """Whether the channel-wise `processor` joins the stage of the steps before it."""
        # Its decisions need the samples of all channels, which a batch of this stage never has.
        if getattr(processor, "needs", "none") == "all":
            return False
        # With workers, a step that is not parallel-safe would make the whole stage serial.
        return n_jobs == 1 or processor.parallel_safe == group[-1].parallel_safe
