"""Check a chain without running it, fast enough to do so while the user types."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.core import ArrayProcessor, Prepared, ProcessingContext, Processor, View
from facet_nb.core.errors import FacetError
from facet_nb.core.recording import kind_of
from facet_nb.core.steps import State, changes_samples
from facet_nb.preprocessing import TriggerDetector

_KEPT = 200


@dataclass
class ChainCheck:
    """Checks chains on one recording, and caches the results.

    The arguments of each step are checked at the sampling rate that the steps before it produce;
    trigger expressions are applied to the recording. Samples are not read, so that a check takes
    milliseconds: problems that only show in the samples (no artifact, a flat channel) are found
    by the run.

    Parameters
    ----------
    context : ProcessingContext | None
        The recording; without it, only checks that need no recording are made.
    """

    context: ProcessingContext | None = None
    _known: OrderedDict[Any, Any] = field(default_factory=OrderedDict)

    def find_problems(self, steps: Sequence[Processor]) -> list[str]:
        """Return the problem of each step; empty if there is none."""
        state = self._begin()
        complaints = []
        for step in steps:
            complaint, state = self._check_step(step, state)
            complaints.append(complaint)
        return complaints

    def _begin(self) -> State | None:
        if self.context is None or not self.context.has_raw():
            return None
        return State.of(self.context.get_raw(), self.context.metadata)

    def _check_step(self, step: Processor, state: State | None) -> tuple[str, State | None]:
        own = _judge_arguments(step)
        if own or state is None:
            return own, state
        key = (repr(step), state.sfreq, state.n_times, _identify(state))
        if key not in self._known:
            self._known[key] = self._try(step, state)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def _try(self, step: Processor, state: State) -> tuple[str, State | None]:
        try:
            if isinstance(step, TriggerDetector):
                return "", self._find_triggers(step, state)
            if isinstance(step, ArrayProcessor):
                return "", self._prepare(step, state)
        except FacetError as error:
            return str(error).removeprefix(f"{step.name}: "), state
        # A user-defined step may change anything: the steps after it cannot be checked.
        return "", None if changes_samples(step) else state

    def _find_triggers(self, step: TriggerDetector, state: State) -> State:
        assert self.context is not None  # there would be no state
        step.validate(self.context)
        metadata = step.find(self.context)[0]
        ratio = state.sfreq / self.context.get_sfreq()
        if ratio != 1.0 and metadata.triggers is not None:
            metadata = metadata.updated(triggers=np.round(metadata.triggers * ratio).astype(int))
        return replace(state, metadata=metadata)

    def _prepare(self, step: ArrayProcessor, state: State) -> State | None:
        assert self.context is not None
        if step.requires_triggers:
            _check_triggers(state)
        if step.needs != "none":
            return state if not _resamples(step) else None
        raw = self.context.get_raw()
        names = tuple(raw.ch_names)
        view = View(
            state.sfreq,
            state.n_times,
            state.metadata,
            names,
            ch_types=tuple(map(kind_of, names, raw.get_channel_types())),
            info=raw.info,
        )
        prepared = step.prepare(view)
        return (
            state.after(replace(prepared, payload=None)) if isinstance(prepared, Prepared) else None
        )


def _judge_arguments(step: Processor) -> str:
    """Return the problem that the step's own check finds, if it needs no recording."""
    judge = getattr(step, "check", None) or getattr(step, "_check", None)
    if judge is None or inspect.signature(judge).parameters:
        return ""
    try:
        judge()
    except FacetError as error:
        return str(error)
    except TypeError as error:  # e.g. a comparison of a string with a number
        return f"{type(step).__name__}: {error}"
    return ""


def _check_triggers(state: State) -> None:
    from facet_nb.core.processor import check_has_triggers

    check_has_triggers(state.metadata)


def _resamples(step: ArrayProcessor) -> bool:
    return getattr(step, "apply_to_raw", False) is True


def _identify(state: State) -> tuple[int, int]:
    triggers = state.metadata.triggers
    return (0, 0) if triggers is None else (len(triggers), int(np.sum(triggers)))
