"""Make a lazy recording of a pipeline: decisions once, then one node for each step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.execution.global_step import run_read_only
from facet_nb.core.execution.job import Failure
from facet_nb.core.execution.prepare import make_input, prepare_stage
from facet_nb.core.execution.runner import Runner, build_context
from facet_nb.core.execution.stage import PreparedStage, StageInput
from facet_nb.core.execution.threads import one_thread
from facet_nb.core.lazy.cache import BlockCache
from facet_nb.core.lazy.explain import (
    AT_ONCE,
    SKIPPED,
    WHOLE,
    WINDOWS,
    Explained,
    count_eager,
    is_output,
)
from facet_nb.core.lazy.nodes import (
    ChannelNode,
    JointNode,
    Node,
    SourceNode,
    SwitchNode,
    WindowNode,
    read_split,
)
from facet_nb.core.noise import Change
from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.recording import data_picks
from facet_nb.core.steps import ArrayStep, Step
from facet_nb.kernels.compiled.choice import choose_kernels
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.views import protect


class LazySamples:
    """Samples of a lazy recording, as MNE's ``Raw`` and the decisions of steps read them.

    Parameters
    ----------
    node : Node
        The last node.
    n_channels : int
        Number of channels.
    cache : BlockCache
        The cache of all nodes.
    n_workers : int
        Inner threads of one read.
    compiled : frozenset of str | None
        Compiled modules that the full run would use.
    """

    dtype = np.dtype(float)
    ndim = 2
    at_once = 1 << 23  # values that are handed to MNE at once: 64 MB

    def __init__(
        self,
        node: Node,
        n_channels: int,
        cache: BlockCache,
        n_workers: int,
        compiled: frozenset[str] | None,
    ) -> None:
        self.node, self.cache, self.n_workers = node, cache, n_workers
        self.compiled = compiled
        self.shape = (n_channels, node.n_times)
        self.context: ProcessingContext | None = None
        self.rows: list[Explained] = []
        self.recipe: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return samples of some channels, as an array does: the decisions of a step need them."""
        times = slice(None)
        if isinstance(rows, tuple):
            rows, times = rows
        channels = np.arange(self.shape[0])[rows]
        start, stop, _ = times.indices(self.shape[1])
        return self.read(np.atleast_1d(channels).tolist(), start, stop)

    def view(self) -> np.ndarray:
        """Return all samples, for decisions that look at all channels."""
        return self[:]

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples, shape (n_channels, stop - start), in V; not to be written to."""
        # The kernels of the full run: compiled ones may differ from SciPy's in the last bits.
        with use_compiled(self.compiled):
            return read_split(self.node, channels, start, stop, self.n_workers)

    def read_into(self, out: np.ndarray, rows: np.ndarray, start: int, stop: int) -> None:
        """Write samples of some channels to `out`, shape (n_channels, stop - start), in V."""
        out[:] = self.read(rows.tolist(), start, stop)

    def make_raw(self, info: Any, first_samp: int) -> Any:
        """Return the recording that reads these samples."""
        from facet_nb.core.lazy.raw import LazyRaw

        return LazyRaw(self, info, first_samp)

    def describe(self) -> list[Explained]:
        """Return how each step is computed: its name, how, and why."""
        return self.rows

    def __deepcopy__(self, memo: dict[int, Any]) -> LazySamples:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.recipe is None:
            raise ValidationError(
                "a recording between two steps cannot be pickled: take that of pipeline.lazy."
            )
        return _remake, self.recipe


def _remake(*recipe: Any) -> LazySamples:
    """Return the samples of a lazy recording from a pickle: its decisions are made again."""
    return _make_samples(*recipe)


def make_lazy(
    processors: Sequence[Processor],
    plan: Plan,
    context: ProcessingContext,
    n_workers: int,
    cache_bytes: int,
) -> Any:
    """Return the recording that the steps make of a context, computed when it is read.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    plan : Plan
        Their stages.
    context : ProcessingContext
        What to begin with.
    n_workers : int
        Inner threads of one read.
    cache_bytes : int
        Size of the cache.

    Returns
    -------
    LazyRaw
        The recording.

    Raises
    ------
    StepError
        If a decision cannot be made.
    """
    samples = _make_samples(processors, plan, context, n_workers, cache_bytes)
    assert samples.context is not None
    return samples.context.get_raw()


def _make_samples(
    processors: Sequence[Processor],
    plan: Plan,
    context: ProcessingContext,
    n_workers: int,
    cache_bytes: int,
) -> LazySamples:
    builder = _Builder(processors, plan, n_workers, BlockCache(cache_bytes))
    samples = builder.run(context)
    samples.recipe = processors, plan, context, n_workers, cache_bytes
    return samples


def _copy_reader(raw: Any) -> Any:
    """Return a recording that reads the same samples when the caller's is cropped or picked.

    MNE's copy would copy each annotation: 3 s for the slice markers of an hour.
    """
    own = copy.copy(raw)
    own.info = raw.info.copy()
    own._raw_extras = list(raw._raw_extras)
    return own


class _Builder:
    """Takes a context from stage to stage; the recording in it is lazy."""

    def __init__(
        self, processors: Sequence[Processor], plan: Plan, n_workers: int, cache: BlockCache
    ) -> None:
        self.processors, self.plan, self.n_workers, self.cache = processors, plan, n_workers, cache
        self.rows: list[Explained] = []
        self.compiled = choose_kernels().compiled  # as the full run
        self.checks = True  # the first stage over arrays looks for NaN, as that of a run

    def run(self, context: ProcessingContext) -> LazySamples:
        """Return the samples after all stages."""
        eager, reason = count_eager(self.processors, self.plan)
        used = [s for s in self.plan.stages[:eager] if not is_output(self.processors, s)]
        runner = Runner(self.processors, replace(self.plan, stages=tuple(used)))
        if used:
            context = runner.run(context)
            self._tell(used, AT_ONCE, reason)
        with one_thread(), use_compiled(self.compiled):
            for stage in self.plan.stages[eager:]:
                if is_output(self.processors, stage):
                    self._tell([stage], SKIPPED, "only measures, writes or shows something")
                else:
                    context = self._take(stage, context)
        context = self._begin(context)
        samples: LazySamples = context.get_raw()._raw_extras[0]["samples"]
        samples.rows, samples.context = self.rows, context
        return samples

    def _tell(self, stages: Sequence[Stage], how: str, why: str) -> None:
        self.rows += [(name, how, why) for stage in stages for name in stage.names]

    def _take(self, stage: Stage, context: ProcessingContext) -> ProcessingContext:
        """Return the context after a stage."""
        processor = self.processors[stage.steps[0]]
        if stage.kind == "global" and not isinstance(processor, ArrayProcessor):
            if hasattr(processor, "left_in_file"):
                processor = processor.left_in_file()
            self._tell([stage], AT_ONCE, "decides, or reads what it needs, before the first window")
            return run_read_only(processor, context)
        context = self._begin(context)
        samples: LazySamples = context.get_raw()._raw_extras[0]["samples"]
        rows: Any = samples  # sliced as an array is
        given = make_input(context, stage, self.processors, self.plan.fusions, rows)
        prepared = prepare_stage(given)
        if isinstance(prepared, Failure):
            raise prepared.error()
        new = build_context(context, given, prepared, None)
        node = self._add_nodes(samples.node, given, prepared)
        if node is samples.node:
            return new
        after = LazySamples(node, len(given.names), self.cache, self.n_workers, self.compiled)
        state = prepared.state
        made: Any = after
        raw = given.header.attach(
            made, sfreq=state.sfreq, first_samp=state.first_samp, band=state.band
        )
        new = new._derive(raw=raw)
        new._lineage, new._noise = None, ()
        return new

    def _begin(self, context: ProcessingContext) -> ProcessingContext:
        """Return a context whose recording is lazy."""
        raw = context.get_raw()
        if getattr(raw, "_raw_extras", None) and "samples" in (raw._raw_extras[0] or {}):
            samples = raw._raw_extras[0]["samples"]
            whole = isinstance(samples, LazySamples) and samples.shape == (
                len(raw.ch_names),
                raw.n_times,
            )
            if whole and len(raw._raw_extras) == 1 and samples.cache is self.cache:
                return context
        from facet_nb.core.recording import Header

        own = raw if raw.preload else _copy_reader(raw)
        picks = data_picks(raw) if self.checks else ()
        node = SourceNode(own, [int(i) for i in picks])
        samples = LazySamples(node, len(raw.ch_names), self.cache, self.n_workers, self.compiled)
        made: Any = samples
        new = context._derive(raw=Header.of(raw).attach(made))
        new._lineage = None
        return new

    # ----------------------------------------------------------------------------- nodes
    def _add_nodes(self, node: Node, given: StageInput, prepared: PreparedStage) -> Node:
        """Return the last node of a stage; `node` itself if it changes no samples."""
        steps = [step for step in prepared.steps if step.change is not Change.NOTHING]
        names = [s.processor.name for s in prepared.steps if s.change is Change.NOTHING]
        self.rows += [(name, AT_ONCE, "decides on the reference channel") for name in names]
        if any(step.uses_noise for step in steps):
            return self._add_whole(node, given, prepared, steps)
        for step in steps:
            node = self._add_step(node, given, step)
        return node

    def _add_whole(
        self, up: Node, given: StageInput, prepared: PreparedStage, steps: Sequence[Step]
    ) -> Node:
        """Add all steps of a stage as one node: a step needs what corrections removed."""
        why = "the stage needs what corrections removed from the whole channel"
        self.rows += [(step.processor.name, WHOLE, why) for step in steps]
        n_times = prepared.state.n_times
        inner = ChannelNode(up, steps, n_times, given.names, given.terms, self.cache)
        return self._switch(up, inner, given, steps, frozenset(given.picks.tolist()))

    def _add_step(self, up: Node, given: StageInput, step: Step) -> Node:
        processor: Any = step.processor
        rows = frozenset(given.picks.tolist())
        if step.rows is not None:
            rows &= step.rows
        windows, why, joint = None, "a user-defined step takes a channel as a whole", False
        if isinstance(step, ArrayStep):
            known = step.processor
            why = known.why_not_windowed() or "does not take this recording in windows"
            windows = known.windows(step.prepared, up.n_times)
            joint = known.splits == "times" and not known.channel_wise
        inner: Node
        if joint:
            inner = JointNode(up, step, sorted(rows))
            self.rows.append((processor.name, WINDOWS, "looks at all channels of a sample"))
        elif windows is not None:
            inner = WindowNode(up, windows, self.cache)
            why = f"in cells of {windows.cell} samples"
            if windows.learns:
                why += ", after a first pass over the channel"
            self.rows.append((processor.name, WINDOWS, why))
        else:
            n_times = up.n_times
            if isinstance(step, ArrayStep) and step.prepared.n_times is not None:
                n_times = step.prepared.n_times
            if not isinstance(step, ArrayStep) and step.n_times is not None:
                n_times = step.n_times
            inner = ChannelNode(up, [step], n_times, given.names, (), self.cache)
            self.rows.append((processor.name, WHOLE, why))
        return self._switch(up, inner, given, [step], rows)

    def _switch(
        self,
        up: Node,
        inner: Node,
        given: StageInput,
        steps: Sequence[Step],
        rows: frozenset[int],
    ) -> Node:
        """Return a node that sends the other channels past `inner`."""
        others = [step for step in steps if isinstance(step, ArrayStep)]
        change = [
            step
            for step in others
            if type(step.processor).compute_other is not ArrayProcessor.compute_other
        ]
        names, kinds, n_times = given.names, given.kinds, inner.n_times

        def beside(x: np.ndarray, channel: int) -> np.ndarray:
            kind = "bad" if kinds[channel] == "data" else kinds[channel]
            y = protect(x)
            for step in others:
                y = step.processor.compute_other(y, kind, step.prepared)
            if y.shape[1] != n_times:
                raise ValidationError(
                    f"{names[channel]} ({kind}) has {y.shape[1]} samples after "
                    f"{steps[-1].processor.name}, the data channels {n_times}."
                )
            return y

        simple = not change and up.n_times == inner.n_times
        return SwitchNode(up, inner, rows, None if simple else beside, self.cache)
