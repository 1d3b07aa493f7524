"""Summarise a table in words, and score guesses of speed-ups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from facet_nb.benchmark import BenchmarkTable, SummaryRow


def write_verdict(table: BenchmarkTable | None) -> str:
    """Return the main result of a table as text."""
    if table is None or not table.points:
        return "Nothing has been measured yet."
    rows = [row for row in table.rows if not row.machine]
    base = table.base
    if base is None:
        return "The run with one worker, the base of the comparison, has not been measured yet."
    faster = sorted(
        (row for row in rows if row.verdict == "faster"), key=lambda r: -r.speedup.value
    )
    unclear = [row for row in rows if row.verdict == "inconclusive"]
    parts = [_describe_fastest(faster[0], base) if faster else _describe_no_gain(base, unclear)]
    if faster and unclear:
        n = len(unclear)
        parts.append(f"{n} other{'s' if n > 1 else ''} cannot be distinguished from one worker.")
    parts += _warn(rows)
    return " ".join(parts)


def _describe_fastest(best: SummaryRow, base: SummaryRow) -> str:
    s = best.speedup
    return (
        f"{best.configuration.label} is {s.value:.2f} times as fast as {base.configuration.label} "
        f"(95 % interval {s.low:.2f} to {s.high:.2f})."
    )


def _describe_no_gain(base: SummaryRow, unclear: list[SummaryRow]) -> str:
    if unclear:
        return (
            f"Nothing is distinguishable from {base.configuration.label} so far: take that, or "
            "measure longer."
        )
    return f"{base.configuration.label} is the fastest of what was measured."


def _warn(rows: list[SummaryRow]) -> list[str]:
    wrong = [r.configuration.label for r in rows if r.verdict == "different output"]
    failed = [r.configuration.label for r in rows if r.verdict == "failed"]
    said = []
    if wrong:
        said.append(f"Do not use {'; '.join(wrong)}: the result differs from the serial one.")
    if failed:
        said.append(f"{'; '.join(failed)} could not run.")
    return said


@dataclass(frozen=True)
class Score:
    """A guess and the measured speed-up.

    Attributes
    ----------
    workers : int
        Number of workers.
    guess : float
        The expected speed-up.
    value, low, high : float
        Measured speed-up of the best configuration with that many workers, and its interval.
    """

    workers: int
    guess: float
    value: float
    low: float
    high: float

    @property
    def hit(self) -> bool:
        """Whether the guess lies in the interval."""
        return self.low <= self.guess <= self.high


def score_guess(guess: Mapping[int, float], table: BenchmarkTable) -> tuple[Score, ...]:
    """Return each guess with the best measured speed-up for that many workers.

    Parameters
    ----------
    guess : mapping
        Expected speed-up by number of workers.
    table : BenchmarkTable
        Measurements; numbers of workers without an interval are omitted.
    """
    best: dict[int, SummaryRow] = {}
    for row in table.rows:
        known = best.get(row.configuration.workers)
        if row.machine or not row.point.usable or math.isnan(row.speedup.low):
            continue
        if known is None or row.speedup.value > known.speedup.value:
            best[row.configuration.workers] = row
    return tuple(
        Score(p, guess[p], best[p].speedup.value, best[p].speedup.low, best[p].speedup.high)
        for p in sorted(guess)
        if p in best
    )


def write_score(scores: tuple[Score, ...]) -> str:
    """Return how many guesses were right, in one sentence."""
    if not scores:
        return "No guessed number of workers has been measured often enough."
    hits = sum(score.hit for score in scores)
    return f"{hits} of {len(scores)} guesses lie in the measured interval."
