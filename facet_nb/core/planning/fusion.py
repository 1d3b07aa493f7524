"""Fusion: consecutive steps that are replaced by one step with the same result.

``UpSample → align → correct → DownSample`` upsamples whole recordings only for the sake of a few
positions between samples. If no step in between needs the upsampled recording, and the correction
has a kernel for the native rate (:meth:`ArrayProcessor.fuse`), these steps run as one. History,
metadata, triggers and errors are those of the single steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.findings import Finding, name_step
from facet_nb.core.fused_kernel import FusedKernel
from facet_nb.core.metadata import ProcessingMetadata, ProcessingStep, to_plain
from facet_nb.core.processor import ArrayProcessor, Prepared, Processor, View, check_has_triggers
from facet_nb.core.steps import State, changes_samples


@dataclass(frozen=True)
class Fusion:
    """Steps that run as one.

    Attributes
    ----------
    steps : tuple of int
        Their positions in the pipeline.
    processor : FusedSteps
        The step that replaces them.
    """

    steps: tuple[int, ...]
    processor: FusedSteps


@dataclass(frozen=True)
class Fusions:
    """The fusions of a pipeline, and why other steps cannot be fused.

    Attributes
    ----------
    found : tuple of Fusion
        The fusions, in order.
    refused : tuple of str
        One line for each place where a user could expect a fusion.
    """

    found: tuple[Fusion, ...] = ()
    refused: tuple[str, ...] = ()

    def replace(self, processors: Sequence[Processor], steps: Sequence[int]) -> list[Unit]:
        """Return `steps` of a pipeline, with fused steps as one unit."""
        fusions = {i: fusion for fusion in self.found for i in fusion.steps}
        units: list[Unit] = []
        for i in steps:
            if i not in fusions:
                units.append(Unit(i, (i,), processors[i]))
            elif i == fusions[i].steps[0]:
                fused = fusions[i].processor
                units.append(Unit(fused.position, fusions[i].steps, fused))
        return units

    def spread(self, times: tuple[StepTime, ...]) -> tuple[StepTime, ...]:
        """Return `times` of a batch with 0 s for the other steps of each fusion."""
        # Progress counts steps: those that run inside a fused step are done as well.
        timed = {t.step for t in times}
        extra = [
            StepTime(i, 0.0, 0.0)
            for fusion in self.found
            if not timed.isdisjoint(fusion.steps)
            for i in fusion.steps
            if i not in timed
        ]
        return tuple(sorted((*times, *extra), key=lambda t: t.step)) if extra else times


#: No step is fused.
NO_FUSIONS = Fusions()


@dataclass(frozen=True)
class Unit:
    """A single step, or several that are fused.

    Attributes
    ----------
    index : int
        Position to which times and errors are attributed.
    steps : tuple of int
        Positions of all its steps.
    processor : Processor
        The processor to run.
    """

    index: int
    steps: tuple[int, ...]
    processor: Processor


def find_fusions(processors: Sequence[Processor]) -> Fusions:
    """Return the steps of a pipeline that can run as one."""
    found, refused = [], []
    # A fusion begins at each step that raises the rate, and ends where it is lowered again.
    i = 0
    while i < len(processors):
        rate = _rate(processors[i])
        if rate is None or rate <= 1:
            i += 1
            continue
        answer = _fuse(processors, i, int(rate))
        if isinstance(answer, Fusion):
            found.append(answer)
            i = answer.steps[-1]
        else:
            refused.append(f"{processors[i].name} (step {i + 1}) is not fused: {answer}")
        i += 1
    return Fusions(tuple(found), tuple(refused))


def _rate(processor: Processor) -> Fraction | None:
    return processor.find_rate() if isinstance(processor, ArrayProcessor) else None


def _fuse(processors: Sequence[Processor], first: int, factor: int) -> Fusion | str:
    """Return the fusion that begins at `first`, or why there is none."""
    kernel: FusedKernel | None = None
    position = 0
    for i in range(first + 1, len(processors)):
        processor = processors[i]
        if _rate(processor) == Fraction(1, factor):
            if kernel is None:
                return "there is no correction before the rate is lowered again."
            steps = tuple(range(first, i + 1))
            parts = tuple(p for p in processors[first : i + 1] if isinstance(p, ArrayProcessor))
            # As one step, they are given one reference channel.
            references = {repr(getattr(p, "ref_channel", None)) for p in parts if _uses_ref(p)}
            if len(references) > 1:
                return "its steps use different reference channels."
            return Fusion(steps, FusedSteps(parts, position, position - first, kernel))
        reason = _find_obstacle(processor, kernel is not None)
        if reason is not None:
            return f"{processor.name} (step {i + 1}) {reason}."
        if changes_samples(processor):
            assert isinstance(processor, ArrayProcessor)
            answer = processor.fuse(factor)
            if isinstance(answer, str):
                return f"{processor.name} (step {i + 1}) {answer}."
            kernel, position = answer, i
    return f"no step lowers the rate by {factor} again."


def _uses_ref(processor: ArrayProcessor) -> bool:
    return processor.needs == "reference"


def _find_obstacle(processor: Processor, corrected: bool) -> str | None:
    """Return why `processor` prevents a fusion; `corrected` if a correction precedes it."""
    if not isinstance(processor, ArrayProcessor):
        return "sees the recording at the high rate"
    if processor.needs == "all" or not processor.channel_wise:
        return "needs all channels at the high rate"
    if processor.uses_noise:
        return "needs the estimated noise at the high rate"
    if changes_samples(processor):
        if corrected:
            return "changes the corrected signal at the high rate"
        chosen = (getattr(processor, name, None) for name in ("picks", "exclude_channels"))
        if any(chosen) or processor.types is not None:
            return "processes only some of the channels"
        return None
    if corrected and _uses_ref(processor):
        return "uses the corrected signal at the high rate"
    return None


# ------------------------------------------------------------------------------- the fused steps
class FusedSteps(ArrayProcessor):
    """Upsampling, correction and downsampling as one step.

    Parameters
    ----------
    parts : tuple of ArrayProcessor
        The steps; the first raises the rate, the last lowers it.
    position : int
        Position of the correction in the pipeline, to which times and errors are attributed.
    main : int
        Position of the correction in `parts`.
    kernel : FusedKernel
        The correction at the native rate.
    """

    loads_scipy_signal = False
    name = "fused_steps"
    description = "Steps that run as one"
    subtracts = True

    def __init__(
        self, parts: tuple[ArrayProcessor, ...], position: int, main: int, kernel: FusedKernel
    ) -> None:
        self.parts = parts
        self.position = position
        self.main = main
        self.kernel = kernel
        # Class attributes of other processors depend on the parts here.
        users = [p for p in parts if _uses_ref(p)]
        self.needs = "reference" if users else "none"  # type: ignore[misc]
        self.ref_channel = getattr(users[0], "ref_channel", None) if users else None
        self.name = parts[main].name  # type: ignore[misc]
        names = " → ".join(p.name for p in parts)
        self.description = (  # type: ignore[misc]
            f"{names} fused: no channel is upsampled (fuse=False runs each step by itself)"
        )
        self.parallel_safe = all(p.parallel_safe for p in parts)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        """Whether the same processors are fused: two plans of one pipeline are equal."""
        return isinstance(other, FusedSteps) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def prepare(self, view: View) -> Prepared:
        """Prepare all parts, one after another, as they would be without fusion."""
        state = State(view.sfreq, view.n_times, 0, (0.0, np.inf), view.metadata)
        reference = view.reference
        notes: list[Mapping[str, Any]] = []
        times: list[StepTime] = []
        found: list[tuple[Finding, ...]] = []
        payload = shared = None
        for k, part in enumerate(self.parts):
            wall, cpu = time.perf_counter(), time.thread_time()
            with _Blame(k):
                if part.requires_triggers:
                    check_has_triggers(state.metadata)
                own = _view(view, state, part, reference)
                prepared = part.prepare(own if k == self.main else replace(own, earlier=None))
                if k == 0 and reference is not None:
                    builtin = all(type(p).__module__.startswith("facet_nb.") for p in self.parts)
                    reference = part.preview(reference, prepared)
                    # Built-in steps need slices only: the upsampled channel is never complete.
                    reference = reference if builtin else np.asarray(reference)
                if k == self.main:
                    shared = prepared.shared
                    payload = self.kernel.prepare(prepared.payload, view.n_times)
                    # There is no corrected channel at the high rate; by _find_obstacle, no later
                    # part asks for one.
                    reference = None
            state = state.after(prepared)
            notes.append(prepared.notes)
            found.append(name_step(prepared.findings, part.name))
            index = self.position - self.main + k
            times.append(StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu))
        return Prepared(
            payload,
            sfreq=None if state.sfreq == view.sfreq else state.sfreq,
            # None: the result may then lie where the samples were, without an array in between.
            n_times=None if state.n_times == view.n_times else state.n_times,
            metadata=_differences(view.metadata, state.metadata),
            notes={"parts": tuple(notes), "times": tuple(times), "findings": tuple(found)},
            findings=tuple(chain.from_iterable(found)),
            shared=shared,
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        return self.kernel.compute(x, prepared.payload, out)

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        """Return channels that hold no data, as upsampling and downsampling would leave them."""
        # UpSample takes NaN for 0: it would spread over the neighbouring samples.
        return x if kind == "stim" else np.nan_to_num(x)

    def can_overwrite(self) -> bool:
        """Whether the result may take the samples' place."""
        return True

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return self.kernel.memory(shape, sfreq)

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``prepare``, in bytes."""
        # The cached part of the upsampled reference channel, epochs of a block, and templates.
        high = int(8 * shape[1] * (self.parts[0].find_rate() or 1))
        return self.kernel.memory(shape, sfreq) + min(high, 96 << 20) + high // 16

    @property
    def needs_first_pass(self) -> bool:  # type: ignore[override]
        """Whether ``stream`` needs statistics of the whole channel."""
        return self.kernel.needs_first_pass

    def why_not_chunked(self) -> str | None:
        """Return why the steps cannot run in chunks; None if they can."""
        return self.kernel.why_not_chunked()

    def first_pass(self, prepared: Prepared) -> Any:
        """Return an accumulator of these statistics; see :class:`ArrayProcessor`."""
        return self.kernel.first_pass(prepared.payload)

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel; see :class:`ArrayProcessor`."""
        return self.kernel.stream(prepared.payload, known)

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        able = hasattr(self.kernel, "windows")
        return None if able else "needs the whole length of a channel"

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the correction over windows; see :class:`ArrayProcessor`."""
        make = getattr(self.kernel, "windows", None)
        return None if make is None else make(prepared.payload)

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes."""
        return self.kernel.stream_memory(chunk, sfreq)

    def list_entries(
        self, notes: Mapping[str, Any], findings: tuple[Finding, ...] = ()
    ) -> list[ProcessingStep]:
        """Return the entries of the history: one for each part; the main one has the findings."""
        told = list(notes["findings"])
        known = list(chain.from_iterable(told))
        told[self.main] = (*told[self.main], *(f for f in findings if f not in known))
        return [
            ProcessingStep(
                p.name, type(p).__name__, to_plain({**p.get_parameters(), **note}), findings=found
            )
            for p, note, found in zip(self.parts, notes["parts"], told, strict=True)
        ]

    def find_culprit(self, error: BaseException) -> tuple[int, Processor]:
        """Return position and part of the step that raised `error`."""
        # Errors of `compute` bear no mark of _Blame: they come from the correction's kernel.
        k = getattr(error, "fused_part", self.main)
        return self.position - self.main + k, self.parts[k]


class _Blame:
    """Context manager that records in an exception which part raised it."""

    def __init__(self, part: int) -> None:
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            with suppress(AttributeError):
                error.fused_part = self.part  # type: ignore[attr-defined]


def _view(view: View, state: State, part: ArrayProcessor, reference: np.ndarray | None) -> View:
    return replace(
        view,
        sfreq=state.sfreq,
        n_times=state.n_times,
        metadata=state.metadata.copy(),
        reference=reference if _uses_ref(part) else None,
    )


def _differences(before: ProcessingMetadata, after: ProcessingMetadata) -> dict[str, Any]:
    """Return the fields of `after` that differ from `before`."""
    names = [f.name for f in fields(ProcessingMetadata)]
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    # By identity: triggers are arrays, and `==` of arrays is an array as well.
    return {name: new for name, (old, new) in pairs.items() if new is not old}
