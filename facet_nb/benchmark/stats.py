"""Statistics of a few noisy times: pure functions over arrays.

Ratios are taken within a block of runs, so that disturbances of a whole block cancel. Their centre
is the Hodges–Lehmann estimate (the median of all pairwise means), which needs only three values
and is robust against an outlier. Intervals are bootstrap intervals, widened for small samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import geometric_mean
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError

N_RESAMPLES = 2000
#: Level of the intervals that are shown, and the stricter one of the verdict: several
#: configurations are compared with the same base.
SHOWN_LEVEL, VERDICT_LEVEL = 0.95, 0.99
MIN_REPEATS = 3


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its interval; NaN where there are too few repeats.
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
    """Result of comparing two samples of times.

    Attributes
    ----------
    ratio : Interval
        Base time divided by the other time: above 1 the other is faster.
    verdict : {"faster", "slower", "inconclusive"}
        Verdict on the other.
    """

    ratio: Interval
    verdict: str


def estimate_centre(values: Any) -> float:
    """Return the Hodges–Lehmann estimate: the median of all pairwise means.

    Parameters
    ----------
    values : array, shape (n,)
        Values in any unit. Pairs of a value with itself count.

    Returns
    -------
    float
        The estimate, in the unit of `values`.
    """
    return float(_centres(np.asarray(values, dtype=float)))


def bootstrap_centre(values: Any, *, level: float = SHOWN_LEVEL, seed: int = 0) -> Interval:
    """Return the Hodges–Lehmann estimate with a bootstrap interval for small samples.

    The bootstrap interval is widened by ``t / z · sqrt(n / (n − 1))``, as that of three values
    would be far too narrow (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).

    Parameters
    ----------
    values : array, shape (n,)
        Values in any unit.
    level : float
        Coverage, between 0 and 1.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Interval
        In the unit of `values`; its ends are NaN for fewer than three values.
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
        The block of each time; without them, the n-th times of both belong together.
    seed : int
        Seed of the resampling.

    Returns
    -------
    TimeComparison
        Speed of the other relative to the base, with its 95 % interval. The verdict uses a 99 %
        interval: a difference that may be due to chance is called inconclusive.
    """
    ratios = tuple(pair_ratios(base_s, other_s, base_blocks, other_blocks))
    return _compare(ratios, seed)


@lru_cache(maxsize=512)  # the table is made again after each run, mostly from the same times
def _compare(ratios: tuple[float, ...], seed: int) -> TimeComparison:
    # Logarithms: twice as fast and half as fast must be equally far from equal.
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
    """Return base over other time for each block with both, shape (n_blocks,)."""
    first = _by_block(base_s, base_blocks)
    second = _by_block(other_s, other_blocks)
    return np.array([first[b] / second[b] for b in sorted(first.keys() & second.keys())])


def median_iqr(values: Sequence[float]) -> tuple[float, float]:
    """Return median and interquartile range; NaN without values."""
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
    """Return one time for each block: the geometric mean of its times."""
    names = range(len(values)) if blocks is None else blocks
    if len(names) != len(values):
        raise ValidationError(f"{len(values)} times need as many blocks, not {len(names)}.")
    found: dict[int, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        if not value > 0:
            raise ValidationError(f"times must be above 0 s, not {value!r}.")
        found.setdefault(int(name), []).append(float(value))
    return {name: geometric_mean(several) for name, several in found.items()}


def _centres(rows: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the centre along the last axis; `axis` is there for scipy, which always gives −1."""
    i, j = np.triu_indices(rows.shape[-1])
    return np.median((rows[..., i] + rows[..., j]) / 2, axis=-1)
