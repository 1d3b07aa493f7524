"""The course's games: settings for a large recording, and the cause of lost time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facet_nb.core.errors import ValidationError
from facet_nb.lessons.constructed import CAUSES, ConstructedRun, construct

if TYPE_CHECKING:
    from facet_nb.core.context import ProcessingContext
    from facet_nb.core.pipeline import Pipeline
    from facet_nb.core.planning.plan import Plan

#: Settings that an entry may contain.
SETTINGS = (
    *("mode", "n_jobs", "n_workers", "batch_size", "backend", "chunk_duration_s"),
    *("memory_budget", "fuse"),
)
#: Points for each busy worker, for each GB of scratch files, and for each idle setting.
_WORKER, _SCRATCH, _IDLE = 100.0, -5.0, -20.0
_MOST_WORKERS = 4


#: Answers to a card besides the causes, and the points of *Find the bottleneck*.
NOTHING, UNKNOWN = "nothing", "cannot tell"
_CAUSE, _SHARE, _WRONG = 2.0, 2.0, -1.0
_CARDS, _SOUND = 12, 2


@dataclass(frozen=True)
class FitScore:
    """The score of an entry to *Fit in 500 MB*.

    Attributes
    ----------
    own_mb : float
        Predicted memory above that of the libraries, in MB.
    limit_mb : float
        Its limit, in MB.
    workers : int
        Workers that the plan keeps busy, at most four.
    scratch_gb : float
        Predicted scratch files, in GB.
    idle : tuple of str
        Settings without which the plan is the same.
    """

    own_mb: float
    limit_mb: float
    workers: int
    scratch_gb: float
    idle: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """0 above the limit; else 100 a worker, less 5 a GB of scratch and 20 an idle setting."""
        if self.own_mb > self.limit_mb:
            return 0.0
        return _WORKER * self.workers + _SCRATCH * self.scratch_gb + _IDLE * len(self.idle)

    def __str__(self) -> str:
        idle = f"; without effect: {', '.join(self.idle)}" if self.idle else ""
        return (
            f"{self.points:.1f} points: {self.own_mb:.1f} of {self.limit_mb:.0f} MB, "
            f"{self.workers} workers, {self.scratch_gb:.1f} GB of scratch files{idle}"
        )

    __repr__ = __str__


def score_fit(
    pipeline: Pipeline,
    context: ProcessingContext,
    settings: Mapping[str, Any],
    limit_mb: float = 500.0,
) -> FitScore:
    """Score settings for a recording by the plan that they give; nothing runs.

    The number of cores of this machine does not count, and a memory budget counts above the
    libraries, so that the score is the same on all machines.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    context : ProcessingContext
        The recording; its samples may be in a file.
    settings : dict
        Options of ``Pipeline.plan``: any of :data:`SETTINGS`.
    limit_mb : float
        Limit of the memory above the libraries, in MB.

    Raises
    ------
    ValidationError
        If there is another setting.
    PlanError
        If no plan meets the memory budget, or a setting cannot be used.
    """
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise ValidationError(f"{', '.join(unknown)} cannot be set: use {', '.join(SETTINGS)}.")
    plan = _plan(pipeline, context, settings)
    idle = []
    for name in settings:
        others = {k: v for k, v in settings.items() if k != name}
        if _look(_plan(pipeline, context, others)) == _look(plan):
            idle.append(name)
    workers = max((stage.n_jobs * stage.n_workers for stage in plan.stages), default=1)
    return FitScore(
        plan.forecast.own_bytes / 1e6,
        limit_mb,
        min(workers, _MOST_WORKERS),
        plan.forecast.disk_bytes / 1e9,
        tuple(idle),
    )


def _plan(pipeline: Pipeline, context: ProcessingContext, settings: Mapping[str, Any]) -> Plan:
    from facet_nb.core.memory import lasting_bytes, parse_bytes

    options = dict(settings)
    if options.get("memory_budget") is not None:
        options["memory_budget"] = parse_bytes(options["memory_budget"]) + lasting_bytes()
    return pipeline.plan(context, oversubscribe=True, **options)


def _look(plan: Plan) -> tuple[Any, ...]:
    """Return what is compared of a plan: not the libraries, which differ between processes."""
    stages = tuple((s.steps, s.n_jobs, s.n_workers, s.batch_size, s.dtype, s.chunk_duration_s,
                    s.backend if s.n_jobs > 1 else "") for s in plan.stages)  # fmt: skip
    return stages, plan.spill, plan.forecast.own_bytes, plan.forecast.disk_bytes


def deal_cards(salt: int = 0) -> tuple[ConstructedRun, ...]:
    """Return the cards of *Find the bottleneck*: constructed runs, two of which lose no time.

    Each cause occurs at least once. Order, causes and sizes depend on `salt`, so that answers
    cannot be passed on.

    Parameters
    ----------
    salt : int
        Chooses the cards.
    """
    return tuple(run for _, run in _deal(salt))


def score_cards(answers: Sequence[tuple[str, str]], salt: int = 0) -> float:
    """Return the points for the answers to the cards of :func:`deal_cards`.

    A right cause gives 2 points, and the setting 2 more for the whole of the lost time that it
    recovers in the model of the card; a wrong cause takes 1 point, ``"cannot tell"`` none.

    Parameters
    ----------
    answers : sequence of (str, str)
        For each card the cause (a key of :data:`CAUSES`, ``"nothing"`` or ``"cannot tell"``), and
        the setting that helps, as for :meth:`ConstructedRun.change`; empty for none.
    salt : int
        That of the cards.

    Raises
    ------
    ValidationError
        If the number of answers is wrong, or there is no such cause or setting.
    """
    cards = _deal(salt)
    if len(answers) != len(cards):
        raise ValidationError(f"there are {len(cards)} cards: give {len(cards)} answers.")
    points = 0.0
    for (cause, run), (named, setting) in zip(cards, answers, strict=True):
        if named not in (*CAUSES, NOTHING, UNKNOWN):
            raise ValidationError(
                f"there is no cause {named!r}: use one of {', '.join((*CAUSES, NOTHING, UNKNOWN))}."
            )
        recovered = run.recovers(setting) if setting else 0.0  # checks the setting as well
        if named == UNKNOWN:
            continue
        points += _CAUSE if named == cause else _WRONG
        if named == cause != NOTHING:
            points += _SHARE * min(max(recovered, 0.0), 1.0)
    return points


def _deal(salt: int) -> list[tuple[str, ConstructedRun]]:
    draw = random.Random(f"cards {salt}")
    causes = [*CAUSES, *draw.choices([*CAUSES], k=_CARDS - _SOUND - len(CAUSES))]
    cards = [(cause, construct(cause, salt + 100 * i)) for i, cause in enumerate(causes)]
    for _ in range(_SOUND):
        workers, unit_s = draw.choice([4, 6, 8]), draw.uniform(0.1, 0.5)
        small = dict.fromkeys(("serial_s", "startup_s", "dispatch_s"), 0.01 * unit_s)
        run = ConstructedRun(workers, (unit_s,) * (4 * workers), transfer_s=0.005 * unit_s, **small)
        cards.append((NOTHING, run))
    draw.shuffle(cards)
    return cards
