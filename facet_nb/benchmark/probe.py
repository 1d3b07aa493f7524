"""Probe: run a chain on an excerpt and predict the time for the whole recording."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.benchmark.excerpt import Excerpt, take_excerpt, take_larger_excerpt
from facet_nb.benchmark.inputs import leave_out_writers
from facet_nb.benchmark.machine_load import LoadGauge
from facet_nb.benchmark.measurement import Configuration, RunTrace, StageTrace
from facet_nb.benchmark.tracing import trace_run
from facet_nb.benchmark.whatif import schedule
from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.core.recording import data_picks

#: Largest number of runs on the final excerpt, and the number for which its size is chosen.
_MAX_REPEATS, _WANTED_REPEATS = 9, 4
#: Configurations that take so many times as long as the best one are not run again.
_GIVE_UP_RATIO = 1.3
#: A probe may take so many times its duration to run each configuration twice. A round that takes
#: less than this share of the duration is run even then: a slow first run may be an exception.
_PATIENCE, _CHEAP = 3.0, 0.1

Traces = dict[Configuration, list[RunTrace]]


@dataclass(frozen=True)
class ProbeTiming:
    """Time for the whole recording, predicted from repeated runs of an excerpt.

    Attributes
    ----------
    configuration : Configuration
        The configuration.
    wall_s : tuple of float
        Wall time of the whole recording, predicted from each repeat, in s.
    cold_s : float
        Additional time of the first run, in s.
    """

    configuration: Configuration
    wall_s: tuple[float, ...]
    cold_s: float = 0.0

    @property
    def likely_s(self) -> float:
        """The prediction, in s: the lower quartile, as other programs only add time."""
        return float(np.quantile(self.wall_s, 0.25))


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe.

    Attributes
    ----------
    excerpt : Excerpt
        The excerpt that was run.
    trials : tuple of ProbeTiming
        Timings of the configurations that could run.
    warnings : tuple of str
        Why the times are doubtful.
    """

    excerpt: Excerpt
    trials: tuple[ProbeTiming, ...]
    warnings: tuple[str, ...] = ()


def try_out(
    pipeline: Pipeline,
    context: ProcessingContext,
    configurations: Sequence[Configuration],
    probe_s: float,
    *,
    cores: int,
    enlarge: bool = True,
    skip_slow: bool = True,
) -> ProbeResult:
    """Run each configuration on an excerpt of `context`, in turns, for about `probe_s`.

    A small excerpt is run twice: the first run loads libraries and is discarded, the second gives
    a rough time for the whole recording. The remaining time is spent on the largest excerpt that
    can be run several times: the whole recording if it is short. The two sizes separate the time
    that grows with the data from the time that does not.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    context : ProcessingContext
        The recording.
    configurations : sequence of Configuration
        The configurations to run.
    probe_s : float
        Duration of the probe, in s.
    cores : int
        Number of cores that may be used.
    enlarge : bool
        Whether there is memory for more than the small excerpt.
    skip_slow : bool
        Whether to omit, after two runs, configurations that are much slower than the best.

    Raises
    ------
    FacetError
        If a run of one worker fails.
    """
    kept = [p for p in leave_out_writers(pipeline).processors if not hasattr(p, "forecast")]
    steps = Pipeline(kept, pipeline.name)  # without the loader: the recording is loaded already
    probe = _ProbeRunner(steps, probe_s, LoadGauge(cores))
    n_data = len(data_picks(context.get_raw()))
    small = take_excerpt(pipeline, context, probe_s, cores)
    # All first runs come before the second ones, so that these find all libraries loaded.
    first = probe.run_round(small, configurations)
    again = probe.run_round(small, list(first))
    rough_s = {c: min(predict(t[c], small, c, n_data) for t in (first, again)) for c in again}
    # Rough times may be off by a factor of two: keep everything that may still be the best.
    near = [c for c in rough_s if not skip_slow or rough_s[c] <= 2 * min(rough_s.values())]
    share = probe.left_s / (_WANTED_REPEATS * sum(rough_s[c] for c in near))
    excerpt = take_larger_excerpt(pipeline, context, small, share) if enlarge else small
    traces: Traces = (
        {c: [] for c in again} if excerpt is not small else {c: [t] for c, t in again.items()}
    )
    probe.repeat(excerpt, traces, near, _GIVE_UP_RATIO if skip_slow else np.inf)
    trials = tuple(
        _make_trial(c, first[c], again[c], traces[c], small, excerpt, n_data) for c in again
    )
    return ProbeResult(excerpt, trials, probe.gauge.result().warnings)


@dataclass
class _ProbeRunner:
    """Runs excerpts within a time limit."""

    steps: Pipeline
    probe_s: float
    gauge: LoadGauge
    began_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Time left, in s; never zero, as the share of the recording is proportional to it."""
        return max(0.01, self.probe_s - (time.monotonic() - self.began_s))

    @property
    def spent(self) -> float:
        """Elapsed time divided by the intended duration."""
        return (time.monotonic() - self.began_s) / self.probe_s

    def run_round(
        self, excerpt: Excerpt, configurations: Sequence[Configuration]
    ) -> dict[Configuration, RunTrace]:
        """Run each configuration once; omit those that several workers cannot run."""
        self.gauge.probe()
        found = {}
        for c in configurations:
            with self.gauge.watch(os.getpid()):
                trace = _run(self.steps, excerpt, c)
            if trace is not None:
                found[c] = trace
        return found

    def repeat(
        self, excerpt: Excerpt, traces: Traces, near: list[Configuration], give_up_ratio: float
    ) -> None:
        """Add traces of `excerpt` until the time is over, but at least two of each."""
        for _ in range(_MAX_REPEATS):
            fewest = min(len(traces[c]) for c in near)
            round_s = sum(traces[c][-1].wall_s for c in near if traces[c])
            over = self.spent + round_s / self.probe_s > 1.0
            enough = fewest > 1 or (fewest and self.spent > _PATIENCE)
            cheap = fewest < _WANTED_REPEATS - 1 and round_s < _CHEAP * self.probe_s
            if over and enough and not cheap:
                return
            found = self.run_round(excerpt, near)
            for c, trace in found.items():
                traces[c].append(trace)
            best_s = {c: min(t.wall_s for t in traces[c]) for c in found}
            limit_s = give_up_ratio * min(best_s.values()) if fewest else np.inf
            near = [c for c in best_s if best_s[c] <= limit_s]


def _make_trial(
    c: Configuration,
    first: RunTrace,
    again: RunTrace,
    traces: list[RunTrace],
    small: Excerpt,
    excerpt: Excerpt,
    n_data: int,
) -> ProbeTiming:
    cold_s = max(0.0, first.wall_s - again.wall_s)
    if not traces:  # much slower than the best one: it was run on the small excerpt only
        return ProbeTiming(c, (predict(again, small, c, n_data),), cold_s)
    rest_s = None
    if excerpt is not small:
        rest_s = extrapolate_rest([again], small.share, traces, excerpt.share)
    return ProbeTiming(c, tuple(predict(t, excerpt, c, n_data, rest_s) for t in traces), cold_s)


def predict(
    trace: RunTrace,
    excerpt: Excerpt,
    configuration: Configuration,
    n_data: int,
    rest_s: float | None = None,
) -> float:
    """Predict the wall time of the whole recording, in s, from the trace of an excerpt.

    Parameters
    ----------
    trace : RunTrace
        A run of the excerpt.
    excerpt : Excerpt
        The excerpt.
    configuration : Configuration
        How it was run.
    n_data : int
        Number of data channels of the whole recording.
    rest_s : float | None
        Time of the whole recording outside preparation and batches, in s, if excerpts of two
        sizes were run. Without it, the time of global steps is taken to grow with the data, and
        the remaining time to be constant.
    """
    if excerpt.share == 1.0:
        return trace.wall_s
    if rest_s is not None:
        split = [s for s in trace.stages if _splits(s)]
        batches_s = sum(_scale_batches(s, excerpt, configuration, n_data) for s in split)
        return rest_s + batches_s + sum(s.prepare_s for s in split) * excerpt.time_scale
    outside_s = trace.wall_s - sum(stage.wall_s for stage in trace.stages)
    return outside_s + sum(_scale(s, excerpt, configuration, n_data) for s in trace.stages)


def extrapolate_rest(
    small: Sequence[RunTrace], small_share: float, large: Sequence[RunTrace], large_share: float
) -> float:
    """Return the time of the whole outside preparation and batches, in s, linear in the share."""
    rests_s = [min(_find_rest(t) for t in traces) for traces in (small, large)]
    slope = max(0.0, (rests_s[1] - rests_s[0]) / (large_share - small_share))
    return rests_s[1] + slope * (1.0 - large_share)


def _find_rest(trace: RunTrace) -> float:
    split = [s for s in trace.stages if _splits(s)]
    return trace.wall_s - sum(_find_span(s) + s.prepare_s for s in split)


def _splits(stage: StageTrace) -> bool:
    return stage.kind != "global" and stage.splits and bool(stage.batches)


def _find_span(stage: StageTrace) -> float:
    return max(b.stop_s for b in stage.batches) - min(b.start_s for b in stage.batches)


def _scale(stage: StageTrace, excerpt: Excerpt, c: Configuration, n_data: int) -> float:
    if stage.kind == "global":
        return stage.wall_s * excerpt.channel_scale * excerpt.time_scale
    if not _splits(stage):
        return stage.wall_s * excerpt.time_scale
    rest_s = stage.wall_s - _find_span(stage)
    return rest_s * excerpt.time_scale + _scale_batches(stage, excerpt, c, n_data)


def _scale_batches(stage: StageTrace, excerpt: Excerpt, c: Configuration, n_data: int) -> float:
    """Return the time of the batches of the whole, in s: more and longer ones, with their gaps."""
    durations_s = [b.stop_s - b.start_s for b in stage.batches]
    size = max(1, round(excerpt.n_channels / len(stage.batches)))
    n_batches = -(-n_data // size)
    gaps_s = _find_span(stage) - schedule(durations_s, stage.n_jobs)
    jobs = max(1, min(c.n_jobs, n_batches))
    spread_s = max(0.0, gaps_s) * n_batches / len(stage.batches)
    mean_s = float(np.mean(durations_s)) * excerpt.time_scale
    return schedule([mean_s] * n_batches, jobs) + spread_s


def _run(pipeline: Pipeline, excerpt: Excerpt, configuration: Configuration) -> RunTrace | None:
    """Run once; return None if several workers cannot run the chain."""
    events: list[Any] = []
    begin = time.perf_counter()
    try:
        done = pipeline.run(
            excerpt.context,
            show_progress=False,
            raise_on_error=True,
            on_event=events.append,
            **configuration.settings,
        )
    except FacetError:
        if configuration.workers == 1:
            raise
        return None  # no candidate, e.g. because a step cannot be pickled
    wall_s = time.perf_counter() - begin
    assert done.plan is not None
    return replace(trace_run(events, done.plan.stages, pipeline.processors), wall_s=wall_s)
