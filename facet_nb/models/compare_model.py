"""Model of kept results: their cost, and whether they agree with the serial result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from traitlets import HasTraits, Tuple, Unicode

from facet_nb.core import CancelToken, PipelineResult
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.core.recording import load_array
from facet_nb.models.background_tasks import BackgroundTasks, Notifier
from facet_nb.models.run_model import Finished, RunModel
from facet_nb.models.saved_result import (
    SavedResult,
    compare_samples,
    describe_settings,
    judge,
    make_table,
    write_chain,
)

if TYPE_CHECKING:
    from facet_nb.evaluation.chains import ChainComparison

#: Largest number of results that are kept in memory, and largest memory of those that are kept
#: automatically, in bytes.
MOST, AUTOMATIC_BYTES = 8, 256_000_000


class CompareModel(Notifier, HasTraits):
    """A few kept results with their samples.

    Attributes
    ----------
    entries : tuple of SavedResult
        The results, oldest first.
    status : {"idle", "checking"}
        Whether a serial run for comparison is in progress.
    error : str
        Error of the last check.

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
        self._background = BackgroundTasks(self._notify)
        self._token = CancelToken()

    # ---------------------------------------------------------------------------------- entries
    def keep(self, run: RunModel, label: str = "") -> None:
        """Keep the last result of a run, until it is removed.

        Raises
        ------
        ValidationError
            If there is no result, or no more results can be kept.
        """
        result, done = run.result, run.finished
        if result is None or result.context is None or done is None:
            raise ValidationError("there is no result to keep: run the chain first.")
        if not result.context.has_raw():
            raise ValidationError("the result holds no recording to compare.")
        wanted = [entry for entry in self.entries if not entry.automatic]
        if any(entry.result is result for entry in wanted):
            raise ValidationError("this result is kept already: run again with other settings.")
        if len(wanted) >= MOST:
            raise ValidationError(f"{MOST} results are kept: remove one first.")
        others = [entry for entry in self.entries if entry.result is not result]
        self._set(self._make_room([*others, self._make_entry(run, label, others)]))
        self._background.start(("report", result), lambda: _report(result))

    def keep_for_now(self, run: RunModel) -> None:
        """Keep the last result of a run while there is room, without its scores."""
        result = run.result
        if result is None or result.context is None or not result.context.has_raw():
            return
        size = load_array(result.context.get_raw()).nbytes
        if self.memory_bytes + size <= AUTOMATIC_BYTES:
            entry = replace(self._make_entry(run, "", self.entries), automatic=True)
            self._set(self._make_room([*self.entries, entry]))

    def forget_automatic(self) -> None:
        """Remove the results that were kept automatically."""
        kept = [entry for entry in self.entries if not entry.automatic]
        if len(kept) < len(self.entries):
            self._set(kept)

    @staticmethod
    def _make_room(entries: list[SavedResult]) -> list[SavedResult]:
        """Leave out the oldest of the results that were kept automatically."""
        while len(entries) > MOST:
            entries.remove(next(entry for entry in entries if entry.automatic))
        return entries

    def _make_entry(self, run: RunModel, label: str, others: Sequence[SavedResult]) -> SavedResult:
        result, done, truth = run.result, run.finished, run.truth
        assert result is not None and done is not None  # checked by the caller
        number = 1 + max((int(e.label.partition(".")[0]) for e in others), default=0)
        return SavedResult(
            f"{number}. {label or describe_settings(done.settings)}",
            done.pipeline,
            done.settings,
            done.context,
            result,
            snr_before_db=None if truth is None else float(np.median(truth.before_db)),
            snr_db=None if truth is None else float(np.median(truth.after_db)),
            forecast_bytes=_forecast_bytes(done, result),
        )

    def remove(self, index: int) -> None:
        """Remove a result."""
        entries = list(self.entries)
        del entries[index]
        self._set(entries)

    @property
    def memory_bytes(self) -> int:
        """Memory of the kept samples, in bytes."""
        return sum(load_array(e.context.get_raw()).nbytes for e in self.entries)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that all results have."""
        if not self.entries:
            return ()
        names = [list(e.context.get_raw().ch_names) for e in self.entries]
        return tuple(n for n in names[0] if all(n in other for other in names[1:]))

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Return heads and rows of a table: one column for each result, units in the first."""
        return make_table(self.entries)

    @property
    def chain(self) -> str:
        """The names of the steps if all results have the same chain; otherwise empty."""
        steps = {entry.steps for entry in self.entries}
        return write_chain(self.entries[0].pipeline) if len(steps) == 1 else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Why some values of the table are missing, each reason once."""
        return tuple(dict.fromkeys(entry.note for entry in self.entries if entry.note))

    def comparison(self) -> ChainComparison | None:
        """Compare the results that have the same recording as the last one.

        Returns what :func:`facet_nb.compare` would; None while it is not known.
        ``comparison().plot()`` draws a figure.
        """
        known = [e for e in self.entries if e.report is not None]
        together = [e for e in known if e.before is known[-1].before]
        if not together:
            return None
        first: Any = together[0].report
        chains = tuple(replace(e.report.chains[0], name=e.label) for e in together if e.report)
        return replace(first, chains=chains)

    # --------------------------------------------------------------------------------- checking
    def check(self) -> None:
        """Start a serial run of the last result's chain, and compare the two results.

        Raises
        ------
        ValidationError
            If there is no result, or a check is in progress.
        """
        if not self.entries:
            raise ValidationError("there is no result to check: keep one first.")
        if self.status == "checking":
            raise ValidationError("a check is in progress: wait for its end.")
        entry, self._token = self.entries[-1], CancelToken()
        self.status, self.error = "checking", ""
        token = self._token
        self._background.start(
            ("serial", entry.result),
            lambda: entry.pipeline.run(
                entry.before, mode="serial", show_progress=False, cancel=token, raise_on_error=True
            ),
        )

    def cancel(self) -> None:
        """Cancel a check."""
        self._token.cancel()

    def wait(self) -> None:
        """Wait for the end of the check."""
        self._background.join()
        self.drain()

    def drain(self) -> bool:
        """Apply new outcomes; return whether a check is still in progress."""
        for outcome in self._background.take():
            what, result = outcome.key
            change = self._take_serial if what == "serial" else _take_report
            with self.hold_trait_notifications():
                self.entries = tuple(
                    change(entry, outcome) if entry.result is result else entry
                    for entry in self.entries
                )
                if what == "serial":
                    self.status = "idle"
        return self.status == "checking"

    def _take_serial(self, entry: SavedResult, outcome: Any) -> SavedResult:
        if outcome.error is not None:
            self.error = f"not checked: {outcome.error}"
            return entry
        serial = SavedResult("", entry.pipeline, {}, entry.before, outcome.value)
        badge, difference_uv = compare_samples(entry, serial, "the serial result")
        return replace(entry, badge=badge, difference_uv=difference_uv)

    # ------------------------------------------------------------------------------------ inner
    def _set(self, entries: list[SavedResult]) -> None:
        judged = []
        for entry in entries:
            badge, difference_uv = entry.badge, entry.difference_uv
            if "serial" not in badge:  # not compared with a serial result yet
                badge, difference_uv = judge(entry, entries)
            judged.append(replace(entry, badge=badge, difference_uv=difference_uv))
        self.entries, self.error = tuple(judged), ""


def _forecast_bytes(done: Finished, result: PipelineResult) -> int | None:
    """Return the memory of the run itself, by the forecast of its plan."""
    # Not measured: a process keeps memory of earlier runs, so that what a run adds to it would
    # depend on their order.
    names = ("mode", "backend", "n_jobs", "n_workers", "batch_size")
    resolved = {} if result.plan is None else {name: getattr(result.plan, name) for name in names}
    plan = done.pipeline.plan(done.context, **{**done.settings, **resolved})
    return None if plan.forecast is None else plan.forecast.own_bytes


def _report(result: Any) -> ChainComparison:
    """Return the scores of one result, without a comparison with the truth (about a minute)."""
    from facet_nb.evaluation.chains import compare

    return compare({"result": result})


def _take_report(entry: SavedResult, outcome: Any) -> SavedResult:
    error = outcome.error
    if error is not None:
        kind = "" if isinstance(error, FacetError) else f"{type(error).__name__}: "
        return replace(entry, note=f"{entry.label}: {kind}{error}")
    return replace(entry, report=outcome.value)
