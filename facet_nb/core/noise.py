"""The estimated noise, recomputed on demand.

What a correction subtracted is not stored. It is the difference between the uncorrected signal,
sent through the same linear steps, and the corrected one. Both can be recomputed, so the noise
costs memory only when it is asked for, and it is the same in every mode.

The effect of each kind of step on the noise is defined once, in :func:`next_terms`. It applies to
:class:`NoiseTerm` (which recordings and steps to recompute it from) and to :class:`NoisePart`
(the samples themselves, while a batch runs).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.storage import scratch
from facet_nb.kernels.compiled.dispatch import use_compiled


class Change(Enum):
    """Effect of a step on samples, as far as the estimated noise is concerned."""

    NOTHING = "nothing"
    LINEAR = "linear"
    CORRECTION = "correction"
    REPORTED = "reported"
    OPAQUE = "opaque"


class Step(Protocol):
    """The part of a prepared step (:mod:`facet_nb.core.steps`) that the noise depends on."""

    @property
    def processor(self) -> Any:
        """The processor of the step."""
        ...

    @property
    def change(self) -> Change:
        """Effect of the step on the noise."""
        ...

    @property
    def uses_noise(self) -> bool:
        """Whether ``run`` needs the noise."""
        ...

    @property
    def compiled(self) -> frozenset[str] | None:
        """Compiled modules that the run may use; None for all."""
        ...

    def select(self, picks: Sequence[int]) -> Any:
        """Return the step for a recording with only the channels `picks` of this one."""
        ...

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the step's result for rows `x`, shape (n_channels, n_times), in V."""
        ...


@dataclass(frozen=True)
class ReportedNoise:
    """The noise that a user-defined step reports, as a step of its own."""

    step: Any

    uses_noise = False
    change = Change.OPAQUE

    @property
    def processor(self) -> Any:
        """The processor of the step."""
        return self.step.processor

    @property
    def compiled(self) -> frozenset[str] | None:
        """Compiled modules that the run may use."""
        chosen: frozenset[str] | None = self.step.compiled
        return chosen

    def select(self, picks: Sequence[int]) -> ReportedNoise:
        """Return the step for a recording with only the channels `picks` of this one."""
        return replace(self, step=self.step.select(picks))

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the noise taken from rows `x`, shape (n_channels, n_times), in V."""
        rows = self.step.rows
        reported = [
            self.step.report_row(row, c) if rows is None or c in rows else np.zeros(len(row))
            for row, c in zip(x, channels, strict=True)
        ]
        return np.stack(reported)


@dataclass(frozen=True)
class Lineage:
    """Samples and the channel-wise steps that followed them.

    Attributes
    ----------
    base : ndarray, shape (n_rows, n_times)
        Samples before the steps, in V; or an object whose ``open()`` returns them: a reference
        for workers, or :class:`~facet_nb.core.execution.deferred.DeferredSamples` where a run has
        overwritten its input.
    rows : tuple of int
        Row of `base` for each channel of the recording.
    steps : tuple of Step
        Steps since then.
    terms : tuple of NoiseTerm
        Noise at the beginning, for steps that use it.
    """

    base: Any
    rows: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    terms: tuple[NoiseTerm, ...] = ()

    @classmethod
    def begin(cls, base: Any, terms: tuple[NoiseTerm, ...] = ()) -> Lineage:
        """Return the lineage that begins with `base`."""
        return cls(base, tuple(range(len(base))), (), terms)

    def then(self, step: Step) -> Lineage:
        """Return this lineage with one more step."""
        return replace(self, steps=(*self.steps, step))

    def select(self, picks: Sequence[int]) -> Lineage:
        """Return the lineage of some of the channels."""
        return replace(
            self,
            rows=tuple(self.rows[i] for i in picks),
            steps=tuple(step.select(picks) for step in self.steps),
            terms=tuple(term.select(picks) for term in self.terms),
        )

    def move(self, place: Callable[[Any], Any]) -> Lineage:
        """Return this lineage with ``place(base)`` instead of its base."""
        terms = tuple(term.move(place) for term in self.terms)
        return replace(self, base=place(self.base), terms=terms)

    def is_local(self) -> bool:
        """Whether a step is of a class that is pickled by value, e.g. one of a notebook."""
        processors = [step.processor for step in self.steps]
        classes = [type(p) for step in processors for p in (step, *getattr(step, "parts", ()))]
        local = any(c.__module__ == "__main__" or "<locals>" in c.__qualname__ for c in classes)
        return local or any(term.plus.is_local() for term in self.terms)

    def replay(self, channel: int) -> np.ndarray:
        """Return one data channel of the base after all steps, shape (n_times,), in V."""
        base = self.base.open() if hasattr(self.base, "open") else self.base
        row = self.rows[channel]
        # In memory and float64: the base may be a mapped file, or float32.
        x = np.array(base[row : row + 1], dtype=float)
        tracker = NoiseTracker(x, [channel], self.steps, self.terms)
        for step in self.steps:
            with use_compiled(step.compiled):  # as in the run: others differ in the last bits
                tracker.advance(step)
        result: np.ndarray = tracker.x[0]
        return result


@dataclass(frozen=True)
class NoiseTerm:
    """One part of the estimated noise: `plus` minus `minus` (None: the current samples)."""

    plus: Lineage
    minus: Lineage | None = None
    explicit: bool = False

    @property
    def open(self) -> bool:
        """Whether further corrections still add to this term."""
        return self.minus is None and not self.explicit

    def select(self, picks: Sequence[int]) -> NoiseTerm:
        """Return the term of some of the channels."""
        return self._map(lambda lineage: lineage.select(picks))

    def move(self, place: Callable[[Any], Any]) -> NoiseTerm:
        """Return the term with ``place(base)`` instead of each base."""
        return self._map(lambda lineage: lineage.move(place))

    def freeze(self, current: Lineage) -> NoiseTerm:
        """Bind the corrected samples: later corrections add to another term."""
        return replace(self, minus=current) if self.open else self

    def then(self, step: Step) -> NoiseTerm:
        """Send the term through a linear step."""
        return self._map(lambda lineage: lineage.then(step))

    def _map(self, change: Callable[[Lineage], Lineage]) -> NoiseTerm:
        minus = None if self.minus is None else change(self.minus)
        return replace(self, plus=change(self.plus), minus=minus)

    def part(self, channels: Sequence[int]) -> NoisePart:
        """Return the samples of the term for some data channels."""
        plus = np.stack([self.plus.replay(c) for c in channels])
        minus = None
        if self.minus is not None:
            minus = np.stack([self.minus.replay(c) for c in channels])
        return NoisePart(plus, minus, self.explicit)


@dataclass(frozen=True)
class NoisePart:
    """Samples of one term of the noise: `plus` minus `minus` (None: the current samples)."""

    plus: np.ndarray
    minus: np.ndarray | None = None
    explicit: bool = False

    @property
    def open(self) -> bool:
        """Whether further corrections still add to this part."""
        return self.minus is None and not self.explicit

    def noise(self, x: np.ndarray) -> np.ndarray | None:
        """Return the noise, in V, of current samples `x`; None if the lengths differ."""
        minus = x if self.minus is None else self.minus
        noise = self.plus
        if not self.explicit:
            # In float64 also in a float32 run: the difference is much smaller than its operands.
            noise = np.subtract(self.plus, minus, dtype=float)
        return noise if noise.shape == x.shape else None


def next_terms(
    change: Change,
    terms: tuple[Any, ...],
    before: Any,
    through: Callable[[Any], Any],
    begin: Callable[..., Any],
    report: Callable[[], Any],
) -> tuple[Any, ...]:
    """Return the terms of the noise after a step.

    Parameters
    ----------
    change : Change
        What the step does.
    terms : tuple
        The terms before it.
    before : object
        The samples before the step, or their lineage.
    through : callable
        Sends a term through the step.
    begin : callable
        Creates a term: ``begin(plus, explicit=False)``.
    report : callable
        Returns the noise that a user-defined step reports.
    """
    if change is Change.LINEAR:
        return tuple(map(through, terms))
    if change is Change.CORRECTION:
        # An open term reaches from the samples before the first correction to the current ones:
        # what this correction removes is in it already.
        is_open = any(map(operator.attrgetter("open"), terms))
        return terms if is_open else (*terms, begin(before))
    if change is Change.NOTHING:
        return terms
    # Noise cannot be sent through an opaque step: open terms end with the samples before it.
    terms = tuple(replace(term, minus=before) if term.open else term for term in terms)
    return (*terms, begin(report(), explicit=True)) if change is Change.REPORTED else terms


def follow(
    full: Lineage,
    terms: tuple[NoiseTerm, ...],
    steps: Iterable[Any],
    picks: Iterable[int] | None = None,
) -> tuple[Lineage, tuple[NoiseTerm, ...]]:
    """Return the lineage of the samples and the terms of the noise after `steps` on `picks`."""
    for step in steps:
        change = step.change
        # It is no part of the lineage: replaying it would take time and change nothing.
        if change is Change.NOTHING:
            continue
        # Channels that are bad now may be good later, and this step has not worked on them.
        step = step if picks is None else step.confine(picks)
        after = full.then(step)
        reported = ReportedNoise(step)
        terms = next_terms(
            change,
            terms,
            full,
            operator.methodcaller("then", step),
            NoiseTerm,
            functools.partial(full.then, reported),
        )
        full = after
    return full, terms


def sum_noise(
    terms: tuple[NoiseTerm, ...], current: np.ndarray, picks: Iterable[int]
) -> np.ndarray:
    """Return the noise of data channels `picks`, summed over `terms`; other rows are 0."""
    # The noise of a recording in a file may be larger than memory as well.
    mapped = scratch.is_spilled(current)
    noise = scratch.create(current.shape)[1] if mapped else np.zeros(current.shape)
    # One channel at a time: replaying all would take the memory of the recording once or twice
    # more.
    for channel in picks:
        row = slice(int(channel), int(channel) + 1)
        for term in terms:
            part = term.part([int(channel)]).noise(current[row])
            if part is None:
                raise ValidationError(
                    "a step after the correction changed the number of samples in a way that the "
                    "estimated noise cannot follow; read the noise before that step."
                )
            noise[row] += part
        # The pages of a mapped file that were read or written count as memory of this process until
        # they are given back.
        scratch.forget(current, noise)
    return noise


class NoiseTracker:
    """Rows that are sent through steps, with their noise if a later step uses it.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Samples, in V; never written to.
    channels : sequence of int
        Their channels.
    steps : iterable of Step or Processor
        The steps that will follow.
    terms : sequence of NoiseTerm
        The noise so far.
    """

    def __init__(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        steps: Iterable[Any],
        terms: Sequence[NoiseTerm],
    ) -> None:
        self.x = x
        self.channels = channels
        # Noise costs the memory of a batch twice: it is tracked only while a step may ask for it.
        self.pending = 0  # steps that will follow and use the noise
        for step in steps:
            self.pending += getattr(step, "uses_noise", False)
        self.parts: tuple[NoisePart, ...] = ()
        if self.pending:
            self.parts = tuple(term.part(channels) for term in terms)

    def noise(self) -> np.ndarray | None:
        """Return the noise removed so far, in V; None if there was no correction."""
        if not self.parts:
            return None
        total: np.ndarray = np.zeros(self.x.shape)
        for part in self.parts:
            noise = part.noise(self.x)
            if noise is None:
                raise ValidationError(
                    "a step after the correction changed the number of samples in a way that the "
                    "estimated noise cannot follow: put this step before it."
                )
            total += noise
        return total

    def put(self, step: Step, x: np.ndarray) -> None:
        """Replace the rows by `x`, the result of `step`."""
        before, self.x = self.x, x
        # Before the noise follows: behind the last step that uses it nobody asks for it again.
        self.pending -= step.uses_noise
        if self.pending:
            self.parts = self._follow(step, before)

    def advance(self, step: Step) -> None:
        """Send the rows through `step`."""
        noise = self.noise() if step.uses_noise else None
        self.put(step, step.run(self.x, self.channels, None, noise))

    def _follow(self, step: Any, before: np.ndarray) -> tuple[NoisePart, ...]:
        def send(x: np.ndarray) -> np.ndarray:
            result: np.ndarray = step.run(x, self.channels)
            return result

        def through(part: NoisePart) -> NoisePart:
            minus = None if part.minus is None else send(part.minus)
            return replace(part, plus=send(part.plus), minus=minus)

        return next_terms(
            step.change,
            self.parts,
            before,
            through,
            NoisePart,
            lambda: ReportedNoise(step).run(before, self.channels),
        )
