"""A short try of a chain on a few channels, and what it says of the whole recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.benchmark.point import Configuration, StageTrace, Trace
from facet_nb.benchmark.subjects import leave_out_writers
from facet_nb.benchmark.tracing import trace_run
from facet_nb.benchmark.whatif import schedule
from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.advice import estimate_work_s
from facet_nb.core.errors import FacetError
from facet_nb.core.forecast import Shape
from facet_nb.core.recording import channel_kinds, data_picks
from facet_nb.preprocessing import Crop, PickChannels

_MIN_CHANNELS, _MAX_CHANNELS = 8, 16
#: Shorter pieces hold too few artifacts for most chains, in s.
_MIN_DURATION_S = 60.0
_MAX_REPEATS = 7


@dataclass(frozen=True)
class Piece:
    """A few channels of a recording, over all of it or its beginning.

    Attributes
    ----------
    context : ProcessingContext
        The piece.
    n_channels : int
        Its data channels.
    channel_scale, time_scale : float
        By how much the whole recording has more of them.
    """

    context: ProcessingContext
    n_channels: int
    channel_scale: float
    time_scale: float


@dataclass(frozen=True)
class Trial:
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
    def median_s(self) -> float:
        """The prediction, in s."""
        return float(np.median(self.wall_s))


def take_piece(pipeline: Pipeline, context: ProcessingContext, probe_s: float, cores: int) -> Piece:
    """Return a piece of `context` whose runs take a small part of `probe_s`.

    Channels that steps name, one of each type, and those that hold no data are in it.
    """
    raw = context.get_raw()
    data = [int(i) for i in data_picks(raw)]
    wanted = min(len(data), max(_MIN_CHANNELS, min(_MAX_CHANNELS, 2 * cores)))
    chosen = _choose_channels(pipeline, raw, data, wanted)
    others = [i for i, kind in enumerate(channel_kinds(raw)) if kind != "data"]
    part = context
    scale = _shorten(pipeline, raw, len(chosen), probe_s)
    if scale > 1.0:
        part = Crop(tmin=0.0, tmax=raw.n_times / scale / raw.info["sfreq"])(part)
    part = PickChannels([raw.ch_names[i] for i in sorted({*chosen, *others})])(part)
    return Piece(part, len(chosen), len(data) / len(chosen), scale)


def try_out(
    pipeline: Pipeline,
    piece: Piece,
    configurations: Sequence[Configuration],
    probe_s: float,
    n_data: int,
) -> list[Trial]:
    """Run each configuration on a piece, in turns, for `probe_s` at most; the first is discarded.

    Raises
    ------
    FacetError
        If a run of one worker fails.
    """
    kept = [p for p in leave_out_writers(pipeline).processors if not hasattr(p, "forecast")]
    steps = Pipeline(kept, pipeline.name)  # without the loader: the piece is loaded
    begin = time.monotonic()
    traces: dict[Configuration, list[Trace]] = {c: [] for c in configurations}
    for repeat in range(_MAX_REPEATS + 1):
        for c in list(traces):
            spent = (time.monotonic() - begin) / probe_s
            if (repeat > 2 and spent > 1.0) or (repeat > 1 and spent > 3.0):
                return _list_trials(traces, piece, n_data)
            found = _run(steps, piece, c)
            if found is None:
                del traces[c]
            else:
                traces[c].append(found)
    return _list_trials(traces, piece, n_data)


def _list_trials(
    traces: dict[Configuration, list[Trace]], piece: Piece, n_data: int
) -> list[Trial]:
    trials = []
    for c, (first, *rest) in traces.items():
        steady_s = float(np.median([t.wall_s for t in rest]))
        walls = tuple(predict(t, piece, c, n_data) for t in rest)
        trials.append(Trial(c, walls, max(0.0, first.wall_s - steady_s)))
    return trials


def predict(trace: Trace, piece: Piece, configuration: Configuration, n_data: int) -> float:
    """Return the wall time of the whole recording, in s, from the trace of a piece."""
    outside_s = trace.wall_s - sum(stage.wall_s for stage in trace.stages)
    return outside_s + sum(_scale(s, piece, configuration, n_data) for s in trace.stages)


def _scale(stage: StageTrace, piece: Piece, c: Configuration, n_data: int) -> float:
    if stage.kind == "global":
        return stage.wall_s * piece.channel_scale * piece.time_scale
    if not stage.splits or not stage.batches:
        return stage.wall_s * piece.time_scale
    span_s = max(b.stop_s for b in stage.batches) - min(b.start_s for b in stage.batches)
    rest_s = stage.wall_s - span_s
    size = max(1, round(piece.n_channels / len(stage.batches)))
    mean_s = float(np.mean([b.stop_s - b.start_s for b in stage.batches])) * piece.time_scale
    n_batches = -(-n_data // size)
    gaps_s = span_s - schedule([b.stop_s - b.start_s for b in stage.batches], stage.n_jobs)
    jobs = max(1, min(c.n_jobs, n_batches))
    spread_s = max(0.0, gaps_s) * n_batches / len(stage.batches)
    return rest_s * piece.time_scale + schedule([mean_s] * n_batches, jobs) + spread_s


def _run(pipeline: Pipeline, piece: Piece, configuration: Configuration) -> Trace | None:
    """Run once; None if several workers cannot run it."""
    events: list[Any] = []
    begin = time.perf_counter()
    try:
        done = pipeline.run(
            piece.context,
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


def _choose_channels(pipeline: Pipeline, raw: Any, data: list[int], wanted: int) -> list[int]:
    """Return data channels: the first, those that steps name, one of each type, then the next."""
    named = set()
    for step in pipeline.processors:
        for value in step.get_parameters().values():
            named |= set(_list_texts(value))
    types = raw.get_channel_types()
    firsts = {types[i]: i for i in reversed(data)}
    must = [i for i in data if raw.ch_names[i] in named or i in firsts.values()]
    more = [i for i in data if i not in must]
    return sorted([*must, *more[: max(0, wanted - len(must))]])


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [v for v in value if isinstance(v, str)]
    return []


def _shorten(pipeline: Pipeline, raw: Any, n_channels: int, probe_s: float) -> float:
    """Return by how much the piece must be shorter than the recording, for about eight runs."""
    shape = Shape(n_channels, n_channels, int(raw.n_times), float(raw.info["sfreq"]))
    rough_s = 8 * 2 * estimate_work_s(pipeline.processors, shape)
    duration_s = shape.n_times / shape.sfreq
    wanted_s = max(_MIN_DURATION_S, duration_s * probe_s / max(rough_s, 1e-9))
    return 1.0 if wanted_s > 0.6 * duration_s else duration_s / wanted_s
