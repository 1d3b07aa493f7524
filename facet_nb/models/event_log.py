"""The log of a run: its events as readable lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from facet_nb.core.events import (
    BatchDone,
    Event,
    RunDone,
    RunFailed,
    RunStarted,
    RunState,
    StageDone,
    StageStarted,
)

#: Largest number of lines.
LENGTH = 200


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes
    ----------
    time_s : float
        Time of the event, in seconds since the epoch.
    text : str
        The message, not escaped.
    kind : {"info", "done", "error"}
        Kind of message.
    """

    time_s: float
    text: str
    kind: str = "info"


def write_entry(event: Event, state: RunState) -> Entry | None:
    """Return the line for `event`, given the state after it; None if it has none."""
    written = _write(event, state)
    if written is None:
        return None
    text, kind = written
    return Entry(event.time_s, text, kind)


def extend(log: tuple[Entry, ...], entries: list[Entry]) -> tuple[Entry, ...]:
    """Return the log with new entries (oldest first) in front, of limited length."""
    return (*reversed(entries), *log)[:LENGTH]


@singledispatch
def _write(event: Event, state: RunState) -> tuple[str, str] | None:
    return None


@_write.register
def _(event: RunStarted, state: RunState) -> tuple[str, str]:
    steps, jobs = count(len(event.steps), "step"), count(event.n_jobs, "job")
    threads = count(event.n_workers, "thread")
    where = "" if event.n_jobs == 1 else f" ({event.backend})"
    return f"started: {event.mode}, {steps}, {jobs}{where}, {threads} in each", "info"


@_write.register
def _(event: StageStarted, state: RunState) -> tuple[str, str]:
    names = " → ".join(state.steps[i] for i in event.steps)
    return f"stage {event.stage + 1} of {state.n_stages}: {names} — {event.reason}", "info"


@_write.register
def _(event: BatchDone, state: RunState) -> tuple[str, str] | None:
    if event.batch < 0:
        return None
    wall_s = sum(t.wall_s for t in event.step_times)
    steps = count(len(event.step_times), "step")
    return f"{', '.join(event.channels)}: {steps} in {wall_s:.3f} s", "info"


@_write.register
def _(event: StageDone, state: RunState) -> tuple[str, str]:
    return f"stage {event.stage + 1} took {event.wall_s:.2f} s", "info"


@_write.register
def _(event: RunDone, state: RunState) -> tuple[str, str]:
    return f"done in {event.wall_s:.2f} s", "done"


@_write.register
def _(event: RunFailed, state: RunState) -> tuple[str, str]:
    return event.message, "info" if event.cancelled else "error"


def count(number: int, word: str) -> str:
    """Return a number with its word: ``"1 step"``, ``"2 steps"``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
