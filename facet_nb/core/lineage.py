"""The estimated noise, computed on demand.

What a correction subtracted is not kept: it is the difference between the uncorrected signal,
sent through the same linear steps, and the corrected one. Both can be had again, so the noise of
a recording costs memory only when somebody asks for it, and is the same in every mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.steps import Step, run_steps


@dataclass(frozen=True)
class Lineage:
    """Samples and the channel-wise steps that followed them.

    Attributes
    ----------
    base : ndarray, shape (n_rows, n_times)
        Samples before the steps, in V.
    rows : tuple of int
        Row of `base` for each channel of the recording.
    steps : tuple of Step
        Steps since then.
    """

    base: np.ndarray
    rows: tuple[int, ...]
    steps: tuple[Step, ...] = ()

    @classmethod
    def begin(cls, base: np.ndarray) -> Lineage:
        """Return the lineage that begins with `base`."""
        return cls(base, tuple(range(len(base))))

    def then(self, step: Step) -> Lineage:
        """Return this lineage with one more step."""
        return replace(self, steps=(*self.steps, step))

    def select(self, picks: Iterable[int]) -> Lineage:
        """Return the lineage of some of the channels."""
        picks = list(picks)
        rows = tuple(self.rows[i] for i in picks)
        return replace(self, rows=rows, steps=tuple(step.select(picks) for step in self.steps))

    def replay(self, channel: int) -> np.ndarray:
        """Return one data channel of the base after all steps, shape (n_times,), in V."""
        row = self.rows[channel]
        x = np.ascontiguousarray(self.base[row : row + 1])
        return run_steps(self.steps, x, [channel])[0]


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

    def select(self, picks: list[int]) -> NoiseTerm:
        """Return the term of some of the channels."""
        minus = None if self.minus is None else self.minus.select(picks)
        return replace(self, plus=self.plus.select(picks), minus=minus)

    def freeze(self, current: Lineage) -> NoiseTerm:
        """Bind the corrected samples: later steps no longer take part."""
        return replace(self, minus=current) if self.open else self

    def then(self, step: Step) -> NoiseTerm:
        """Send the term through a linear step."""
        if self.minus is not None:
            return self
        return replace(self, plus=self.plus.then(step))

    def row(self, channel: int, current: np.ndarray) -> np.ndarray:
        """Return the noise of one data channel, shape (n_times,), in V."""
        noise = self.plus.replay(channel)
        if self.explicit:
            return noise
        less = current[channel] if self.minus is None else self.minus.replay(channel)
        return noise - less


def follow(
    full: Lineage, terms: tuple[NoiseTerm, ...], steps: Iterable[Step]
) -> tuple[Lineage, tuple[NoiseTerm, ...]]:
    """Return the lineage of the samples and the terms of the noise after `steps`."""
    for step in steps:
        if not step.processor.modifies_raw:
            continue
        if step.opaque:
            terms = tuple(term.freeze(full) for term in terms)
        elif step.processor.subtracts:
            if not any(term.open for term in terms):
                terms = (*terms, NoiseTerm(full))
        else:
            terms = tuple(term.then(step) for term in terms)
        full = full.then(step)
    return full, terms


def uncorrected(terms: tuple[NoiseTerm, ...], channels: Iterable[int]) -> np.ndarray | None:
    """Return what data channels would be without corrections; None if there was none."""
    still_open = [term for term in terms if term.open]
    if not still_open:
        return None
    return np.stack([still_open[0].plus.replay(channel) for channel in channels])


def sum_noise(
    terms: tuple[NoiseTerm, ...], current: np.ndarray, picks: Iterable[int]
) -> np.ndarray:
    """Return the summed noise of data channels `picks`, shape of `current`; other rows are 0."""
    noise = np.zeros(current.shape)
    for term in terms:
        for channel in picks:
            row = term.row(int(channel), current)
            if row.shape != noise[channel].shape:
                raise ValidationError(
                    "a step after the correction changed the number of samples in a way that the "
                    "estimated noise cannot follow; read the noise before that step."
                )
            noise[channel] += row
    return noise
