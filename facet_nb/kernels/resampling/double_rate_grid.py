"""A high sampling rate, represented by twice the native one.

A signal that was upsampled by a whole number has no content above its native Nyquist frequency.
Its samples at twice the native rate say all of it: any other sample is a sum over the 20 nearest of
those, to 2e-8 of the peak, because a short interpolator has the octave between once and three
times the native Nyquist frequency for its transition. Sums over the samples of an epoch at the high
rate are sums over the doubled ones, with other weights at the two ends; and what the first part of
the way down makes of an epoch that is cut out at the high rate differs from its samples at its two
ends only. So nothing of length ``factor`` times the signal's is ever needed.

Positions are whole samples of the high rate. On the doubled grid position s is ``2 s / factor``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Half-width of the interpolator in samples of the doubled rate, and Kaiser's beta: 150 dB over a
#: transition from 1.005 to 2.995 native Nyquist frequencies (Kaiser 1974).
HALF = 10

BETA = 0.1102 * (8.0 + 2.285 * 2 * HALF * 0.995 * np.pi - 8.7)

#: Length of the ramps that hide a window's ends, in samples of the doubled rate, and their beta:
#: nothing is left of them beyond 1.99 native Nyquist frequencies, whence the sampling at the
#: doubled rate would fold products of two signals back to 0 Hz.
RAMP = 12

_RAMP_BETA = np.sqrt((0.995 * np.pi * RAMP / 2) ** 2 - np.pi**2)


def interpolator(t: np.ndarray) -> np.ndarray:
    """Return the interpolator at `t`, in samples of the doubled rate; 0 from HALF on."""
    inside = np.clip(1.0 - (t / HALF) ** 2, 0.0, None)
    return np.sinc(t) * np.i0(BETA * np.sqrt(inside)) / np.i0(BETA) * (inside > 0)


def ramp(t: np.ndarray) -> np.ndarray:
    """Return a smooth rise from 0 at 0 to 1 at RAMP: the integral of a Kaiser window."""
    nodes, weights = np.polynomial.legendre.leggauss(64)

    def integral(stop: np.ndarray) -> np.ndarray:
        at = stop[..., np.newaxis] * (nodes + 1) / 2
        inside = np.clip(1.0 - (2 * at / RAMP - 1) ** 2, 0.0, None)
        return (np.i0(_RAMP_BETA * np.sqrt(inside)) @ weights) * stop / 2

    return integral(np.clip(t, 0.0, RAMP)) / integral(np.array(float(RAMP)))


@dataclass(frozen=True)
class Piece:
    """How an epoch that is cut out at the high rate looks on the doubled grid.

    Its samples there begin `first` after the sample at or before its beginning. The outer ones are
    sums over the template's ends, the inner ones its samples, moved by a part of a step.

    Attributes
    ----------
    first : int
        Where it begins.
    head, tail : ndarray, shape (n_outer, n_columns)
        What makes the outer samples of the first and the last columns of the template.
    taps : ndarray, shape (2 HALF,)
        What makes each inner sample of as many columns.
    begin : int
        Column of the template that the first tap of the first inner sample meets.
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
    """What samples on the doubled grid say of an epoch of `n_samples` at the high rate.

    The epoch is given by its columns: samples on its own doubled grid, from HALF before its
    first sample on to HALF after its last.

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
        """Place of the last sample on the epoch's doubled grid."""
        return 2.0 * (self.n_samples - 1) / self.factor

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(np.ceil(self.end)) + 2 * HALF + 1

    def locate(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sample and part of a sample (in 1 / factor) of positions, on the doubled grid."""
        return np.divmod(2 * np.asarray(starts, dtype=np.int64), self.factor)

    @property
    def phases(self) -> np.ndarray:
        """What makes the value a part of a step after a sample, shape (factor, 2 HALF).

        Parts are 0, 1 / factor, 2 / factor …; the first tap is for the sample HALF - 1 before.
        """
        return _find_phases(self.factor)

    def rows(self, samples: np.ndarray, low: int, high: int) -> np.ndarray:
        """Return what makes samples at the high rate of columns low … high, (n, high - low).

        They must not need other columns.
        """
        whole, part = self.locate(samples)
        rows = np.zeros((len(samples), high - low))
        at = whole[:, np.newaxis] + np.arange(1, 2 * HALF + 1) - low
        np.put_along_axis(rows, at, self.phases[part], axis=1)
        return rows

    def evaluate(self, columns: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Return some samples at the high rate of an epoch that is given by its columns."""
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
    """Sums over an epoch's samples at the high rate, from its columns.

    Attributes
    ----------
    n_samples : int
        Samples of the epoch.
    gain : float
        High rate over doubled rate: the weight of inner columns.
    plain_head, plain_tail : ndarray, shape (n_edge,)
        Weights of the outer columns in the sum of samples; between them it is `gain`.
    head, tail : ndarray, shape (n_edge, n_edge)
        Roots of the quadratic forms of the outer columns, over `gain`; between them it is 1.
    """

    n_samples: int
    gain: float
    plain_head: np.ndarray
    plain_tail: np.ndarray
    head: np.ndarray
    tail: np.ndarray

    def add(self, columns: np.ndarray) -> np.ndarray:
        """Return the sum of the samples of each epoch, (n,), from its columns, (n, n_columns)."""
        low, high = self._edges(columns)
        total = columns[:, :low] @ self.plain_head
        total += self.gain * columns[:, low:high].sum(axis=1)
        return total + columns[:, high:] @ self.plain_tail

    def gram(self, columns: np.ndarray) -> np.ndarray:
        """Return inner products of epochs, their means taken away, shape (n, n)."""
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
    """Return the sums over epochs of a form."""
    gain, n = form.factor / 2.0, form.n_columns
    n_edge = RAMP + 2 * HALF + 2
    if 2 * n_edge > n:
        rows = form.rows(np.arange(form.n_samples), 0, n)
        root = _root(rows.T @ rows / gain)
        return Sums(form.n_samples, gain, rows.sum(0), np.zeros(0), root, np.zeros((0, 0)))
    # Only what lies near the ends is hidden: the whole may be a recording.
    n_near = min(form.n_samples, int(RAMP * form.factor / 2.0) + 2)
    first, last = np.arange(n_near), np.arange(form.n_samples - n_near, form.n_samples)
    after, before = 2.0 * first / form.factor, form.end - 2.0 * last / form.factor
    grid = np.arange(n) - HALF
    head = _hide(form, first[after < RAMP], after[after < RAMP], grid, 0, n_edge)
    near = before < RAMP
    tail = _hide(form, last[near], before[near], form.end - grid, n - n_edge, n)
    return Sums(form.n_samples, gain, head[0], tail[0], head[1], tail[1])


def _hide(
    form: Form, samples: np.ndarray, away: np.ndarray, grid: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the outer columns, and the root of their quadratic form.

    What a ramp lets pass is summed on the doubled grid; the rest, sample by sample.
    """
    gain = form.factor / 2.0
    rows = form.rows(samples, low, high)
    left, passed = 1.0 - ramp(away), ramp(grid[low:high])
    square = (rows.T * left) @ rows / gain + np.diag(passed)
    return rows.T @ left + gain * passed, _root(square)


def _root(square: np.ndarray) -> np.ndarray:
    """Return a matrix whose product with itself, transposed first, is `square`."""
    values, vectors = np.linalg.eigh(square)
    return np.sqrt(np.clip(values, 0.0, None))[:, np.newaxis] * vectors.T


# -------------------------------------------------------------------------- epochs that are cut out
@lru_cache(maxsize=256)
def find_piece(form: Form, part: int) -> Piece:
    """Return the piece of an epoch that begins `part` / factor after a sample."""
    factor, end = form.factor, (2 * (form.n_samples - 1) + part) / form.factor
    low = 1 - HALF
    high = int(np.ceil(end + HALF))  # behind the last
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
    return Piece(low, head, tail, taps, begin, inner_high - inner_low)


def _outer_rows(form: Form, part: int, places: np.ndarray, low: int, high: int) -> np.ndarray:
    """Return what makes doubled samples of a cut epoch of its columns low … high."""
    if not len(places):
        return np.zeros((0, high - low))
    at = (2.0 * np.arange(form.n_samples) + part) / form.factor
    near = np.flatnonzero((at > places[0] - HALF) & (at < places[-1] + HALF))
    down = decimator(form.factor, (2 * near + part)[np.newaxis], places[:, np.newaxis])
    return down @ form.rows(near, low, high)


def decimator(factor: int, at: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the weight of high-rate samples, at `at` / factor, for doubled samples at `places`."""
    steps = at - factor * places
    grid = np.arange(-HALF * factor, HALF * factor + 1)
    values = interpolator(grid / factor)
    totals = np.array([values[(grid % 2) == odd].sum() for odd in (0, 1)])
    return interpolator(steps / factor) / totals[steps % 2]


@lru_cache(maxsize=16)
def find_border(factor: int) -> np.ndarray:
    """Return what makes the first doubled samples of high-rate ones, where a signal begins.

    Shape (HALF + 1, HALF * factor + 1). The signal goes on as its own odd reflection.
    """
    n = HALF * factor
    places = np.arange(HALF + 1)[:, np.newaxis]
    inside = decimator(factor, 2 * np.arange(n + 1)[np.newaxis], places)
    before = decimator(factor, -2 * np.arange(1, n + 1)[np.newaxis], places)
    inside[:, 1:] -= before
    inside[:, 0] += 2 * before.sum(axis=1)
    inside.flags.writeable = False
    return inside
