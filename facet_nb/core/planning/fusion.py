"""Fusion: neighbouring steps that are replaced by one with the same result.

``UpSample → align → correct → DownSample`` raises the rate of whole recordings for the sake of a
few positions between samples. Where nothing between looks at the recording, and the correction says
how it does the same without it (:meth:`ArrayProcessor.fuse`), the steps run as one. History,
metadata, triggers and errors are those of the single steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.metadata import ProcessingMetadata, ProcessingStep, to_plain
from facet_nb.core.processor import (
    ArrayProcessor,
    FusedKernel,
    Prepared,
    Processor,
    View,
    check_has_triggers,
)
from facet_nb.core.steps import State, changes_samples


@dataclass(frozen=True)
class Fusion:
    """Steps that run as one.

    Attributes
    ----------
    steps : tuple of int
        Their positions in the pipeline.
    processor : FusedSteps
        What runs in their place.
    """

    steps: tuple[int, ...]
    processor: FusedSteps


@dataclass(frozen=True)
class Fusions:
    """What can be fused in a pipeline, and why other steps cannot.

    Attributes
    ----------
    found : tuple of Fusion
        The fusions, in order.
    refused : tuple of str
        One line for each place where steps could have been expected to be fused.
    """

    found: tuple[Fusion, ...] = ()
    refused: tuple[str, ...] = ()

    def replace(self, processors: Sequence[Processor], steps: Sequence[int]) -> list[Unit]:
        """Return what runs when `steps` of a pipeline run."""
        place = {i: fusion for fusion in self.found for i in fusion.steps}
        units: list[Unit] = []
        for i in steps:
            if i not in place:
                units.append(Unit(i, (i,), processors[i]))
            elif i == place[i].steps[0]:
                fused = place[i].processor
                units.append(Unit(fused.position, place[i].steps, fused))
        return units

    def spread(self, times: tuple[StepTime, ...]) -> tuple[StepTime, ...]:
        """Return `times` of a batch with those of fused steps, 0 s: they are done, too."""
        told = {t.step for t in times}
        extra = [
            StepTime(i, 0.0, 0.0)
            for fusion in self.found
            if not told.isdisjoint(fusion.steps)
            for i in fusion.steps
            if i not in told
        ]
        return tuple(sorted((*times, *extra), key=lambda t: t.step)) if extra else times


#: Every step by itself.
NO_FUSIONS = Fusions()


@dataclass(frozen=True)
class Unit:
    """What runs at once: a step, or several that are fused.

    Attributes
    ----------
    index : int
        The position that times and errors are noted for.
    steps : tuple of int
        The positions of all its steps.
    processor : Processor
        What runs.
    """

    index: int
    steps: tuple[int, ...]
    processor: Processor

    @classmethod
    def of(cls, index: int, processor: Processor) -> Unit:
        """Return a step by itself."""
        return cls(index, (index,), processor)


def find_fusions(processors: Sequence[Processor]) -> Fusions:
    """Return the steps of a pipeline that can run as one."""
    found, refused = [], []
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
    shortcut: FusedKernel | None = None
    position = 0
    for i in range(first + 1, len(processors)):
        processor = processors[i]
        if _rate(processor) == Fraction(1, factor):
            if shortcut is None:
                return "there is no correction before the rate is lowered again."
            steps = tuple(range(first, i + 1))
            parts = tuple(p for p in processors[first : i + 1] if isinstance(p, ArrayProcessor))
            references = {repr(getattr(p, "ref_channel", None)) for p in parts if _looks(p)}
            if len(references) > 1:
                return "its steps look at different reference channels."
            return Fusion(steps, FusedSteps(parts, position, position - first, shortcut))
        reason = _find_obstacle(processor, shortcut is not None)
        if reason is not None:
            return f"{processor.name} (step {i + 1}) {reason}."
        if changes_samples(processor):
            answer = processor.fuse(factor)  # type: ignore[attr-defined]
            if isinstance(answer, str):
                return f"{processor.name} (step {i + 1}) {answer}."
            shortcut, position = answer, i
    return f"no step lowers the rate by {factor} again."


def _looks(processor: ArrayProcessor) -> bool:
    return processor.needs == "reference"


def _find_obstacle(processor: Processor, corrected: bool) -> str | None:
    """Return why nothing is fused around `processor`; `corrected` if a correction precedes it."""
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
            return "works on some of the channels only"
        return None
    if corrected and _looks(processor):
        return "looks at the corrected signal at the high rate"
    return None


# ------------------------------------------------------------------------------- the fused steps
class FusedSteps(ArrayProcessor):
    """Steps from a rise of the sampling rate to its fall, as one.

    Parameters
    ----------
    parts : tuple of ArrayProcessor
        The steps; the first raises the rate, the last lowers it.
    position : int
        Position of the correction in the pipeline: where time is measured, and errors are.
    main : int
        Which of the parts is the correction.
    shortcut : FusedKernel
        The correction's way without the high rate.
    """

    name = "fused_steps"
    description = "Steps that run as one"
    subtracts = True

    def __init__(
        self, parts: tuple[ArrayProcessor, ...], position: int, main: int, shortcut: FusedKernel
    ) -> None:
        self.parts = parts
        self.position = position
        self.main = main
        self.shortcut = shortcut
        looking = [p for p in parts if _looks(p)]
        self.needs = "reference" if looking else "none"  # type: ignore[misc]
        self.ref_channel = getattr(looking[0], "ref_channel", None) if looking else None
        self.name = parts[main].name  # type: ignore[misc]
        names = " → ".join(p.name for p in parts)
        self.description = (  # type: ignore[misc]
            f"{names} fused: no channel is brought to the high rate (fuse=False does it)"
        )
        self.parallel_safe = all(p.parallel_safe for p in parts)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        """Whether the same processors are fused: two plans of one pipeline are equal."""
        return isinstance(other, FusedSteps) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def prepare(self, view: View) -> Prepared:
        """Make the decisions of all parts, one after the other, as they would by themselves."""
        state = State(view.sfreq, view.n_times, 0, (0.0, np.inf), view.metadata)
        reference = view.reference
        notes: list[Mapping[str, Any]] = []
        times: list[StepTime] = []
        payload = None
        for k, part in enumerate(self.parts):
            wall, cpu = time.perf_counter(), time.thread_time()
            with _Blame(k):
                if part.requires_triggers:
                    check_has_triggers(state.metadata)
                prepared = part.prepare(_look(view, state, part, reference))
                if k == 0 and reference is not None:
                    ours = all(type(p).__module__.startswith("facet_nb.") for p in self.parts)
                    reference = part.preview(reference, prepared)
                    reference = reference if ours else np.asarray(reference)
                if k == self.main:
                    payload = self.shortcut.prepare(prepared.payload, view.n_times)
                    reference = None
            state = state.after(prepared)
            notes.append(prepared.notes)
            index = self.position - self.main + k
            times.append(StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu))
        return Prepared(
            payload,
            sfreq=None if state.sfreq == view.sfreq else state.sfreq,
            n_times=state.n_times,
            metadata=_differences(view.metadata, state.metadata),
            notes={"parts": tuple(notes), "times": tuple(times)},
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        return self.shortcut.compute(x, prepared.payload, out)

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        """Return channels that hold no data: their rate is raised and lowered again."""
        return x if kind == "stim" else np.nan_to_num(x)

    def can_overwrite(self) -> bool:
        """Whether the result may take the samples' place."""
        return True

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return self.shortcut.memory(shape, sfreq)

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``prepare``, in bytes.

        What is kept of the reference channel at the high rate, epochs of a block, and templates.
        """
        high = int(8 * shape[1] * (self.parts[0].find_rate() or 1))
        return self.shortcut.memory(shape, sfreq) + min(high, 96 << 20) + high // 16

    @property
    def needs_first_pass(self) -> bool:  # type: ignore[override]
        """Whether chunks need the mean of the whole channel."""
        return self.shortcut.needs_first_pass

    def why_not_chunked(self) -> str | None:
        """Return why the steps cannot run in chunks; None if they can."""
        return self.shortcut.why_not_chunked()

    def first_pass(self, prepared: Prepared) -> Any:
        """Return what finds what the stream must know; see :class:`ArrayProcessor`."""
        return self.shortcut.first_pass(prepared.payload)

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel; see :class:`ArrayProcessor`."""
        return self.shortcut.stream(prepared.payload, known)

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        able = hasattr(self.shortcut, "windows")
        return None if able else "needs the whole length of a channel"

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the correction over windows; see :class:`ArrayProcessor`."""
        make = getattr(self.shortcut, "windows", None)
        return None if make is None else make(prepared.payload)

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes."""
        return self.shortcut.stream_memory(chunk, sfreq)

    def list_entries(self, notes: Mapping[str, Any]) -> list[ProcessingStep]:
        """Return the entries of the history: one for each part."""
        return [
            ProcessingStep(p.name, type(p).__name__, to_plain({**p.get_parameters(), **found}))
            for p, found in zip(self.parts, notes["parts"], strict=True)
        ]

    def find_culprit(self, error: BaseException) -> tuple[int, Processor]:
        """Return position and part of the step that raised `error`."""
        k = getattr(error, "fused_part", self.main)
        return self.position - self.main + k, self.parts[k]


class _Blame:
    """Note on an exception which part raised it."""

    def __init__(self, part: int) -> None:
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            with suppress(AttributeError):
                error.fused_part = self.part  # type: ignore[attr-defined]


def _look(view: View, state: State, part: ArrayProcessor, reference: np.ndarray | None) -> View:
    return replace(
        view,
        sfreq=state.sfreq,
        n_times=state.n_times,
        metadata=state.metadata.copy(),
        reference=reference if _looks(part) else None,
    )


def _differences(before: ProcessingMetadata, after: ProcessingMetadata) -> dict[str, Any]:
    """Return the fields of `after` that `before` does not share."""
    names = [f.name for f in fields(ProcessingMetadata)]
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return {name: new for name, (old, new) in pairs.items() if new is not old}
