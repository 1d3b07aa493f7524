"""The estimated noise, computed on demand.

What a correction subtracted is not kept: it is the difference between the uncorrected signal,
sent through the same linear steps, and the corrected one. Both can be had again, so the noise of
a recording costs memory only when somebody asks for it, and is the same in every mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.steps import ChannelStep, Step
from facet_nb.core.storage import scratch

if TYPE_CHECKING:
    from facet_nb.core.processor import Processor


@dataclass(frozen=True)
class Lineage:
    """Samples and the channel-wise steps that followed them.

    Attributes
    ----------
    base : ndarray, shape (n_rows, n_times)
        Samples before the steps, in V (or what opens them: for workers a reference; for samples
        that a run has written over, an :class:`~facet_nb.core.execution.deferred.Origin`).
    rows : tuple of int
        Row of `base` for each channel of the recording.
    steps : tuple of Step
        Steps since then.
    terms : tuple of NoiseTerm
        Noise at the beginning, for steps that use it.
    """

    base: Any
    rows: tuple[int, ...]
    steps: tuple[Step | ReportedNoise, ...] = ()
    terms: tuple[NoiseTerm, ...] = ()

    @classmethod
    def begin(cls, base: np.ndarray, terms: tuple[NoiseTerm, ...] = ()) -> Lineage:
        """Return the lineage that begins with `base`."""
        return cls(base, tuple(range(len(base))), (), terms)

    def then(self, step: Step | ReportedNoise) -> Lineage:
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
        """Return this lineage with its samples elsewhere: where ``place(base)`` puts them."""
        terms = tuple(term.move(place) for term in self.terms)
        return replace(self, base=place(self.base), terms=terms)

    def is_local(self) -> bool:
        """Whether a step is of a class that only its program knows (pickled by value)."""
        processors = [step.processor for step in self.steps]
        classes = [type(p) for step in processors for p in (step, *getattr(step, "parts", ()))]
        local = any(c.__module__ == "__main__" or "<locals>" in c.__qualname__ for c in classes)
        return local or any(term.plus.is_local() for term in self.terms)

    def replay(self, channel: int) -> np.ndarray:
        """Return one data channel of the base after all steps, shape (n_times,), in V."""
        base = self.base.open() if hasattr(self.base, "open") else self.base
        row = self.rows[channel]
        x = np.array(base[row : row + 1], dtype=float)
        n_asking = sum(step.uses_noise for step in self.steps)
        parts = parts_of(self.terms, [channel]) if n_asking else None
        track = Track(x, [channel], n_asking, parts)
        for step in self.steps:
            track.advance(step)
        return track.x[0]


@dataclass(frozen=True)
class NoiseTerm:
    """One part of the estimated noise: `plus` less `minus` (None: the current samples)."""

    plus: Lineage
    minus: Lineage | None = None
    explicit: bool = False

    @property
    def open(self) -> bool:
        """Whether corrections still add to this term."""
        return self.minus is None and not self.explicit

    def select(self, picks: Sequence[int]) -> NoiseTerm:
        """Return the term of some of the channels."""
        minus = None if self.minus is None else self.minus.select(picks)
        return replace(self, plus=self.plus.select(picks), minus=minus)

    def move(self, place: Callable[[Any], Any]) -> NoiseTerm:
        """Return the term with its samples elsewhere."""
        minus = None if self.minus is None else self.minus.move(place)
        return replace(self, plus=self.plus.move(place), minus=minus)

    def freeze(self, current: Lineage) -> NoiseTerm:
        """Bind the corrected samples: what later corrections take is another term."""
        return replace(self, minus=current) if self.open else self

    def then(self, step: Step) -> NoiseTerm:
        """Send the term through a linear step."""
        minus = None if self.minus is None else self.minus.then(step)
        return replace(self, plus=self.plus.then(step), minus=minus)

    def part(self, channels: Sequence[int]) -> NoisePart:
        """Return the samples of the term for some data channels."""
        plus = np.stack([self.plus.replay(c) for c in channels])
        minus = None
        if self.minus is not None:
            minus = np.stack([self.minus.replay(c) for c in channels])
        return NoisePart(plus, minus, self.explicit)


def follow(
    full: Lineage,
    terms: tuple[NoiseTerm, ...],
    steps: Iterable[Step],
    picks: Iterable[int] | None = None,
) -> tuple[Lineage, tuple[NoiseTerm, ...]]:
    """Return the lineage of the samples and the terms of the noise after `steps` on `picks`.

    The same rules, on samples instead of lineages, are in :meth:`Track.advance`.
    """
    for step in steps:
        change = find_change(step)
        if change is Change.NOTHING:
            continue
        step = step if picks is None else step.confine(picks)
        if change is Change.LINEAR:
            terms = tuple(term.then(step) for term in terms)
        elif change is Change.CORRECTION:
            if not any(term.open for term in terms):
                terms = (*terms, NoiseTerm(full))
        else:
            terms = tuple(term.freeze(full) for term in terms)
            if change is Change.REPORTED and isinstance(step, ChannelStep):
                terms = (*terms, NoiseTerm(full.then(ReportedNoise(step)), explicit=True))
        full = full.then(step)
    return full, terms


def parts_of(terms: Iterable[NoiseTerm], channels: Sequence[int]) -> list[NoisePart]:
    """Return the samples of all terms for some data channels."""
    return [term.part(channels) for term in terms]


def sum_noise(
    terms: tuple[NoiseTerm, ...], current: np.ndarray, picks: Iterable[int]
) -> np.ndarray:
    """Return the summed noise of data channels `picks`, shape of `current`; other rows are 0."""
    mapped = scratch.is_spilled(current)
    noise = scratch.create(current.shape)[1] if mapped else np.zeros(current.shape)
    for channel in picks:
        row = slice(int(channel), int(channel) + 1)
        for term in terms:
            found = term.part([int(channel)]).noise(current[row])
            if found is None:
                raise ValidationError(
                    "a step after the correction changed the number of samples in a way that the "
                    "estimated noise cannot follow; read the noise before that step."
                )
            noise[row] += found
        scratch.forget(current, noise)
    return noise


class Change(Enum):
    """What a step does to samples, as far as the estimated noise is concerned."""

    NOTHING = "nothing"
    LINEAR = "linear"
    CORRECTION = "correction"
    REPORTED = "reported"
    OPAQUE = "opaque"


def find_change(step: Step) -> Change:
    """Return what `step` does to samples."""
    if not step.changes_samples:
        return Change.NOTHING
    if isinstance(step, ChannelStep):
        return Change.REPORTED if step.reports else Change.OPAQUE
    if step.processor.subtracts:
        return Change.CORRECTION
    linear = step.processor.linear and not step.uses_noise
    return Change.LINEAR if linear else Change.OPAQUE


@dataclass(frozen=True)
class ReportedNoise:
    """What a channel step says it took away, as a step of its own."""

    step: ChannelStep

    uses_noise = False
    changes_samples = True

    @property
    def processor(self) -> Processor:
        """The processor of the step."""
        return self.step.processor

    def select(self, picks: Sequence[int]) -> ReportedNoise:
        """Return the step for a recording that holds channels `picks` of this one."""
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
        found = [
            self.step.report_row(row, c) if rows is None or c in rows else np.zeros(len(row))
            for row, c in zip(x, channels, strict=True)
        ]
        return np.stack(found)


@dataclass
class NoisePart:
    """Samples of one term of the noise: `plus` less `minus` (None: the current samples)."""

    plus: np.ndarray
    minus: np.ndarray | None = None
    explicit: bool = False

    def noise(self, x: np.ndarray) -> np.ndarray | None:
        """Return the noise in V beside current samples `x`; None if they have another length."""
        minus = x if self.minus is None else self.minus
        noise = self.plus
        if not self.explicit:
            noise = np.subtract(self.plus, minus, dtype=float)  # whatever precision the steps had
        return noise if noise.shape == x.shape else None


class Track:
    """Rows on their way through steps; where a step uses the noise, the noise with them.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Samples, in V; never written to.
    channels : sequence of int
        Their channels.
    n_asking : int
        How many of the steps to come use the noise.
    parts : list of NoisePart | None
        Noise so far; None if no step asks for it.
    """

    def __init__(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        n_asking: int = 0,
        parts: list[NoisePart] | None = None,
    ) -> None:
        self.x = x
        self.source = x
        self.channels = channels
        self.left = n_asking
        self.parts = parts or []

    @property
    def own(self) -> bool:
        """Whether nobody else sees the samples."""
        return not self.left and not np.may_share_memory(self.x, self.source)

    def noise(self) -> np.ndarray | None:
        """Return what corrections removed so far, in V; None if there was no correction."""
        if not self.parts:
            return None
        total = np.zeros(self.x.shape)
        for part in self.parts:
            found = part.noise(self.x)
            if found is None:
                raise ValidationError(
                    "a step after the correction changed the number of samples in a way that the "
                    "estimated noise cannot follow: put this step before it."
                )
            total += found
        return total

    def advance(self, step: Step | ReportedNoise, run: Any = None) -> None:
        """Send the rows through `step`; ``run(x, noise)`` does it if given."""
        noise = self.noise() if step.uses_noise else None
        before = self.x
        self.left -= step.uses_noise
        if run is not None:
            self.x = run(before, noise)
        else:
            self.x = step.run(before, self.channels, None, noise)
        if self.left:
            self._follow(step, before)

    def _follow(self, step: Any, before: np.ndarray) -> None:
        """Do to the parts what :func:`facet_nb.core.noise.follow` does to terms."""
        change = find_change(step)
        if change is Change.LINEAR:
            for part in self.parts:
                part.plus = step.run(part.plus, self.channels)
                if part.minus is not None:
                    part.minus = step.run(part.minus, self.channels)
        elif change is Change.CORRECTION:
            if not any(p.minus is None and not p.explicit for p in self.parts):
                self.parts.append(NoisePart(before))
        elif change in (Change.OPAQUE, Change.REPORTED):
            for part in self.parts:
                if part.minus is None and not part.explicit:
                    part.minus = before
            if change is Change.REPORTED:
                noise = ReportedNoise(step).run(before, self.channels)
                self.parts.append(NoisePart(noise, explicit=True))
