"""Scaling laws: pure functions of the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facet_nb.benchmark import stats
from facet_nb.benchmark.stats import Interval
from facet_nb.core.errors import ValidationError

MIN_AMDAHL_LEVELS, MIN_USL_LEVELS = 3, 4
_N_RESAMPLES = 400


@dataclass(frozen=True)
class Fit:
    """A law fitted to speed-ups.

    Attributes
    ----------
    law : {"Amdahl", "USL"}
        Name of the law.
    parameters : tuple of (name, Interval)
        ``serial`` (Amdahl); ``contention`` and ``coherency`` (USL).
    workers : tuple of int
        Numbers of workers that it was fitted to.
    residuals : tuple of float
        Measured minus fitted speed-up at each number of workers.
    """

    law: str
    parameters: tuple[tuple[str, Interval], ...]
    workers: tuple[int, ...]
    residuals: tuple[float, ...]

    def predict(self, workers: Sequence[float]) -> np.ndarray:
        """Return the predicted speed-up at any numbers of workers."""
        return _LAWS[self.law](
            np.asarray(workers, dtype=float), *(v.value for _, v in self.parameters)
        )

    @property
    def rms(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.mean(np.square(self.residuals))))

    def describe(self) -> str:
        """Return the parameters as text."""
        texts = [f"{n} {v.value:.3f} ({v.low:.3f} to {v.high:.3f})" for n, v in self.parameters]
        return f"{self.law}: {', '.join(texts)}; residuals {self.rms:.2g} (rms)"


def find_serial_share(speedup: float, workers: int) -> float:
    """Return the experimentally determined serial fraction.

    ``e = (1/S − 1/p) / (1 − 1/p)`` (Karp and Flatt 1990, doi:10.1145/78607.78614). A fraction that
    grows with the number of workers indicates overhead; a constant one indicates serial work.

    Parameters
    ----------
    speedup : float
        Speed-up over the best serial run.
    workers : int
        Number of workers, at least 2.

    Raises
    ------
    ValidationError
        If there are fewer than two workers.
    """
    if workers < 2:
        raise ValidationError("a serial fraction needs at least two workers.")
    return (1.0 / speedup - 1.0 / workers) / (1.0 - 1.0 / workers)


def amdahl(workers: np.ndarray, serial: float) -> np.ndarray:
    """Return the speed-up of Amdahl's law (1967, doi:10.1145/1465482.1465560)."""
    return 1.0 / (serial + (1.0 - serial) / workers)


def usl(workers: np.ndarray, contention: float, coherency: float) -> np.ndarray:
    """Return the speed-up of the universal scalability law (Gunther 1993, arXiv:0808.1431)."""
    return workers / (1.0 + contention * (workers - 1.0) + coherency * workers * (workers - 1.0))


def fit_amdahl(speedups: Mapping[int, Sequence[float]], *, seed: int = 0) -> Fit:
    """Fit Amdahl's law.

    Parameters
    ----------
    speedups : mapping of int to sequence of float
        Repeated speed-ups at each number of workers, at least three numbers.
    seed : int
        Seed of the resampling for the intervals.

    Raises
    ------
    ValidationError
        If there are fewer levels.
    """
    return _fit("Amdahl", ("serial",), speedups, MIN_AMDAHL_LEVELS, seed)


def fit_usl(speedups: Mapping[int, Sequence[float]], *, seed: int = 0) -> Fit:
    """Fit the universal scalability law.

    Parameters
    ----------
    speedups : mapping of int to sequence of float
        Repeated speed-ups at each number of workers, at least four numbers.
    seed : int
        Seed of the resampling for the intervals.

    Raises
    ------
    ValidationError
        If there are fewer levels.
    """
    return _fit("USL", ("contention", "coherency"), speedups, MIN_USL_LEVELS, seed)


_LAWS: dict[str, Callable[..., np.ndarray]] = {"Amdahl": amdahl, "USL": usl}


def _fit(
    law: str,
    names: tuple[str, ...],
    speedups: Mapping[int, Sequence[float]],
    needed: int,
    seed: int,
) -> Fit:
    levels = sorted(p for p, values in speedups.items() if len(values))
    if len(levels) < needed:
        raise ValidationError(
            f"{law} needs {needed} different numbers of workers, 1 included, but there are "
            f"{len(levels)}. Measure more, or use the serial fraction (Karp–Flatt)."
        )
    workers = np.array(levels, dtype=float)
    centres = np.array([stats.estimate_centre(speedups[p]) for p in levels])
    best = _solve(law, workers, centres)
    # The repeats are resampled within each number of workers; the numbers themselves are fixed.
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            _solve(law, workers, _resample([speedups[p] for p in levels], rng))
            for _ in range(_N_RESAMPLES)
        ]
    )
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    intervals = (
        Interval(float(v), float(a), float(b)) for v, a, b in zip(best, low, high, strict=True)
    )
    residuals = centres - _LAWS[law](workers, *best)
    return Fit(
        law,
        tuple(zip(names, intervals, strict=True)),
        tuple(levels),
        tuple(float(r) for r in residuals),
    )


def _resample(groups: Sequence[Sequence[float]], rng: np.random.Generator) -> np.ndarray:
    return np.array([stats.estimate_centre(rng.choice(np.asarray(g), len(g))) for g in groups])


def _solve(law: str, workers: np.ndarray, speedups: np.ndarray) -> np.ndarray:
    """Return the non-negative parameters with the least relative error of time."""
    # Both laws are linear in their parameters if they are written for the time p / S, so that
    # non-negative least squares finds the optimum without starting values.
    from scipy.optimize import nnls

    excess = workers - 1.0
    columns = [excess] if law == "Amdahl" else [excess, workers * excess]
    weights = speedups / workers
    matrix = np.stack(columns, axis=1) * weights[:, np.newaxis]
    found, _ = nnls(matrix, (workers / speedups - 1.0) * weights)
    return np.minimum(found, 1.0)
