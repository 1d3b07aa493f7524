"""Prepared steps: all cross-channel decisions have been made.

An :class:`ArrayStep` is a built-in processor with its ``Prepared``. A :class:`ChannelStep` is a
user-defined channel-wise processor; it is called with one channel at a time in every mode, so that
its result cannot depend on the mode. Both can be pickled, and are independent of how they are run.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.noise import Change
from facet_nb.core.recording import ChannelHeaders, Header
from facet_nb.core.samples import (
    COPY_FIRST,
    check_kind,
    check_returned_finite,
    check_samples,
    explain_read_only,
)
from facet_nb.kernels.views import protect, round_to

if TYPE_CHECKING:
    import mne

    from facet_nb.core.context import ProcessingContext
    from facet_nb.core.processor import ArrayProcessor, Prepared, Processor

#: Relative difference up to which two results count as the same: matrix products of different sizes
#: differ by rounding, also in float32.
_SAME = 1e-5

#: Size of rounding errors, relative to the samples before a step.
_ROUNDING = 1e-9

#: A channel, and its samples after a step, shape (n_times,), in V.
KnownRow = tuple[int, np.ndarray]


@dataclass(frozen=True)
class State:
    """Shape and metadata of a recording between two steps.

    Attributes
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_times : int
        Number of samples.
    first_samp : int
        Sample number of the first sample.
    band : tuple (highpass, lowpass)
        Filter information of the header, in Hz.
    metadata : ProcessingMetadata
        Triggers and other metadata.
    """

    sfreq: float
    n_times: int
    first_samp: int
    band: tuple[float, float]
    metadata: ProcessingMetadata

    @classmethod
    def of(cls, raw: mne.io.BaseRaw, metadata: ProcessingMetadata) -> State:
        """Return the state of `raw`."""
        info = raw.info
        band = (float(info["highpass"]), float(info["lowpass"]))
        return cls(float(info["sfreq"]), int(raw.n_times), int(raw.first_samp), band, metadata)

    def after(self, prepared: Prepared) -> State:
        """Return the state after an array step."""
        highpass, lowpass = self.band
        sfreq = prepared.sfreq or self.sfreq
        first = self.first_samp + prepared.start
        # MNE counts first_samp at the rate of the samples.
        if sfreq != self.sfreq:
            first = round(first * sfreq / self.sfreq)
        metadata = self.metadata
        if prepared.metadata:
            metadata = metadata.updated(**prepared.metadata)
        return replace(
            self,
            sfreq=sfreq,
            n_times=prepared.n_times if prepared.n_times is not None else self.n_times,
            first_samp=first,
            band=(
                # The band only gets narrower: a wider filter brings nothing back.
                max(highpass, prepared.highpass or 0.0),
                min(lowpass, prepared.lowpass or np.inf, sfreq / 2.0),
            ),
            metadata=metadata,
        )


# Cached, because each batch asks.
@cache
def _takes_out(compute: Callable[..., Any]) -> bool:
    """Whether a user-defined ``compute`` can write its result to an array."""
    kinds = {name: p.kind for name, p in inspect.signature(compute).parameters.items()}
    return "out" in kinds or inspect.Parameter.VAR_KEYWORD in kinds.values()


class _RowStep:
    """Base of both kinds of steps: the rows that they process."""

    processor: Any
    rows: frozenset[int] | None

    @property
    def changes_samples(self) -> bool:
        """Whether the samples change."""
        return changes_samples(self.processor)

    def confine(self, picks: Iterable[int]) -> Any:
        """Return the step for channels `picks` only."""
        rows, step = frozenset(picks), cast("Step", self)
        return replace(step, rows=rows if self.rows is None else rows & self.rows)

    def _select_rows(self, picks: Sequence[int]) -> frozenset[int] | None:
        """Return `rows` for a recording with only the channels `picks` of this one."""
        if self.rows is None:
            return None
        return frozenset([new for new, old in enumerate(picks) if old in self.rows])


@dataclass(frozen=True)
class ArrayStep(_RowStep):
    """A built-in processor, prepared.

    Attributes
    ----------
    index : int
        Position in the pipeline.
    processor : ArrayProcessor
        The processor.
    prepared : Prepared
        Its decisions.
    rows : frozenset of int | None
        Channels that it processes; None for all. Others pass through.
    dtype : {"float64", "float32"}
        Precision of the samples: "float32" rounds the input and the result of the step.
    compiled : frozenset of str | None
        Compiled modules that the run may use; None for all. The estimated noise, computed later,
        needs the same ones.
    """

    index: int
    processor: ArrayProcessor
    prepared: Prepared
    rows: frozenset[int] | None = None
    dtype: str = "float64"
    compiled: frozenset[str] | None = field(default=None, compare=False)

    @property
    def change(self) -> Change:
        """Effect of the step on the estimated noise."""
        processor = self.processor
        if not processor.modifies_raw or processor.run_once:
            return Change.NOTHING
        if processor.subtracts:
            return Change.CORRECTION
        linear = processor.linear and not processor.uses_noise
        return Change.LINEAR if linear else Change.OPAQUE

    @property
    def uses_noise(self) -> bool:
        """Whether ``run`` needs the noise."""
        return self.processor.uses_noise

    def select(self, picks: Sequence[int]) -> ArrayStep:
        """Return the step for a recording with only the channels `picks` of this one."""
        return self if self.rows is None else replace(self, rows=self._select_rows(picks))

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the step's result for rows `x`, shape (n_channels, n_times), in V."""
        x = round_to(self.dtype, x)
        if self.rows is not None and not self.rows.issuperset(channels):
            return self._run_some(x, channels, noise)
        if x.dtype != np.float64 and not self.processor.float32_safe:
            x = x.astype(float)
        # A kernel writes in the precision in which it computes; the result is rounded below.
        if out is not None and out.dtype != x.dtype:
            out = None
        # Read-only, so that a step that changes its input fails in every mode, not in some.
        given = x if out is not None and np.may_share_memory(x, out) else protect(x)
        checked = not self.processor.built_in
        if checked:  # C and GPU code may ignore the flag: it gets samples of its own
            given = protect(x.copy())
        extra = {"noise": None if noise is None else protect(noise)} if self.uses_noise else {}
        if not checked or _takes_out(type(self.processor).compute):
            extra["out"] = out
        try:
            result = self.processor.compute(given, self.prepared, **extra)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ValidationError(
                "compute() changed its input x: write to out, or to a new array."
            ) from error
        if checked:
            try:
                result = self._check(result, x, channels)
            except ValidationError as error:
                raise self._find_first(error, x, channels, noise) from error.__cause__
        return round_to(self.dtype, result)

    def _find_first(
        self,
        error: ValidationError,
        x: np.ndarray,
        channels: Sequence[int],
        noise: np.ndarray | None,
    ) -> ValidationError:
        """Return the error of the first of `channels` that fails alone, or `error`."""
        # So that it is the same for batches of any size.
        for i, channel in enumerate(channels) if len(channels) > 1 else ():
            try:
                self.run(x[i : i + 1], [channel], None, None if noise is None else noise[i : i + 1])
            except ValidationError as alone:
                return alone
            except Exception:  # it cannot be called with one channel
                break
        if getattr(error, "row", None) is None:
            # The name is not known here: the batch, which has the header, replaces the number with
            # it.
            error.row = channels[0]
        return error

    def _check(self, result: Any, x: np.ndarray, channels: Sequence[int]) -> np.ndarray:
        """Return the result of a user-defined ``compute`` for rows `x` if it can be used."""
        n_times = x.shape[1] if self.prepared.n_times is None else self.prepared.n_times
        shapes = [(len(x), n_times)]
        if self.processor.splits == "times":  # `x` may be a part of the recording
            shapes.append(x.shape)
        samples = check_samples(result, "compute()", shapes)
        check_returned_finite(samples, "compute()", channels)
        return samples

    def check_independence(
        self, x: np.ndarray, result: np.ndarray, channels: Sequence[int], noise: np.ndarray | None
    ) -> None:
        """Check that a user-defined ``compute`` treats each channel independently.

        Parameters
        ----------
        x, result : ndarray, shape (n_channels, n_times)
            Its input, which still holds the samples, and what it returned.
        channels : sequence of int
            The channels.
        noise : ndarray | None
            As for :meth:`run`.

        Raises
        ------
        ValidationError
            If the first channel's result is another one in other company: the result of the run
            would depend on its batches.
        """
        # In a buffer that was overwritten the samples before the step are lost.
        if np.may_share_memory(x, result) or not (self.rows is None or channels[0] in self.rows):
            return
        company, near = x[:1], None if noise is None else noise[:1]
        rows = channels[:1]
        # Its own samples as they are would be no company: a mean over channels would leave them.
        if len(x) == 1:
            company, rows = np.concatenate([company, -company[:, ::-1]]), [*rows, *rows]
            near = None if near is None else np.concatenate([near, near])
        other = self.run(company, rows, None, near)[0]
        difference = np.abs(other - result[0]).max(initial=0.0)
        if difference > _SAME * np.abs(result[0]).max(initial=0.0):
            error = ValidationError(
                "compute() returned another result for a channel when it was called with other "
                "channels beside it. A channel-wise step must treat each row independently, and "
                "draw no random numbers without a seed. Set channel_wise = False if it needs all "
                "channels."
            )
            error.row = channels[0]
            raise error

    def _run_some(
        self, x: np.ndarray, channels: Sequence[int], noise: np.ndarray | None
    ) -> np.ndarray:
        """Return the result of a step that processes only some of `channels`."""
        assert self.rows is not None
        inside = [i for i, channel in enumerate(channels) if channel in self.rows]
        outside = [i for i, channel in enumerate(channels) if channel not in self.rows]
        # compute_other knows no "data": channels that are not picked are treated like bad ones.
        rest = self.processor.compute_other(np.asarray(x[outside], float), "bad", self.prepared)
        result = np.empty((len(x), rest.shape[1]), self.dtype)
        result[outside] = rest
        if inside:
            chosen = [channels[i] for i in inside]
            result[inside] = self.run(
                x[inside], chosen, None, None if noise is None else noise[inside]
            )
        return result


@dataclass(frozen=True)
class ChannelStep(_RowStep):
    """A user-defined channel-wise processor, with the header of its recording.

    Attributes
    ----------
    index : int
        Position in the pipeline.
    processor : Processor
        The processor.
    header : Header
        Header of the recording at the beginning of the stage.
    before : State
        State of the recording before the step.
    channels : tuple of int | None
        Channel of the header for each channel of the recording; None if they are the same.
    rows : frozenset of int | None
        Channels that it processes; None for all. Others pass through.
    n_times : int | None
        Number of samples afterwards, from the trial on the reference channel.
    sfreq : float | None
        Sampling rate afterwards, in Hz, from the same trial.
    reports : bool
        Whether the processor itself reports the noise that it removed.
    dtype : {"float64", "float32"}
        As for :class:`ArrayStep`; the processor itself sees float64.
    compiled : frozenset of str | None
        As for :class:`ArrayStep`.
    known : tuple (channel, samples) | None
        Result on the reference channel, which was processed during preparation.
    """

    index: int
    processor: Processor
    header: Header
    before: State
    channels: tuple[int, ...] | None = None
    rows: frozenset[int] | None = None
    n_times: int | None = None
    sfreq: float | None = None
    reports: bool = False
    dtype: str = "float64"
    compiled: frozenset[str] | None = field(default=None, compare=False)
    known: KnownRow | None = field(default=None, compare=False, repr=False)
    # A cache in a frozen class: the first channel's header serves for all later ones.
    _headers: dict[str, ChannelHeaders] = field(default_factory=dict, compare=False, repr=False)

    uses_noise = False

    @property
    def change(self) -> Change:
        """Effect of the step on the estimated noise."""
        if not changes_samples(self.processor):
            return Change.NOTHING
        return Change.REPORTED if self.reports else Change.OPAQUE

    def select(self, picks: Sequence[int]) -> ChannelStep:
        """Return the step for a recording with only the channels `picks` of this one."""
        known = self.channels
        channels = tuple([i if known is None else known[i] for i in picks])
        return replace(self, channels=channels, rows=self._select_rows(picks), _headers={})

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the step's result for rows `x`; each row is processed separately."""
        if not self.changes_samples:
            return x
        n_times = x.shape[1] if self.n_times is None else self.n_times
        x = round_to(self.dtype, x)
        if out is None or out.dtype != self.dtype:
            out = np.empty((len(x), n_times), self.dtype)
        result = out
        for row, channel, target in zip(x, channels, result, strict=True):
            inside = self.rows is None or channel in self.rows
            # A step may count its calls or draw numbers: no channel is sent through it twice.
            if inside and self.known is not None and self.known[0] == channel:
                target[...] = self.known[1]
            else:
                target[...] = self.process_row(row, channel) if inside else row
        return result

    def process_row(self, row: np.ndarray, channel: int) -> np.ndarray:
        """Return one channel's samples after the step, shape (n_times,), in V."""
        context = self.process(row[np.newaxis], channel)
        data = unpack_samples(context)
        sfreq = float(context.get_raw().info["sfreq"])
        differs = ""
        if self.n_times is not None and data.shape[1] != self.n_times:
            differs = f"{data.shape[1]} samples, but {self.n_times}"
        elif self.sfreq is not None and sfreq != self.sfreq:
            differs = f"a sampling rate of {sfreq:g} Hz, but {self.sfreq:g} Hz"
        if differs:
            error = ValidationError(
                f"process() returned {differs} for the reference channel: all channels of a "
                "recording must have the same rate and number of samples."
            )
            error.row = channel
            raise error
        result: np.ndarray = data[0]
        return result

    def report_row(self, row: np.ndarray, channel: int) -> np.ndarray:
        """Return the noise that the step reports for one channel, shape (n_times,), in V."""
        noise = self.process(row[np.newaxis], channel).get_estimated_noise()
        if noise is None:
            return np.zeros(len(row) if self.n_times is None else self.n_times)
        first: np.ndarray = noise[0]
        return first

    def process(self, x: np.ndarray, channel: int, validate: bool = False) -> ProcessingContext:
        """Run the processor on one channel, shape (1, n_times), in V; return its context."""
        from facet_nb.core.context import ProcessingContext

        here = self._locate(channel)
        x = np.asarray(round_to(self.dtype, x), float)
        if not self._headers:
            self._headers["all"] = ChannelHeaders(self.header)
        # C and GPU code may ignore the flag.
        raw = self._headers["all"].attach(protect(x.copy()), here, **self._shape())
        context = ProcessingContext(raw, metadata=self.before.metadata.copy())
        try:
            if validate:
                self.processor.validate(context)
            with explain_read_only(COPY_FIRST):
                new = check_context(self.processor.process(context))
            self._check(new, raw)
            return new
        except BaseException as error:
            # Exceptions of other libraries may have slots, and take no further attribute.
            with suppress(AttributeError):
                error.channel = self.header.info["ch_names"][here]  # type: ignore[attr-defined]
            raise

    def find_dependence(
        self, x: np.ndarray, channel: int, result: np.ndarray
    ) -> tuple[Finding, ...]:
        """Return a finding if a channel's result is another one with a second channel beside it.

        Parameters
        ----------
        x, result : ndarray, shape (1, n_times)
            The channel before and after the step, in V.
        channel : int
            Its row.
        """
        from facet_nb.core.context import ProcessingContext

        info, here = self.header.info, self._locate(channel)
        names, types = info["ch_names"], info.get_channel_types()
        others = [
            i for i, t in enumerate(types) if t == types[here] and names[i] not in info["bads"]
        ]
        if others in ([], [here]):
            return ()
        other = next(i for i in others if i != here)
        x = np.asarray(round_to(self.dtype, x), float)
        raw = self.header.attach(
            np.concatenate([x, -x[:, ::-1]]), picks=[here, other], **self._shape()
        )
        # Not under the other channel's name, which may mean something to the step.
        raw.rename_channels({raw.ch_names[1]: f"beside {raw.ch_names[0]}"})
        try:
            # A copy: what the step counts and draws must not change.
            new = copy.deepcopy(self.processor).process(
                ProcessingContext(raw, metadata=self.before.metadata.copy())
            )
            beside = np.asarray(new.get_raw().get_data(), float)
        except (Exception, SystemExit):
            return ()  # the step may rely on being called with one channel
        if beside.shape[1] != result.shape[1]:
            return ()
        difference = np.abs(beside[0] - result[0]).max(initial=0.0)
        scale = max(np.abs(result).max(initial=0.0), _ROUNDING * np.abs(x).max(initial=0.0))
        if difference <= _SAME * scale:
            return ()
        name = names[here]
        detail = (
            f"Channel {name} has another result with a second channel beside it (by up to "
            f"{difference:.2g} V): the step looks at other channels, of which it gets none, or "
            "draws random numbers without a seed."
        )
        found = make_finding(
            "channels_not_independent",
            detail,
            channels=[name],
            difference_v=float(difference),
            largest_v=float(np.abs(result).max(initial=0.0)),
        )
        return (found,)

    def _locate(self, channel: int) -> int:
        """Return the position of a channel in the header."""
        return channel if self.channels is None else self.channels[channel]

    def _shape(self) -> dict[str, Any]:
        state = self.before
        return {"sfreq": state.sfreq, "first_samp": state.first_samp, "band": state.band}

    def _check(self, new: ProcessingContext, given: mne.io.BaseRaw) -> None:
        """Check what the processor returned; nothing of it is lost without a word."""
        data = unpack_samples(new)
        raw = new.get_raw()
        # Each channel is called by itself, and only its samples are put together again.
        if list(raw.ch_names) != list(given.ch_names) and self.changes_samples:
            raise ValidationError(
                f"process() returned channel {', '.join(raw.ch_names)} for "
                f"{', '.join(given.ch_names)}: a channel-wise step must not rename channels. Set "
                "channel_wise = False."
            )
        added = set(raw.annotations.description) - set(given.annotations.description)
        if added or set(raw.info["bads"]) - set(given.info["bads"]):
            what = f"annotations ({', '.join(sorted(added))})" if added else "a bad channel"
            raise ValidationError(
                f"process() added {what}: of a channel-wise step only samples and metadata are "
                "kept. Set channel_wise = False."
            )
        if self.changes_samples:
            check_returned_finite(data, "process()", range(len(data)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_headers": {}}  # the cache is cheaper to rebuild than to send


Step = ArrayStep | ChannelStep


def changes_samples(processor: Processor) -> bool:
    """Whether a channel-wise step changes samples; a step that runs once does not."""
    return processor.modifies_raw and not processor.run_once


def check_prepared(prepared: Any) -> None:
    """Raise :class:`ValidationError` if a user-defined ``prepare`` returned what cannot be used."""
    if not hasattr(prepared, "payload"):
        raise ValidationError(
            f"prepare() returned {type(prepared).__name__}; it must return a Prepared(…)."
        )
    n_times, sfreq = prepared.n_times, prepared.sfreq
    whole = n_times is None or (isinstance(n_times, (int, np.integer)) and n_times > 0)
    if not whole:
        raise ValidationError(
            f"prepare() returned n_times={n_times!r}: give a whole number above 0, or None if the "
            "number of samples does not change."
        )
    if sfreq is not None and not (isinstance(sfreq, Real) and 0 < float(sfreq) < np.inf):
        raise ValidationError(
            f"prepare() returned sfreq={sfreq!r}: give a rate above 0, in Hz, or None."
        )


def check_context(context: Any) -> ProcessingContext:
    """Return `context`, the return value of a processor, if it is a context."""
    if context is None or not hasattr(context, "get_raw"):
        raise ValidationError(
            f"process() returned {type(context).__name__}; it must return a ProcessingContext."
        )
    return cast("ProcessingContext", context)


def unpack_samples(context: ProcessingContext) -> np.ndarray:
    """Return the samples of a one-channel context, shape (1, n_times), in V."""
    raw = context.get_raw()
    # A masked array keeps its mask, so that the next check sees it.
    samples = np.asanyarray(raw._data if raw.preload else raw.get_data())
    check_kind(samples, "process()")
    data = np.asarray(samples, dtype=float)
    if data.ndim != 2 or data.shape[0] != 1:
        raise ValidationError(
            "a channel-wise processor must return one channel for each channel it is given; "
            f"it returned samples of shape {data.shape}. Set channel_wise = False if it needs all "
            "channels."
        )
    return data
