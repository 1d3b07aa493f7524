"""What a stage leaves behind: the new context, and files that nobody needs any more."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.execution import stage_input
from facet_nb.core.execution.deferred import Origin
from facet_nb.core.execution.stage import Prepared, StageInput
from facet_nb.core.metadata import ProcessingStep, to_plain
from facet_nb.core.planning.fusion import FusedSteps
from facet_nb.core.storage import scratch
from facet_nb.core.storage.array_store import Store


def finish(
    context: ProcessingContext,
    subject: StageInput,
    prepared: Prepared,
    result: np.ndarray | None,
    origin: Origin | None = None,
) -> ProcessingContext:
    """Return the context after a stage; `result` None if the samples stay.

    `origin` is where samples come from that the stage has written over.
    """
    new = context
    if result is not None:
        state = prepared.state
        raw = subject.header.attach(
            result, sfreq=state.sfreq, first_samp=state.first_samp, band=state.band
        )
        follows = all(p.channel_wise or getattr(p, "linear", False) for p in subject.processors)
        if follows:
            picks = [int(i) for i in subject.picks]
            base = _base(context, subject) if origin is None else origin
            new = context._stepped(raw, prepared.steps, base, picks)
        else:
            new = context.with_raw(raw)
    new = new.with_metadata(prepared.state.metadata)
    for step, notes in zip(prepared.steps, prepared.notes, strict=True):
        if isinstance(step.processor, FusedSteps):
            new._history = (*new._history, *step.processor.list_entries(notes))
            continue
        parameters = {**step.processor.get_parameters(), **notes}
        kind = type(step.processor).__name__
        entry = ProcessingStep(step.processor.name, kind, to_plain(parameters))
        new._history = (*new._history, entry)
    return new


def _base(context: ProcessingContext, subject: StageInput) -> np.ndarray:
    """Return the samples before the stage: the recording's own where it holds them."""
    raw = context.get_raw()
    return raw._data if raw.preload else subject.data


def release(before: ProcessingContext, after: ProcessingContext, store: Store) -> None:
    """Remove the file of the samples before a stage, unless something refers to it.

    Samples that are in memory, too, have but a copy in a file: it is not needed any more.
    """
    raw = before._raw
    if not store.shared or raw is None or not raw.preload or not after.has_raw():
        return
    new, old = after.get_raw(), raw._data
    if new.preload and new._data is old:
        return
    if not store.holds(old) or not needs(after, old):
        store.release(old)


def needs(context: ProcessingContext, array: np.ndarray) -> bool:
    """Whether the noise or the original recording of `context` refers to `array`."""
    found = False

    def look(base: Any) -> Any:
        nonlocal found
        found = found or base is array
        return base

    context._moved(look)
    original = context.get_raw_original()
    return found or (original is not None and original.preload and original._data is array)


def settle(context: ProcessingContext, store: Store) -> ProcessingContext:
    """Return `context` with all samples that lie in files brought into this process's memory."""
    if not store.has_maps or not context.has_raw():
        return context

    def lies(array: np.ndarray) -> bool:
        return store.holds(array) or (not store.spill and scratch.is_spilled(array))

    moved: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def move(array: np.ndarray) -> np.ndarray:
        if not lies(array):
            return array
        if id(array) not in moved:
            own = store.take_over(array)
            if own is None:
                own = stage_input.settle_rows(array, store.spill)
            moved[id(array)] = array, own
            store.release(array)
        return moved[id(array)][1]

    new = context._moved(move)
    raw = context.get_raw()
    if raw.preload and lies(raw._data):
        new = new._derive(raw=recording.replace_data(raw, move(raw._data)))
    original = context.get_raw_original()
    if original is raw:
        new._raw_original = new._raw
    elif original is not None and original.preload and lies(original._data):
        new._raw_original = recording.replace_data(original, move(original._data))
    return new
