"""A step that is ready to run: everything that looks at more than one channel is decided.

An :class:`ArrayStep` is one of our processors with its ``Prepared``; a :class:`ChannelStep` is
anyone's channel-wise processor, called with one channel at a time in every mode, so that its
answer cannot depend on the mode. Both are picklable and know nothing of where they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.recording import Header

if TYPE_CHECKING:
    from facet_nb.core.processor import ArrayProcessor, Prepared, Processor


@dataclass(frozen=True)
class State:
    """The shape of a recording between two steps.

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
        Triggers and the like.
    """

    sfreq: float
    n_times: int
    first_samp: int
    band: tuple[float, float]
    metadata: ProcessingMetadata

    @classmethod
    def of(cls, raw: Any, metadata: ProcessingMetadata) -> State:
        """Return the state of `raw`."""
        info = raw.info
        band = (float(info["highpass"]), float(info["lowpass"]))
        return cls(float(info["sfreq"]), int(raw.n_times), int(raw.first_samp), band, metadata)

    def after(self, prepared: Prepared) -> State:
        """Return the state after an array step."""
        highpass, lowpass = self.band
        sfreq = prepared.sfreq or self.sfreq
        first = self.first_samp + prepared.start
        if sfreq != self.sfreq:
            first = round(first * sfreq / self.sfreq)
        return replace(
            self,
            sfreq=sfreq,
            n_times=prepared.n_times if prepared.n_times is not None else self.n_times,
            first_samp=first,
            band=(
                max(highpass, prepared.highpass or 0.0),
                min(lowpass, prepared.lowpass or np.inf, sfreq / 2.0),
            ),
            metadata=self.metadata.updated(**prepared.metadata),
        )


@dataclass(frozen=True)
class ArrayStep:
    """One of our processors, prepared."""

    index: int
    processor: ArrayProcessor
    prepared: Prepared
    rows: frozenset[int] | None = None

    @property
    def opaque(self) -> bool:
        """Whether the estimated noise cannot be followed through this step."""
        return not (self.processor.linear or self.processor.subtracts)

    def select(self, picks: Sequence[int]) -> ArrayStep:
        """Return the step for a recording that holds channels `picks` of this one."""
        if self.rows is None:
            return self
        rows = frozenset(new for new, old in enumerate(picks) if old in self.rows)
        return replace(self, rows=rows)

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the step's result for rows `x`, shape (n_channels, n_times), in V."""
        extra = {"noise": noise} if self.processor.uses_noise else {}
        if self.rows is None or self.rows.issuperset(channels):
            return self.processor.compute(x, self.prepared, out=out, **extra)
        result = np.array(x)
        inside = [i for i, channel in enumerate(channels) if channel in self.rows]
        if inside:
            if noise is not None and extra:
                extra = {"noise": noise[inside]}
            result[inside] = self.processor.compute(x[inside], self.prepared, **extra)
        return result


@dataclass(frozen=True)
class ChannelStep:
    """Anyone's channel-wise processor, bound to the header it will see."""

    index: int
    processor: Processor
    header: Header
    before: State
    channels: tuple[int, ...] | None = None

    opaque = True

    def select(self, picks: Sequence[int]) -> ChannelStep:
        """Return the step for a recording that holds channels `picks` of this one."""
        known = self.channels
        return replace(self, channels=tuple(i if known is None else known[i] for i in picks))

    def run(
        self,
        x: np.ndarray,
        channels: Sequence[int],
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the step's result for rows `x`; each row is processed by itself."""
        if self.processor.run_once:
            return x
        rows = []
        for row, channel in zip(x, channels, strict=True):
            rows.append(self.process(row[np.newaxis], channel)[0])
        result = np.concatenate(rows) if len(rows) > 1 else rows[0]
        if out is None:
            return result
        out[...] = result
        return out

    def process(self, row: np.ndarray, channel: int) -> tuple[np.ndarray, State]:
        """Run the processor on one channel; return its samples and the state after it."""
        from facet_nb.core.context import ProcessingContext

        view = row.view()
        view.flags.writeable = False
        raw = self.header.attach(
            view,
            sfreq=self.before.sfreq,
            first_samp=self.before.first_samp,
            picks=[channel if self.channels is None else self.channels[channel]],
            band=self.before.band,
        )
        context = ProcessingContext(raw, metadata=self.before.metadata.copy())
        with explain_read_only():
            result = self.processor.process(context)
        return unpack_single(result, self.processor)


@contextmanager
def explain_read_only() -> Iterator[None]:
    """Turn numpy's complaint about read-only samples into one that names the remedy."""
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ValidationError(
            "the processor changed its input in place. Take raw = context.get_raw().copy(), "
            "change the copy, and return context.with_raw(raw)."
        ) from error


def unpack_single(context: Any, processor: Processor) -> tuple[np.ndarray, State]:
    """Return samples, shape (1, n_times), and state of a one-channel context."""
    if context is None or not hasattr(context, "get_raw"):
        raise ValidationError(
            f"process() returned {type(context).__name__}; it must return a ProcessingContext."
        )
    raw = context.get_raw()
    data = np.ascontiguousarray(raw._data if raw.preload else raw.get_data(), dtype=float)
    if data.ndim != 2 or data.shape[0] != 1:
        raise ValidationError(
            f"a channel-wise processor must return one channel for each channel it is given; "
            f"it returned samples of shape {data.shape}. Set channel_wise = False if it needs all "
            f"channels."
        )
    state = State.of(raw, context.metadata)
    return data, replace(state, n_times=data.shape[1])


Step = ArrayStep | ChannelStep


class Uncorrected:
    """Follows what the samples of a batch would be without corrections.

    Only where a later step uses the noise; it costs the linear steps a second time.

    Parameters
    ----------
    steps : sequence of Step
        Steps that the batch will go through.
    start : ndarray, shape (n_channels, n_times) | None
        Uncorrected samples at the beginning, if a correction came before.
    """

    def __init__(self, steps: Sequence[Step], start: np.ndarray | None = None) -> None:
        self.wanted = any(getattr(s.processor, "uses_noise", False) for s in steps)
        self.samples = start

    def noise(self, x: np.ndarray) -> np.ndarray | None:
        """Return what corrections removed from samples that are now `x`."""
        return None if self.samples is None else self.samples - x

    def follow(self, step: Step, before: np.ndarray, channels: Sequence[int]) -> None:
        """Take note of `step`, whose input was `before`."""
        if not self.wanted or not step.processor.modifies_raw:
            return
        if step.opaque:
            self.samples = None
        elif step.processor.subtracts:
            if self.samples is None:
                self.samples = before
        elif self.samples is not None:
            self.samples = step.run(self.samples, channels)


def run_steps(steps: Sequence[Step], x: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Return rows `x`, in V, after all `steps`."""
    uncorrected = Uncorrected(steps)
    for step in steps:
        before = x
        x = step.run(x, channels, noise=uncorrected.noise(x) if uncorrected.wanted else None)
        uncorrected.follow(step, before, channels)
    return x
