"""A benchmark from begin to end: fresh processes, randomised blocks, growing repeats."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.benchmark import machine_load, stats
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

#: Repeats grow until each speed-up's 95 % interval is this narrow, relative to it.
TIGHT = 0.05
MAX_REPEATS = 30
#: A run may take this many times as long as the serial one, and at least so many seconds.
_TIMEOUT_RATIO, _MIN_TIMEOUT_S = 20.0, 60.0
#: Parts of the time budget that are kept: for all that comes after the warm-ups, and for memory.
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
    """Measure what ways to run a pipeline cost in time and memory.

    Each configuration runs in a fresh process. Its first run there is the warm-up, which tells the
    cold start and is compared with the serial result. Then all are timed in blocks, in random order
    within a block, as often as it takes. Memory is watched in other runs, in fresh processes
    again. Serial is always among the configurations.

    Parameters
    ----------
    pipeline : Pipeline
        The chain. Steps that write files are left out.
    source : ProcessingContext | path | Simulation | dict
        The recording; a dict holds arguments of :func:`facet_nb.datasets.simulate`.
    modes, n_jobs, n_workers, backends, batch_sizes : sequence
        What to combine, as in :meth:`facet_nb.Pipeline.run`. Without them: all modes, 1, 2, 4, …
        jobs up to the cores, threads and processes.
    repeats : int | None
        Timed runs of each; None for as many as give narrow intervals, at least three, within
        `time_budget_s`.
    time_budget_s : float
        When to stop, in s. A measurement begins only if it is expected to end by then; serial is
        timed once in any case. What cannot be told apart by then is called inconclusive, and the
        table's warnings name what was not measured.
    memory : bool
        Whether to measure memory, too.
    seed : int
        Of the order of runs.
    on_event : callable | None
        Called with each :class:`BenchmarkEvent`, from this thread.
    cancel : CancelToken | threading.Event | None
        Set it to stop.

    Returns
    -------
    BenchmarkTable
        A point for each configuration.

    Raises
    ------
    ValidationError
        If the source or a number cannot be used.
    MeasurementFailed
        If the serial run fails: there is nothing to compare with.
    RunCancelled
        If it was cancelled; the last event holds the table until then.
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
    """The course of a benchmark; `make` starts the process of a configuration."""

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
        """Measure everything; return the table."""
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
            self.pool.close()
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
        """Run each configuration once; keep the serial result, and compare the others with it."""
        later_s = _LATER_SHARE * self.time_budget_s
        for i, configuration in enumerate(self.configurations):
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
            if len(wanted) < 2 and self.block and len(self.configurations) > 1:
                return
            needed_s = sum(self._expect_s("time", c) for c in wanted)
            extra = self.block >= stats.MIN_REPEATS and self.repeats is None
            if extra and self._is_over(self._estimate_memory_s() + needed_s):
                return
            if not self._time_block([wanted[i] for i in self.rng.permutation(len(wanted))]):
                return

    def _time_block(self, turns: list[Configuration]) -> bool:
        """Time each once; return False if there was no time for one of a later block.

        In the first block serial has its turn in any case, and who was left out gets a second
        chance: how much less than the first run a timed one takes is known by then.
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
            self.gauge.probe()
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
        """Watch the memory of a run of each, in fresh processes: the fastest ones first."""
        rows = [r for r in self._make_table().rows if r.point.error is None]
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
        """Return configurations whose interval is not narrow yet, and the base for their ratios."""
        running = [c for c, p in self.points.items() if p.error is None and c in self.colds]
        if self.repeats is not None or self.block < stats.MIN_REPEATS:
            return running
        rows = {r.configuration: r for r in self._make_table().rows}
        wide = [c for c in running if not rows[c].speedup.width < TIGHT]
        base = [c for c in running if rows[c].verdict == "base" and c not in wide]
        return wide + base

    def _is_over(self, reserve_s: float) -> bool:
        """Whether the time budget is spent, but for what is reserved."""
        over = self.clock() - self.began + reserve_s > self.time_budget_s
        self.spent = self.spent or over
        return over

    def _expect_s(self, phase: Phase, configuration: Configuration) -> float:
        """Return what a measurement will take, by what was measured like it, in s."""
        known_s = self.costs.get((phase, configuration))
        if known_s is not None:
            return known_s
        begun = {c: s for (kind, c), s in self.costs.items() if kind in ("reference", "warm-up")}
        if phase == "memory":
            return begun.get(configuration, 0.0)
        if phase == "warm-up":
            return max(begun.values())
        timed = {c: s for (kind, c), s in self.costs.items() if kind == "time"}
        shares = [s / self.colds[c][1] for c, s in timed.items()]  # a first run takes longer
        return self.colds[configuration][1] * (float(np.median(shares)) if shares else 1.0)

    def _estimate_memory_s(self) -> float:
        """Return what runs for memory will take, as long as the warm-ups; a third at most."""
        if not self.memory:
            return 0.0
        costs = [s for (phase, _), s in self.costs.items() if phase in ("reference", "warm-up")]
        return min(sum(costs), _MEMORY_SHARE * self.time_budget_s)

    def _timeout_s(self) -> float:
        serial = self.colds.get(self.configurations[0], (0.0, 600.0))[1]
        return max(_MIN_TIMEOUT_S, _TIMEOUT_RATIO * serial)

    def _total(self) -> int:
        """Return how many measurements there will be, with three repeats at least."""
        return self.done + sum(self._left().values())

    def _left(self) -> dict[str, int]:
        """Return the measurements to come, by phase."""
        running = [p for p in self.points.values() if p.error is None]
        repeats = self.repeats or stats.MIN_REPEATS
        return {
            "warm-up": sum(p.configuration not in self.colds for p in running),
            "time": sum(max(0, repeats - p.n_repeats) for p in running),
            "memory": sum(p.memory is None for p in running) if self.memory else 0,
        }

    def _remaining_s(self) -> float | None:
        """Return the time left: measurements to come at the mean cost of their kind."""
        if not self.costs:
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
        """Return the table of what is known so far."""
        table = self.table
        for configuration, point in self.points.items():
            if configuration in self.colds or point.error is not None:
                table = table.append(self._complete(point))
        found = self.gauge.result()
        return replace(table, noise=found, warnings=(*found.warnings, *self._warn_of_budget()))

    def _complete(self, point: BenchmarkPoint) -> BenchmarkPoint:
        """Return a point with its cold start, the trace of its median run, and warnings."""
        c = point.configuration
        if c not in self.colds or not point.wall_s:
            return point
        start_s, first_s = self.colds[c]
        steady_s = float(np.median(point.wall_s))
        warnings = []
        if steady_s < machine_load.MIN_TIME_S:
            warnings.append(
                f"a run of {1e3 * steady_s:.0f} ms is too short to compare: take a longer recording"
            )
        if c in self.busy:
            warnings.append(f"the machine was busy during {self.busy[c]} of {point.n_repeats} runs")
        traces = sorted(self.traces[c], key=lambda t: t.wall_s)
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
            p.configuration.label for p in running if p.n_repeats and self.memory and not p.memory
        ]
        what = "all repeats were made" if self.repeats else "all intervals were narrow"
        texts = [
            f"The time budget of {self.time_budget_s:g} s was spent before {what}: give more time, "
            "or fewer configurations."
        ]
        if untimed and self.ended:
            texts.append(f"Not measured for want of time: {'; '.join(untimed)}.")
        if unwatched and self.ended:
            texts.append(f"Memory not measured for want of time: {'; '.join(unwatched)}.")
        return tuple(texts)


class _Measurement:
    """Says that a measurement begins and ends; what fails becomes the point's error."""

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
