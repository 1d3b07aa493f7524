"""FACETpy's executors: run processors on a context in one mode."""

from __future__ import annotations

from collections.abc import Sequence

from facet_nb.core.backends import registry
from facet_nb.core.context import ProcessingContext
from facet_nb.core.execution.runner import Runner
from facet_nb.core.planning.planner import RunOptions, make_plan
from facet_nb.core.processor import Processor, as_processor

__all__ = ["ChannelSequentialExecutor", "ParallelExecutor"]


class ParallelExecutor:
    """Distributes the channels of a channel-wise processor over workers.

    Parameters
    ----------
    n_jobs : int
        Workers; -1 for all cores, -2 for all but one.
    backend : {"multiprocessing", "threading", "serial"}
        Processes, threads, or no splitting.
    verbose : bool
        Whether to print the plan.
    """

    mode = "parallel"

    def __init__(
        self, n_jobs: int = -1, backend: str = "multiprocessing", verbose: bool = False
    ) -> None:
        self.n_jobs = n_jobs
        self.backend = backend
        self.verbose = verbose

    def execute(self, processor: Processor, context: ProcessingContext) -> ProcessingContext:
        """Return the context after `processor`.

        Raises
        ------
        StepError
            If the processor fails.
        PlanError
            If it cannot be sent to workers, or the number of workers is not valid.
        """
        return self.execute_all([processor], context)

    def execute_all(
        self, processors: list[Processor], context: ProcessingContext
    ) -> ProcessingContext:
        """Return the context after several processors."""
        steps = [as_processor(p) for p in processors]
        options = RunOptions(self.mode, self.n_jobs, backend=self.backend)
        plan = make_plan(steps, options, registry.count_cores())
        if self.verbose:
            print(plan)
        return Runner(steps, plan).run(context)


class ExecutedStep(Processor):
    """A channel-wise step that runs on an executor of the user.

    Parameters
    ----------
    step : Processor
        The step.
    executor : ParallelExecutor
        The executor; its ``execute(step, context)`` returns the new context.
    """

    requires_raw = True
    parallel_safe = False

    def __init__(self, step: Processor, executor: ParallelExecutor) -> None:
        self.step = step
        self.executor = executor
        # Plans and errors name the step that the user has written, not what wraps it.
        self.name = step.name  # type: ignore[misc]

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context after the step, which is what the history lists."""
        return self.executor.execute(self.step, context)

    _execute = execute


def use_executor(steps: Sequence[Processor], executor: ParallelExecutor) -> list[Processor]:
    """Return the steps, of which channel-wise ones run on an executor of the user."""
    return [ExecutedStep(step, executor) if step.channel_wise else step for step in steps]


class ChannelSequentialExecutor(ParallelExecutor):
    """Sends channels one by one through several processors, which needs little memory.

    Parameters
    ----------
    n_jobs : int
        Number of channels that are processed at once.
    backend : {"multiprocessing", "threading", "serial"}
        Processes, threads, or no workers.
    verbose : bool
        Whether to print the plan.
    """

    mode = "channel_sequential"

    def __init__(
        self, n_jobs: int = 1, backend: str = "multiprocessing", verbose: bool = False
    ) -> None:
        super().__init__(n_jobs, backend, verbose)
