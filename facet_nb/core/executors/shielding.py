"""Steps that see all channels: what they are given cannot be changed in place."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.processor import Processor
from facet_nb.core.steps import COPY_FIRST, explain_read_only, protect


def run_shielded(processor: Processor, context: ProcessingContext) -> ProcessingContext:
    """Execute a processor that sees all channels; what it is given cannot be changed in place.

    It gets a recording of its own, whose samples are the caller's, read-only. It may put other
    samples, annotations or bad channels into it: they are in the result, and nowhere else.
    """
    own = type(processor).execute is not Processor.execute
    return shield(processor.execute if own else processor._execute, context)


def shield(
    execute: Callable[[ProcessingContext], ProcessingContext], context: ProcessingContext
) -> ProcessingContext:
    """Return what `execute` makes of `context`; see :func:`run_shielded`."""
    raw = context._raw
    if raw is None:
        return execute(context._derive(metadata=context.metadata.copy()))
    samples = raw._data if raw.preload else None
    view = None if samples is None else protect(samples)
    known = {} if samples is None else {id(samples): view}
    annotations = raw.annotations
    known[id(annotations)] = recording.copy_annotations(annotations)
    own = copy.deepcopy(raw, known)
    given = context._derive(raw=own, metadata=context.metadata.copy())
    given._noise_array = context._noise_array  # the samples are the same
    with explain_read_only(COPY_FIRST):
        new = execute(given)
    changed = own._data if own.preload else None
    if changed is view:
        if samples is not None:
            own._data = samples
    elif new._raw is own and new._noise is given._noise:  # assigned, without with_raw
        new = new.with_raw(own)
    if samples is None:
        return new
    _release(new._raw)
    return new._moved(lambda array: samples if array is view or array is changed else array)


def _release(raw: Any) -> None:
    """Make samples writable that a processor took over from its read-only input."""
    if raw is not None and raw.preload and not raw._data.flags.writeable:
        with contextlib.suppress(ValueError):  # somebody else's read-only memory: it stays so
            raw._data.flags.writeable = True
