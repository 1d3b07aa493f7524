"""Recordings that are not in memory: brought into files that stages can work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.execution.deferred import Origin
from facet_nb.core.recording import Header, find_samples
from facet_nb.core.storage import scratch
from facet_nb.core.storage.array_store import Store, fresh_array
from facet_nb.core.storage.transpose import transpose


@dataclass(frozen=True)
class Source:
    """Samples that a stage begins with.

    Attributes
    ----------
    context : ProcessingContext
        The recording; its samples may still lie in a file of somebody else's.
    samples : ndarray, shape (n_channels, n_times) | None
        Its samples in a scratch file; None for those of the recording.
    origin : Origin | None
        Where they were read from, if nobody but the stage has them: it may write over them.
    """

    context: ProcessingContext
    samples: np.ndarray | None = None
    origin: Origin | None = None


def bring_in(
    context: ProcessingContext,
    store: Store,
    check: Callable[[], None] | None = None,
    *,
    dtype: str = "float64",
    once: bool = False,
) -> Source:
    """Return samples that can be reached: those of a file in channel-major order.

    A recording that is in memory, or mapped already, stays as it is. For one that was left in its
    file all results of the run go to files, too.

    Parameters
    ----------
    context : ProcessingContext
        The recording.
    store : Store
        The run's arrays.
    check : callable | None
        Called between pieces; may raise to stop.
    dtype : {"float64", "float32"}
        Of the samples in a file, where the stage rounds them anyway.
    once : bool
        Whether only this stage will look at them: whoever asks later reads the recording again.
    """
    raw = context._raw
    if raw is None or raw.preload:
        store.spill = store.spill or (raw is not None and scratch.is_spilled(raw._data))
        return Source(context)
    store.spill = True
    samples = find_samples(raw)
    if samples is not None:
        if dtype == samples.dtype:
            return Source(context, samples)
        return Source(context, widen(samples))
    if once or dtype != "float64":
        origin = Origin(raw, dtype)
        return Source(context, origin.read(check), origin)
    samples = transpose(raw, check=check)
    new = context._derive(raw=Header.of(raw).attach(samples))
    original = context.get_raw_original()
    if original is raw:
        new._raw_original = new._raw
    elif original is not None and _has_same_samples(original, raw):
        new._raw_original = Header.of(original).attach(samples)
    return Source(new)


def widen(samples: np.ndarray) -> np.ndarray:
    """Return mapped samples as float64, in a file."""
    result = scratch.create(samples.shape)[1]
    for row, values in zip(result, samples, strict=True):
        row[...] = values
        scratch.forget(samples, result)
    return result


def _has_same_samples(one: Any, other: Any) -> bool:
    """Whether two recordings that were left in their files are the same but for annotations."""
    return not one.preload and all(
        getattr(one, name) == getattr(other, name)
        for name in ("filenames", "ch_names", "first_samp", "n_times")
    )


def settle_rows(array: np.ndarray, spill: bool) -> np.ndarray:
    """Return a copy of samples of a run's file: in memory, or (`spill`) in a file of its own."""
    result = scratch.create(array.shape)[1] if spill else fresh_array(array.shape)
    for row, values in zip(result, array, strict=True):
        row[...] = values
        scratch.forget(array, result)
    return result
