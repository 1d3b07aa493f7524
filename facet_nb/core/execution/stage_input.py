"""Input of stages from recordings on disk, whose samples are copied to scratch files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.execution.deferred import DeferredSamples
from facet_nb.core.recording import Header, find_samples
from facet_nb.core.storage import scratch
from facet_nb.core.storage.array_store import Store
from facet_nb.core.storage.transpose import transpose

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True)
class OpenedInput:
    """The recording before a stage, with its samples.

    Attributes
    ----------
    context : ProcessingContext
        The recording.
    samples : ndarray, shape (n_channels, n_times) | None
        Its samples in a scratch file; None if the recording itself holds them.
    deferred : DeferredSamples | None
        Reads them again, if the stage may overwrite them.
    """

    context: ProcessingContext
    samples: np.ndarray | None = None
    deferred: DeferredSamples | None = None


def open_input(
    context: ProcessingContext,
    store: Store,
    check: Callable[[], None] | None = None,
    *,
    dtype: str = "float64",
    exclusive: bool = False,
) -> OpenedInput:
    """Return the samples of a recording, in channel-major order.

    A recording in memory, or already mapped, stays as it is. For a recording on disk, all results
    of the run are written to files as well.

    Parameters
    ----------
    context : ProcessingContext
        The recording.
    store : Store
        The run's arrays.
    check : callable | None
        Called between pieces; may raise to stop.
    dtype : {"float64", "float32"}
        Precision of the samples in a file, where the stage rounds them anyway.
    exclusive : bool
        Whether only this stage uses these samples. If they are needed later, the recording is read
        again.
    """
    raw = context._raw
    if raw is None or raw.preload:
        store.spill = store.spill or (raw is not None and scratch.is_spilled(raw._data))
        return OpenedInput(context)
    store.spill = True
    samples = find_samples(raw)
    if samples is not None:
        return OpenedInput(context, samples if dtype == samples.dtype else widen(samples))
    if exclusive or dtype != "float64":
        # These samples are rounded, or will be overwritten: the recording itself stays in its file.
        deferred = DeferredSamples(raw, dtype)
        return OpenedInput(context, deferred.read(check), deferred)
    samples = transpose(raw, check=check)
    new = context._derive(raw=Header.of(raw).attach(samples))
    original = context.get_raw_original()
    # The original recording must not be copied a second time.
    if original is raw:
        new._raw_original = new._raw
    elif original is not None and _has_same_samples(original, raw):
        new._raw_original = Header.of(original).attach(samples)
    return OpenedInput(new)


def widen(samples: np.ndarray) -> np.ndarray:
    """Return mapped samples as float64, in a scratch file."""
    result = scratch.create(samples.shape)[1]
    for row, values in zip(result, samples, strict=True):
        row[...] = values
        scratch.forget(samples, result)
    return result


def _has_same_samples(one: mne.io.BaseRaw, other: mne.io.BaseRaw) -> bool:
    """Whether two recordings on disk are the same except for their annotations."""
    return not one.preload and all(
        getattr(one, name) == getattr(other, name)
        for name in ("filenames", "ch_names", "first_samp", "n_times")
    )
