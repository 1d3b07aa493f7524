"""Rows on their way through steps, and the noise that corrections took from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.steps import ChannelStep, Step

if TYPE_CHECKING:
    from facet_nb.core.processor import Processor


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
        """Do to the parts what :func:`facet_nb.core.lineage.follow` does to terms."""
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
