"""Recordings that are not in memory: brought into files that stages can work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.executors import scratch
from facet_nb.core.executors.finite import check_finite
from facet_nb.core.executors.store import Store, fresh_array
from facet_nb.core.executors.task import as_slice
from facet_nb.core.recording import Header
from facet_nb.core.steps import ArrayStep
from facet_nb.core.transpose import transpose

#: Values in one piece of a step over all channels: 8 MB.
_VALUES = 2**20


def bring_in(
    context: ProcessingContext, store: Store, check: Callable[[], None] | None = None
) -> ProcessingContext:
    """Return a context whose samples can be reached: those of a file in channel-major order.

    A recording that is in memory, or mapped already, stays as it is. For one that was left in its
    file all results of the run go to files, too.
    """
    raw = context._raw
    if raw is None or raw.preload:
        store.spill = store.spill or (raw is not None and scratch.is_spilled(raw._data))
        return context
    store.spill = True
    samples = transpose(raw, check=check)
    new = context._derive(raw=Header.of(raw).attach(samples))
    original = context.get_raw_original()
    if original is raw:
        new._raw_original = new._raw
    elif original is not None and _has_same_samples(original, raw):
        new._raw_original = Header.of(original).attach(samples)
    return new


def _has_same_samples(one: Any, other: Any) -> bool:
    """Whether two recordings that were left in their files are the same but for annotations."""
    return not one.preload and all(
        getattr(one, name) == getattr(other, name)
        for name in ("filenames", "ch_names", "first_samp", "n_times")
    )


def compute_in_parts(
    step: ArrayStep,
    source: np.ndarray,
    target: np.ndarray,
    picks: list[int],
    names: tuple[str, ...],
) -> None:
    """Run a step that sees all channels, piece by piece, over samples that lie in a file.

    Pieces are spans of time or groups of channels, as the step's ``splits`` allows.
    """
    if step.processor.splits == "channels":
        parts = [([channel], slice(None)) for channel in picks]
    else:
        length, n_times = max(_VALUES // len(picks), 1), source.shape[1]
        spans = [slice(i, min(i + length, n_times)) for i in range(0, n_times, length)]
        parts = [(picks, span) for span in spans]
    for channels, span in parts:
        rows = as_slice(channels)
        x = source[rows, span]
        check_finite(x, [names[c] for c in channels])
        target[rows, span] = step.run(x, channels)
        scratch.forget(source, target)


def settle_rows(array: np.ndarray, spill: bool) -> np.ndarray:
    """Return a copy of samples of a run's file: in memory, or (`spill`) in a file of its own."""
    result = scratch.create(array.shape)[1] if spill else fresh_array(array.shape)
    for row, values in zip(result, array, strict=True):
        row[...] = values
        scratch.forget(array, result)
    return result
