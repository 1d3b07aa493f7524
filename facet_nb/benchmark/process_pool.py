"""The processes that wait for their turn, as many as memory allows."""

from __future__ import annotations

from collections.abc import Callable

from facet_nb.benchmark.measured_process import MeasuredProcess
from facet_nb.benchmark.measurement import Configuration

#: Waiting processes may hold this part of the memory that there is.
_SHARE = 0.4


class ProcessPool:
    """Processes of configurations, each started once and kept warm.

    Where memory is short, the one that waited longest is ended; at its next turn it begins anew,
    and its first run is discarded again.

    Parameters
    ----------
    make : callable
        Starts the process of a configuration.
    memory_mb : float
        Memory that there is.
    """

    def __init__(self, make: Callable[[Configuration], MeasuredProcess], memory_mb: float) -> None:
        self.make = make
        self.limit_mb = _SHARE * memory_mb
        self.members: dict[Configuration, MeasuredProcess] = {}
        self._known: set[Configuration] = set()

    def get(self, configuration: Configuration, warm_up_s: float | None = None) -> MeasuredProcess:
        """Return the process of a configuration.

        Parameters
        ----------
        configuration : Configuration
            Which one.
        warm_up_s : float | None
            Time that the discarded run of one that begins anew may take, in s.
        """
        member = self.members.pop(configuration, None)
        if member is None:
            self._make_room()
            member = self.make(configuration)
            if configuration in self._known and warm_up_s is not None:
                self.members[configuration] = member  # closed with the others if this fails
                member.run(warm_up_s)
        self._known.add(configuration)
        self.members[configuration] = member  # the last one to have had its turn
        return member

    def drop(self, configuration: Configuration) -> None:
        """End the process of a configuration."""
        member = self.members.pop(configuration, None)
        if member is not None:
            member.close()

    def close(self) -> None:
        """End all, at once: each takes a moment to go."""
        for member in self.members.values():
            member.request_end()
        while self.members:
            self.drop(next(iter(self.members)))

    def _make_room(self) -> None:
        while self.members:
            sizes = [member.read_memory_mb() for member in self.members.values()]
            if sum(sizes) + max(sizes) <= self.limit_mb:
                return
            self.drop(next(iter(self.members)))
