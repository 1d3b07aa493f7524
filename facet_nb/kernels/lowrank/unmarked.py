"""Artifacts without markers, before the first and behind the last one of a train."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.lowrank.highband import average_high
from facet_nb.kernels.templates.subsample import Layout

#: Smallest correlation of an epoch with the mean epoch that shows an artifact, and the largest
#: factor between their sizes. EEG alone correlates by 0.1, one sample of jitter leaves 0.6.
_ALIKE, _FACTOR = 0.5, 2.0

#: Fewest samples of an epoch that tell whether it holds an artifact; its size decides in EEG alone.
_ENOUGH = 24


def find_unmarked(
    x: np.ndarray, layout: Layout, times: np.ndarray, period: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return onsets of artifacts that continue a train without markers of their own.

    The train is extrapolated epoch by epoch, up to the first one without the artifact.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal of the reference channel, in V.
    layout : Layout
        Positions of the artifacts of the train.
    times : ndarray, shape (n_epochs,)
        Their onsets, in samples.
    period : float
        Samples from one artifact to the next.

    Returns
    -------
    before, after : ndarray
        Onsets, in samples, in ascending order. The first may lie before the recording.

    Notes
    -----
    Epochs are those of second differences, in which EEG is weak. An epoch holds an artifact if it
    correlates with the mean epoch, and is at least half and at most twice as large.
    """
    template = average_high(x, layout)
    found = []
    for start, step in ((float(times[0]), -period), (float(times[-1]), period)):
        onsets, onset = [], start + step
        while _holds(x, template, onset):
            onsets.append(onset)
            onset += step
        found.append(np.sort(np.array(onsets)))
    return found[0], found[1]


def _holds(x: np.ndarray, template: np.ndarray, onset: float) -> bool:
    """Return whether an epoch, or what the recording has of it, holds the artifact."""
    first = round(onset)
    # One sample less on either side: those of the second differences, and of the rounded onset.
    low, high = max(first, 0) + 2, min(first + len(template), len(x)) - 2
    if high - low < _ENOUGH:
        return False
    expected = template[low - first : high - first]
    norm = float(expected @ expected)
    if norm < 0.1 * float(template @ template) * len(expected) / len(template) or not norm > 0:
        return False  # a silent part of the artifact
    for lag in (0, -1, 1):
        epoch = np.diff(x[low - 1 + lag : high + 1 + lag], 2)
        product, own = float(epoch @ expected), float(epoch @ epoch)
        alike = product >= _ALIKE * np.sqrt(own * norm)
        if alike and norm / _FACTOR <= product <= norm * _FACTOR:
            return True
    return False
