"""Forecasts: 80 % intervals that are written down before the answer is seen, and their score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from facet_nb.core.errors import ValidationError

#: Penalty for each unit outside an interval that should hold the truth in 80 % of cases: 2 / 0.2.
_OUTSIDE = 10.0


@dataclass(frozen=True)
class Forecast:
    """An interval that holds the truth in 80 % of cases, in its author's view.

    Attributes
    ----------
    name : str
        The question, such as ``"P1.1"``.
    low, high : float
        Its ends.
    unit : str
        Unit of the ends; ``"times"`` marks a ratio, which is scored on a logarithmic scale.
    truth : float | None
        The answer; None until it is revealed.
    """

    name: str
    low: float
    high: float
    unit: str = ""
    truth: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the truth lies in the interval; None until it is revealed."""
        return None if self.truth is None else self.low <= self.truth <= self.high

    @property
    def score(self) -> float | None:
        """Interval score, lower is better; None until the truth is revealed."""
        if self.truth is None:
            return None
        return interval_score(self.low, self.high, self.truth, log=self.unit == "times")

    def __str__(self) -> str:
        text = f"{self.name}: {self.low:g} to {self.high:g} {self.unit}".rstrip()
        if self.truth is None:
            return f"{text}. Written down; run the next cell."
        place = "inside" if self.holds else "outside"
        truth = f"{self.truth:.3g} {self.unit}".rstrip()
        return f"{text}. The answer is {truth}: {place}, score {self.score:.2g}."

    __repr__ = __str__


@dataclass(frozen=True)
class Unanswered:
    """A question without a forecast."""

    name: str
    truth: str = ""

    def __str__(self) -> str:
        if self.truth:
            return f"{self.name}: not predicted. The answer is {self.truth}."
        return f"{self.name}: not predicted yet. Write two numbers for low and high, and run again."

    __repr__ = __str__


@dataclass
class _Session:
    forecasts: dict[str, Forecast] = field(default_factory=dict)


_SESSION = _Session()


def predict(
    name: str, low: float | None = None, high: float | None = None, unit: str = ""
) -> Forecast | Unanswered:
    """Write down an 80 % interval for the answer to a question.

    Parameters
    ----------
    name : str
        The question, such as ``"P1.1"``.
    low, high : float | None
        Ends of an interval that you expect to hold the answer in four of five cases; None for no
        forecast.
    unit : str
        Unit of the ends; ``"times"`` marks a ratio.

    Returns
    -------
    Forecast | Unanswered
        What was written down.

    Raises
    ------
    ValidationError
        If the ends are in the wrong order, not finite or (for ratios) not positive, or if they
        are others than before the answer was revealed.
    """
    if low is None or high is None:
        return Unanswered(name)
    known = _SESSION.forecasts.get(name)
    if known is not None and known.truth is not None:
        if (known.low, known.high) == (low, high):  # the cell ran again: nothing changed
            return known
        raise ValidationError(f"{name} was revealed: a forecast cannot be changed afterwards.")
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValidationError(f"{name}: {low:g} to {high:g} is no interval: give low, then high.")
    if unit == "times" and low <= 0:
        raise ValidationError(f"{name}: a ratio is above 0; {low:g} is not.")
    _SESSION.forecasts[name] = Forecast(name, float(low), float(high), unit)
    return _SESSION.forecasts[name]


def reveal(name: str, truth: float, unit: str = "") -> Forecast | Unanswered:
    """Compare a forecast with the answer.

    Parameters
    ----------
    name : str
        The question.
    truth : float
        The answer.
    unit : str
        Its unit, for a question without a forecast.

    Returns
    -------
    Forecast | Unanswered
        The forecast with the answer, and its score.
    """
    known = _SESSION.forecasts.get(name)
    if known is None:
        return Unanswered(name, f"{float(truth):.3g} {unit}".rstrip())
    if known.truth is None:
        known = Forecast(known.name, known.low, known.high, known.unit or unit, float(truth))
        _SESSION.forecasts[name] = known
    return known


def interval_score(low: float, high: float, truth: float, *, log: bool = False) -> float:
    """Return the width of an interval plus ten times the distance of the truth outside of it.

    This is the interval score for 80 % (Gneiting and Raftery 2007, doi:10.1198/016214506000001437),
    a proper one: too narrow and too wide intervals both lose.

    Parameters
    ----------
    low, high : float
        The interval.
    truth : float
        The answer.
    log : bool
        Whether to measure in octaves (log2), for ratios.

    Returns
    -------
    float
        The score; lower is better.
    """
    ends = [math.log2(value) if log else value for value in (low, high, truth)]
    low, high, truth = ends
    return (high - low) + _OUTSIDE * max(low - truth, truth - high, 0.0)


def list_forecasts() -> Mapping[str, Forecast]:
    """Return the forecasts of this session by question, in order."""
    return MappingProxyType(_SESSION.forecasts)
