"""Make a lazy recording of a pipeline: decisions once, then one node for each step."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from facet_nb.core.backends.registry import count_cores
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.execution.global_step import run_read_only
from facet_nb.core.execution.job import Failure
from facet_nb.core.execution.prepare import make_input, prepare_stage
from facet_nb.core.execution.runner import Runner, build_context, pass_header
from facet_nb.core.execution.stage import PreparedStage, StageInput
from facet_nb.core.execution.threads import one_thread
from facet_nb.core.findings import make_finding
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
    Learnt,
    Node,
    SourceNode,
    SwitchNode,
    WindowNode,
    read_split,
)
from facet_nb.core.lazy.prefetch import Prefetcher
from facet_nb.core.metadata import to_plain
from facet_nb.core.noise import Change
from facet_nb.core.parameters import name_steps
from facet_nb.core.planning.fusion import FusedSteps
from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.planning.planner import RunOptions, make_plan
from facet_nb.core.processor import ArrayProcessor, Prepared, Processor
from facet_nb.core.recording import Header, data_picks
from facet_nb.core.steps import ArrayStep, Step
from facet_nb.kernels.compiled.choice import choose_kernels
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.views import protect

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

#: Time of decisions that is told, in s.
_LONG_S = 5.0

#: Part of the cache that a window may take for the next one to be read ahead: the cells of each
#: step under it must fit as well.
_SHARE = 8


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
        self.builder: _Builder | None = None
        self.ahead = Prefetcher(self._compute, self.shape[1], cache.limit_bytes // (8 * _SHARE))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return samples as an array does: the decisions of a step need them."""
        keys = key if isinstance(key, tuple) and len(key) == 2 else (key, Ellipsis)
        rows, times = (slice(None) if k is Ellipsis else k for k in keys)
        channels = np.arange(self.shape[0])[rows]
        if not isinstance(times, slice):
            times = np.arange(self.shape[1])[times]
            begin, end = (int(times.min()), int(times.max()) + 1) if times.size else (0, 0)
            block = self.read(channels.ravel().tolist(), begin, end)
            # As numpy: a slice is crossed with a list, and two lists are pairs.
            if isinstance(rows, slice):
                return np.asarray(block[:, times - begin])
            number = np.arange(channels.size).reshape(channels.shape)
            return np.asarray(block[number, times - begin])
        wanted = range(self.shape[1])[times]
        # Its ends, as min() and max() would step through the whole range: 1 s for an hour.
        begin, last = sorted((wanted[0], wanted[-1])) if wanted else (0, -1)
        end = last + 1
        block = self.read(channels.ravel().tolist(), begin, end)
        block = block.reshape(*channels.shape, end - begin)
        return block if wanted.step == 1 or not wanted else block[..., :: wanted.step]

    def view(self) -> np.ndarray:
        """Return all samples, for decisions that look at all channels."""
        return self[:]

    def keep(self, row: int, name: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array that decisions with other parameters need of a channel, too."""
        key = (self.node.key, row, name)
        found = self.cache.get(key)
        return self.cache.put_copy(key, make()) if found is None else found

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Return samples, shape (n_channels, stop - start), in V; not to be written to."""
        return self._compute(channels, start, stop, self.n_workers)

    def _compute(
        self, channels: Sequence[int], start: int, stop: int, n_workers: int = 1
    ) -> np.ndarray:
        # The kernels of the full run: compiled ones may differ from SciPy's in the last bits.
        with use_compiled(self.compiled):
            return read_split(self.node, channels, start, stop, n_workers)

    def read_into(self, out: np.ndarray, rows: np.ndarray, start: int, stop: int) -> None:
        """Write samples of some channels to `out`, shape (n_channels, stop - start), in V."""
        channels = rows.tolist()
        out[:] = self.read(channels, start, stop)
        # Here, not in `read`: only MNE reads for a viewer, and decisions of steps read as well.
        # Afterwards: a viewer's pause is counted from the end of a read, however long that took.
        self.ahead.note(channels, start, stop)

    def make_raw(self, info: Any, first_samp: int) -> Any:
        """Return the recording that reads these samples."""
        # Its base class is MNE's, and importing this package must not import MNE.
        from facet_nb.core.lazy.raw import LazyRaw

        return LazyRaw(self, info, first_samp)

    def describe(self) -> list[Explained]:
        """Return how each step is computed: its name, how, and why."""
        return self.rows

    def set_parameters(
        self, step: str | int | None, parameters: Mapping[str, Any]
    ) -> list[Processor]:
        """Return the steps with other parameters of one; see ``LazyRaw.with_parameters``."""
        processors = list(self.recipe[0]) if self.recipe else []
        at = _find_step(processors, step, parameters)
        # A copy: the recording at hand keeps its own step, and may be pickled with it.
        processors[at] = copy.copy(processors[at]).set_params(**parameters)
        return processors

    def vary(self, processors: Sequence[Processor]) -> Any:
        """Return the recording after other steps; see ``LazyRaw.with_steps``."""
        if self.recipe is None or self.builder is None:
            raise ValidationError("this is a recording between two steps: use pipeline.lazy.")
        _, options, context, n_bytes = self.recipe
        made = _make_samples(tuple(processors), options, context, n_bytes, self.builder)
        return _take_raw(made)

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
    options: RunOptions,
    context: ProcessingContext,
    cache_bytes: int,
) -> Any:
    """Return the recording that the steps make of a context, computed when it is read.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps. They are copied: what is changed in them later has no effect.
    options : RunOptions
        Inner threads of one read, and whether steps may be fused.
    context : ProcessingContext
        What to begin with.
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
    own = tuple(map(copy.copy, processors))
    samples = _make_samples(own, options, context, cache_bytes)
    assert samples.builder is not None
    # Here, not in _make_samples: each variation of the recording would say the same again.
    for finding in samples.builder.plan.findings:
        logger.warning("%s", finding)
    return _take_raw(samples)


def _take_raw(samples: LazySamples) -> Any:
    assert samples.context is not None
    return samples.context.get_raw()


def _make_samples(
    processors: Sequence[Processor],
    options: RunOptions,
    context: ProcessingContext,
    cache_bytes: int,
    before: _Builder | None = None,
) -> LazySamples:
    plan = make_plan(processors, options, count_cores("serial"))
    builder = _Builder(processors, plan, BlockCache(cache_bytes), before)
    samples = _tell_time(builder.run(context), builder.spent_s)
    samples.recipe = processors, options, context, cache_bytes
    samples.builder = builder
    return samples


def _tell_time(samples: LazySamples, spent_s: Mapping[str, float]) -> LazySamples:
    """Add a finding to the context of a recording whose decisions took long."""
    total_s = sum(spent_s.values())
    if samples.context is not None and total_s >= _LONG_S:
        slow = sorted(spent_s.items(), key=lambda item: -item[1])[:3]
        parts = ", ".join(f"{names} {s:.1f} s" for names, s in slow)
        detail = f"{total_s:.1f} s before the first window: {parts}."
        steps_s = {names: round(s, 3) for names, s in spent_s.items()}
        told = make_finding("lazy_decisions_long", detail, total_s=total_s, steps_s=steps_s)
        samples.context = samples.context.with_findings([told])
    return samples


def _find_step(
    processors: Sequence[Processor], step: str | int | None, parameters: Mapping[str, Any]
) -> int:
    """Return the position of a step by name or position, or of the only one with `parameters`."""
    names = list(name_steps(processors))
    if isinstance(step, int):
        found = [step] if -len(names) <= step < len(names) else []
    elif step is not None:
        found = [i for i, name in enumerate(names) if name == step]
    else:
        known = [p.get_params(deep=False) for p in processors]
        found = [i for i, own in enumerate(known) if own.keys() >= set(parameters)]
        names = [names[i] for i in found] or names
    if len(found) == 1:
        return found[0]
    what = f"{', '.join(parameters)}" if step is None else f"step={step!r}"
    raise ValidationError(
        f"{what}: {'several' if found else 'no'} steps; use step= and one of {', '.join(names)}."
    )


def _is_same(one: Processor, other: Processor) -> bool:
    """Whether two steps do the same: built-in ones with equal parameters, or the same object."""
    # What a user-defined step does may depend on more than its parameters.
    return one is other or (
        one.built_in
        and type(one) is type(other)
        and to_plain(one.get_parameters()) == to_plain(other.get_parameters())
    )


#: Processors of one step of a stage: one, or several that are fused.
_Unit = tuple[Processor, ...]


@dataclass(frozen=True)
class _Done:
    """A stage of a lazy recording, for other recordings that have it or its first steps.

    Attributes
    ----------
    units : list of tuple of Processor
        Its steps.
    before, after : ProcessingContext
        The contexts around it.
    rows : list of Explained
        Its rows in ``describe_steps``.
    given, prepared : StageInput | None, PreparedStage | None
        Its input and decisions; None if it can be shared as a whole only.
    nodes : list of Node
        The node after each of its steps.
    """

    units: list[_Unit]
    before: ProcessingContext
    after: ProcessingContext
    rows: list[Explained]
    given: StageInput | None = None
    prepared: PreparedStage | None = None
    nodes: Sequence[Node] = ()

    def count_same(self, units: Sequence[_Unit]) -> int:
        """Return how many of its first steps are the first ones of `units`."""
        n = 0
        for own, other in zip(self.units, units, strict=False):
            if len(own) != len(other) or not all(map(_is_same, own, other)):
                break
            n += 1
        return n


def _find_earlier(
    given: StageInput, known: _Done | None, units: Sequence[_Unit], same: int
) -> Prepared | None:
    """Return what the first step that changes has decided, if it can follow that."""
    if known is None or known.prepared is None or same == len(units) or same == len(known.units):
        return None
    processor, *later = given.processors[same:]
    if given.dtype != "float64" or any(getattr(p, "needs", "all") != "none" for p in later):
        return None  # their reference channel has to pass through the whole step
    pairs = list(zip(units[same], known.units[same], strict=False))
    changed = [k for k, (own, other) in enumerate(pairs) if not _is_same(own, other)]
    step = known.prepared.steps[same]
    main = processor.main if isinstance(processor, FusedSteps) else 0
    if len(units[same]) != len(known.units[same]) or changed != [main]:
        return None
    own, other = pairs[main]
    if not (isinstance(own, ArrayProcessor) and isinstance(other, ArrayProcessor)):
        return None
    if not isinstance(step, ArrayStep) or step.prepared.shared is None:
        return None
    return step.prepared if own.can_follow(other) else None


def _attach(samples: Any, raw: mne.io.BaseRaw, lend: bool = False) -> Any:
    """Return a recording with the header of `raw` that reads `samples`."""
    return Header.of(raw).attach(samples, lend=lend)


def _copy_reader(raw: mne.io.BaseRaw) -> Any:
    """Return a recording that reads the same samples when the caller's is cropped or picked.

    MNE's copy would copy each annotation: 3 s for the slice markers of an hour.
    """
    own = copy.copy(raw)
    # MNE changes these in place: the header when channels are picked, lists by append.
    own.info = raw.info.copy()
    vars(own).update({k: list(v) for k, v in vars(raw).items() if isinstance(v, list)})
    return own


class _Builder:
    """Sends a context with a lazy recording through the stages.

    With `before`, another builder, stages and steps that both have are taken from it.
    """

    def __init__(
        self,
        processors: Sequence[Processor],
        plan: Plan,
        cache: BlockCache,
        before: _Builder | None = None,
    ) -> None:
        self.processors, self.plan, self.n_workers = processors, plan, plan.n_workers
        self.rows: list[Explained] = []
        self.spent_s: dict[str, float] = {}
        self.compiled = choose_kernels().compiled  # as the full run
        self.cache: BlockCache = cache if before is None else before.cache
        # A copy, as _find empties it: the next recording finds all stages of `before` again.
        self.known: list[_Done] = [] if before is None else list(before.done)
        self.done: list[_Done] = []
        # Weak keys, the nodes before a step: what is known of their channels goes with them.
        self.learnt: WeakKeyDictionary[Any, dict[Any, Learnt]]
        self.learnt = WeakKeyDictionary() if before is None else before.learnt

    def run(self, context: ProcessingContext) -> LazySamples:
        """Return the samples after all stages."""
        eager, reason = count_eager(self.processors, self.plan)
        stages = [s for s in self.plan.stages[:eager] if not is_output(self.processors, s)]
        if stages:
            runner = Runner(self.processors, replace(self.plan, stages=tuple(stages)))
            found = self._find(stages)
            if not isinstance(found, _Done):
                rows = [(name, AT_ONCE, reason) for stage in stages for name in stage.names]
                with self._watch(stages):
                    after = runner.run(context)
                found = _Done(self._list_units(stages), context, after, rows)
            context = self._keep(found)
        # As in a full run: with more threads, the last bits of what BLAS computes are others.
        with one_thread(), use_compiled(self.compiled):
            for stage in self.plan.stages[eager:]:
                if is_output(self.processors, stage):
                    why = "only measures, writes or shows something"
                    self.rows += [(name, SKIPPED, why) for name in stage.names]
                else:
                    found = self._find([stage])
                    if not isinstance(found, _Done):
                        with self._watch([stage]):
                            found = self._take(stage, context, *found)
                    context = self._keep(found)
        context = self._begin(context)
        # Samples of its own: those of a stage may be shared with other recordings.
        raw = context.get_raw()
        samples = self._read_from(raw._raw_extras[0]["samples"].node, len(raw.ch_names))
        # The engine's own recording: nobody can change its annotations.
        context = context._derive(raw=_attach(samples, raw, lend=True))
        samples.rows, samples.context = self.rows, context
        return samples

    @contextmanager
    def _watch(self, stages: Sequence[Stage]) -> Iterator[None]:
        """Note how long the decisions of stages take."""
        begin = time.perf_counter()
        yield
        names = " → ".join(name for stage in stages for name in stage.names)
        self.spent_s[names] = time.perf_counter() - begin

    def _list_units(self, stages: Sequence[Stage]) -> list[_Unit]:
        units = [u for s in stages for u in self.plan.fusions.replace(self.processors, s.steps)]
        return [tuple(self.processors[i] for i in unit.steps) for unit in units]

    def _find(self, stages: Sequence[Stage]) -> _Done | tuple[_Done | None, int]:
        """Return a known stage, or one whose first steps are known, and their number."""
        known = self.known.pop(0) if self.known else None
        units = self._list_units(stages)
        same = 0 if known is None else known.count_same(units)
        if known is not None and same == len(units) == len(known.units):
            return known
        self.known = []  # later stages have other samples
        return (known, same) if known is not None and known.given is not None else (None, 0)

    def _keep(self, done: _Done) -> ProcessingContext:
        """Return the context after a stage."""
        self.done.append(done)
        self.rows += done.rows
        return done.after

    def _take(
        self, stage: Stage, context: ProcessingContext, known: _Done | None, same: int
    ) -> _Done:
        """Return a stage, of which `same` steps are those of a known one."""
        processor, units = self.processors[stage.steps[0]], self._list_units([stage])
        if stage.kind == "global" and not isinstance(processor, ArrayProcessor):
            # Windows need few of the samples: the file is read window by window.
            if hasattr(processor, "left_in_file"):
                processor = processor.left_in_file()
            why = "decides, or reads what it needs, before the first window"
            rows = [(name, AT_ONCE, why) for name in stage.names]
            return _Done(units, context, run_read_only(processor, context), rows)
        context = self._begin(context) if known is None else known.before
        samples: Any = context.get_raw()._raw_extras[0]["samples"]  # sliced as an array is
        if known is not None and known.given is not None:  # with its reference channel
            context = context.with_metadata(known.given.state.metadata)
        given = make_input(context, stage, self.processors, self.plan.fusions, samples)
        # Where a step needs the noise, the stage is one node: nodes of single steps do not fit.
        if known is None or any(getattr(p, "uses_noise", False) for p in given.processors):
            same = 0
        given = replace(given, earlier=_find_earlier(given, known, units, same))
        nodes: list[Node] = [] if known is None else list(known.nodes[:same])
        prepared = self._prepare(given, None if known is None else known.prepared, nodes)
        if isinstance(prepared, Failure):
            raise prepared.error()
        new = build_context(context, given, prepared, None)
        rows = [] if known is None else known.rows[:same]
        shared = self._add_nodes(samples.node, given, prepared, nodes, rows)
        last = nodes[-1] if nodes else samples.node
        if last is not samples.node:
            state, header = prepared.state, given.header
            # MNE rounds and cuts annotations whenever it sets them: that must happen step by step,
            # as in a full run. It takes long, and is left out where nothing would change.
            if (
                len({(s.sfreq, s.n_times, s.first_samp) for s in (given.state, *prepared.states)})
                > 1
            ):
                header = pass_header(header, prepared.states[:-1])
            made: Any = self._read_from(last, len(given.names))
            # Between two steps a recording is the engine's own: it may share its annotations.
            raw = header.attach(
                made,
                sfreq=state.sfreq,
                first_samp=state.first_samp,
                band=state.band,
                share=True,
            )
            new = new._derive(raw=raw)
            # Stages whose noise a later step needs have run in full before (count_eager).
            new._lineage, new._noise = None, ()
        kept = (given, prepared, nodes) if shared else ()
        return _Done(units, context, new, rows, *kept)

    def _prepare(
        self, given: StageInput, known: PreparedStage | None, nodes: Sequence[Node]
    ) -> PreparedStage | Failure:
        """Return the decisions of a stage, the first of which are `known`: one for each node."""
        n = len(nodes)
        if known is None or n == 0:
            return prepare_stage(given)
        first = PreparedStage(
            known.steps[:n],
            known.states[n - 1],
            known.notes[:n],
            known.times,
            known.findings[:n],
            {},
            known.states[:n],
        )
        if n == len(given.processors):
            return first
        data: Any = self._read_from(nodes[-1], len(given.names))
        state = replace(first.state, metadata=first.state.metadata.copy())
        given = replace(
            given,
            processors=given.processors[n:],
            indices=given.indices[n:],
            references=given.references[n:],
            state=state,
            data=data,
        )
        more = prepare_stage(given)
        if isinstance(more, Failure):
            return more
        return PreparedStage(
            first.steps + more.steps,
            more.state,
            first.notes + more.notes,
            first.times + more.times,
            first.findings + more.findings,
            {},
            first.states + more.states,
        )

    def _begin(self, context: ProcessingContext) -> ProcessingContext:
        """Return a context whose recording is lazy."""
        raw = context.get_raw()
        if getattr(raw, "_raw_extras", None) and "samples" in (raw._raw_extras[0] or {}):
            samples = raw._raw_extras[0]["samples"]
            # If it was cropped, picked or appended to, or has another cache, MNE reads it.
            whole = isinstance(samples, LazySamples) and samples.shape == (
                len(raw.ch_names),
                raw.n_times,
            )
            if whole and len(raw._raw_extras) == 1 and samples.cache is self.cache:
                return context
        # One in memory is not copied: the node holds the array, which crop and pick replace.
        own = raw if raw.preload else _copy_reader(raw)
        node = SourceNode(own, [int(i) for i in data_picks(raw)])
        new = context._derive(raw=_attach(self._read_from(node, len(raw.ch_names)), raw))
        new._lineage = None
        return new

    def _read_from(self, node: Node, n_channels: int) -> LazySamples:
        """Return the samples after a node."""
        return LazySamples(node, n_channels, self.cache, self.n_workers, self.compiled)

    # ----------------------------------------------------------------------------- nodes
    def _add_nodes(
        self,
        node: Node,
        given: StageInput,
        prepared: PreparedStage,
        nodes: list[Node],
        rows: list[Explained],
    ) -> bool:
        """Add the missing nodes and rows of a stage; return whether they are shared.

        A step that changes no samples has the node of the step before it.
        """
        if any(step.uses_noise for step in prepared.steps if step.change is not Change.NOTHING):
            self._add_whole(node, given, prepared, nodes, rows)
            return False
        for step in prepared.steps[len(nodes) :]:
            before = nodes[-1] if nodes else node
            if step.change is Change.NOTHING:
                nodes.append(before)
                rows.append((step.processor.name, AT_ONCE, "decides on the reference channel"))
            else:
                nodes.append(self._add_step(before, given, step, rows))
        return True

    def _add_whole(
        self,
        up: Node,
        given: StageInput,
        prepared: PreparedStage,
        nodes: list[Node],
        rows: list[Explained],
    ) -> None:
        """Add all steps of a stage as one node: a step needs the estimated noise."""
        why = "the stage needs what corrections removed from the whole channel"
        steps = [step for step in prepared.steps if step.change is not Change.NOTHING]
        for step in prepared.steps:
            known = (WHOLE, why) if step in steps else (AT_ONCE, "decides on the reference channel")
            rows.append((step.processor.name, *known))
        n_times = prepared.state.n_times
        inner = ChannelNode(up, steps, n_times, given.names, given.terms, self.cache)
        nodes.append(self._switch(up, inner, given, steps, frozenset(given.picks.tolist())))

    def _add_step(self, up: Node, given: StageInput, step: Step, told: list[Explained]) -> Node:
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
            told.append((processor.name, WINDOWS, "looks at all channels of a sample"))
        elif windows is not None:
            # A mean takes a pass over the channel: steps with other parameters need not repeat it.
            learnt = Learnt()
            if windows.known_by:
                learnt = self.learnt.setdefault(up, {}).setdefault(windows.known_by, learnt)
            inner = WindowNode(up, windows, self.cache, learnt)
            why = f"in cells of {windows.cell} samples"
            if windows.learns:
                why += ", after a first pass over the channel"
            told.append((processor.name, WINDOWS, why))
        else:
            n_times = up.n_times
            if isinstance(step, ArrayStep) and step.prepared.n_times is not None:
                n_times = step.prepared.n_times
            if not isinstance(step, ArrayStep) and step.n_times is not None:
                n_times = step.n_times
            inner = ChannelNode(up, [step], n_times, given.names, (), self.cache)
            told.append((processor.name, WHOLE, why))
        return self._switch(up, inner, given, [step], rows)

    def _switch(
        self,
        up: Node,
        inner: Node,
        given: StageInput,
        steps: Sequence[Step],
        rows: frozenset[int],
    ) -> Node:
        """Return a node in which the other channels bypass `inner`."""
        others = [step for step in steps if isinstance(step, ArrayStep)]
        change = [
            step
            for step in others
            if type(step.processor).compute_other is not ArrayProcessor.compute_other
        ]
        names, kinds, n_times = given.names, given.kinds, inner.n_times

        def beside(x: np.ndarray, channel: int) -> np.ndarray:
            # As in a full run: compute_other knows no "data", so that other rows are taken for bad.
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
