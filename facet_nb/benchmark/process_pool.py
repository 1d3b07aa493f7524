"""A pool of measured processes, limited by memory."""

from __future__ import annotations

from collections.abc import Callable

from facet_nb.benchmark.measured_process import MeasuredProcess
from facet_nb.benchmark.measurement import Configuration

#: Share of the memory that waiting processes may use.
_SHARE = 0.4


class ProcessPool:
    """Processes of configurations, each started once and kept warm.

    If memory is short, the process that has waited longest is ended. At its next turn it is
    started again, and its first run is discarded again.

    Parameters
    ----------
    make : callable
        Starts the process of a configuration.
    memory_mb : float
        Memory of the machine, in MB.
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
            The configuration.
        warm_up_s : float | None
            Time limit of the discarded run if the process has to be started again, in s.
        """
        member = self.members.pop(configuration, None)
        if member is None:
            self._make_room()
            member = self.make(configuration)
            if configuration in self._known and warm_up_s is not None:
                self.members[configuration] = member  # close() ends it if the run fails
                member.run(warm_up_s)
        self._known.add(configuration)
        self.members[configuration] = member  # dicts keep their order: the last one was used last
        return member

    def drop(self, configuration: Configuration) -> None:
        """End the process of a configuration."""
        member = self.members.pop(configuration, None)
        if member is not None:
            member.close()

    def close(self) -> None:
        """End all processes, concurrently, as each takes a moment to end."""
        for member in self.members.values():
            member.request_end()
        while self.members:
            self.drop(next(iter(self.members)))

    def _make_room(self) -> None:
        while self.members:
            # A new process is assumed to become as large as the largest one.
            sizes = [member.read_memory_mb() for member in self.members.values()]
            if sum(sizes) + max(sizes) <= self.limit_mb:
                return
            self.drop(next(iter(self.members)))
