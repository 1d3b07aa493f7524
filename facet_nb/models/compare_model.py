"""Results side by side: what chains and settings cost, and whether they give the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from traitlets import HasTraits, Tuple, Unicode

from facet_nb.core import CancelToken, Pipeline, PipelineResult, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.recording import load_array
from facet_nb.models.background import Background
from facet_nb.models.run_model import RunModel

#: More results than this are neither compared by eye nor kept in memory.
MOST = 8


@dataclass(frozen=True, eq=False)
class Kept:
    """A result that is kept for comparison.

    Attributes
    ----------
    label : str
        What it is called.
    pipeline : Pipeline
        The chain.
    settings : dict
        How it ran.
    before : ProcessingContext
        What it ran on.
    result : PipelineResult
        What came out.
    snr_db : float | None
        Agreement with the truth, median over channels, in dB; None where it is not known.
    badge : str
        Whether it is the same as the serial result.
    """

    label: str
    pipeline: Pipeline
    settings: dict[str, Any]
    before: ProcessingContext
    result: PipelineResult
    snr_db: float | None = None
    badge: str = ""

    @property
    def context(self) -> ProcessingContext:
        """The corrected recording."""
        return self.result.get_context()

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps with their arguments."""
        return tuple(repr(p) for p in self.pipeline)

    @property
    def is_serial(self) -> bool:
        """Whether it is what others are compared with."""
        plan = self.result.plan
        return plan is not None and plan.mode == "serial"

    def row(self) -> tuple[str, ...]:
        """Return label, chain, mode, times, agreement and badge, as text."""
        state, names = self.result.state, " → ".join(p.name for p in self.pipeline)
        snr = "–" if self.snr_db is None else f"{self.snr_db:.1f}"
        wall, cpu = self.result.execution_time, sum(state.step_cpu_s)
        return self.label, names, f"{wall:.2f}", f"{cpu:.2f}", snr, self.badge


class CompareModel(HasTraits):
    """A few results, kept with their samples.

    Attributes
    ----------
    entries : tuple of Kept
        The results, oldest first.
    status : {"idle", "checking"}
        Whether a serial run is under way, to compare with.
    error : str
        What went wrong.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import CompareModel, RunModel
    >>> compare = CompareModel()
    >>> for mode in ("serial", "channel_sequential"):
    ...     run = RunModel(Pipeline([CommonReference()]), example(), mode=mode)
    ...     _ = run.run()
    ...     compare.keep(run)
    >>> [entry.badge for entry in compare.entries]
    ['serial', 'not comparable: another recording']
    """

    entries = Tuple()
    status = Unicode("idle")
    error = Unicode("")

    def __init__(self) -> None:
        super().__init__()
        self.on_news: Callable[[], None] | None = None
        self._background = Background(self._tell)
        self._token = CancelToken()

    # ---------------------------------------------------------------------------------- keeping
    def keep(self, run: RunModel, label: str = "") -> None:
        """Keep the last result of a run.

        Raises
        ------
        ValidationError
            If there is none, or too many are kept.
        """
        result, done = run.result, run.finished
        if result is None or result.context is None or done is None:
            raise ValidationError("there is no result to keep: run the chain first.")
        if not result.context.has_raw():
            raise ValidationError("the result holds no recording: there is nothing to compare.")
        if any(entry.result is result for entry in self.entries):
            raise ValidationError("this result is kept already: change something and run again.")
        if len(self.entries) >= MOST:
            raise ValidationError(f"{MOST} results are kept: remove one first.")
        snr_db = None if run.truth is None else float(np.median(run.truth.after_db))
        number = 1 + max((int(e.label.partition(".")[0]) for e in self.entries), default=0)
        name = label or _describe(done.settings)
        kept = Kept(f"{number}. {name}", done.pipeline, done.settings, done.context, result, snr_db)
        self._set([*self.entries, kept])

    def remove(self, index: int) -> None:
        """Let go of a result."""
        entries = list(self.entries)
        del entries[index]
        self._set(entries)

    @property
    def memory_bytes(self) -> int:
        """What the kept samples take."""
        return sum(load_array(e.context.get_raw()).nbytes for e in self.entries)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels that all results have."""
        if not self.entries:
            return ()
        names = [list(e.context.get_raw().ch_names) for e in self.entries]
        return tuple(n for n in names[0] if all(n in other for other in names[1:]))

    # --------------------------------------------------------------------------------- checking
    def check(self) -> None:
        """Run the chain of the last result serially, on a thread, and compare the two.

        Raises
        ------
        ValidationError
            If there is no result, or a check is under way.
        """
        if not self.entries:
            raise ValidationError("there is no result to check: keep one first.")
        if self.status == "checking":
            raise ValidationError("a check is under way.")
        entry, self._token = self.entries[-1], CancelToken()
        self.status, self.error = "checking", ""
        token = self._token
        self._background.start(
            entry,
            lambda: entry.pipeline.run(
                entry.before, mode="serial", show_progress=False, cancel=token, raise_on_error=True
            ),
        )

    def cancel(self) -> None:
        """Stop a check."""
        self._token.cancel()

    def wait(self) -> None:
        """Wait for the check."""
        self._background.join()
        self.drain()

    def drain(self) -> bool:
        """Take the outcome of a check; return whether there is more to come."""
        for outcome in self._background.take():
            entry: Kept = outcome.key
            with self.hold_trait_notifications():
                self.status = "idle"
                if isinstance(outcome.error, Exception):
                    self.error = f"not checked: {outcome.error}"
                    continue
                serial = Kept("", entry.pipeline, {}, entry.before, outcome.value)
                badge = _compare(entry, serial, "the serial result")
                self.entries = tuple(
                    replace(e, badge=badge) if e.result is entry.result else e for e in self.entries
                )
        return self.status == "checking"

    # ------------------------------------------------------------------------------------ inner
    def _set(self, entries: list[Kept]) -> None:
        known = {id(e.result): e.badge for e in self.entries if "serial" in e.badge}
        judged = []
        for entry in entries:
            badge = known.get(id(entry.result)) or _judge(entry, entries)
            judged.append(replace(entry, badge=badge))
        self.entries, self.error = tuple(judged), ""

    def _tell(self) -> None:
        if self.on_news is not None:
            self.on_news()


def _judge(entry: Kept, entries: list[Kept]) -> str:
    """Compare with the serial result of the same chain; with the first one if there is none."""
    if entry.is_serial:
        return "serial"
    alike = [e for e in entries if e is not entry and e.steps == entry.steps]
    same = [e for e in alike if e.before is entry.before]
    serial = [e for e in same if e.is_serial]
    if serial:
        return _compare(entry, serial[0], "serial")
    if same:
        return _compare(entry, same[0], same[0].label)
    return "not comparable: another recording" if alike else "not compared yet"


def _compare(entry: Kept, other: Kept, name: str) -> str:
    ours, theirs = (load_array(e.context.get_raw()) for e in (entry, other))
    if ours.shape != theirs.shape:
        return f"differs from {name} in shape"
    if np.array_equal(ours, theirs, equal_nan=True):
        return f"identical to {name}"
    with np.errstate(invalid="ignore"):
        most_uv = 1e6 * float(np.nanmax(np.abs(ours - theirs)))
    return f"differs from {name} by up to {most_uv:.3g} µV"


def _describe(settings: dict[str, Any]) -> str:
    words = [str(settings.get("mode", ""))]
    for name in ("n_jobs", "n_workers", "batch_size"):
        if settings.get(name, 1) != 1:
            words.append(f"{name}={settings[name]}")
    if settings.get("n_jobs", 1) != 1:
        words.append(str(settings.get("backend")))
    return ", ".join(words)
