"""Short tries of a chain on a piece of a recording, and what they say of the whole."""

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

#: Runs of each on the final excerpt, at most, and those that its size is chosen for.
_MAX_REPEATS, _WANTED_REPEATS = 9, 4
#: What takes this many times as long as the best one is not tried again.
_GIVE_UP_RATIO = 1.3
#: A probe may take this many times as long as it should, to have two runs of each; a round that
#: takes this part of its time is made even then, for what started slowly may not be slow.
_PATIENCE, _CHEAP = 3.0, 0.1

Traces = dict[Configuration, list[RunTrace]]


@dataclass(frozen=True)
class ProbeTiming:
    """What repeated runs of a piece predict of the whole recording.

    Attributes
    ----------
    configuration : Configuration
        How it ran.
    wall_s : tuple of float
        Predicted wall time of the whole, from each repeat, in s.
    cold_s : float
        What the first run took more, in s.
    """

    configuration: Configuration
    wall_s: tuple[float, ...]
    cold_s: float = 0.0

    @property
    def likely_s(self) -> float:
        """The prediction, in s: the lower quartile, for whatever else runs only adds time."""
        return float(np.quantile(self.wall_s, 0.25))


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found.

    Attributes
    ----------
    excerpt : Excerpt
        What it ran.
    trials : tuple of ProbeTiming
        Each configuration that could run.
    warnings : tuple of str
        What makes the times doubtful.
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
    """Run each configuration on a piece of `context`, in turns, for about `probe_s`.

    A small excerpt is first: its first run loads libraries and is discarded, its second tells
    roughly how long the whole would take. In the time that is left the largest excerpt is run that
    can be run several times, which is the whole recording if that is short. What does not grow
    with the data is told from what does by the two sizes.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    context : ProcessingContext
        The recording.
    configurations : sequence of Configuration
        What to try.
    probe_s : float
        Time for it, in s.
    cores : int
        Cores that may be used.
    enlarge : bool
        Whether there is memory for more than the small piece.
    skip_slow : bool
        Whether to leave out, after two runs, what is much slower than the best.

    Raises
    ------
    FacetError
        If a run of one worker fails.
    """
    kept = [p for p in leave_out_writers(pipeline).processors if not hasattr(p, "forecast")]
    steps = Pipeline(kept, pipeline.name)  # without the loader: the context is loaded
    probe = _ProbeRunner(steps, probe_s, LoadGauge(cores))
    n_data = len(data_picks(context.get_raw()))
    small = take_excerpt(pipeline, context, probe_s, cores)
    first = probe.run_round(small, configurations)
    again = probe.run_round(small, list(first))
    rough_s = {c: min(predict(t[c], small, c, n_data) for t in (first, again)) for c in again}
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
    """Runs pieces, and looks at the clock."""

    steps: Pipeline
    probe_s: float
    gauge: LoadGauge
    began_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Time that is left; at least a little."""
        return max(0.01, self.probe_s - (time.monotonic() - self.began_s))

    @property
    def spent(self) -> float:
        """Time that was taken, over the time that it should take."""
        return (time.monotonic() - self.began_s) / self.probe_s

    def run_round(
        self, excerpt: Excerpt, configurations: Sequence[Configuration]
    ) -> dict[Configuration, RunTrace]:
        """Run each once; those that several workers cannot run are left out."""
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
        """Add traces of `piece` until the time is over, two of each at least."""
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
    if not traces:  # much slower than the best: its run of the small excerpt is enough
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
    """Return the wall time of the whole recording, in s, from the trace of a piece.

    Parameters
    ----------
    trace : RunTrace
        A run of the piece.
    excerpt : Excerpt
        What was run.
    configuration : Configuration
        How.
    n_data : int
        Data channels of the whole.
    rest_s : float | None
        What the whole takes beside decisions and batches, if pieces of two sizes told it. Without
        it, steps over all channels are taken to grow with the data, and all else to stay.
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
    """Return what the whole takes beside decisions and batches, in s: a line through two sizes."""
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
    """Return what the batches of the whole take: as many more, longer, and gaps between them."""
    durations_s = [b.stop_s - b.start_s for b in stage.batches]
    size = max(1, round(excerpt.n_channels / len(stage.batches)))
    n_batches = -(-n_data // size)
    gaps_s = _find_span(stage) - schedule(durations_s, stage.n_jobs)
    jobs = max(1, min(c.n_jobs, n_batches))
    spread_s = max(0.0, gaps_s) * n_batches / len(stage.batches)
    mean_s = float(np.mean(durations_s)) * excerpt.time_scale
    return schedule([mean_s] * n_batches, jobs) + spread_s


def _run(pipeline: Pipeline, excerpt: Excerpt, configuration: Configuration) -> RunTrace | None:
    """Run once; None if several workers cannot run it."""
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
        return None  # it is no candidate: the chain cannot go to such workers
    wall_s = time.perf_counter() - begin
    assert done.plan is not None
    return replace(trace_run(events, done.plan.stages, pipeline.processors), wall_s=wall_s)
