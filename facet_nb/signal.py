"""Functions over arrays: what the steps do, without a recording.

Each function takes signals of shape (n_channels, n_times) and the sampling rate, and returns a new
array; the unit is that of the input. ``n_workers`` threads share the work, which changes no bit of
the result.

Types are handled on purpose. float64 and float32 signals give results of their type (where only
float64 is computed, it is rounded once). Integers are computed in float64 and give float64. With
``out=``, an integer array gets rounded values, and an error if they exceed its range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.execution.threads import run_blocks, split, split_times
from facet_nb.kernels.filters import fir, iir
from facet_nb.kernels.filters.common_reference import (
    Part,
    find_nearest,
    subtract_common,
    subtract_references,
)
from facet_nb.kernels.filters.fir_design import design_fir
from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.templates.averaging import average_blocks
from facet_nb.kernels.templates.subtraction import subtract_templates

__all__ = ["common_reference", "filter_fir", "filter_sos", "resample", "subtract_template"]


@fill_doc
def filter_fir(
    x: np.ndarray,
    sfreq: float,
    *,
    l_freq: float | None = None,
    h_freq: float | None = None,
    n_workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Filter each channel with a zero-phase FIR filter of MNE's default design.

    Parameters
    ----------
    %(signals)s
    %(sfreq)s
    l_freq, h_freq : float | None
        Edges of the pass band, in Hz; None for no edge.
    %(channel_threads)s
    %(out)s

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals, as of :class:`facet_nb.Filter`. float32 is filtered in float32.

    Raises
    ------
    %(invalid)s
    """
    taps = _design(sfreq, l_freq, h_freq, {"method": "fir"})
    return _by_channel(
        lambda a, b: fir.filter_zero_phase(a, taps, out=b), x, sfreq, n_workers, out, single=True
    )


@fill_doc
def filter_sos(
    x: np.ndarray,
    sfreq: float,
    *,
    l_freq: float | None = None,
    h_freq: float | None = None,
    order: int = 4,
    phase: str = "zero",
    n_workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Filter each channel with a Butterworth filter, forwards and backwards or causally.

    Parameters
    ----------
    %(signals)s
    %(sfreq)s
    l_freq, h_freq : float | None
        Edges of the pass band, in Hz; None for no edge. Amplitudes are halved there, or are 0.71
        of what they were (−3 dB) with ``phase="forward"``.
    order : int
        Order of the filter.
    phase : {"zero", "forward"}
        ``"zero"``: the filter is applied forwards and backwards. ``"forward"``: once, so that no
        sample depends on a later one; it delays what it passes, and starts as if the first sample
        had always been.
    %(channel_threads)s
    %(out)s

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Filtered signals, as of :class:`facet_nb.Filter` with ``method="iir"`` and `phase`.

    Raises
    ------
    %(invalid)s
    """
    if not isinstance(order, int | np.integer) or order < 1:
        raise ValidationError(f"order={order!r}: use a whole number of at least 1.")
    if phase not in ("zero", "forward"):
        raise ValidationError(f"phase={phase!r}: use 'zero' or 'forward'.")
    params = {"order": int(order), "ftype": "butter", "output": "sos"}
    design = _design(sfreq, l_freq, h_freq, {"method": "iir", "iir_params": params})
    sos, padlen = np.asarray(design["sos"]), int(design["padlen"])
    if phase == "forward":

        def work(a: np.ndarray, b: np.ndarray) -> None:
            iir.ForwardFilter(sos).push(a, (), b)

        return _by_channel(work, x, sfreq, n_workers, out)
    return _by_channel(
        lambda a, b: iir.filter_sos(a, sos, padlen=padlen, out=b), x, sfreq, n_workers, out
    )


@fill_doc
def resample(
    x: np.ndarray,
    sfreq: float,
    new_sfreq: float,
    *,
    n_workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resample each channel, band-limited and without a shift in time.

    Parameters
    ----------
    %(signals)s
    sfreq, new_sfreq : float
        Old and new sampling rate, in Hz; their ratio must be a fraction of integers up to 10 000.
    %(channel_threads)s
    out : ndarray, shape (n_channels, round(n_times * new_sfreq / sfreq)) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, round(n_times * new_sfreq / sfreq))
        Resampled signals, as of :class:`facet_nb.Resample`.

    Raises
    ------
    %(invalid)s
    """
    _check_rate(sfreq)
    _check_rate(new_sfreq, "new_sfreq")
    ratio, exact = windowed_sinc.find_ratio(sfreq, new_sfreq)
    if not exact:
        raise ValidationError(
            f"new_sfreq={new_sfreq:g} over {sfreq:g} Hz is not a fraction of integers up to "
            f"10 000: use {float(ratio) * sfreq!r} Hz, the nearest rate that is."
        )
    up, down = ratio.numerator, ratio.denominator
    x = _check_signal(x)
    n_times = windowed_sinc.count(x.shape[1], up, down)
    return _by_channel(
        lambda a, b: windowed_sinc.resample(a, up, down, out=b), x, sfreq, n_workers, out, n_times
    )


@fill_doc
def common_reference(
    x: np.ndarray,
    sfreq: float,
    *,
    operator: str = "median",
    reference: Sequence[int] | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    neighbours: int | None = None,
    positions: np.ndarray | None = None,
    n_workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Subtract the median or the mean of channels from each of them, sample by sample.

    Parameters
    ----------
    %(signals)s
    %(unused_sfreq)s
    operator : {"median", "average"}
        What to subtract.
    reference : sequence of int | None
        Rows that are the reference of all channels; None for all rows.
    groups : sequence of sequences of int | None
        Groups of rows; each one is its own reference. Other rows do not change.
    neighbours : int | None
        Number of nearest channels that are the reference of each channel; needs `positions`.
    positions : ndarray, shape (n_channels, 3) | None
        Positions of the channels, in any unit.
    n_workers : int
        Threads that share the time.
    out : ndarray, shape (n_channels, n_times) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Re-referenced signals, as of :class:`facet_nb.CommonReference`.

    Raises
    ------
    %(invalid)s
    """
    if operator not in ("median", "average"):
        raise ValidationError(f"operator={operator!r}: use 'median' or 'average'.")
    _check_rate(sfreq)
    x = _check_signal(x)
    parts = _find_references(len(x), reference, groups, neighbours, positions)
    given, result, target = _make_arrays(x, x.shape[1], out, single=True)
    blocks = split_times(len(x), x.shape[1], _check_workers(n_workers))

    def work(block: slice) -> None:
        if parts is None:
            subtract_common(given[:, block], operator, out=result[:, block])
        else:
            subtract_references(given[:, block], operator, parts, out=result[:, block])

    run_blocks(work, blocks)
    return _finish(result, target)


def _find_references(
    n: int,
    reference: Sequence[int] | None,
    groups: Sequence[Sequence[int]] | None,
    neighbours: int | None,
    positions: np.ndarray | None,
) -> list[Part] | None:
    """Return rows and the rows of their reference; None if all rows are the reference of all."""
    if sum(choice is not None for choice in (reference, groups, neighbours)) > 1:
        raise ValidationError("Give one of reference, groups and neighbours.")
    if neighbours is not None:
        places = None if positions is None else np.asarray(positions, float)
        if places is None or places.ndim != 2 or len(places) != n or not np.isfinite(places).all():
            raise ValidationError("neighbours needs positions: finite, shape (n_channels, 3).")
        if not 1 <= neighbours < n:
            raise ValidationError(f"neighbours={neighbours!r}: use 1 to {n - 1}.")
        return find_nearest(places, neighbours)
    chosen = groups if reference is None else [reference]
    rows = [] if chosen is None else [np.asarray(part) for part in chosen]
    for part in rows:
        if part.ndim != 1 or not part.size or part.dtype.kind not in "iu":
            raise ValidationError(f"{part.tolist()!r}: give a list of row numbers.")
        if part.min() < 0 or part.max() >= n:
            raise ValidationError(f"{part.tolist()!r}: rows are 0 to {n - 1}.")
    if reference is not None:
        return [(np.arange(n), rows[0])]
    if groups is None:
        return None
    if not rows:
        raise ValidationError("groups is empty.")
    if len(np.unique(np.concatenate(rows))) < sum(map(len, rows)):
        raise ValidationError("A row is in the groups twice.")
    return [(part, part) for part in rows]


@fill_doc
def subtract_template(
    x: np.ndarray,
    sfreq: float,
    starts: np.ndarray,
    n_samples: int,
    *,
    window: int = 30,
    threshold: float = 0.975,
    n_workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Subtract averaged artifact templates from each channel (Allen et al. 2000).

    Parameters
    ----------
    %(signals)s
    %(unused_sfreq)s
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact, ascending. Artifacts that extend beyond the signal enter no
        template.
    n_samples : int
        Length of an artifact, in samples.
    window : int
        Number of consecutive artifacts that share a template.
    threshold : float
        Pearson correlation with the running mean above which an artifact enters the template.
    %(channel_threads)s
    %(out)s

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Corrected signals, as of :class:`facet_nb.AASCorrection` without realignment.

    Raises
    ------
    %(invalid)s

    References
    ----------
    %(allen_2000)s
    """
    places = np.asarray(starts)
    if places.ndim != 1 or not np.issubdtype(places.dtype, np.integer) or len(places) < 2:
        raise ValidationError("starts must be whole sample positions of at least two artifacts.")
    if np.any(np.diff(places) <= 0) or n_samples < 1 or window < 1 or not 0 < threshold <= 1:
        raise ValidationError(
            "starts must ascend, n_samples and window be 1 or more, and threshold be above 0 and "
            "at most 1."
        )
    places = places.astype(np.int64)

    def work(a: np.ndarray, b: np.ndarray) -> None:
        for row, target in zip(a, b, strict=True):
            found = average_blocks(row, places, int(n_samples), window=window, threshold=threshold)
            subtract_templates(row, places, *found, out=target)

    return _by_channel(work, x, sfreq, n_workers, out)


# ------------------------------------------------------------------------------------ helpers
def _design(
    sfreq: float, l_freq: float | None, h_freq: float | None, options: dict[str, Any]
) -> Any:
    _check_rate(sfreq)
    if l_freq is None and h_freq is None:
        raise ValidationError("give l_freq, h_freq, or both, in Hz.")
    for edge in (l_freq, h_freq):
        if edge is not None and not 0 < edge < sfreq / 2:
            raise ValidationError(
                f"{edge:g} Hz is not between 0 and the Nyquist frequency ({sfreq / 2:g} Hz)."
            )
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise ValidationError(f"l_freq={l_freq:g} must be below h_freq={h_freq:g}.")
    if options == {"method": "fir"}:
        return design_fir(sfreq, l_freq, h_freq)
    from mne.filter import create_filter

    fixed = {"phase": "zero", "fir_design": "firwin", "verbose": "error"}
    return create_filter(None, sfreq, l_freq, h_freq, **options, **fixed)


def _check_rate(sfreq: float, name: str = "sfreq") -> None:
    if not (np.isreal(sfreq) and 0 < float(sfreq) < np.inf):
        raise ValidationError(f"{name}={sfreq!r} must be above 0 Hz.")


def _check_workers(n_workers: int) -> int:
    if not isinstance(n_workers, int | np.integer) or n_workers < 1:
        raise ValidationError(f"n_workers={n_workers!r} must be 1 or more threads.")
    return int(n_workers)


def _check_signal(x: Any) -> np.ndarray:
    """Return signals as an array of float64, float32 or integers."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.size:
        raise ValidationError(f"x has shape {x.shape}; it must be (n_channels, n_times).")
    if x.dtype in (np.float32, np.float64):
        if not np.isfinite(x).all():
            raise ValidationError("x holds NaN or infinity: repair or drop these channels.")
        return x
    if not np.issubdtype(x.dtype, np.integer):
        raise ValidationError(f"x holds {x.dtype}; give float64, float32 or integers.")
    return x


def _make_arrays(
    x: np.ndarray, n_times: int, out: np.ndarray | None, single: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the signals as they are computed, an array for the result, and where it goes."""
    kind = x.dtype if single and x.dtype == np.float32 else np.dtype(float)
    given = x if x.dtype == kind else x.astype(kind)
    shape = len(x), n_times
    if out is None:
        out = np.empty(shape, np.float32 if x.dtype == np.float32 else float)
    elif out.shape != shape:
        raise ValidationError(f"out has shape {out.shape}; the result has {shape}.")
    elif not (out.dtype in (np.float32, np.float64) or np.issubdtype(out.dtype, np.integer)):
        raise ValidationError(f"out holds {out.dtype}; give float64, float32 or integers.")
    direct = out.dtype == kind and not np.may_share_memory(x, out)
    return given, out if direct else np.empty(shape, kind), out


def _finish(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return `target` with the result, rounded to its type."""
    if result is target:
        return target
    if np.issubdtype(target.dtype, np.integer):
        result = np.rint(result)
        limits = np.iinfo(target.dtype)
        if result.min() < limits.min or result.max() > limits.max:
            raise ValidationError(
                f"the result, {result.min():g} to {result.max():g}, exceeds {target.dtype}: give "
                "out= of float64 or float32, or scale x."
            )
    target[...] = result.astype(target.dtype)
    return target


def _by_channel(
    work: Callable[[np.ndarray, np.ndarray], Any],
    x: Any,
    sfreq: float,
    n_workers: int,
    out: np.ndarray | None,
    n_times: int | None = None,
    single: bool = False,
) -> np.ndarray:
    """Return the result of `work`, the channels shared by threads."""
    _check_rate(sfreq)
    x = _check_signal(x)
    given, result, target = _make_arrays(x, n_times or x.shape[1], out, single)
    blocks = split(len(x), _check_workers(n_workers))
    run_blocks(lambda rows: work(given[rows], result[rows]), blocks)
    return _finish(result, target)
