"""Benchmarks: fresh processes, randomised blocks, repeats until intervals are narrow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.benchmark import machine_load, process_usage, stats
from facet_nb.benchmark.environment import Environment
from facet_nb.benchmark.events import (
    BenchmarkDone,
    BenchmarkEvent,
    BenchmarkFailed,
    BenchmarkStarted,
    Phase,
    PointMeasured,
    PointStarted,
)
from facet_nb.benchmark.grid import list_configurations
from facet_nb.benchmark.inputs import find_input, leave_out_writers, write_job
from facet_nb.benchmark.measured_process import MeasuredProcess, MeasurementFailed
from facet_nb.benchmark.measurement import BenchmarkPoint, Configuration, RunTrace
from facet_nb.benchmark.process_pool import ProcessPool
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.core import CancelToken, Pipeline
from facet_nb.core.errors import RunCancelled, ValidationError
from facet_nb.core.pipeline import as_token

#: Runs are repeated until the 95 % interval of each speed-up is this narrow, relative to it.
TIGHT = 0.05
MAX_REPEATS = 30
#: Time limit of a run: a multiple of the serial run, and a minimum in s.
_TIMEOUT_RATIO, _MIN_TIMEOUT_S = 20.0, 60.0
#: Shares of the time budget that are reserved for all that follows the warm-ups, and for memory.
_LATER_SHARE, _MEMORY_SHARE = 0.4, 0.3


def benchmark(
    pipeline: Pipeline,
    source: Any,
    *,
    modes: Sequence[str] | str | None = None,
    n_jobs: Sequence[int] | int | None = None,
    n_workers: Sequence[int] | int = (1,),
    backends: Sequence[str] | str | None = None,
    batch_sizes: Sequence[int] | int = (1,),
    repeats: int | None = None,
    time_budget_s: float = 120.0,
    memory: bool = True,
    seed: int = 0,
    on_event: Callable[[BenchmarkEvent], None] | None = None,
    cancel: Any = None,
) -> BenchmarkTable:
    """Measure the time and memory of a pipeline with different settings.

    Each configuration runs in a fresh process. Its first run there is a warm-up: it gives the cold
    start, and its result is compared with the serial one. Then all configurations are timed in
    blocks, in random order within a block, until the intervals are narrow. Memory is measured in
    separate runs, again in fresh processes. The serial mode is always measured.

    Parameters
    ----------
    pipeline : Pipeline
        The chain. Steps that write files are omitted.
    source : ProcessingContext | path | Simulation | dict
        The recording; a dict holds arguments of :func:`facet_nb.datasets.simulate`.
    modes, n_jobs, n_workers, backends, batch_sizes : sequence
        The settings to combine, as in :meth:`facet_nb.Pipeline.run`. By default all modes, 1, 2,
        4, … jobs up to the number of cores, and threads and processes.
    repeats : int | None
        Timed runs of each configuration; None for as many as give narrow intervals within
        `time_budget_s`, but at least three.
    time_budget_s : float
        Time budget, in s. A measurement starts only if it is expected to end in time; serial is
        timed once in any case. Configurations that cannot be distinguished by then are called
        inconclusive, and the table's warnings name those that were not measured.
    memory : bool
        Whether to measure memory as well.
    seed : int
        Seed of the order of runs.
    on_event : callable | None
        Called with each :class:`BenchmarkEvent`, in this thread.
    cancel : CancelToken | threading.Event | None
        Cancels the benchmark when it is set.

    Returns
    -------
    BenchmarkTable
        A point for each configuration.

    Raises
    ------
    ValidationError
        If the source or a number is not valid.
    MeasurementFailed
        If the serial run fails, with which all others are compared.
    RunCancelled
        If the benchmark was cancelled; the last event holds the table until then.
    """
    _check_numbers(repeats, time_budget_s, seed)
    configurations = list_configurations(
        pipeline,
        modes=modes,
        n_jobs=n_jobs,
        n_workers=n_workers,
        backends=backends,
        batch_sizes=batch_sizes,
    )
    pipeline = leave_out_writers(pipeline)
    began_s = time.monotonic()
    subject, source = find_input(pipeline, source)
    environment = Environment.of_this_machine()
    token = as_token(cancel)
    with tempfile.TemporaryDirectory(prefix="facet_nb-bench-") as folder:
        job = Path(folder) / "job"
        write_job(job, pipeline, source)
        session = Session(
            table=BenchmarkTable(environment, subject),
            configurations=configurations,
            make=lambda configuration: MeasuredProcess(job, configuration, token),
            folder=Path(folder),
            repeats=repeats,
            time_budget_s=time_budget_s,
            memory=memory,
            seed=seed,
            on_event=on_event or (lambda event: None),
            cancel=token,
            gauge=machine_load.LoadGauge(environment.cores_allowed),
            began_s=began_s,
        )
        return session.run()


def _check_numbers(repeats: Any, time_budget_s: Any, seed: Any) -> None:
    if repeats is not None and not (_is_whole(repeats) and repeats >= 1):
        raise ValidationError(f"repeats={repeats!r} must be 1 or more, or None.")
    if not isinstance(time_budget_s, Real) or not float(time_budget_s) > 0:
        raise ValidationError(f"time_budget_s={time_budget_s!r} must be a number above 0, in s.")
    if not _is_whole(seed) or seed < 0:
        raise ValidationError(f"seed={seed!r} must be a whole number, 0 or more.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass
class Session:
    """State and phases of one benchmark; `make` starts the process of a configuration."""

    table: BenchmarkTable
    configurations: tuple[Configuration, ...]
    make: Callable[[Configuration], MeasuredProcess]
    folder: Path
    repeats: int | None
    time_budget_s: float
    memory: bool
    seed: int
    on_event: Callable[[BenchmarkEvent], None]
    cancel: CancelToken
    gauge: machine_load.LoadGauge
    clock: Callable[[], float] = time.monotonic
    began_s: float | None = None
    points: dict[Configuration, BenchmarkPoint] = field(default_factory=dict)
    colds: dict[Configuration, tuple[float, float]] = field(default_factory=dict)
    traces: dict[Configuration, list[RunTrace]] = field(default_factory=dict)
    busy: dict[Configuration, int] = field(default_factory=dict)
    costs: dict[tuple[str, Configuration], float] = field(default_factory=dict)
    done: int = 0
    spent: bool = False
    ended: bool = False
    block: int = -1

    def run(self) -> BenchmarkTable:
        """Run all phases; return the table."""
        self.began = self.clock() if self.began_s is None else self.began_s
        self.rng = np.random.default_rng(self.seed)
        self.pool = ProcessPool(self.make, self.table.environment.usable_memory_mb)
        e = self.table.environment.id, self.table.subject.id
        self.points = {c: BenchmarkPoint(c, *e) for c in self.configurations}
        self.on_event(
            BenchmarkStarted(time.time(), self.configurations, self.table, self.time_budget_s)
        )
        try:
            self._warm_up()
            self._time()
            self.pool.close()  # idle processes would take memory from the runs that follow
            if self.memory:
                self._watch_memory()
        except BaseException as error:
            cancelled = isinstance(error, (RunCancelled, KeyboardInterrupt))
            text = str(error) or type(error).__name__
            self.on_event(BenchmarkFailed(time.time(), text, self._make_table(), cancelled))
            raise
        finally:
            self.pool.close()
        self.ended = True
        table = self._make_table()
        self.on_event(BenchmarkDone(time.time(), table, self.clock() - self.began))
        return table

    # ---------------------------------------------------------------------------------- phases
    def _warm_up(self) -> None:
        """Run each configuration once; save the serial result and compare the others with it."""
        later_s = _LATER_SHARE * self.time_budget_s
        for i, configuration in enumerate(self.configurations):
            # The reference always runs, and the first other one without a reserve: a table with one
            # configuration could not be compared.
            if i and self._is_over(
                (later_s if i > 1 else 0.0) + self._expect_s("warm-up", configuration)
            ):
                return
            phase: Phase = "warm-up" if i else "reference"
            with self._measure(configuration, phase):
                member = self.pool.get(configuration)
                wall_s, _, _ = member.run(self._timeout_s())
                self.colds[configuration] = (member.start_s, wall_s)
                if i:
                    difference = member.compare(self.folder / "reference.npy")
                else:
                    member.save(self.folder / "reference.npy")
                    difference = 0.0
                self._update(configuration, max_abs_diff_v=difference)

    def _time(self) -> None:
        """Time all configurations in randomised blocks until their intervals are narrow."""
        for number in range(self.repeats or MAX_REPEATS):
            self.block = number
            wanted = self._list_wanted()
            # The base alone is not timed again: it is there for the ratios of the others.
            if len(wanted) < 2 and self.block and len(self.configurations) > 1:
                return
            needed_s = sum(self._expect_s("time", c) for c in wanted)
            extra = self.block >= stats.MIN_REPEATS and self.repeats is None
            if extra and self._is_over(self._estimate_memory_s() + needed_s):
                return
            # Random order: a drift of the machine (heat, caches) must not favour one configuration.
            if not self._time_block([wanted[i] for i in self.rng.permutation(len(wanted))]):
                return

    def _time_block(self, turns: list[Configuration]) -> bool:
        """Time each configuration once; return False if the time ran out in a later block.

        In the first block, serial is timed in any case, and configurations that were skipped are
        considered again: by then it is known how much shorter timed runs are than warm-ups.
        """
        left = []
        for configuration in turns:
            must = not self.block and configuration == self.configurations[0]
            if must or not self._is_over(self._expect_s("time", configuration)):
                self._time_one(configuration)
            elif self.block:
                return False
            else:
                left.append(configuration)
        for configuration in left:
            if not self._is_over(self._expect_s("time", configuration)):
                self._time_one(configuration)
        return True

    def _time_one(self, configuration: Configuration) -> None:
        with self._measure(configuration, "time"):
            member = self.pool.get(configuration, warm_up_s=self._timeout_s())
            self.gauge.probe()  # before the run, never during it: a probe loads all cores
            with self.gauge.watch(member.pid) as watch:
                wall_s, cpu_s, trace = member.run(self._timeout_s())
            self.traces.setdefault(configuration, []).append(trace)
            free = self.table.environment.cores - configuration.workers
            if watch.other_cores > max(machine_load.MAX_OTHERS, free + machine_load.MAX_OTHERS):
                self.busy[configuration] = self.busy.get(configuration, 0) + 1
            point = self.points[configuration]
            self._update(
                configuration,
                wall_s=(*point.wall_s, wall_s),
                cpu_s=(*point.cpu_s, cpu_s),
                blocks=(*point.blocks, self.block),
            )

    def _watch_memory(self) -> None:
        """Measure the memory of a run of each in a fresh process, the fastest ones first."""
        if not process_usage.can_measure():
            return
        rows = [r for r in self._make_table().rows if r.point.error is None]
        # The fastest ones are the likely choices: the time budget may not suffice for all.
        for row in sorted(rows, key=lambda r: (r.verdict != "base", not r.wall_s > 0, r.wall_s)):
            configuration = row.configuration
            if self._is_over(self._expect_s("memory", configuration)):
                continue
            with self._measure(configuration, "memory"):
                member = self.make(configuration)
                try:
                    _, use = member.run_watched(self._timeout_s())
                finally:
                    member.close()
                self._update(configuration, memory=use)

    # -------------------------------------------------------------------------------- counting
    def _list_wanted(self) -> list[Configuration]:
        """Return the configurations whose interval is still wide, and the base of their ratios."""
        running = [c for c, p in self.points.items() if p.error is None and c in self.colds]
        if self.repeats is not None or self.block < stats.MIN_REPEATS:
            return running
        rows = {r.configuration: r for r in self._make_table().rows}
        wide = [c for c in running if not rows[c].speedup.width < TIGHT]
        base = [c for c in running if rows[c].verdict == "base" and c not in wide]
        return wide + base

    def _is_over(self, reserve_s: float) -> bool:
        """Whether the time budget, less a reserve, is spent."""
        over = self.clock() - self.began + reserve_s > self.time_budget_s
        self.spent = self.spent or over
        return over

    def _expect_s(self, phase: Phase, configuration: Configuration) -> float:
        """Return the expected duration of a measurement, from similar ones, in s."""
        known_s = self.costs.get((phase, configuration))
        if known_s is not None:
            return known_s
        begun = {c: s for (kind, c), s in self.costs.items() if kind in ("reference", "warm-up")}
        if phase == "memory":
            return begun.get(configuration, 0.0)
        if phase == "warm-up":
            return max(begun.values())
        timed = {c: s for (kind, c), s in self.costs.items() if kind == "time"}
        # Timed runs are shorter than first runs: by how much is known from those that were timed.
        shares = [s / self.colds[c][1] for c, s in timed.items()]
        return self.colds[configuration][1] * (float(np.median(shares)) if shares else 1.0)

    def _estimate_memory_s(self) -> float:
        """Return the expected duration of the memory runs, at most a share of the budget, in s."""
        if not self.memory:
            return 0.0
        costs = [s for (phase, _), s in self.costs.items() if phase in ("reference", "warm-up")]
        return min(sum(costs), _MEMORY_SHARE * self.time_budget_s)

    def _timeout_s(self) -> float:
        serial = self.colds.get(self.configurations[0], (0.0, 600.0))[1]
        return max(_MIN_TIMEOUT_S, _TIMEOUT_RATIO * serial)

    def _total(self) -> int:
        """Return the expected number of measurements, with at least three repeats."""
        return self.done + sum(self._left().values())

    def _left(self) -> dict[str, int]:
        """Return the number of remaining measurements by phase."""
        running = [p for p in self.points.values() if p.error is None]
        repeats = self.repeats or stats.MIN_REPEATS
        return {
            "warm-up": sum(p.configuration not in self.colds for p in running),
            "time": sum(max(0, repeats - p.n_repeats) for p in running),
            "memory": sum(p.memory is None for p in running) if self.memory else 0,
        }

    def _remaining_s(self) -> float | None:
        """Return the time left, in s: remaining measurements times the mean cost of their phase.

        None until a second configuration has run: the reference says nothing about the others.
        """
        if len(self.costs) < min(2, len(self.configurations)):
            return None
        means = {phase: self._mean_cost_s(phase) for phase in self._left()}
        planned_s = sum(n * means[phase] for phase, n in self._left().items())
        left_s = self.time_budget_s - (self.clock() - self.began)
        return max(0.0, planned_s if self.repeats else min(planned_s, left_s))

    def _mean_cost_s(self, phase: str) -> float:
        same = [s for (kind, _), s in self.costs.items() if kind == phase]
        return float(np.mean(same or list(self.costs.values())))

    def _measure(self, configuration: Configuration, phase: Phase) -> _Measurement:
        return _Measurement(self, configuration, phase)

    def _update(self, configuration: Configuration, **changes: Any) -> None:
        self.points[configuration] = replace(self.points[configuration], **changes)

    def _make_table(self) -> BenchmarkTable:
        """Return the table of the measurements so far."""
        table = self.table
        for configuration, point in self.points.items():
            if configuration in self.colds or point.error is not None:
                table = table.append(self._complete(point))
        found = self.gauge.result()
        warnings = [*found.warnings, *self._warn_of_budget()]
        if not process_usage.can_measure():
            what = "Memory, CPU time of worker processes and other programs"
            warnings.append(f"{what}: {process_usage.NOT_MEASURED}.")
        return replace(table, noise=found, warnings=tuple(warnings))

    def _complete(self, point: BenchmarkPoint) -> BenchmarkPoint:
        """Return a point with its cold start, the trace of its median run and its warnings."""
        c = point.configuration
        if c not in self.colds or not point.wall_s:
            return point
        start_s, first_s = self.colds[c]
        steady_s = float(np.median(point.wall_s))
        warnings = []
        if steady_s < machine_load.MIN_TIME_S:
            warnings.append(
                f"a run of {1e3 * steady_s:.0f} ms is too short to compare: use a longer recording"
            )
        if c in self.busy:
            warnings.append(f"the machine was busy during {self.busy[c]} of {point.n_repeats} runs")
        traces = sorted(self.traces[c], key=lambda t: t.wall_s)
        # Of an even number of runs, the faster one of the two in the middle: a trace is of one run.
        return replace(
            point,
            cold_start_s=start_s + max(0.0, first_s - steady_s),
            trace=traces[(len(traces) - 1) // 2],
            warnings=tuple(warnings),
        )

    def _warn_of_budget(self) -> tuple[str, ...]:
        if not self.spent:
            return ()
        running = [p for p in self.points.values() if p.error is None]
        untimed = [p.configuration.label for p in running if not p.n_repeats]
        unwatched = [
            p.configuration.label
            for p in running
            if p.n_repeats and self.memory and not p.memory and process_usage.can_measure()
        ]
        what = "all repeats were done" if self.repeats else "all intervals were narrow"
        texts = [
            f"The time budget of {self.time_budget_s:g} s was spent before {what}: allow more time "
            "or fewer configurations."
        ]
        if untimed and self.ended:
            texts.append(f"Not measured for lack of time: {'; '.join(untimed)}.")
        if unwatched and self.ended:
            texts.append(f"Memory not measured for lack of time: {'; '.join(unwatched)}.")
        return tuple(texts)


class _Measurement:
    """Emits the events of a measurement; a failure becomes the error of its point."""

    def __init__(self, session: Session, configuration: Configuration, phase: Phase) -> None:
        self.session, self.configuration, self.phase = session, configuration, phase

    def __enter__(self) -> None:
        s = self.session
        s.cancel.check()
        self.began = s.clock()
        counts = (s.block, s.done, s._total(), s._remaining_s())
        s.on_event(PointStarted(time.time(), self.configuration, self.phase, *counts))

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        s = self.session
        failed = isinstance(error, MeasurementFailed) and self.phase != "reference"
        if error is not None and not failed:
            return False
        if failed:
            s._update(self.configuration, error=str(error))
            s.pool.drop(self.configuration)
        s.costs[self.phase, self.configuration] = s.clock() - self.began
        s.done += 1
        table = s._make_table()
        point = next(p for p in table.points if p.configuration == self.configuration)
        counts = (s.done, s._total(), s._remaining_s())
        s.on_event(PointMeasured(time.time(), point, table, self.phase, *counts))
        return failed
