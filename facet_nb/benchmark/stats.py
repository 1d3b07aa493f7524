"""Statistics of a few noisy times: pure functions over arrays.

Ratios are taken within a block of runs, so that what slows a whole block cancels. Their centre is
the Hodges–Lehmann estimate (the median of all pairwise means): a single outlier does not move it,
and three values suffice. Intervals are bootstrap intervals, widened for small samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError

N_RESAMPLES = 2000
#: Level of the intervals that are shown, and the stricter one by which a difference is called one:
#: several configurations are compared with the same base.
SHOWN_LEVEL, VERDICT_LEVEL = 0.95, 0.99
MIN_REPEATS = 3


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes
    ----------
    value, low, high : float
        The estimate, and the ends of its interval; not-a-number where there are too few repeats.
    """

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Length of the interval relative to the value."""
        return (self.high - self.low) / abs(self.value) if self.value else float("inf")


@dataclass(frozen=True)
class TimeComparison:
    """Two samples of times, compared.

    Attributes
    ----------
    ratio : Interval
        Base time over the other's time: above 1 the other is faster.
    verdict : {"faster", "slower", "inconclusive"}
        What can be said of the other.
    """

    ratio: Interval
    verdict: str


def estimate_centre(values: Any) -> float:
    """Return the Hodges–Lehmann estimate: the median of the means of all pairs, each with itself.

    Parameters
    ----------
    values : array, shape (n,)
        Any unit.

    Returns
    -------
    float
        The same unit.
    """
    return float(_centres(np.asarray(values, dtype=float)))


def bootstrap_centre(values: Any, *, level: float = SHOWN_LEVEL, seed: int = 0) -> Interval:
    """Return the Hodges–Lehmann estimate with a bootstrap interval for small samples.

    The bootstrap distribution is stretched by ``t / z · sqrt(n / (n − 1))``: without that, the
    interval of three values is far too short (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).

    Parameters
    ----------
    values : array, shape (n,)
        Any unit.
    level : float
        Coverage, between 0 and 1.
    seed : int
        Of the resampling.

    Returns
    -------
    Interval
        The same unit; without limits if there are fewer than three values.
    """
    return _intervals(np.asarray(values, dtype=float), (level,), seed)[0]


def compare(
    base_s: Sequence[float],
    other_s: Sequence[float],
    base_blocks: Sequence[int] | None = None,
    other_blocks: Sequence[int] | None = None,
    *,
    seed: int = 0,
) -> TimeComparison:
    """Compare two samples of times, within blocks.

    Parameters
    ----------
    base_s, other_s : sequence of float
        Times, in s.
    base_blocks, other_blocks : sequence of int | None
        The block of each; without them the n-th of one belongs to the n-th of the other.
    seed : int
        Of the resampling.

    Returns
    -------
    TimeComparison
        Speed of the other relative to the base, with a 95 % interval. The verdict asks for 99 %:
        a difference that may be chance is called inconclusive.
    """
    ratios = tuple(pair_ratios(base_s, other_s, base_blocks, other_blocks))
    return _compare(ratios, seed)


@lru_cache(maxsize=512)  # a table is made anew after each run, and most of its rows are as before
def _compare(ratios: tuple[float, ...], seed: int) -> TimeComparison:
    shown, strict = _intervals(np.log(ratios), (SHOWN_LEVEL, VERDICT_LEVEL), seed)
    ratio = Interval(*(float(np.exp(v)) for v in (shown.value, shown.low, shown.high)))
    verdict = "faster" if strict.low > 0 else "slower" if strict.high < 0 else "inconclusive"
    return TimeComparison(ratio, verdict)


def pair_ratios(
    base_s: Sequence[float],
    other_s: Sequence[float],
    base_blocks: Sequence[int] | None = None,
    other_blocks: Sequence[int] | None = None,
) -> np.ndarray:
    """Return base over other for each block that has both, shape (n_blocks,)."""
    first = _by_block(base_s, base_blocks)
    second = _by_block(other_s, other_blocks)
    return np.array([first[b] / second[b] for b in sorted(first.keys() & second.keys())])


def median_iqr(values: Sequence[float]) -> tuple[float, float]:
    """Return median and interquartile range; not-a-number without values."""
    if not len(values):
        return float("nan"), float("nan")
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(middle), float(high - low)


def _intervals(x: np.ndarray, levels: Sequence[float], seed: int) -> list[Interval]:
    """Return an interval for each level, from the same resamples."""
    n, nothing = len(x), float("nan")
    centre = estimate_centre(x) if n else nothing
    if n < MIN_REPEATS:
        return [Interval(centre, nothing, nothing)] * len(levels)
    from scipy import stats

    # A Generator: scipy would turn a bare seed into a RandomState, which draws other resamples.
    generator = np.random.default_rng(seed)
    found = stats.bootstrap(
        (x,), _centres, n_resamples=N_RESAMPLES, method="percentile", random_state=generator
    )
    intervals = []
    for level in levels:
        lower, upper = (1 - level) / 2, (1 + level) / 2
        low, high = np.quantile(found.bootstrap_distribution, [lower, upper])
        wide = stats.t.ppf(upper, n - 1) / stats.norm.ppf(upper) * np.sqrt(n / (n - 1))
        ends = centre - wide * (centre - low), centre + wide * (high - centre)
        intervals.append(Interval(centre, *map(float, ends)))
    return intervals


def _by_block(values: Sequence[float], blocks: Sequence[int] | None) -> dict[int, float]:
    """Return one time for each block: the geometric mean if there are several."""
    from scipy.stats import gmean

    names = range(len(values)) if blocks is None else blocks
    if len(names) != len(values):
        raise ValidationError(f"{len(values)} times need as many blocks, not {len(names)}.")
    found: dict[int, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        if not value > 0:
            raise ValidationError(f"a time of {value!r} s cannot be compared: it must be above 0.")
        found.setdefault(int(name), []).append(float(value))
    return {name: float(gmean(several)) for name, several in found.items()}


def _centres(rows: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the centre along the last axis; `axis` is there for scipy, which always gives −1."""
    i, j = np.triu_indices(rows.shape[-1])
    return np.median((rows[..., i] + rows[..., j]) / 2, axis=-1)
