"""Registry of the modes."""

from __future__ import annotations

from facet_nb.core.errors import PlanError
from facet_nb.core.planning.modes.base import Mode
from facet_nb.core.planning.modes.channel_sequential import ChannelSequential
from facet_nb.core.planning.modes.parallel import Parallel
from facet_nb.core.planning.modes.serial import Serial

#: Name of the mode that lets the advisor choose one of the others.
AUTO = "auto"

MODES: dict[str, type[Mode]] = {}


def register_mode(mode: type[Mode]) -> type[Mode]:
    """Register a mode under its name; a class decorator."""
    MODES[mode.name] = mode
    return mode


# Not as decorators: the files of the modes would have to import this one, which imports them.
register_mode(Serial)
register_mode(ChannelSequential)
register_mode(Parallel)


def get_mode(name: str) -> Mode:
    """Return a mode by name.

    Raises
    ------
    PlanError
        If there is none.
    """
    if name not in MODES:
        raise PlanError(f"unknown mode {name!r}: use one of {', '.join([*MODES, AUTO])}.")
    return MODES[name]()


def list_modes() -> list[type[Mode]]:
    """Return all modes but "auto", in the order of tables and figures."""
    return sorted(MODES.values(), key=lambda mode: (mode.rank, mode.name))


def list_mode_names() -> list[str]:
    """Return the names that ``run(mode=…)`` accepts."""
    return [*MODES, AUTO]


def list_job_modes() -> list[str]:
    """Return the names of the modes in which outer workers share the work."""
    return [mode.name for mode in list_modes() if mode.uses_jobs]


def describe_mode(name: str, details: bool = False) -> str:
    """Return what a mode does, in a few words; an empty text if it is not registered."""
    if name == AUTO:
        return "advisor decides" if details else "pick for me"
    mode = MODES.get(name, Mode)
    return mode.details if details else mode.summary
