"""A progress bar over a run's events (tqdm: in notebooks and terminals)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facet_nb.core.events import Event

#: Shortest interval between two updates of the bar, in s: in a notebook each is a message to the
#: browser.
_INTERVAL_S = 0.1


def wanted(show: bool | None) -> bool:
    """Return whether to show progress; with None, in notebooks and terminals only."""
    if show is not None:
        return bool(show)
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    # IPython may be imported in any script: only a shell with a kernel belongs to a notebook.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def bar(show: bool | None, label: str, recorder: Any) -> Iterator[None]:
    """Show a progress bar for the run of an :class:`~facet_nb.core.events.EventRecorder`."""
    if not wanted(show):
        yield
        return
    # Imported only where a bar is shown: in a notebook it loads ipywidgets as well.
    from tqdm.auto import tqdm

    with tqdm(
        total=100.0, desc=label, bar_format="{desc}: {percentage:3.0f}%|{bar}| {postfix}"
    ) as t:
        drawn = 0.0

        def follow(_event: Event) -> None:
            nonlocal drawn
            state, now = recorder.state, time.monotonic()
            # The last state is always drawn: it would otherwise stay at that of the update before.
            if state.status == "running" and now - drawn < _INTERVAL_S:
                return
            drawn = now
            t.set_postfix_str(_note(state), refresh=False)
            t.n = 100.0 * state.fraction
            t.refresh()

        recorder.listeners.append(follow)
        yield


def _note(state: Any) -> str:
    left = "" if state.remaining_s is None else f", {state.remaining_s:.0f} s left"
    running = state.status == "running"
    names = " → ".join(state.steps[i] for i in state.stage_steps) if running else ""
    return f"{names or state.message} {state.elapsed_s:.1f} s{left}"


@contextmanager
def follow_study(show: bool | None, total: int) -> Iterator[Any]:
    """Yield a function that shows each finished row of a study: on a bar, or as a line.

    Parameters
    ----------
    show : bool | None
        True for a bar, False for nothing; None for a bar in notebooks and terminals, and for lines
        on stderr elsewhere, such as in the log of a job.
    total : int
        Number of recordings.
    """
    if show is None and not wanted(show):
        done = 0

        def tell(row: Any) -> None:
            nonlocal done
            done += 1
            # Programs without a console (pythonw) have no stderr. Rows of an earlier call stand in
            # the log of that call.
            if sys.stderr is not None and not row.resumed:
                print(f"[{done}/{total}] {describe_row(row)}", file=sys.stderr, flush=True)

        yield tell
    elif not wanted(show):
        yield lambda row: None
    else:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc="recordings", unit="file") as t:

            def move(row: Any) -> None:
                t.set_postfix_str(describe_row(row), refresh=False)
                t.update()

            yield move


def describe_row(row: Any) -> str:
    """Return a row of a study in one line."""
    name = Path(row.input).name
    # A name with control characters would write to the terminal as it likes, and one that is not
    # UTF-8 cannot be printed at all.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    parts = ["from an earlier call"] if row.resumed else [f"{row.time_s:.1f} s"]
    parts += [f"{row.peak_bytes / 1e6:.0f} MB"] if row.peak_bytes else []
    parts += [f"quality {row.quality.verdict}"] if row.quality.measures else []
    parts += [row.error.splitlines()[0][:120]] if row.error else []
    return f"{row.state}: {shown} ({', '.join(parts)})"
