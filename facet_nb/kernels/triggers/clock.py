"""Marker times with sub-sample accuracy, from a model of the scanner's clock.

Markers are rounded to samples, but the scanner is regular: its marker times are a linear function
of their number. A fit over all markers gives each time to a small fraction of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.kernels.triggers.kept_results import keep_results
from facet_nb.kernels.triggers.spacing import Spacing, describe_spacing, missing_positions

#: Variance of a rounding error, in samples².
ROUNDING = 1.0 / 12.0

#: Largest RMS of residuals that rounding explains, in samples; that of pure rounding is 0.29.
MAX_RMS = 0.4

#: A marker is an outlier if its residual exceeds this, in samples, and five standard deviations.
_FAR = 1.5

#: Largest fraction of outliers of a fit that is trusted; a single one among ten markers may be.
_MAX_OUTLIERS, _OF_ONE = 0.05, 10

#: Smallest number of periods in a distance that may be a break instead.
_MANY_SLOTS = 3

#: Number of distances that give the period next to a break.
_N_AROUND = 200

#: Highest degree of the polynomial that models clock drift.
_MAX_DEGREE = 5


@dataclass(frozen=True)
class ClockFit:
    """Marker times with sub-sample accuracy.

    Attributes
    ----------
    times : ndarray, shape (n_markers,)
        Time of each marker, in samples: fitted if the fit is trusted, else as recorded.
    uncertainty : ndarray, shape (n_markers,)
        Standard error of each time, in samples. A common offset of all times is not included.
    fitted : ndarray, shape (n_markers,)
        Fitted times, whether trusted or not.
    residuals : ndarray, shape (n_markers,)
        Marker minus fit, in samples.
    outliers : ndarray of bool, shape (n_markers,)
        Markers that the fit leaves out: far from it, or superfluous.
    run : ndarray of int, shape (n_markers,)
        Run of the scanner to which a marker belongs; −1 for superfluous markers.
    missing : ndarray, shape (n_missing,)
        Times of missing markers between others of their run, in samples.
    period : float
        Samples from one marker to the next.
    pause : float
        Additional samples of a pause between volumes; 0 without pauses.
    degree : int
        1 for a line; more if the clocks drift relative to each other.
    rms : float
        Root mean square of the residuals without outliers, in samples.
    trusted : bool
        Whether residuals are as small as rounding makes them.
    verdict : str
        Assessment of the residuals, in a sentence.
    """

    times: np.ndarray
    uncertainty: np.ndarray
    fitted: np.ndarray
    residuals: np.ndarray
    outliers: np.ndarray
    run: np.ndarray
    missing: np.ndarray
    period: float
    pause: float
    degree: int
    rms: float
    trusted: bool
    verdict: str

    def report(self) -> dict[str, Any]:
        """Return the main results as a dictionary."""
        residuals = self.residuals[~self.outliers]
        return {
            "verdict": self.verdict,
            "trusted": self.trusted,
            "n_markers": len(self.times),
            "n_runs": int(self.run.max(initial=-1)) + 1,
            "n_missing": len(self.missing),
            "n_outliers": int(self.outliers.sum()),
            "period_samples": self.period,
            "pause_samples": self.pause,
            "degree": self.degree,
            "residual_rms_samples": self.rms,
            "residual_max_samples": float(np.abs(residuals).max(initial=0.0)),
            "uncertainty_samples": float(self.uncertainty.max(initial=0.0)),
        }


@keep_results
def fit_clock(markers: np.ndarray) -> ClockFit:
    """Fit marker samples against their numbers.

    Parameters
    ----------
    markers : ndarray of int, shape (n_markers,)
        Samples of slice or volume markers in ascending order; at least two.

    Returns
    -------
    ClockFit
        Times, their uncertainty, and whether the fit can be trusted.

    Notes
    -----
    Marker `j` of run `r` is number `k` in its run, after `v` pauses between volumes:

        sample = offset[r] + period · k + pause · v (+ a polynomial of time, of degree 5 at most).

    Runs share the clock, but each has its own offset. The polynomial is included only if the
    residuals of the line exceed rounding errors, with the degree that minimises the Bayesian
    information criterion.
    """
    spacing, kept = _leave_out_extras(markers)
    spacing = _separate_runs(markers[kept], spacing)
    t = markers[kept].astype(float)
    design, numbers, run_of_kept = _make_design(spacing, t)
    degree, coef, good = _choose_degree(design, t)
    columns = _extend(design, t, degree)
    fit = columns @ coef
    residuals = t - fit
    rms = float(np.sqrt(np.mean(residuals[good] ** 2)))
    spread = _find_spread(columns, good, rms)
    fitted, run = np.interp(markers, t, fit), np.full(len(markers), -1)
    fitted[kept], run[kept] = fit, run_of_kept
    outliers = np.ones(len(markers), dtype=bool)
    outliers[kept] = ~good
    n_free = len(t) - columns.shape[1]
    n_out = np.count_nonzero(~good)
    outside = 0.0 if n_out == 1 and len(t) >= _OF_ONE else n_out / len(t)
    trusted = rms <= MAX_RMS and n_free >= 1 and outside <= _MAX_OUTLIERS
    error = np.interp(markers, t, spread)
    if not trusted:
        error = np.full(len(markers), max(rms, np.sqrt(ROUNDING)))
    n_runs = int(run_of_kept[-1]) + 1
    return ClockFit(
        times=fitted if trusted else markers.astype(float),
        uncertainty=error,
        fitted=fitted,
        residuals=markers - fitted,
        outliers=outliers,
        run=run,
        missing=_find_missing(spacing, fit, numbers, coef, n_runs),
        period=float(coef[n_runs]) if len(coef) > n_runs else 0.0,
        pause=float(coef[n_runs + 1]) if spacing.pauses.any() else 0.0,
        degree=degree,
        rms=rms,
        trusted=bool(trusted),
        verdict=_say(rms, n_free, outside, degree),
    )


def describe_runs(markers: np.ndarray) -> Spacing:
    """Return the spacing of markers, in which no marker is missing between two runs.

    Parameters
    ----------
    markers : ndarray of int, shape (n_markers,)
        Sorted marker samples.

    Returns
    -------
    Spacing
        As of :func:`facet_nb.kernels.triggers.spacing.describe_spacing`; a break that only comes
        near a whole number of periods has 0 slots. Of an irregular train, in which one distance
        of ten or more would be such a break, the distances are explained as they are.
    """
    spacing = describe_spacing(markers)
    runs = _separate_runs(markers, spacing)
    n_breaks = runs.n_irregular - spacing.n_irregular
    return runs if n_breaks <= max(1, len(markers) // 10) else spacing


def _leave_out_extras(markers: np.ndarray) -> tuple[Spacing, np.ndarray]:
    """Return the spacing without superfluous markers, and which markers are kept."""
    kept = np.arange(len(markers))
    spacing = describe_spacing(markers)
    for _ in range(max(1, len(markers) // 10)):
        extra = _find_extra(markers[kept], spacing)
        if extra is None:
            break
        kept = np.delete(kept, extra)
        spacing = describe_spacing(markers[kept])
    return spacing, kept


def _find_extra(markers: np.ndarray, spacing: Spacing) -> int | None:
    """Return a marker without which the spacing of its neighbours is regular, or None."""
    if len(markers) < 4 or not spacing.usual:
        return None
    odd = spacing.slots == 0
    for i in np.flatnonzero(odd[:-1] & odd[1:]) + 1:
        whole = (markers[i + 1] - markers[i - 1]) / spacing.usual
        if round(whole) >= 1 and abs(whole - round(whole)) * spacing.usual <= 4:
            return int(i)
    return None


def _separate_runs(markers: np.ndarray, spacing: Spacing) -> Spacing:
    """Return the spacing with breaks where a distance is not a whole number of periods.

    Missing markers leave a distance that is exact to a few samples. A break between two runs of a
    sequence may come near a whole number of periods, but the runs have offsets of their own.
    """
    over = np.flatnonzero((spacing.slots >= _MANY_SLOTS) & (spacing.pauses == 0))
    if not len(over):
        return spacing
    exact = np.flatnonzero((spacing.slots == 1) & (spacing.pauses == 0))
    diffs = np.diff(markers).astype(float)
    near = np.abs(diffs[exact] - spacing.usual)
    limit = max(_FAR, 3.0 * float(np.quantile(near, 0.9))) if len(near) else _FAR
    slots, pauses = spacing.slots.copy(), spacing.pauses.copy()
    for i in over:
        # The period of the nearest markers: clocks may drift over a long recording.
        around = exact[np.argsort(np.abs(exact - i), kind="stable")[:_N_AROUND]]
        period = float(np.mean(diffs[around])) if len(around) else spacing.usual
        error = np.sqrt(2.0 * ROUNDING) / max(1.0, len(around)) * slots[i]
        if abs(diffs[i] - slots[i] * period) > limit + 3.0 * error:
            slots[i] = pauses[i] = 0
    return replace(spacing, slots=slots, pauses=pauses)


def _make_design(spacing: Spacing, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the design matrix (offsets, number, pauses), and number and run of each marker."""
    slots = spacing.slots.astype(float)
    run = np.concatenate([[0], np.cumsum(spacing.slots == 0)])
    number = np.concatenate([[0.0], np.cumsum(slots)])
    columns = [(run == r).astype(float) for r in range(int(run[-1]) + 1)]
    if number[-1] > 0:
        columns.append(number)
    if spacing.pauses.any():
        columns.append(np.concatenate([[0.0], np.cumsum(spacing.pauses.astype(float))]))
    return np.stack(columns, axis=1), number, run


def _extend(design: np.ndarray, t: np.ndarray, degree: int) -> np.ndarray:
    """Return the design matrix with Legendre polynomials of time, of degree 2 to `degree`."""
    if degree < 2:
        return design
    u = 2.0 * (t - t[0]) / (t[-1] - t[0]) - 1.0
    waves = np.polynomial.legendre.legvander(u, degree)[:, 2:]
    return np.concatenate([design, waves], axis=1)


def _choose_degree(design: np.ndarray, t: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Return degree, coefficients, and which markers are not outliers."""
    n_runs = _count_runs(design)
    coef, good = _fit_robustly(design, t, n_runs)
    best = (1, coef, good)
    n = len(t)

    def criterion(columns: np.ndarray, coef: np.ndarray, good: np.ndarray) -> float:
        error = np.minimum((t - columns @ coef) ** 2, _FAR**2)
        return n * np.log(max(float(error.mean()), ROUNDING / 4)) + columns.shape[1] * np.log(n)

    rms = np.sqrt(np.mean((t - design @ coef)[good] ** 2))
    if (rms <= 0.32 and good.mean() > 1 - _MAX_OUTLIERS) or n < 30:
        return best
    least = criterion(design, coef, good)
    for degree in range(2, _MAX_DEGREE + 1):
        columns = _extend(design, t, degree)
        coef, good = _fit_robustly(columns, t, n_runs)
        value = criterion(columns, coef, good)
        # A difference of 10 is very strong evidence (Kass & Raftery 1995).
        if value < least - 10.0:
            least, best = value, (degree, coef, good)
    return best


def _count_runs(design: np.ndarray) -> int:
    """Return the number of offset columns: the first ones, which together cover all markers."""
    return int(np.flatnonzero(np.cumsum(design, axis=1).min(axis=0) > 0)[0]) + 1


def _fit_robustly(columns: np.ndarray, t: np.ndarray, n_runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return least-squares coefficients, and which markers are not outliers."""
    good = np.ones(len(t), dtype=bool)
    middle = float(np.mean(t))
    for _ in range(20):
        coef = np.linalg.lstsq(columns[good], t[good] - middle, rcond=None)[0]
        far = np.abs(t - middle - columns @ coef)
        new = far <= max(_FAR, 5.0 * 1.4826 * float(np.median(far)))
        if np.array_equal(new, good) or new.sum() < columns.shape[1]:
            break
        good = new
    coef[:n_runs] += middle
    return coef, good


def _find_spread(columns: np.ndarray, good: np.ndarray, rms: float) -> np.ndarray:
    """Return the standard error of each fitted time, in samples."""
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    r = np.linalg.qr(columns[good] / scale, mode="r")
    error = (columns / scale) @ np.linalg.pinv(r)
    sigma = max(rms, float(np.sqrt(ROUNDING)))
    return sigma * np.sqrt(np.sum(error**2, axis=1))


def _find_missing(
    spacing: Spacing, fit: np.ndarray, numbers: np.ndarray, coef: np.ndarray, n_runs: int
) -> np.ndarray:
    """Return the times of missing markers, by interpolation between their neighbours."""
    found = [
        np.linspace(fit[i], fit[i + 1], int(spacing.slots[i]) + 1)[1:-1]
        for i in np.flatnonzero((spacing.slots > 1) & (spacing.pauses == 0))
    ]
    for i in np.flatnonzero((spacing.slots > 1) & (spacing.pauses > 0)):
        period = float(coef[n_runs])
        found.append(_step_over_pauses(spacing, fit, int(i), period))
    return np.sort(np.concatenate(found)) if found else np.zeros(0)


def _step_over_pauses(spacing: Spacing, fit: np.ndarray, i: int, period: float) -> np.ndarray:
    """Return the times of missing markers where the difference includes pauses."""
    before = missing_positions(np.rint(fit).astype(np.int64), spacing)
    inside = before[(before > fit[i] + period / 2) & (before < fit[i + 1] - period / 2)]
    return inside.astype(float)


def _say(rms: float, n_free: int, outside: float, degree: int) -> str:
    """Return an assessment of the residuals."""
    if n_free < 1:
        return "too few markers to test a line: times are the markers' own"
    if outside > _MAX_OUTLIERS:
        return f"{outside:.0%} of the markers lie off the line: times are the markers' own"
    if rms > MAX_RMS:
        return (
            f"residuals of {rms:.2f} samples rms are more than rounding makes (0.29): the markers "
            "or the scanner jitter, times are the markers' own"
        )
    if rms < 1e-6:
        return "markers lie on samples without any rest: the clocks are synchronised"
    kind = "a line" if degree == 1 else f"a polynomial of degree {degree}"
    return f"residuals of {rms:.2f} samples rms are rounding: markers lie on {kind}"
