"""Saturated channels of a recording that has just been read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.recording import data_picks
from facet_nb.kernels.measures.recovery import find_clipped, find_runs

if TYPE_CHECKING:
    import mne

#: Separate times at which a channel must be at its extreme value, and the least time between two,
#: in s.
_TIMES, _APART_S = 3, 0.1
#: Steps of the resolution by which the signal jumps to its extreme: the crest of a slow wave
#: repeats a value, too, but is reached by single steps.
_JUMP = 3.0


def tell_saturated(raw: mne.io.BaseRaw) -> tuple[Finding, ...]:
    """Return a finding about saturated electrodes of a loaded recording.

    A channel is saturated if three or more equal samples at its largest or smallest value occur at
    three or more separate times.
    """
    sfreq, names, spans, most = float(raw.info["sfreq"]), [], [], 0
    for row in data_picks(raw):
        x = raw._data[row]
        at_edge = np.count_nonzero(x == x.max()) + np.count_nonzero(x == x.min())
        if at_edge < 3 * _TIMES:  # nearly always: the full search would take ten times as long
            continue
        runs = find_runs(find_clipped(x), 3)
        starts = np.array([start for start, _ in runs], dtype=np.int64)
        if _count_apart(starts, _APART_S * sfreq) < _TIMES or not _is_cut(x, starts):
            continue
        names.append(raw.ch_names[row])
        n = sum(stop - start for start, stop in runs)
        if n > most:
            most, spans = n, [(start / sfreq, stop / sfreq) for start, stop in runs]
    if not names:
        return ()
    found = make_finding(
        "channels_saturated",
        f"{len(names)} channels repeat their extreme value, one of them in {most} samples.",
        channels=names,
        span_s=spans,
        n_samples=most,
    )
    return (found,)


def _count_apart(starts: np.ndarray, least: float) -> int:
    """Return how many times more than `least` samples apart there are among sorted `starts`.

    Gaps between neighbours do not tell: an artifact that is cut in each slice leaves none.
    """
    n, last = 0, -np.inf
    for start in starts:
        if start - last > least:
            n, last = n + 1, start
    return n


def _is_cut(x: np.ndarray, starts: np.ndarray) -> bool:
    """Whether the signal jumps to its extreme value rather than reaching it by single steps."""
    jumps = np.abs(np.diff(x))[starts[starts > 0] - 1]
    return bool(len(jumps) and np.median(jumps) > _JUMP * np.min(np.diff(np.unique(x))))
