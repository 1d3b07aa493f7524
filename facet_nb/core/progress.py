"""A progress bar over a run's events (tqdm: in notebooks and terminals)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from facet_nb.core.events import Event


def wanted(show: bool | None) -> bool:
    """Return whether to show progress; None means: in a notebook or a terminal."""
    if show is not None:
        return show
    return "ipykernel" in sys.modules or sys.stderr.isatty()


@contextmanager
def bar(show: bool | None, label: str, recorder: Any) -> Iterator[None]:
    """Show a bar that follows `recorder`, which has ``state`` and ``listeners``."""
    if not wanted(show):
        yield
        return
    from tqdm.auto import tqdm

    with tqdm(
        total=100.0, desc=label, bar_format="{desc}: {percentage:3.0f}%|{bar}| {postfix}"
    ) as t:

        def follow(_event: Event) -> None:
            state = recorder.state
            t.set_postfix_str(_note(state), refresh=False)
            t.n = 100.0 * state.fraction
            t.refresh()

        recorder.listeners.append(follow)
        yield


def _note(state: Any) -> str:
    left = "" if state.remaining_s is None else f", {state.remaining_s:.0f} s left"
    names = " → ".join(state.steps[i] for i in state.stage_steps)
    return f"{names or state.message} {state.elapsed_s:.1f} s{left}"
