"""Which files and functions of the package the plainest run enters, in the order of the calls.

A high-pass filter and average artifact subtraction, four channels in memory, one channel after
the other, one worker, no timeout and no checkpoint; a first run warms up, the second is counted.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest

import facet_nb
from facet_nb import AASCorrection, HighPassFilter, Pipeline, ProcessingContext
from facet_nb.datasets import simulate

PACKAGE = Path(facet_nb.__file__).resolve().parent

#: Functions (qualified names) by file of the package, both in the order of the first call.
Entered = dict[str, list[str]]


class CallLog:
    """All calls of Python functions while it is on, and where in them events came."""

    def __init__(self) -> None:
        self.calls: list[CodeType] = []
        self.ends: dict[int, int] = {}
        self.events: list[tuple[str, int, list[int]]] = []
        self._open: dict[int, list[int]] = {}

    def __enter__(self) -> CallLog:
        gc.collect()
        gc.disable()  # what is collected in between is no part of the run
        threading.setprofile(self._watch)
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.enable()

    def _watch(self, frame: FrameType, what: str, _: Any) -> None:
        stack = self._open.setdefault(threading.get_ident(), [])
        if what == "call":
            stack.append(len(self.calls))
            self.calls.append(frame.f_code)
        elif what == "return" and stack:
            self.ends[stack.pop()] = len(self.calls)

    def note(self, event: object) -> None:
        """Remember an event of the run, and the calls that it came out of."""
        stack = self._open.get(threading.get_ident(), [])
        self.events.append((type(event).__name__, len(self.calls), list(stack)))

    def _event(self, name: str) -> tuple[int, list[int]]:
        (found,) = [(at, stack) for kind, at, stack in self.events if kind == name]
        return found

    def of_stage(self) -> list[CodeType]:
        """Return the calls of the only stage.

        That is all that was called inside the innermost function that both says that the stage
        starts and that it is done. Where that function runs the whole plan: all from the start
        of the run to the end of the stage.
        """
        started, begin = self._event("RunStarted")
        done, end = self._event("StageDone")
        _, middle = self._event("StageStarted")
        both = [call for call in end if call in middle]
        if both[-1] in begin:
            return self.calls[started:done]
        return self.calls[both[-1] : self.ends[both[-1]]]


def select(calls: Iterable[CodeType], room: str = "") -> Entered:
    """Return the files and functions of a room of the package among `calls`."""
    entered: Entered = {}
    for code in calls:
        path = Path(code.co_filename)
        if path.is_relative_to(PACKAGE / room):
            names = entered.setdefault(path.relative_to(PACKAGE).as_posix(), [])
            if code.co_qualname not in names:
                names.append(code.co_qualname)
    return entered


def count(entered: Entered) -> tuple[int, int]:
    """Return the numbers of files and functions."""
    return len(entered), sum(map(len, entered.values()))


def describe(entered: Entered) -> str:
    """Return files and functions as text."""
    files, functions = count(entered)
    lines = [f"  {file} ({len(names)}): {', '.join(names)}" for file, names in entered.items()]
    return "\n".join([f"{files} files, {functions} functions:", *lines])


def log_plain_run() -> CallLog:
    """Return the calls of the second of two plain runs."""
    sim = simulate(4, 500.0, 18.0, 1.0, 5, seed=0, lead_in_s=3.0, lead_out_s=3.0)
    length = int(np.diff(sim.triggers).min())
    raw = sim.raw.copy().pick("eeg")
    context = ProcessingContext(raw).with_trigger_samples(sim.triggers, artifact_length=length)
    log = CallLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_NB_COMPILED", "auto")  # as users run it
        _run(context, None)  # warms up
        with log:
            _run(context, log.note)
    return log


def _run(context: ProcessingContext, on_event: Callable[[object], None] | None) -> None:
    pipeline = Pipeline([HighPassFilter(freq=1.0), AASCorrection()])
    result = pipeline.run(
        context,
        mode="channel_sequential",
        n_jobs=1,
        n_workers=1,
        show_progress=False,
        on_event=on_event,
    )
    assert result.success, result.error
