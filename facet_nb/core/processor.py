"""Processors: one step of a chain.

Two ways in. Anyone's step subclasses :class:`Processor` and writes ``process(context)``. A step of
ours subclasses :class:`ArrayProcessor`: it decides once, in ``prepare``, whatever looks at more
than one channel, and computes each channel by itself, in ``compute``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from typing import Any, ClassVar, Literal

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.fused_kernel import Shortcut
from facet_nb.core.metadata import ProcessingMetadata, to_plain
from facet_nb.kernels.means import RunningMean


class Processor:
    """One step of a pipeline.

    Subclasses set the class attributes and write :meth:`process`. The constructor stores its
    arguments under their own names, and does nothing else.

    Attributes
    ----------
    name : str
        Name in the registry, plans and history (snake_case).
    description : str
        One line for people.
    requires_raw, requires_triggers : bool
        What the context must hold.
    modifies_raw : bool
        Whether the samples change.
    parallel_safe : bool
        Whether the step may run in other processes and threads.
    channel_wise : bool
        Whether the result of a channel depends on that channel only. Such a step is called with
        one data channel at a time, with its samples and the metadata; history and the noise that
        earlier steps removed are for steps that see all channels.
    run_once : bool
        For channel-wise steps that only find something out (triggers, say): they see the
        reference channel, and their metadata serves all channels.
    streams : bool
        For steps that see all channels: whether they take a recording that lies in a file piece by
        piece. Others are taken to load it.
    """

    name: ClassVar[str] = ""
    description: ClassVar[str] = ""
    version: ClassVar[str] = "1.0.0"
    requires_raw: ClassVar[bool] = False
    requires_triggers: ClassVar[bool] = False
    modifies_raw: ClassVar[bool] = True
    parallel_safe: ClassVar[bool] = True
    channel_wise: ClassVar[bool] = False
    run_once: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__dict__.get("name"):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self) -> None:
        return None

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Return a new context with the step's result."""
        raise ValidationError(
            f"{type(self).__name__} has no process(context) method: write one that returns a "
            "ProcessingContext."
        )

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of a step that sees all channels, in bytes.

        `shape` is (n_channels, n_times). A step that does not tell is taken to copy the recording.
        """
        return 0 if self.streams else 8 * shape[0] * shape[1]

    def validate(self, context: ProcessingContext) -> None:
        """Check that `context` holds what the step needs.

        Raises
        ------
        ValidationError
            If it does not; the message says what to add before this step.
        """
        if self.requires_raw:
            context.get_raw()
        if self.requires_triggers:
            check_has_triggers(context.metadata)

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Validate, process, and add the step to the history; `context` cannot be changed."""
        from facet_nb.core.execution.global_step import shield

        return shield(self._execute, context)

    def _execute(self, context: ProcessingContext) -> ProcessingContext:
        self.validate(context)
        result = self.process(context)
        return with_history(result, self)

    def __call__(self, context: ProcessingContext) -> ProcessingContext:
        """Execute the step as a pipeline does: `context` cannot be changed in place."""
        from facet_nb.core.execution.global_step import run_shielded
        from facet_nb.core.execution.runner import run_alone

        return run_alone(self, context) if self.channel_wise else run_shielded(self, context)

    def get_parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments as they are stored."""
        names = inspect.signature(type(self).__init__).parameters
        return {n: getattr(self, n) for n in names if n != "self" and hasattr(self, n)}

    def to_dict(self) -> dict[str, Any]:
        """Return the step as plain Python values: registry name and parameters."""
        return {"processor": self.name, "parameters": to_plain(self.get_parameters())}

    def __repr__(self) -> str:
        args = ", ".join(f"{k}={v!r}" for k, v in self.get_parameters().items())
        return f"{type(self).__name__}({args})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


def with_history(context: ProcessingContext, processor: Processor) -> ProcessingContext:
    """Return `context` with an entry of `processor` in its history."""
    if not isinstance(context, ProcessingContext):
        raise ValidationError(
            f"process() returned {type(context).__name__}; it must return a ProcessingContext."
        )
    new = context._derive()
    new.add_history_entry(processor.name, type(processor).__name__, processor.get_parameters())
    return new


def check_has_triggers(metadata: ProcessingMetadata) -> None:
    """Raise :class:`ValidationError` if there is no trigger."""
    if metadata.triggers is None or not len(metadata.triggers):
        raise ValidationError(
            "there are no triggers. Put TriggerDetector(regex=…) before this step, or set them "
            "with context.with_triggers(samples)."
        )


@dataclass(frozen=True)
class View:
    """What :meth:`ArrayProcessor.prepare` sees of the recording.

    Attributes
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_times : int
        Number of samples.
    metadata : ProcessingMetadata
        Triggers and the like.
    ch_names : tuple of str
        Names of the data channels.
    reference : ndarray, shape (n_times,) | None
        Samples of the reference channel, in V, if the processor needs it.
    reference_name : str | None
        Its name.
    data : ndarray, shape (n_data_channels, n_times) | None
        All data channels, in V, if the processor needs them.
    ch_types : tuple of str
        Types of the data channels, as MNE names them.
    everything : ndarray, shape (n_channels, n_times) | None
        All channels of the recording whatever they hold, if the processor needs all; not a copy.
    all_names, all_types : tuple of str
        Their names and types.
    """

    sfreq: float
    n_times: int
    metadata: ProcessingMetadata
    ch_names: tuple[str, ...]
    reference: np.ndarray | None = None
    reference_name: str | None = None
    data: np.ndarray | None = None
    ch_types: tuple[str, ...] = ()
    everything: np.ndarray | None = None
    all_names: tuple[str, ...] = ()
    all_types: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        """From a trigger to the first sample of its artifact, in whole samples."""
        return int(self.metadata.artifact_to_trigger_offset * self.sfreq)


@dataclass(frozen=True)
class Prepared:
    """All decisions of a step, made once; picklable and never changed.

    Attributes
    ----------
    payload : object
        What ``compute`` reads.
    sfreq : float | None
        Sampling rate afterwards, in Hz; None if it stays.
    n_times : int | None
        Number of samples afterwards; None if it stays.
    start : int
        Samples cut from the beginning.
    highpass, lowpass : float | None
        Edges that the header shall show, in Hz.
    metadata : dict
        Fields of :class:`ProcessingMetadata` that change.
    notes : dict
        What was found out, for the history.
    spares : tuple of str
        Data channels that the step turned out to leave alone.
    """

    payload: Any = None
    sfreq: float | None = None
    n_times: int | None = None
    start: int = 0
    highpass: float | None = None
    lowpass: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    spares: tuple[str, ...] = ()


class ArrayProcessor(Processor):
    """A step over arrays, the same in every mode.

    Attributes
    ----------
    needs : {"none", "reference", "all"}
        What ``prepare`` must see: the header only, one reference channel, or all data channels.
    linear : bool
        Whether the estimated noise goes through the step as the signal does.
    subtracts : bool
        Whether what the step takes away is estimated noise.
    splits : {"channels", "times"}
        How inner threads share one call.
    types : tuple of str | None
        Channel types that the step works on; None for all data channels. A constructor argument
        ``picks`` narrows it further, ``exclude_channels`` takes some out; the others pass through.
    uses_noise : bool
        Whether ``compute`` takes ``noise=``, what corrections have removed so far.
    needs_mean : bool
        Whether ``stream`` must know something of the whole input: what ``survey`` finds.
    single : bool
        Whether ``compute`` takes float32 samples as they are, in a run with ``dtype="float32"``:
        for kernels whose error then is known and documented. Others are given float64, and what
        they return is rounded.
    """

    requires_raw = True
    channel_wise = True
    needs: ClassVar[Literal["none", "reference", "all"]] = "none"
    linear: ClassVar[bool] = False
    subtracts: ClassVar[bool] = False
    splits: ClassVar[Literal["channels", "times"]] = "channels"
    types: ClassVar[tuple[str, ...] | None] = None
    uses_noise: ClassVar[bool] = False
    single: ClassVar[bool] = False

    needs_mean: ClassVar[bool] = False

    def prepare(self, view: View) -> Prepared:
        """Decide everything that does not belong to one channel."""
        return Prepared()

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the result for a batch of channels.

        Parameters
        ----------
        x : ndarray, shape (n_channels, n_times)
            Samples, in V; never written to.
        prepared : Prepared
            What ``prepare`` decided.
        out : ndarray, shape (n_channels, n_times_out) | None
            Where to put the result.

        Returns
        -------
        ndarray, shape (n_channels, n_times_out)
            The result, in V. A channel's result does not depend on the others of the batch.
        """
        if self.modifies_raw:
            raise ValidationError(f"{type(self).__name__} has no compute(x, prepared) method.")
        return x

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        """Return channels that hold no data (``kind`` is ``"stim"``, ``"other"`` or ``"bad"``).

        They pass through, unless the step changes the number of samples.
        """
        return x

    def can_overwrite(self) -> bool:
        """Whether ``compute(x, prepared, out=x)`` is safe, for samples that nobody else sees."""
        return False

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``compute`` for one channel, in bytes.

        Result included, input not. `shape` is (1, n_times) of the input.
        """
        return 8 * shape[1]

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``prepare`` on a reference channel, in bytes."""
        return self.memory(shape, sfreq)

    def resize(self, n_times: int, sfreq: float) -> tuple[int, float]:
        """Return samples and rate (Hz) after the step, as far as they are known beforehand."""
        return n_times, sfreq

    def preview(self, x: np.ndarray, prepared: Prepared) -> Any:
        """Return one channel after the step, for decisions of later steps.

        Parameters
        ----------
        x : ndarray, shape (n_times,)
            The channel, in V.
        prepared : Prepared
            What ``prepare`` decided.

        Returns
        -------
        array, shape (n_times_out,)
            What ``compute`` gives; or, where that is long, something that is sliced like it.
        """
        return self.compute(x[np.newaxis], prepared)[0]

    def find_rate(self) -> Fraction | None:
        """Return new sampling rate over old, where that is known beforehand; else None."""
        return None

    def fuse(self, factor: int) -> Shortcut | str:
        """Return how the step is done at once with a rise and fall of the rate around it.

        Parameters
        ----------
        factor : int
            High rate over native rate.

        Returns
        -------
        Shortcut or str
            The way, or why there is none: "needs …".
        """
        return "needs the samples at the high rate"

    def find_obstacle(self) -> str | None:
        """Return why the step cannot run in chunks of time ("needs …"); None if it can."""
        return "needs the whole length of a channel"

    def survey(self, prepared: Prepared) -> Any:
        """Return what finds out what ``stream`` must know: ``push(x)`` takes samples, ``value``.

        By default it finds the mean.
        """
        return RunningMean()

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return a :class:`facet_nb.kernels.streams.Stream` for one channel; None if there is none.

        Its result must be that of ``compute`` to the bit.

        Parameters
        ----------
        prepared : Prepared
            What ``prepare`` decided.
        n_times : int
            Length of the channel, in samples.
        dtype : dtype
            Of the samples.
        known : object
            What ``survey`` found in the whole channel, where the step says ``needs_mean``.
        """
        return None

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream beyond the chunk it is given, in bytes."""
        return 8 * chunk * 4

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Run this step alone, serially."""
        new = self.execute(context)
        new._history = context._history
        return new

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Run this step alone, serially, and add it to the history."""
        from facet_nb.core.execution.runner import run_alone

        return run_alone(self, context)


class LambdaProcessor(Processor):
    """A plain callable ``f(context) -> context`` as a step.

    Parameters
    ----------
    func : callable
        The function.
    label : str | None
        Its name in plans and history.
    """

    name = "lambda"
    description = "A function over the context"
    parallel_safe = False

    def __init__(
        self, func: Callable[[ProcessingContext], ProcessingContext], label: str | None = None
    ) -> None:
        self.func = func
        self.label = label

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Call the function."""
        return self.func(context)

    def get_parameters(self) -> dict[str, Any]:
        """Return the function's name."""
        return {"func": self.label or getattr(self.func, "__name__", type(self.func).__name__)}


def as_processor(step: Any) -> Processor:
    """Return `step` as a processor: a processor itself, or a plain callable."""
    if isinstance(step, Processor):
        return step
    if isinstance(step, type) and issubclass(step, Processor):
        raise ValidationError(f"{step.__name__} is a class: write {step.__name__}(…) in the list.")
    if callable(step):
        return LambdaProcessor(step)
    raise ValidationError(
        f"a step must be a Processor or a callable, not {type(step).__name__} ({step!r})."
    )
