"""Findings about the train of artifacts that a correction works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facet_nb.core.findings import Finding, Severity, make_finding
from facet_nb.core.processor import View
from facet_nb.kernels.measures.recovery import find_constant
from facet_nb.kernels.triggers.evidence import find_scanned
from facet_nb.kernels.triggers.pace import Pace
from facet_nb.kernels.triggers.runs import Train
from facet_nb.kernels.triggers.spacing import describe_spacing, is_in_alpha

#: A signal that is constant for so long, in s, is none.
_LOST_S = 0.1
#: Artifacts below which a mean takes so much EEG that it is told: 1.7 % of its power, −18 dB.
_FEW = 60
#: Markers, at most, whose times a finding has.
_LISTED = 20


def tell_unmarked(view: View, first: np.ndarray, last: np.ndarray) -> list[Finding]:
    """Return a finding about artifacts outside the marked time of the reference channel.

    Pauses between markers are looked at as well: markers that are missing in a regular pattern
    leave a train that a scanner with pauses would have, too.

    Parameters
    ----------
    view : View
        What the step sees; the reference channel is needed.
    first, last : ndarray, shape (n_epochs,)
        Starts of the artifacts of the first run and of the last one, in samples.
    """
    assert view.reference is not None
    # The last artifact ends a distance later; before a pause the distance of slices is the usual.
    begin, end = int(first[0]), int(last[-1] + np.median(np.diff(last)))
    runs = (first,) if np.array_equal(first, last) else (first, last)
    pauses = [pause for run in runs for pause in _list_pauses(run)]
    found = find_scanned(view.reference, begin, end, view.sfreq, pauses)
    if not found:
        return []
    spans = [(a / view.sfreq, b / view.sfreq) for a, b in found]
    before, after = found[0][0] < begin, found[-1][1] > end
    where = ["before the first"] * before + ["after the last"] * after
    where = [f"{' and '.join(where)} marked artifact"] if where else []
    n = sum(begin <= a and b <= end for a, b in found)
    where += [f"in {n} pauses between markers, some of which may be missing"] if n else []
    seconds = sum(b - a for a, b in spans)
    return [
        make_finding(
            "artifact_unmarked",
            f"The scanner was running for {seconds:.2f} s {', and '.join(where)}.",
            span_s=spans,
            seconds=seconds,
            n_pauses=n,
        )
    ]


def tell_drift(paces: Sequence[Pace], sfreq: float) -> list[Finding]:
    """Return a finding about artifacts whose period is not that of their markers.

    Parameters
    ----------
    paces : sequence of Pace
        How each run keeps the time of its markers; the one that differs most is told.
    sfreq : float
        Sampling rate, in Hz.
    """
    worst = max(paces, key=lambda own: abs(own.pace))
    if not worst.is_mended:
        return []
    severity: Severity = "warning" if worst.blurs else "note"
    detail, figures = worst.describe(sfreq)
    return [make_finding("triggers_drift", detail, severity=severity, **figures)]


def _list_pauses(markers: np.ndarray) -> list[tuple[int, int]]:
    """Return the pauses between volumes of a run, in samples: to the next marker."""
    spacing = describe_spacing(markers)
    if not spacing.volume_gaps:
        return []
    at = np.flatnonzero(spacing.pauses)
    behind = markers[at] + np.rint(spacing.slots[at] * spacing.usual).astype(np.int64)
    return list(zip(behind.tolist(), markers[at + 1].tolist(), strict=True))


def tell_lost(view: View) -> list[Finding]:
    """Return a finding about stretches in which the reference channel is constant."""
    if not isinstance(view.reference, np.ndarray):
        return []  # a preview at a higher rate: nothing is constant there, and it would be computed
    runs = find_constant(view.reference, max(3, round(_LOST_S * view.sfreq)))
    if not runs or runs == [(0, view.n_times)]:
        return []
    spans = [(start / view.sfreq, stop / view.sfreq) for start, stop in runs]
    seconds = sum(stop - start for start, stop in spans)
    detail = f"{view.reference_name} is constant for {seconds:.2f} s."
    return [make_finding("signal_lost", detail, span_s=spans, seconds=seconds)]


def tell_broken(spans_s: Sequence[tuple[float, float]]) -> list[Finding]:
    """Return a finding about artifacts that reach over a break in time, by their spans in s."""
    n = len(spans_s)
    detail = (
        f"{n} artifact{'s' if n > 1 else ''} reach{'es' if n == 1 else ''} over a break in time."
    )
    return [make_finding("epochs_incomplete", detail, span_s=spans_s, n=n)] if n else []


def tell_train(train: Train, runs: Sequence[Mapping[str, Any]], sfreq: float) -> list[Finding]:
    """Return findings about markers that were left out or completed, and about runs.

    Parameters
    ----------
    train : Train
        The markers, sorted into runs, doubles and strays.
    runs : sequence of mapping
        What the correction noted of each run: ``"clock"``, ``"times"``, ``"n_artifacts"`` …
    sfreq : float
        Sampling rate, in Hz.
    """
    found = []
    if n := len(train.doubled):
        detail, spans = f"{n} doubled markers were left out.", _list_spans(train.doubled, sfreq)
        found.append(make_finding("triggers_doubled", detail, span_s=spans, n=n, remedy=""))
    if n := len(train.stray):
        detail, spans = f"{n} stray markers were left out.", _list_spans(train.stray, sfreq)
        found.append(make_finding("triggers_stray", detail, span_s=spans, n=n, remedy=""))
    if len(train.runs) > 1:
        found.append(_tell_runs(train, runs, sfreq))
    missing = sum(int(run["clock"]["n_missing"]) for run in runs)
    trusted = all(run["clock"]["trusted"] for run in runs)
    if missing and trusted:
        detail = f"{missing} missing markers were completed from the fit of the clock."
        found.append(make_finding("triggers_completed", detail, n=missing))
    if not trusted:
        worst = max(runs, key=lambda run: float(run["clock"]["residual_rms_samples"]))
        rms = float(worst["clock"]["residual_rms_samples"])
        detail = f"Onsets are taken from: {worst['times']}; {worst['clock']['verdict']}."
        found.append(make_finding("triggers_jittered", detail, rms_samples=rms))
    for run in runs:
        distance_s = float(run.get("slice_samples", 0.0)) / sfreq
        if run.get("slices_found", 1) > 1 and is_in_alpha(distance_s):
            detail = f"Slices were found that follow each other at {1 / distance_s:.4g} Hz."
            found.append(make_finding("slice_rate_in_alpha", detail, rate_hz=1 / distance_s))
    found += _tell_few(runs)
    return found


def _tell_few(runs: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return findings about artifacts, or volumes, that are few for a template."""
    found = []
    numbers = [run["n_artifacts"] // run["n_blocks"] for run in runs if run["n_artifacts"]]
    n = min(numbers, default=_FEW)
    if n < _FEW:
        detail = (
            f"Templates are learned from {n} artifacts: they take {100 / n:.1f} % of the EEG's "
            "power, and as much again for each change of the artifact that they follow."
        )
        found.append(make_finding("epochs_few", detail, n=n))
    locked = [run for run in runs if run.get("locked_to_volumes")]
    if locked:
        n = min(int(run["n_volumes"]) for run in locked)
        strength = max(float(run["locked_to_volumes"]) for run in locked)
        detail = (
            f"Its mean over {n} volumes was subtracted ({strength:.1f} times what slices leave by "
            f"chance), and {100 / n:.1f} % of the EEG's power where it was found."
        )
        severity: Severity = "warning" if n < _FEW else "note"
        told = make_finding(
            "locked_to_volumes", detail, severity=severity, strength=strength, n_volumes=n
        )
        found.append(told)
    return found


def _list_spans(markers: np.ndarray, sfreq: float) -> list[tuple[float, float]]:
    """Return the times of a few markers as spans, in s; nothing for many."""
    return [(m / sfreq, m / sfreq) for m in markers] if len(markers) <= _LISTED else []


def _tell_runs(train: Train, runs: Sequence[Mapping[str, Any]], sfreq: float) -> Finding:
    """Return a finding about runs: corrected each by itself, or left as they are."""
    spans = [(run[0] / sfreq, run[-1] / sfreq) for run in train.runs]
    left = [span for span, run in zip(spans, runs, strict=True) if not run["n_artifacts"]]
    if left:
        return make_finding(
            "runs_apart",
            f"{len(left)} of {len(runs)} runs have fewer than two complete artifacts and were left "
            "as they are.",
            severity="warning",
            span_s=left,
            n_runs=len(runs),
            n_left=len(left),
        )
    detail = f"{len(runs)} runs have templates of their own."
    return make_finding("runs_apart", detail, span_s=spans, n_runs=len(runs), n_left=0)
