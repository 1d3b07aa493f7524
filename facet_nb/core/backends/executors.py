"""The user's executors as backends: anything with the interface of concurrent.futures."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from facet_nb.core.backends.base import Backend, WorkerDied, dumps
from facet_nb.core.backends.caller import call_with_modes, list_float_modes
from facet_nb.core.cancel import CancelToken

#: Interval at which a run checks for cancellation, in s.
_INTERVAL_S = 0.1


class ExecutorBackend(Backend):
    """Workers of a ``concurrent.futures.Executor``, which its owner starts and shuts down.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        The executor. Unless it is a ``ThreadPoolExecutor``, its workers count as processes, and
        must see the folder ``FACET_NB_TMPDIR``.
    """

    label = "workers of your executor"
    short_label = "own"
    rank = 4
    color = "#CC79A7"

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.name = type(executor).__name__  # type: ignore[misc]
        self.isolates = not isinstance(executor, ThreadPoolExecutor)  # type: ignore[misc]

    def run(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        n_jobs: int,
        cancel: CancelToken,
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call as they finish.

        Raises
        ------
        WorkerDied
            If the executor says that a worker has ended.
        """
        waiting, running = iter(calls), set[Any]()
        try:
            while True:
                # No more than can run: a call that is taken may have its samples in shared memory.
                for call in islice(waiting, max(0, n_jobs - len(running))):
                    running.add(self._submit(function, call))
                if not running:
                    return
                done = wait(running, _INTERVAL_S, FIRST_COMPLETED).done
                cancel.check()
                running -= done
                for future in done:
                    yield future.result()
        except BrokenExecutor as error:
            raise WorkerDied(str(error)) from error
        finally:
            if running:
                cancel.cancel()
                for future in running:
                    future.cancel()
                if not self.isolates:  # a run that has ended must not write to its arrays
                    wait(running)

    def _submit(self, function: Callable[..., Any], call: tuple[Any, ...]) -> Any:
        floats = list_float_modes()
        if not self.isolates:
            return self.executor.submit(call_with_modes, floats, function, *call)
        # Pickled here: the executor's own pickle knows no classes of a notebook.
        return self.executor.submit(run_pickled, dumps((call_with_modes, floats, function, *call)))

    def count_cores(self) -> int:
        """Return the number of workers, if the executor tells it, or else of cores."""
        return int(getattr(self.executor, "_max_workers", 0) or super().count_cores())


def run_pickled(content: bytes) -> Any:
    """Return the result of a pickled call; in a worker."""
    function, *arguments = pickle.loads(content)
    return function(*arguments)
