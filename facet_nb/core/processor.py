"""Processors: one step of a chain.

User-defined steps subclass :class:`Processor` and write ``process(context)``; built-in steps
subclass :class:`ArrayProcessor`. An array processor makes every cross-channel decision once, in
``prepare``, and computes each channel independently, in ``compute``.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from facet_nb.core.context import ProcessingContext, apply_to_raw, is_recording
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding
from facet_nb.core.fused_kernel import FusedKernel
from facet_nb.core.metadata import ProcessingMetadata, to_plain
from facet_nb.core.parameters import clone_value, list_arguments, list_inner_params, split_params
from facet_nb.kernels.means import RunningMean

if TYPE_CHECKING:
    import mne

T = TypeVar("T")


class _Engine:
    """Functions that run a single step; :mod:`facet_nb.core` sets them."""

    # Importing them here would close a circle: the engine imports the steps that it runs.

    run_alone: Callable[[Processor, ProcessingContext], ProcessingContext]
    run_read_only: Callable[[Processor, ProcessingContext], ProcessingContext]
    guard_input: Callable[..., ProcessingContext]


engine = _Engine()

#: Names of earlier versions that a user-defined step may still set or override.
_RENAMED = {
    "single": "float32_safe",
    "needs_mean": "needs_first_pass",
    "survey": "first_pass",
    "find_obstacle": "why_not_chunked",
    "streams": "accepts_lazy",
}


def _accept_old_names(cls: type) -> None:
    """Rename members that a class defines under an old name, with a warning."""
    for old, new in _RENAMED.items():
        if old in cls.__dict__ and new not in cls.__dict__:
            warnings.warn(
                f"{cls.__name__}.{old} is called {new} now: rename it.",
                FutureWarning,
                stacklevel=3,
            )
            setattr(cls, new, cls.__dict__[old])


def _renamed(old: str, new: str) -> property:
    """Return a property that reads `new` under its old name."""

    def read(self: Any) -> Any:
        warnings.warn(f"{old} is called {new} now.", FutureWarning, stacklevel=2)
        return getattr(self, new)

    return property(read, doc=f"The old name of ``{new}``.")


def _accept_old_argument(old: str, new: str) -> Callable[[type[T]], type[T]]:
    """Return a class decorator: the constructor also accepts `new` under its old name."""

    def decorate(cls: type[T]) -> type[T]:
        init: Any = cls.__init__

        @functools.wraps(init)
        def accept(self: T, *args: Any, **kwargs: Any) -> None:
            if old in kwargs:
                warnings.warn(
                    f"{cls.__name__}({old}=…) is called {new}=… now.", FutureWarning, stacklevel=2
                )
                kwargs[new] = kwargs.pop(old)
            init(self, *args, **kwargs)

        setattr(cls, "__init__", accept)  # noqa: B010  mypy allows no plain assignment
        setattr(cls, old, _renamed(old, new))
        return cls

    return decorate


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
        one data channel at a time and receives its samples and the metadata. History and estimated
        noise are available to steps that see all channels only.
    run_once : bool
        For channel-wise steps that only detect something, e.g. triggers: they run on the reference
        channel, and their metadata applies to all channels.
    accepts_lazy : bool
        For steps that see all channels: whether they read a recording on disk piece by piece.
        Other steps are assumed to load it whole.
    loads_scipy_signal : bool
        Whether the step may import :mod:`scipy.signal`, which the forecast of memory counts.
    memory_copies : int | None
        Peak extra memory of the step in copies of its input (of one channel, if it is
        channel-wise); None for one copy, or for none if it reads a recording piece by piece.
    output_only : bool
        Whether the step only measures, writes or shows something, so that no other step does
        anything else without it. A lazy recording leaves such steps out.
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
    accepts_lazy: ClassVar[bool] = False
    # No ClassVar: of filters it depends on their arguments.
    loads_scipy_signal: bool = True
    memory_copies: ClassVar[int | None] = None
    output_only: ClassVar[bool] = False
    #: Whether the class is part of this package: what other classes return is checked.
    built_in: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The first part and no prefix: a package called facet_nb_extra is not ours.
        cls.built_in = cls.__module__.partition(".")[0] == "facet_nb"
        _accept_old_names(cls)
        # Not an inherited name, under which the registry has another class.
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

        `shape` is (n_channels, n_times). By default a step is assumed to copy the recording.
        """
        copies = int(not self.accepts_lazy) if self.memory_copies is None else self.memory_copies
        return 8 * copies * shape[0] * shape[1]

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

    def check_early(self, context: ProcessingContext | None, earlier: Sequence[Processor]) -> None:
        """Refuse what is certain to fail, e.g. an output file that exists, before a run begins.

        Parameters
        ----------
        context : ProcessingContext | None
            The input of the run, if it is known.
        earlier : sequence of Processor
            The steps before this one.

        Raises
        ------
        FacetError
            If the step cannot succeed.
        """
        return None

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right, for ``Pipeline.plan``.

        Parameters
        ----------
        sfreq : float
            Sampling rate before the step, in Hz; infinite if it is not known.

        Raises
        ------
        ValidationError
            If there is one; it is the error of a run.
        """
        return None

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Validate, process, and add the step to the history; `context` cannot be changed."""
        return engine.guard_input(self._execute, context, private=not self.built_in)

    def _execute(self, context: ProcessingContext) -> ProcessingContext:
        self.validate(context)
        result = self.process(context)
        return with_history(result, self)

    def __call__(self, context: Any) -> Any:
        """Execute the step as a pipeline does: `context` cannot be changed in place.

        Parameters
        ----------
        context : ProcessingContext | mne.io.BaseRaw
            The recording.

        Returns
        -------
        ProcessingContext or mne.io.BaseRaw
            What the step makes of it, of the same kind. A ``Raw`` is a new one, with samples of
            its own; it does not carry triggers to the next step.
        """
        # A channel-wise step goes through the loop of a run, which calls it with one channel at a
        # time.
        run = engine.run_alone if self.channel_wise else engine.run_read_only
        if isinstance(context, ProcessingContext) or not is_recording(context):
            return run(self, context)
        if self.requires_triggers:
            name = type(self).__name__
            raise ValidationError(
                f"{name} needs triggers, which a Raw does not carry from step to step: run "
                f"Pipeline([TriggerDetector(regex=…), {name}(…)])(raw), or give it a "
                "ProcessingContext with triggers."
            )
        return apply_to_raw(functools.partial(run, self), context)

    def get_parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments as they are stored."""
        parameters = {}
        for name in inspect.signature(type(self).__init__).parameters:
            if name != "self" and hasattr(self, name):
                parameters[name] = getattr(self, name)
        return parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's estimators do.

        Parameters
        ----------
        deep : bool
            Whether to add the arguments of steps inside this one, as ``<argument>__<name>``.
        """
        stored = self.get_parameters()  # knows what is stored under another name
        # The step itself stands for a missing attribute, because None is a value of many arguments.
        # Where class and argument have the same name, the attribute may be that of the class.
        found = {
            n: stored.get(n) if getattr(type(self), n, None) is value else value
            for n in list_arguments(type(self))
            if (value := getattr(self, n, self)) is not self
        }
        return {**found, **list_inner_params(found)} if deep else found

    def set_params(self, **params: Any) -> Any:
        """Change arguments of the constructor, in place; return the step.

        Parameters
        ----------
        **params
            New values by name; ``<argument>__<name>`` changes a step inside this one.

        Raises
        ------
        ValidationError
            If there is no such argument.
        """
        known = self.get_params(deep=False)
        own = split_params(params, known, type(self).__name__)
        # A new step first: if its constructor refuses a value, this one stays as it was. What it
        # had derived from old values must go as well. It stays the same object, because pipelines
        # hold it.
        fresh = type(self)(**{**known, **own})
        self.__dict__.clear()
        self.__dict__.update(fresh.__dict__)
        return self

    def __sklearn_clone__(self) -> Any:
        """Return a step with copies of the same arguments, for :func:`sklearn.base.clone`."""
        return type(self)(**{n: clone_value(v) for n, v in self.get_params(deep=False).items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the step as plain Python values: registry name and parameters."""
        return {"processor": self.name, "parameters": to_plain(self.get_parameters())}

    def __repr__(self) -> str:
        args = ", ".join(f"{k}={v!r}" for k, v in self.get_parameters().items())
        return f"{type(self).__name__}({args})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


class NotingStep(Processor, ABC):
    """Base class of built-in steps that note in the history what they found."""

    def validate(self, context: ProcessingContext) -> None:
        """Check what :meth:`Processor.validate` does, and the arguments."""
        super().validate(context)
        known = context.has_raw()
        self.check_parameters(float(context.get_raw().info["sfreq"]) if known else np.inf)

    @abstractmethod
    def _run(self, context: ProcessingContext) -> tuple[ProcessingContext, dict[str, Any]]:
        """Return the context after the step, and notes for the history."""

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context after the step."""
        return self._run(context)[0]

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Validate, process, and add the step with its notes to the history."""
        self.validate(context)
        new, notes = self._run(context)
        parameters = {**self.to_dict()["parameters"], **notes}
        new.add_history_entry(self.name, type(self).__name__, parameters)
        return new


def with_history(context: ProcessingContext, processor: Processor) -> ProcessingContext:
    """Return `context` with an entry for `processor` in its history."""
    if not isinstance(context, ProcessingContext):
        raise ValidationError(
            f"process() returned {type(context).__name__}; it must return a ProcessingContext."
        )
    # A step may return the context that it was given, whose history must not change.
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


@_accept_old_argument("everything", "all_data")
@dataclass(frozen=True)
class View:
    """The part of a recording that :meth:`ArrayProcessor.prepare` needs.

    Attributes
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_times : int
        Number of samples.
    metadata : ProcessingMetadata
        Triggers and other metadata.
    ch_names : tuple of str
        Names of the data channels.
    reference : ndarray, shape (n_times,) | None
        Samples of the reference channel, in V, if the processor needs it.
    reference_name : str | None
        Its name.
    data : ndarray, shape (n_data_channels, n_times) | None
        All data channels, in V, if the processor needs them.
    ch_types : tuple of str
        Types of the data channels, as :func:`facet_nb.core.recording.kind_of` names them.
    all_data : ndarray, shape (n_channels, n_times) | None
        All channels of the recording, of any type, in V, if the processor needs them; not a copy.
    all_names, all_types : tuple of str
        Their names and types.
    pieces : tuple of (int, int)
        Pieces in which time is continuous: first sample, and the one after the last. Empty if
        there is only one.
    info : mne.Info | None
        The header before the stage, which must not be changed.
    earlier : Prepared | None
        What the step decided with other parameters (``ArrayProcessor.can_follow``). `reference` is
        then an object that has the channel's length and reads its slices.
    """

    sfreq: float
    n_times: int
    metadata: ProcessingMetadata
    ch_names: tuple[str, ...]
    reference: np.ndarray | None = None
    reference_name: str | None = None
    data: np.ndarray | None = None
    ch_types: tuple[str, ...] = ()
    all_data: np.ndarray | None = None
    all_names: tuple[str, ...] = ()
    all_types: tuple[str, ...] = ()
    pieces: tuple[tuple[int, int], ...] = ()
    info: mne.Info | None = None
    earlier: Prepared | None = None

    @property
    def offset(self) -> int:
        """Number of samples from a trigger to the first sample of its artifact."""
        return int(self.metadata.artifact_to_trigger_offset * self.sfreq)

    def list_positions(self, names: Iterable[str]) -> np.ndarray:
        """Return positions in the head, in m, shape (n_names, 3); NaN where they are not known."""
        # The first three of the numbers in "loc": those that follow are the place of the reference.
        known = {} if self.info is None else {ch["ch_name"]: ch["loc"] for ch in self.info["chs"]}
        unknown = np.full(3, np.nan)
        places = np.array([known.get(name, unknown)[:3] for name in names], float).reshape(-1, 3)
        places[~places.any(axis=1)] = np.nan  # all zero: MNE's other mark of an unknown position
        return places


@_accept_old_argument("spares", "untouched")
@dataclass(frozen=True)
class Prepared:
    """All decisions of a step, made once; picklable and immutable.

    Attributes
    ----------
    payload : object
        Data for ``compute``.
    sfreq : float | None
        Sampling rate afterwards, in Hz; None if it does not change.
    n_times : int | None
        Number of samples afterwards; None if it does not change.
    start : int
        Samples cut from the beginning.
    highpass, lowpass : float | None
        Pass band to record in the header, in Hz.
    metadata : dict
        Fields of :class:`ProcessingMetadata` that change.
    notes : dict
        What the step decided, for the history.
    untouched : tuple of str
        Data channels that the step leaves unchanged.
    findings : tuple of Finding
        What a person should know, made by :func:`facet_nb.core.findings.make_finding`.
    shared : object
        What a decision with other parameters may take over.
    """

    payload: Any = None
    sfreq: float | None = None
    n_times: int | None = None
    start: int = 0
    highpass: float | None = None
    lowpass: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    untouched: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    shared: Any = None


class ArrayProcessor(Processor):
    """A step over arrays; its result is the same in every mode.

    Attributes
    ----------
    needs : {"none", "reference", "all"}
        Input of ``prepare``: the header only, one reference channel, or all data channels.
    linear : bool
        Whether the step is linear: the estimated noise is then filtered like the signal.
    subtracts : bool
        Whether the difference between input and output is estimated noise.
    splits : {"channels", "times"}
        How inner threads divide one call.
    types : tuple of str | None
        Channel types that the step processes; None for all data channels. The constructor
        arguments ``picks`` and ``exclude_channels`` narrow the selection. Other channels pass
        through unchanged.
    heeds_pieces : bool
        Whether the step respects ``view.pieces``, the breaks in time. A finding tells of others.
    uses_noise : bool
        Whether ``compute`` takes ``noise=``, the noise that corrections have removed so far.
    needs_first_pass : bool
        Whether ``stream`` needs statistics of the whole input, which ``first_pass`` accumulates.
    float32_safe : bool
        Whether ``compute`` accepts float32 samples in a run with ``dtype="float32"``; only for
        kernels whose error is documented. Other steps get float64 samples, and their result is
        rounded.
    """

    requires_raw = True
    channel_wise = True
    needs: ClassVar[Literal["none", "reference", "all"]] = "none"
    linear: ClassVar[bool] = False
    subtracts: ClassVar[bool] = False
    heeds_pieces: ClassVar[bool] = False
    splits: ClassVar[Literal["channels", "times"]] = "channels"
    types: ClassVar[tuple[str, ...] | None] = None
    uses_noise: ClassVar[bool] = False
    float32_safe: ClassVar[bool] = False

    needs_first_pass: ClassVar[bool] = False

    def prepare(self, view: View) -> Prepared:
        """Make all decisions that involve more than one channel."""
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
            Array for the result.

        Returns
        -------
        ndarray, shape (n_channels, n_times_out)
            The result, in V. The result for a channel does not depend on other channels.
        """
        # A step that only finds something has nothing to compute.
        if self.modifies_raw:
            raise ValidationError(f"{type(self).__name__} has no compute(x, prepared) method.")
        return x

    def compute_other(self, x: np.ndarray, kind: str, prepared: Prepared) -> np.ndarray:
        """Return channels that are not corrected (``kind``: ``"stim"``, ``"other"``, ``"bad"``).

        They pass through unchanged, unless the step changes the number of samples.
        """
        return x

    def can_overwrite(self) -> bool:
        """Whether ``compute(x, prepared, out=x)`` is allowed (used on private samples only)."""
        return False

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``compute`` for one channel, in bytes.

        This includes the result and excludes the input, whose `shape` is (1, n_times).
        """
        return 8 * shape[1] * (1 if self.memory_copies is None else self.memory_copies)

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of ``prepare`` on a reference channel, in bytes."""
        return self.memory(shape, sfreq)

    def resize(self, n_times: int, sfreq: float) -> tuple[int, float]:
        """Return the number of samples and the rate (Hz) after the step, as far as predictable."""
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
            What ``compute`` returns, as an array or as a lazy object that supports slicing.
        """
        return self.compute(x[np.newaxis], prepared)[0]

    def find_rate(self) -> Fraction | None:
        """Return the ratio of the new to the old sampling rate; None if it is unknown."""
        return None

    def fuse(self, factor: int) -> FusedKernel | str:
        """Return a kernel that replaces upsampling, this step and downsampling.

        Parameters
        ----------
        factor : int
            Ratio of the high to the native sampling rate.

        Returns
        -------
        FusedKernel or str
            The kernel, or the reason why there is none ("needs …").
        """
        return "needs the samples at the high rate"

    def why_not_chunked(self) -> str | None:
        """Return why the step cannot run in chunks of time ("needs …"), or None if it can."""
        return "needs the whole length of a channel"

    def first_pass(self, prepared: Prepared) -> Any:
        """Return an accumulator for statistics that ``stream`` needs in advance.

        It has ``push(x)`` and ``value``; by default it computes the mean.
        """
        return RunningMean()

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return a :class:`facet_nb.kernels.streams.Stream` for one channel, or None.

        Its result must equal that of ``compute`` bit for bit.

        Parameters
        ----------
        prepared : Prepared
            What ``prepare`` decided.
        n_times : int
            Length of the channel, in samples.
        dtype : dtype
            Data type of the samples.
        known : object
            Value of ``first_pass`` over the whole channel, if ``needs_first_pass``.
        """
        return None

    def why_not_windowed(self) -> str | None:
        """Return why windows of the result need whole channels ("needs …"); None if not."""
        return "needs the whole length of a channel"

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the step over windows (:class:`facet_nb.kernels.windows.Windows`), or None.

        Its result must equal that of ``compute`` bit for bit; samples are float64.

        Parameters
        ----------
        prepared : Prepared
            What ``prepare`` decided.
        n_times : int
            Length of the channel before the step, in samples.
        """
        return None

    def can_follow(self, earlier: ArrayProcessor) -> bool:
        """Return whether ``prepare`` may take over what the step `earlier` decided.

        It is this step with other parameters, behind the same samples, and windows are computed.
        ``view.earlier`` then has its decisions, and ``view.reference`` slices only.
        """
        return False

    def why_not_live(self) -> str | None:
        """Return why the step needs later samples ("needs …"), or None if it does not."""
        return "needs samples that are not there yet"

    def live(self, view: View) -> Any:
        """Return the step for samples that arrive block by block; see :mod:`facet_nb.core.live`.

        `view` knows the header, and no samples; its channels are those that the step works on.
        The returned object has ``push(x, onsets, out)``, which must give what ``compute`` gives,
        bit for bit.
        """
        raise ValidationError(f"{self.name} {self.why_not_live()}.")

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream without its input chunk, in bytes."""
        return 8 * chunk * 4

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Run this step alone, serially."""
        # Who calls process adds the entry to the history: with the one of execute there would be
        # two.
        new = self.execute(context)
        new._history = context._history
        return new

    def execute(self, context: ProcessingContext) -> ProcessingContext:
        """Run this step alone, serially, and add it to the history."""
        return engine.run_alone(self, context)


for _old, _new in _RENAMED.items():
    # Only steps that see all channels read a recording piece by piece, and they need not be array
    # processors.
    setattr(Processor if _old == "streams" else ArrayProcessor, _old, _renamed(_old, _new))


class LambdaProcessor(Processor):
    """A plain callable ``f(context) -> context`` as a step.

    Parameters
    ----------
    func : callable
        The function.
    label : str | None
        Name in plans and history.
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


# Not in the class: __init_subclass__ comes after its body, and would set it.
LambdaProcessor.built_in = False  # what the function returns is checked


def as_processor(step: Any) -> Processor:
    """Return `step` as a processor: a processor itself, or a plain callable."""
    if isinstance(step, Processor):
        return step
    # Before the next test: a class is callable, too, and would fail in the run only.
    if isinstance(step, type) and issubclass(step, Processor):
        raise ValidationError(f"{step.__name__} is a class: write {step.__name__}(…) in the list.")
    if callable(step):
        return LambdaProcessor(step)
    raise ValidationError(
        f"a step must be a Processor or a callable, not {type(step).__name__} ({step!r})."
    )
