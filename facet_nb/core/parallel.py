"""``ParallelExecutor`` under the path that FACETpy's users know."""

from facet_nb.core.executors.parallel import ChannelSequentialExecutor, ParallelExecutor

__all__ = ["ChannelSequentialExecutor", "ParallelExecutor"]
