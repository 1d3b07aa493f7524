"""Defaults of this session: how pipelines run where a call does not say."""

from __future__ import annotations

from typing import Any

from facet_nb.core.backends.registry import count_cores
from facet_nb.core.errors import ValidationError
from facet_nb.core.planning.planner import check_numbers, choose_mode


class Defaults:
    """Values that :func:`set_defaults` changes; one instance serves the whole process."""

    mode: str | None = None
    n_jobs: int | None = None
    n_workers: int = 1
    progress: bool | None = None


defaults = Defaults()

#: Stands for an argument that is not given: None is a value, which restores the original rule.
_UNCHANGED: Any = object()


def set_defaults(
    *,
    mode: str | None = _UNCHANGED,
    n_jobs: int | None = _UNCHANGED,
    n_workers: int | None = _UNCHANGED,
    progress: bool | None = _UNCHANGED,
) -> dict[str, Any]:
    """Set how pipelines run in this session where a call does not say.

    The settings change time and memory, never a result. Worker processes start without them.

    Parameters
    ----------
    mode : {"serial", "channel_sequential", "parallel", "auto"} | None
        Mode of ``run`` and ``plan``; a flag or a memory budget takes precedence. None for the
        original rule. ``"serial"``, which applies at first, does not use `n_jobs`.
    n_jobs, n_workers : int | None
        As in :meth:`facet_nb.Pipeline.run`; -1 for all cores. Without `n_jobs`, parallel runs use
        all cores, others 1; `n_workers` is 1.
    progress : bool | None
        Whether to show progress bars; None for notebooks and terminals only.

    Returns
    -------
    dict
        The settings before the call: ``set_defaults(**before)`` restores them.

    Raises
    ------
    PlanError
        If a mode or a number of workers cannot be used.
    ValidationError
        If `progress` is not a Boolean.

    Examples
    --------
    >>> from facet_nb import set_defaults
    >>> before = set_defaults(n_workers=2, progress=False)
    >>> set_defaults(**before)["n_workers"]
    2
    """
    given: dict[str, Any] = {
        "mode": mode,
        "n_jobs": n_jobs,
        "n_workers": n_workers,
        "progress": progress,
    }
    changed = {name: value for name, value in given.items() if value is not _UNCHANGED}
    numbers = {name: changed[name] for name in ("n_jobs", "n_workers") if name in changed}
    numbers = {name: 1 if number is None else number for name, number in numbers.items()}
    changed |= {"n_workers": numbers["n_workers"]} if "n_workers" in numbers else {}
    # All are checked before one is set: a call that fails changes nothing.
    jobs, workers = numbers.get("n_jobs", 1), numbers.get("n_workers", 1)
    # Batch size and backend are no defaults of a session: 1 and "serial" pass every check.
    check_numbers(jobs, workers, 1, "serial", count_cores("serial"))
    choose_mode(changed.get("mode"), False, False)
    if not isinstance(changed.get("progress"), bool | None):
        raise ValidationError(f"progress={progress!r}: use True, False or None.")
    before = {name: getattr(defaults, name) for name in given}
    for name, value in changed.items():
        setattr(defaults, name, value)
    return before
