"""What a mode is: rules for cutting a pipeline into stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from facet_nb.core.processor import Processor


class Mode:
    """A way to run a pipeline.

    Attributes
    ----------
    name : str
        Name for ``run(mode=…)``.
    short_label : str
        The same in figures, where there is little room.
    rank : int
        Position in tables and figures.
    color : str
        Colour of its series in figures.
    uses_jobs : bool
        Whether outer workers share the batches of a stage.
    """

    name: ClassVar[str] = ""
    short_label: ClassVar[str] = ""
    rank: ClassVar[int] = 100
    color: ClassVar[str] = "#595959"
    uses_jobs: ClassVar[bool] = True

    def joins(self, group: Sequence[Processor], processor: Processor, n_jobs: int) -> bool:
        """Whether the channel-wise `processor` runs in one stage with those before it."""
        return False

    def count_channels(self, batch_size: int, n_workers: int) -> int:
        """Return the channels of one batch; an inner thread without a channel would be idle."""
        return max(batch_size, n_workers)

    def count_threads(self, n_workers: int, n_jobs: int) -> int:
        """Return the inner threads of a step over all channels whose time can be split."""
        return n_workers
