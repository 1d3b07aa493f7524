"""Quick look at the cost of settings: short runs in this process, breadth first."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from traitlets import Enum, HasTraits, Instance, Tuple, Unicode

from facet_nb.core import CancelToken
from facet_nb.core.errors import FacetError, RunCancelled, ValidationError
from facet_nb.core.planning.modes.registry import list_job_modes
from facet_nb.models.background_tasks import Notifier, start_thread, wait_while
from facet_nb.models.run_model import RunModel

#: Passes over all points; the shortest time of each counts.
PASSES = 3
#: No pass begins after this time, in s.
LIMIT_S = 10.0
#: Least speed-up that counts as a gain: repeated runs differ by several percent.
CLEAR = 1.1


@dataclass(frozen=True)
class QuickPoint:
    """One setting, as a quick look sees it.

    Attributes
    ----------
    mode : str
        The mode.
    n_jobs : int
        Outer workers.
    wall_s : tuple of float
        Times of its runs in this process, in s; empty before the first.
    base_s : float
        Shortest time of one worker, channel by channel, in s; 0 before it is known.
    """

    mode: str
    n_jobs: int
    wall_s: tuple[float, ...] = ()
    base_s: float = 0.0

    @property
    def speedup(self) -> float:
        """How many times as fast as one worker; NaN if it is not known."""
        return self.base_s / min(self.wall_s) if self.wall_s and self.base_s else float("nan")


def order_points(cores: int) -> tuple[QuickPoint, ...]:
    """Return the points in the order in which they are looked at.

    One and two workers come first, then all cores, then the numbers between; of each number, the
    modes that use outer workers in their order.
    """
    numbers = [1, 2, cores, *range(3, cores)]
    wanted = list(dict.fromkeys(n for n in numbers if n <= cores))
    return tuple(QuickPoint(mode, n) for n in wanted for mode in list_job_modes())


class QuickLook(Notifier, HasTraits):
    """Runs the chain with several settings, in this process and one after another.

    The process is warm and other work may disturb it: the times are a first impression, not a
    measurement. Each point is a run on threads; its result is discarded.

    Parameters
    ----------
    run : RunModel
        Chain and recording.

    Attributes
    ----------
    status : {"idle", "running", "done", "cancelled", "failed"}
        Progress.
    points : tuple of QuickPoint
        The points, with times where there are any.
    error : str
        Why the look ended early.
    """

    status = Enum(("idle", "running", "done", "cancelled", "failed"), "idle")
    points = Tuple()
    error = Unicode("")
    token = Instance(CancelToken, ())

    def __init__(self, run: RunModel) -> None:
        super().__init__()
        self.run = run
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._draining = threading.RLock()
        run.observe(self.forget, ["pipeline", "source"])

    @property
    def running(self) -> bool:
        """Whether a look is in progress."""
        return self.status == "running"

    @property
    def n_planned(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def n_done(self) -> int:
        """Number of points with at least one time."""
        return sum(bool(p.wall_s) for p in self.points)

    @property
    def best(self) -> QuickPoint | None:
        """The fastest point with several workers; None before there is one."""
        known = [p for p in self.points if p.wall_s and p.base_s and p.n_jobs > 1]
        return max(known, key=lambda p: p.speedup, default=None)

    @property
    def verdict(self) -> str:
        """The result in one sentence; empty before there is one."""
        best = self.best
        if best is None:
            return ""
        if best.speedup < CLEAR:
            return "First look: no setting is clearly faster than one worker."
        return (
            f"First look: {best.n_jobs} workers in {best.mode} are about {best.speedup:.1f} times "
            "as fast as one."
        )

    def forget(self, _change: Any = None) -> None:
        """Discard the points, which belong to another chain or recording."""
        self.token.cancel()
        self.token = CancelToken()  # news with the old token is ignored
        self.status, self.points, self.error = "idle", (), ""

    def start(self) -> QuickLook:
        """Start on a new thread; return immediately.

        Raises
        ------
        ValidationError
            If a run or a look is in progress, or the chain cannot run.
        """
        if self.running or self.run.running:
            raise ValidationError("a run is in progress: it would disturb the look. Cancel it.")
        if self.run.blocked:
            raise ValidationError(self.run.blocked)
        self.token = CancelToken()
        self.points, self.error = order_points(self.run.cores), ""
        self.status = "running"
        pipeline, context, points = self.run.pipeline, self.run.load_context(), self.points
        arguments = pipeline, context, points, self.token
        start_thread(self._work, *arguments, name="facet_nb-quick-look")
        return self

    def cancel(self) -> None:
        """End the look; the points keep their times."""
        if self.running:
            self.token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it has ended."""
        wait_while(self.drain, time.sleep, self.cancel, timeout)
        return not self.running

    def drain(self) -> bool:
        """Apply new times to the traits, in their own thread; return whether more will come."""
        with self._draining:
            points = list(self.points)
            status, error = self.status, self.error
            while not self._news.empty():
                token, index, news = self._news.get()
                if token is not self.token:
                    continue  # of an earlier look
                if index is None:
                    status, error = news
                elif index < len(points):
                    points[index] = replace(points[index], wall_s=(*points[index].wall_s, news))
            base_s = next((min(p.wall_s) for p in points if p.n_jobs == 1 and p.wall_s), 0.0)
            with self.hold_trait_notifications():
                self.points = tuple(replace(p, base_s=base_s) for p in points)
                self.status, self.error = status, error
            return self.running

    def _work(
        self, pipeline: Any, context: Any, points: tuple[QuickPoint, ...], token: CancelToken
    ) -> None:
        began_s, end = time.monotonic(), ("done", "")
        try:
            for _ in range(PASSES):
                for index, point in enumerate(points):
                    self._tell(token, index, _time(pipeline, context, point, token))
                if time.monotonic() - began_s > LIMIT_S:
                    break
        except RunCancelled:
            end = ("cancelled", "")
        except FacetError as error:
            end = ("failed", str(error))
        self._tell(token, None, end)

    def _tell(self, token: CancelToken, index: int | None, news: Any) -> None:
        self._news.put((token, index, news))
        self._notify()


def _time(pipeline: Any, context: Any, point: QuickPoint, token: CancelToken) -> float:
    """Return the time of one run on threads, in s."""
    token.check()
    begin_s = time.perf_counter()
    pipeline.run(
        context,
        mode=point.mode,
        n_jobs=point.n_jobs,
        backend="threading",
        show_progress=False,
        raise_on_error=True,
        cancel=token,
    )
    return time.perf_counter() - begin_s
