"""Grids of configurations to measure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from facet_nb.benchmark.measurement import Configuration, with_one_job
from facet_nb.core import Pipeline
from facet_nb.core.backends.registry import count_cores, list_backends
from facet_nb.core.errors import PlanError
from facet_nb.core.planning.modes.registry import AUTO, list_modes
from facet_nb.core.planning.plan import Plan


def list_configurations(
    pipeline: Pipeline,
    *,
    modes: Sequence[str] | str | None = None,
    n_jobs: Sequence[int] | int | None = None,
    n_workers: Sequence[int] | int = (1,),
    backends: Sequence[str] | str | None = None,
    batch_sizes: Sequence[int] | int = (1,),
) -> tuple[Configuration, ...]:
    """Return all combinations, each once, starting with serial.

    A combination counts as what its plan makes of it: ``serial`` has no outer workers, one worker
    needs no backend, ``parallel`` with one job is ``serial``, and outer times inner workers stay
    within the available cores.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    modes, backends : sequence of str
        As in :meth:`facet_nb.Pipeline.run`; None for all modes, and for the backends that are
        compared by default (threads and processes).
    n_jobs, n_workers, batch_sizes : int or sequence of int
        As in :meth:`facet_nb.Pipeline.run`; None for 1, 2, 4, … and the number of cores that this
        process may use.

    Raises
    ------
    PlanError
        If a value is not valid.
    """
    jobs = list_levels() if n_jobs is None else _as_list(n_jobs)
    chosen_modes = list_compared_modes() if modes is None else _as_names(modes)
    chosen_backends = list_compared_backends() if backends is None else _as_names(backends)
    found = [Configuration()]  # the reference, even if its mode is not asked for
    for mode, backend, outer, inner, size in product(
        chosen_modes, chosen_backends, jobs, _as_list(n_workers), _as_list(batch_sizes)
    ):
        if mode == AUTO:
            raise PlanError("mode='auto' cannot be measured: a benchmark compares the other modes.")
        plan = pipeline.plan(mode, n_jobs=outer, n_workers=inner, backend=backend, batch_size=size)
        found.append(name_plan(plan))
    return tuple(dict.fromkeys(found))


def name_plan(plan: Plan) -> Configuration:
    """Return the simplest configuration that runs like a plan."""
    if plan.n_jobs > 1:
        return Configuration(plan.mode, plan.backend, plan.n_jobs, plan.n_workers, plan.batch_size)
    return with_one_job(plan.mode, plan.n_workers, plan.batch_size)


def list_compared_modes() -> list[str]:
    """Return the modes that a benchmark measures by default: all of them."""
    return [mode.name for mode in list_modes()]


def list_compared_backends() -> list[str]:
    """Return the backends that a benchmark measures by default."""
    return [backend.name for backend in list_backends() if backend.compared]


def list_levels(cores: int | None = None) -> list[int]:
    """Return 1, 2, 4, … and the number of cores."""
    most = count_cores() if cores is None else cores
    levels = [2**i for i in range(most.bit_length()) if 2**i <= most]
    return sorted({*levels, most})


def _as_list(values: Sequence[int] | int) -> list[int]:
    return [values] if isinstance(values, int) else list(values)


def _as_names(values: Sequence[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
