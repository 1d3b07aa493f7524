"""Represent a signal at a high sampling rate by its samples at twice the native rate.

A signal that was upsampled by an integer factor has no content above its native Nyquist frequency,
so that its samples at twice the native rate (the *double-rate grid*) determine it. Any other sample
is a weighted sum of the 20 nearest samples of that grid, to 2e-8 of the peak: even a short
interpolator is exact, as its transition may extend from one to three native Nyquist frequencies.

Sums over the samples of an epoch at the high rate equal weighted sums over its double-rate samples,
whose weights are constant except near the two ends. Likewise, decimating an epoch that was cut out
at the high rate to the double rate gives its double-rate samples, except near its two ends. No
array at the high rate is therefore ever needed.

Positions are integer samples at the high rate; position s lies at ``2 s / factor`` on the
double-rate grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Half-width of the interpolator in double-rate samples, and beta of its Kaiser window: 150 dB over
#: a transition from 1.005 to 2.995 native Nyquist frequencies (Kaiser 1974).
HALF = 10

BETA = 0.1102 * (8.0 + 2.285 * 2 * HALF * 0.995 * np.pi - 8.7)

#: Length of the ramps that taper the ends of an epoch, in double-rate samples, and beta. Their
#: spectrum ends at 1.99 native Nyquist frequencies: higher frequencies would alias to 0 Hz where
#: products of two signals are sampled at the double rate.
RAMP = 12

_RAMP_BETA = np.sqrt((0.995 * np.pi * RAMP / 2) ** 2 - np.pi**2)


def interpolator(t: np.ndarray) -> np.ndarray:
    """Return the interpolator at times `t`, in double-rate samples; 0 beyond ±HALF."""
    inside = np.clip(1.0 - (t / HALF) ** 2, 0.0, None)
    return np.sinc(t) * np.i0(BETA * np.sqrt(inside)) / np.i0(BETA) * (inside > 0)


def ramp(t: np.ndarray) -> np.ndarray:
    """Return a smooth ramp from 0 at 0 to 1 at RAMP: the integral of a Kaiser window."""
    nodes, weights = _find_nodes()

    def integral(stop: np.ndarray) -> np.ndarray:
        at = stop[..., np.newaxis] * (nodes + 1) / 2
        inside = np.clip(1.0 - (2 * at / RAMP - 1) ** 2, 0.0, None)
        return (np.i0(_RAMP_BETA * np.sqrt(inside)) @ weights) * stop / 2

    return integral(np.clip(t, 0.0, RAMP)) / integral(np.array(float(RAMP)))


@lru_cache
def _find_nodes() -> tuple[np.ndarray, np.ndarray]:
    # Eigenvalues, which take 10 ms: a fifth of designing the ramps of an epoch.
    return np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True)
class EpochSampling:
    """Double-rate samples of an epoch that is cut out at the high rate, as a linear map.

    The samples start `first` after the double-rate sample at or before the epoch's start. Outer
    samples are weighted sums of the columns at the epoch's ends; inner samples are the epoch,
    delayed by a fraction of a sample.

    Attributes
    ----------
    first : int
        Position of the first sample.
    head, tail : ndarray, shape (n_outer, n_columns)
        Weights of the first and of the last columns of the template in the outer samples.
    taps : ndarray, shape (2 HALF,)
        Filter that gives the inner samples.
    begin : int
        Index of the column under the first tap, for the first inner sample.
    n_inner : int
        Number of inner samples.
    """

    first: int
    head: np.ndarray
    tail: np.ndarray
    taps: np.ndarray
    begin: int
    n_inner: int

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.head) + self.n_inner + len(self.tail)


@dataclass(frozen=True)
class Form:
    """Representation of an epoch at the high rate by double-rate samples.

    These samples, its *columns*, lie on a double-rate grid that starts at the epoch's first sample.
    They extend from HALF before that sample to HALF after the last.

    Attributes
    ----------
    factor : int
        High rate over native rate.
    n_samples : int
        Length of the epoch at the high rate.
    """

    factor: int
    n_samples: int

    @property
    def end(self) -> float:
        """Position of the last sample on the epoch's double-rate grid."""
        return 2.0 * (self.n_samples - 1) / self.factor

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(np.ceil(self.end)) + 2 * HALF + 1

    def locate(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions on the double-rate grid: integer part, and rest in 1 / factor."""
        return np.divmod(2 * np.asarray(starts, dtype=np.int64), self.factor)

    @property
    def phases(self) -> np.ndarray:
        """Filters that delay by 0, 1 / factor, 2 / factor … samples, shape (factor, 2 HALF).

        The first tap is for the sample HALF - 1 before.
        """
        return _find_phases(self.factor)

    def rows(self, samples: np.ndarray, low: int, high: int) -> np.ndarray:
        """Return the weights of columns `low` to `high` in high-rate samples, (n, high - low).

        The samples must not depend on other columns.
        """
        whole, part = self.locate(samples)
        rows = np.zeros((len(samples), high - low))
        at = whole[:, np.newaxis] + np.arange(1, 2 * HALF + 1) - low
        np.put_along_axis(rows, at, self.phases[part], axis=1)
        return rows

    def evaluate(self, columns: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Return some high-rate samples of an epoch, from its columns."""
        whole, part = self.locate(samples)
        at = whole[:, np.newaxis] + np.arange(1, 2 * HALF + 1)
        return np.einsum("ij,ij->i", columns[at], self.phases[part])


@lru_cache(maxsize=16)
def _find_phases(factor: int) -> np.ndarray:
    """Return the interpolator's phases, shape (factor, 2 HALF); each sums to 1."""
    parts = np.arange(factor)[:, np.newaxis] / factor
    taps = interpolator(parts - np.arange(1 - HALF, HALF + 1))
    taps /= taps.sum(axis=1, keepdims=True)
    taps.flags.writeable = False
    return taps


# ------------------------------------------------------------------------------ sums over epochs
@dataclass(frozen=True)
class Sums:
    """Sums over the high-rate samples of an epoch, computed from its columns.

    Attributes
    ----------
    n_samples : int
        Length of the epoch at the high rate.
    gain : float
        High rate over double rate: the weight of inner columns.
    plain_head, plain_tail : ndarray, shape (n_edge,)
        Weights of the outer columns in the sum of samples; that of inner columns is `gain`.
    head, tail : ndarray, shape (n_edge, n_edge)
        Square roots of the quadratic forms of the outer columns, divided by `gain`; the form of
        inner columns is the identity.
    """

    n_samples: int
    gain: float
    plain_head: np.ndarray
    plain_tail: np.ndarray
    head: np.ndarray
    tail: np.ndarray

    def add(self, columns: np.ndarray) -> np.ndarray:
        """Return the sum over samples of each epoch, (n,), from its columns, (n, n_columns)."""
        low, high = self._edges(columns)
        total = columns[:, :low] @ self.plain_head
        total += self.gain * columns[:, low:high].sum(axis=1)
        return total + columns[:, high:] @ self.plain_tail

    def gram(self, columns: np.ndarray) -> np.ndarray:
        """Return the inner products of mean-free epochs, shape (n, n)."""
        low, high = self._edges(columns)
        inner = columns[:, low:high]
        head = columns[:, :low] @ self.head.T
        products = inner @ inner.T + head @ head.T
        if high < columns.shape[1]:
            tail = columns[:, high:] @ self.tail.T
            products += tail @ tail.T
        total = self.add(columns)
        return self.gain * products - np.outer(total, total) / self.n_samples

    def _edges(self, columns: np.ndarray) -> tuple[int, int]:
        return len(self.plain_head), columns.shape[1] - len(self.plain_tail)


@lru_cache(maxsize=16)
def find_sums(form: Form) -> Sums:
    """Return the sums over epochs of a given form."""
    gain, n = form.factor / 2.0, form.n_columns
    n_edge = RAMP + 2 * HALF + 2
    if 2 * n_edge > n:
        rows = form.rows(np.arange(form.n_samples), 0, n)
        root = _root(rows.T @ rows / gain)
        return Sums(form.n_samples, gain, rows.sum(0), np.zeros(0), root, np.zeros((0, 0)))
    # Only samples near the ends are tapered: the epoch may be as long as a recording.
    n_near = min(form.n_samples, int(RAMP * form.factor / 2.0) + 2)
    first, last = np.arange(n_near), np.arange(form.n_samples - n_near, form.n_samples)
    after, before = 2.0 * first / form.factor, form.end - 2.0 * last / form.factor
    grid = np.arange(n) - HALF
    head = _taper_end(form, first[after < RAMP], after[after < RAMP], grid, 0, n_edge)
    near = before < RAMP
    tail = _taper_end(form, last[near], before[near], form.end - grid, n - n_edge, n)
    return Sums(form.n_samples, gain, head[0], tail[0], head[1], tail[1])


def _taper_end(
    form: Form, samples: np.ndarray, away: np.ndarray, grid: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the outer columns, and the square root of their quadratic form."""
    # The tapered part of the epoch is summed on the double-rate grid, the rest sample by sample.
    gain = form.factor / 2.0
    rows = form.rows(samples, low, high)
    left, passed = 1.0 - ramp(away), ramp(grid[low:high])
    square = (rows.T * left) @ rows / gain + np.diag(passed)
    return rows.T @ left + gain * passed, _root(square)


def _root(square: np.ndarray) -> np.ndarray:
    """Return a matrix R with R.T @ R = `square`."""
    values, vectors = np.linalg.eigh(square)
    return np.sqrt(np.clip(values, 0.0, None))[:, np.newaxis] * vectors.T


# -------------------------------------------------------------------------- epochs that are cut out
@lru_cache(maxsize=256)
def find_sampling(form: Form, part: int) -> EpochSampling:
    """Return the map for an epoch that starts `part` / factor after a double-rate sample."""
    factor, end = form.factor, (2 * (form.n_samples - 1) + part) / form.factor
    low = 1 - HALF
    high = int(np.ceil(end + HALF))  # the position after the last sample
    inner_low = HALF + (part > 0)
    inner_high = int(np.floor(end - HALF)) + 1
    if inner_low >= inner_high:
        inner_low = inner_high = high
    inner = inner_low < inner_high
    wide = min(4 * HALF + 2, form.n_columns) if inner else form.n_columns
    head = _outer_rows(form, part, np.arange(low, inner_low), 0, wide)
    tail = _outer_rows(
        form, part, np.arange(inner_high, high), form.n_columns - wide, form.n_columns
    )
    taps = form.phases[-part % factor]
    begin = inner_low + 1 - (part > 0)
    return EpochSampling(low, head, tail, taps, begin, inner_high - inner_low)


def _outer_rows(form: Form, part: int, places: np.ndarray, low: int, high: int) -> np.ndarray:
    """Return the weights of columns `low` to `high` in double-rate samples at `places`."""
    if not len(places):
        return np.zeros((0, high - low))
    at = (2.0 * np.arange(form.n_samples) + part) / form.factor
    near = np.flatnonzero((at > places[0] - HALF) & (at < places[-1] + HALF))
    down = decimator(form.factor, (2 * near + part)[np.newaxis], places[:, np.newaxis])
    return down @ form.rows(near, low, high)


def decimator(factor: int, at: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the weights of samples at `at` / factor in double-rate samples at `places`."""
    steps = at - factor * places
    grid = np.arange(-HALF * factor, HALF * factor + 1)
    values = interpolator(grid / factor)
    totals = np.array([values[(grid % 2) == odd].sum() for odd in (0, 1)])
    return interpolator(steps / factor) / totals[steps % 2]


@lru_cache(maxsize=16)
def find_border(factor: int) -> np.ndarray:
    """Return the weights of a signal's first high-rate samples in its first double-rate samples.

    Shape (HALF + 1, HALF * factor + 1). The signal is extended by its odd reflection.
    """
    n = HALF * factor
    places = np.arange(HALF + 1)[:, np.newaxis]
    inside = decimator(factor, 2 * np.arange(n + 1)[np.newaxis], places)
    before = decimator(factor, -2 * np.arange(1, n + 1)[np.newaxis], places)
    inside[:, 1:] -= before
    inside[:, 0] += 2 * before.sum(axis=1)
    inside.flags.writeable = False
    return inside
