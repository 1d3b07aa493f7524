"""Errors of facet_nb: each names the step, the channel and the remedy."""

from __future__ import annotations


class FacetError(Exception):
    """Base class of every error that facet_nb raises on purpose."""


class ValidationError(FacetError, ValueError):
    """The input or a parameter cannot be used; the message names the remedy."""


class PlanError(FacetError):
    """The pipeline cannot be run in the way that was asked for."""


class RunCancelled(FacetError):
    """The run was cancelled before it was complete; no result was kept."""


class StepError(FacetError):
    """A processor failed.

    Parameters
    ----------
    message : str
        What happened and how to mend it.
    step : str | None
        Name of the step, as in ``pipeline.describe()``.
    channel : str | None
        The channel (or channels, joined by commas) being processed.
    index : int | None
        Position of the step in the pipeline, from 0.
    cause_type : str | None
        Class name of the original exception.
    remote_traceback : str | None
        Text of the traceback where the step failed (a worker's, perhaps).
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

    def __reduce__(self):
        args = (self.args[0], self.step, self.channel, self.index)
        return type(self), (*args, self.cause_type, self.remote_traceback)


def describe_failure(
    step: str, index: int, channel: str | None, cause_type: str, message: str
) -> str:
    """Return the one-line message of a failed step."""
    where = f" on channel {channel}" if channel else ""
    what = message if cause_type in _OURS else f"{cause_type}: {message}"
    return f"Step {index + 1} ({step}) failed{where}: {what}"


_OURS = {"FacetError", "ValidationError", "PlanError", "StepError"}
