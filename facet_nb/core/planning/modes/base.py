"""Base class of the modes, which divide a pipeline into stages."""

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
        Shorter name for figures.
    rank : int
        Position in tables and figures.
    color : str
        Colour of its series in figures.
    uses_jobs : bool
        Whether outer workers share the batches of a stage.
    summary, details : str
        What it does, in a few words: for newcomers, and for those who know the terms.
    """

    name: ClassVar[str] = ""
    short_label: ClassVar[str] = ""
    rank: ClassVar[int] = 100
    color: ClassVar[str] = "#595959"
    uses_jobs: ClassVar[bool] = True
    summary: ClassVar[str] = ""
    details: ClassVar[str] = ""

    def joins(self, group: Sequence[Processor], processor: Processor, n_jobs: int) -> bool:
        """Whether the channel-wise `processor` joins the stage of the steps before it."""
        return False

    def count_channels(self, batch_size: int, n_workers: int) -> int:
        """Return the number of channels of one batch."""
        # An inner thread without a channel would be idle.
        return max(batch_size, n_workers)

    def count_threads(self, n_workers: int, n_jobs: int) -> int:
        """Return the number of inner threads of a step whose time is split into blocks."""
        return n_workers
