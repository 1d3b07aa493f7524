"""State of the calling process that its calls need in worker processes, too.

Workers are reused: without this, they keep the working folder, environment, warning filters and
log levels of the time at which they were started, and a relative path leads elsewhere.

Workers of this process take over its state for good (:class:`CallerState`). Those of a cluster,
which others use as well, have it for one call (:meth:`CallerState.lend`).
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.backends.base import dumps
from facet_nb.core.errors import FacetError

#: Loggers whose levels workers share with the caller.
_LOGGERS = ("mne", "facet_nb")

#: Beginnings of the names of variables that libraries of ours read while they compute.
_OURS = ("FACET_NB_", "MNE_")

#: Variables that name folders of this machine, or that a notebook's kernel has set for its output.
_OF_THIS_MACHINE = frozenset(
    ["FACET_NB_TMPDIR", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "JPY_PARENT_PID"]
    + ["JPY_SESSION_NAME", "PAGER", "GIT_PAGER", "MANPAGER", "CLICOLOR", "CLICOLOR_FORCE"]
    + ["FORCE_COLOR", "TERM", "PYDEVD_USE_FRAME_EVAL"]
)

#: What this process was started with where the system does not tell: what it has at this import.
_environment_at_import = dict(os.environ)

_MNE_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


@dataclass(frozen=True)
class CallerState:
    """What a call depends on besides its arguments.

    Unpickling it puts the process into this state. As first argument of a call, it is therefore in
    force before the other arguments are unpickled, which may need ``sys.path``.

    Attributes
    ----------
    folder : str | None
        The working folder; None if it does not exist any more.
    environment : dict of str to str
        Environment variables without those that limit threads, which workers have of their own.
    path : tuple of str
        ``sys.path``.
    filters : bytes
        Pickled ``warnings.filters``.
    levels : dict of str to int
        Level of loggers, e.g. of ``mne.set_log_level``.
    floats : dict of str to str
        ``numpy.geterr()``.
    problem : str
        Why a worker could not be put into this state.
    """

    folder: str | None
    environment: dict[str, str]
    path: tuple[str, ...]
    filters: bytes
    levels: dict[str, int]
    floats: dict[str, Any]
    problem: str = field(default="", compare=False)

    @classmethod
    def take(cls) -> CallerState:
        """Return the state of this process and thread."""
        return cls(
            folder=_find_folder(),
            environment={k: v for k, v in os.environ.items() if not _is_of_workers(k)},
            path=tuple(str(Path(p).absolute()) if p == "" else p for p in sys.path),
            filters=_pickle_filters(),
            levels={name: logging.getLogger(name).level for name in _LOGGERS},
            floats=list_float_modes(),
        )

    def lend(self) -> dict[str, Any]:
        """Return what :func:`borrow` needs on another machine.

        Of the environment only variables that this process has set, changed or removed since it
        was started, and those of MNE and of this package: the others describe this machine.
        """
        now, before = self.environment, _read_first_environment()
        names = {n for n in now.keys() | before.keys() if now.get(n) != before.get(n)}
        names |= {name for name in now if name.startswith(_OURS)}
        names = {n for n in names if not _is_of_workers(n) and n not in _OF_THIS_MACHINE}
        return {
            "folder": self.folder,
            "environment": {name: now.get(name) for name in sorted(names)},
            "filters": self.filters,
            "levels": self.levels,
        }

    def __reduce__(self) -> tuple[Callable[..., CallerState], tuple[Any, ...]]:
        values = (self.folder, self.environment, self.path, self.filters, self.levels, self.floats)
        return _adopt, values


def call(state: CallerState, function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, called in the state of the caller.

    Raises
    ------
    FacetError
        If this process could not be put into that state.
    """
    if state.problem:
        raise FacetError(state.problem)
    # Only now: the arguments may have imported MNE, which sets its level.
    for name, level in state.levels.items():
        logging.getLogger(name).setLevel(level)
    return call_with_modes(state.floats, function, *args)


def call_with_modes(modes: dict[str, Any], function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, called with the floating-point error `modes`."""
    # A Dask worker may run several tasks at once: only what belongs to its thread may be set.
    with np.errstate(**modes):
        return function(*args)


@contextmanager
def borrow(lent: Mapping[str, Any]) -> Iterator[str]:
    """Put this process into a state of :meth:`CallerState.lend` until the context is left.

    Yields
    ------
    str
        Why the process is not in the caller's working folder; empty if it is.
    """
    problem, folder = "", _find_folder()
    loggers = {logging.getLogger(name): level for name, level in lent["levels"].items()}
    levels = {logger: logger.level for logger in loggers}
    before = {name: os.environ.get(name) for name in lent["environment"]}
    with warnings.catch_warnings():
        try:
            _set_variables(lent["environment"])
            _set_filters(lent["filters"])
            for logger, level in loggers.items():
                logger.setLevel(level)
            if lent["folder"] is not None:
                try:
                    os.chdir(lent["folder"])
                except OSError as error:
                    problem = f"has no folder {lent['folder']} ({error.strerror})"
            yield problem
        finally:
            _set_variables(before)
            for logger, level in levels.items():
                logger.setLevel(level)
            if folder is not None:
                with suppress(OSError):  # it was removed meanwhile
                    os.chdir(folder)


def find_difference(lent: Mapping[str, Any]) -> str:
    """Return in what this process differs from a state of :meth:`CallerState.lend`, or nothing."""
    if lent["folder"] is not None and lent["folder"] != _find_folder():
        return f"has the working folder {_find_folder()} instead of {lent['folder']}"
    for name, value in lent["environment"].items():
        if os.environ.get(name) != value:
            return f"has another value of the environment variable {name}"
    return ""


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _find_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _read_first_environment() -> dict[str, str]:
    """Return the variables with which this process was started."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:  # not on Linux
        return _environment_at_import
    pairs = [os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry]
    return {name: value for name, _, value in pairs}


_adopted: CallerState | None = None


def _adopt(*values: Any) -> CallerState:
    """Put this worker process into a state; return it."""
    # Never raises: an error while a call is unpickled would end the worker.
    global _adopted
    folder, environment, path, filters, levels, floats = values
    state, before = CallerState(folder, environment, path, filters, levels, floats), _adopted
    if state.folder is not None:
        try:
            os.chdir(state.folder)
        except OSError as error:
            problem = (
                f"the worker process cannot enter the working folder {state.folder} "
                f"({error.strerror}): change to a folder that exists with os.chdir."
            )
            return replace(state, problem=problem)
    if before == state:
        return state
    old = {} if before is None else before.environment
    for name in old.keys() - state.environment.keys():
        os.environ.pop(name, None)
    os.environ.update(state.environment)
    sys.path[:] = state.path
    _set_filters(state.filters)
    level_name = logging.getLevelName(state.levels["mne"])
    if "mne" not in sys.modules and level_name in _MNE_LEVELS:
        os.environ["MNE_LOGGING_LEVEL"] = level_name  # read when a step imports MNE
    _adopted = state
    return state


def _is_of_workers(name: str) -> bool:
    return name.endswith("_NUM_THREADS") or name.startswith(("LOKY_", "JOBLIB_"))


def _pickle_filters() -> bytes:
    filters: list[Any] = []
    for entry in warnings.filters:
        if not _follows_by_itself(entry, filters):
            filters.append(entry)
    try:
        return dumps(filters)
    except Exception as error:  # e.g. a category that was defined within a function
        logging.getLogger("facet_nb").warning("workers keep their warning filters: %s", error)
        return b""


def _follows_by_itself(entry: Any, before: Sequence[Any]) -> bool:
    """Return whether a filter is one that SciPy's special functions set where they are imported.

    Its category is theirs: to unpickle it a worker would have to import them, a third of what its
    start takes. Where a filter before it may concern the same warnings, their order is kept.
    """
    category = entry[2]
    if category.__name__ != "SpecialFunctionWarning" or entry[:2] != ("always", None):
        return False
    return entry[3:] == (None, 0) and not any(issubclass(category, other[2]) for other in before)


def _set_filters(pickled: bytes) -> None:
    if not pickled:
        return
    try:
        filters = pickle.loads(pickled)
    except Exception as error:  # e.g. the module of a category that is missing here
        logging.getLogger("facet_nb").warning("warning filters are not passed on: %s", error)
        return
    warnings.resetwarnings()  # the public way to tell the module that its filters change
    warnings.filters[:] = filters  # type: ignore[index]


def list_float_modes() -> dict[str, Any]:
    """Return ``numpy.geterr()``, without modes that need a callback of the caller's process."""
    return {k: "warn" if v in ("call", "log") else v for k, v in np.geterr().items()}
