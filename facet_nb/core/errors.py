"""Errors of facet_nb: each names the step, the channel and the remedy."""

from __future__ import annotations

import errno
import sys
from typing import Any


class FacetError(Exception):
    """Base class of every error that facet_nb raises on purpose.

    Attributes
    ----------
    channel : str | None
        The channel that caused it, if it is known.
    row : int | None
        Its number in the recording, where its name is not known.
    """

    channel: str | None = None
    row: int | None = None


class ValidationError(FacetError, ValueError):
    """The input or a parameter cannot be used; the message names the remedy."""


class MissingExtraError(FacetError, ImportError):
    """A library that comes with an extra is not installed; the message names the extra."""


class PlanError(FacetError):
    """The pipeline cannot be run with these options."""


class RunCancelled(FacetError):
    """The run was cancelled before it was complete; no result was kept."""


class StepError(FacetError):
    """A processor failed.

    Parameters
    ----------
    message : str
        What happened and how to fix it.
    step : str | None
        Name of the step, as in ``pipeline.describe()``.
    channel : str | None
        The channel (or channels, joined by commas) being processed.
    index : int | None
        Position of the step in the pipeline, from 0.
    cause_type : str | None
        Class name of the original exception.
    remote_traceback : str | None
        Text of the traceback, from the process in which the step failed.
    """

    def __init__(
        self,
        message: str,
        step: str | None = None,
        channel: str | None = None,
        index: int | None = None,
        cause_type: str | None = None,
        remote_traceback: str | None = None,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.channel = channel
        self.index = index
        self.cause_type = cause_type
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[type[StepError], tuple[Any, ...]]:
        # The default passes on the message only: errors of workers would lose step and channel.
        args = (self.args[0], self.step, self.channel, self.index)
        return type(self), (*args, self.cause_type, self.remote_traceback)


def describe_failure(
    step: str, index: int, channel: str | None, cause_type: str, message: str
) -> str:
    """Return the one-line message of a failed step."""
    where = f" on channel {channel}" if channel else ""
    # Errors of facet_nb explain themselves; of others the class says half of what happened.
    what = message if cause_type in _OURS else f"{cause_type}: {message}"
    return f"Step {index + 1} ({step}) failed{where}: {what}"


_LESS_MEMORY = (
    'Use fewer n_jobs, a smaller batch_size, or memory_budget="…", which keeps samples in files.'
)

#: Length at which messages of other exceptions are cut, in characters.
_LONGEST = 2000


def read_message(error: BaseException) -> str:
    """Return the message of an exception, in a length that can be shown.

    Some exceptions raise in ``__str__``, or hold megabytes of data. Groups name their members.
    """
    try:
        text = str(error)
    except Exception as problem:
        text = f"(its message cannot be shown: {type(problem).__name__})"
    if isinstance(error, BaseExceptionGroup):
        members = [f"{type(e).__name__}: {read_message(e)}" for e in error.exceptions]
        text = f"{text}: {'; '.join(members)}"
    if isinstance(error, MemoryError):
        # CPython raises it without a message, and numpy with one.
        text = f"{text or 'there is not enough memory'}. {_LESS_MEMORY}"
    return cut(text, _LONGEST)


def explain_system(error: BaseException) -> str:
    """Return what the system refused, with a remedy; empty for errors of other kinds."""
    text = read_message(error)
    if isinstance(error, MemoryError):
        return text
    # CPython loses an exception now and then where memory ends.
    if isinstance(error, SystemError) or getattr(error, "errno", None) == errno.ENOMEM:
        return f"{text}. There may not be enough memory. {_LESS_MEMORY}"
    # Python says "can't start new thread", and has no class for it.
    if isinstance(error, RuntimeError) and "thread" in text:
        return f"{text}. Use fewer n_jobs, or raise the limits on processes (ulimit -u) and memory."
    if isinstance(error, OSError):
        folders = "scratch files (FACET_NB_TMPDIR) and of checkpoint="
        return f"{text}. Check free space and permissions of the folder for {folders}."
    return ""


def cut(text: str, longest: int) -> str:
    """Return `text`, without its middle part if it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … ({len(text)} characters) … {text[-half:]}"


#: Names and no classes: of an error in a worker only the name of its class arrives.
_OURS = {"FacetError", "FindingError", "ValidationError", "PlanError", "StepError"}


def import_extra(module: str, remedy: str) -> Any:
    """Import and return a module of an optional dependency.

    Raises
    ------
    ValidationError
        With `remedy`, if it is not installed.
    """
    try:
        __import__(module)  # of the package as well, which may be the part that is missing
    except ImportError as error:
        raise ValidationError(remedy) from error
    # __import__ returns the package, and not the module in it.
    return sys.modules[module]


def check_extra(extra: str, *modules: str) -> None:
    """Check that the modules of an extra are installed.

    Raises
    ------
    MissingExtraError
        If one is not.
    """
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingExtraError(
            f"{', '.join(missing)} {verb} not installed: pip install 'facet-nb[{extra}]'."
        )
