"""Run a batch in chunks of time, with memory independent of channels and recording length.

Each step of a stage is a stream for one channel (:meth:`ArrayProcessor.stream`). Samples are sent
from the source through all streams to the target, chunk by chunk. A step that needs statistics of
its whole input (:meth:`ArrayProcessor.first_pass`) starts a new pass, over the result of the
previous one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from facet_nb.core.steps import ArrayStep
from facet_nb.core.storage import scratch
from facet_nb.core.storage.row_io import Row, open_rows
from facet_nb.kernels.streams import Buffer
from facet_nb.kernels.views import protect, round_to

logger = logging.getLogger("facet_nb")


def list_passes(steps: Sequence[ArrayStep], channel: int) -> list[list[ArrayStep]]:
    """Return the steps that process a channel, grouped into passes."""
    passes: list[list[ArrayStep]] = [[]]
    for step in steps:
        if not step.changes_samples or not (step.rows is None or channel in step.rows):
            continue
        if step.processor.needs_first_pass and passes[-1]:
            passes.append([])
        passes[-1].append(step)
    return passes


def stream_channel(
    steps: Sequence[ArrayStep],
    channel: int,
    source: Row,
    target: Row,
    chunk: int,
    spent: dict[int, tuple[float, float]],
    *,
    check: Callable[[np.ndarray], None] | None = None,
    note: Callable[[ArrayStep], None] | None = None,
) -> None:
    """Send one channel through all steps.

    Parameters
    ----------
    steps : sequence of ArrayStep
        The steps.
    channel : int
        The channel.
    source, target : Row
        Samples before and after, in V; may be the same.
    chunk : int
        Samples of one chunk.
    spent : dict
        Wall and CPU seconds by position in the pipeline; those of this channel are added.
    check : callable | None
        Called with each chunk of the source; may raise.
    note : callable | None
        Called with each step that is about to run.
    """
    passes = list_passes(steps, channel)
    if not passes[0]:  # no step works on this channel, but each one rounds it
        dtype = steps[0].dtype if any(step.changes_samples for step in steps) else "float64"
        round_row(dtype, source, target, chunk)
        return
    x, known = source, None
    if passes[0][0].processor.needs_first_pass:
        known = _run_first_pass(x, passes[0][0], chunk)
    with ExitStack() as files:
        for number, part in enumerate(passes):
            after = passes[number + 1][0] if number + 1 < len(passes) else None
            lengths = list_lengths(part, x.n_times)
            out = target
            if lengths[-1] != target.n_times:  # a later pass changes the length to the target's
                out = files.enter_context(_open_new(lengths[-1]))
            known = _Pass(part, after, lengths, known, spent, note).run(x, out, chunk, check)
            x, check = out, None


def round_row(dtype: str, source: Row, target: Row, chunk: int) -> None:
    """Copy one channel, in precision `dtype`, in chunks of some samples."""
    for start in range(0, source.n_times, chunk):
        target.write(start, round_to(dtype, source.read(start, start + chunk)))


@contextmanager
def _open_new(n_times: int) -> Iterator[Row]:
    """Open a new channel in a scratch file."""
    ref, samples = scratch.create((1, n_times))
    with open_rows(ref) as find_row:
        yield find_row(0)
    del samples  # deletes the file


def list_lengths(steps: Sequence[ArrayStep], n_times: int) -> list[int]:
    """Return the number of samples before the first step, and after each one."""
    lengths = [n_times]
    for step in steps:
        after = step.prepared.n_times
        lengths.append(lengths[-1] if after is None else after)
    return lengths


def _run_first_pass(x: Row, step: ArrayStep, chunk: int) -> Any:
    """Return the statistics of its whole input that a step needs before it is streamed."""
    statistics = step.processor.first_pass(step.prepared)
    for start in range(0, x.n_times, chunk):
        statistics.push(_give(step, x.read(start, start + chunk)))
    return statistics.value


class _Pass:
    """Some steps that one channel is sent through, from its first sample to its last."""

    def __init__(
        self,
        steps: Sequence[ArrayStep],
        after: ArrayStep | None,
        lengths: Sequence[int],
        known: Any,
        spent: dict[int, tuple[float, float]],
        note: Callable[[ArrayStep], None] | None,
    ) -> None:
        self.steps, self.after, self.spent, self.note = steps, after, spent, note
        self.streams = [_open(step, n, known) for step, n in zip(steps, lengths, strict=False)]
        self.first_pass = None if after is None else after.processor.first_pass(after.prepared)
        self.done = 0

    def run(
        self,
        x: Row,
        target: Row,
        chunk: int,
        check: Callable[[np.ndarray], None] | None,
    ) -> Any:
        """Write the result; return the statistics that the next step needs."""
        # `target` may be `x`: a sample is written only after it has been read.
        for start in range(0, x.n_times, chunk):
            y = x.read(start, start + chunk)
            if check is not None:
                check(y)
            self._write(target, self._flow(0, y))
        # In order: what a stream still holds passes through the later ones before these finish.
        for position in range(len(self.steps)):
            y = self._step(position, self.streams[position].finish)
            self._write(target, self._flow(position + 1, y))
        return None if self.first_pass is None else self.first_pass.value

    def _flow(self, position: int, y: np.ndarray) -> np.ndarray:
        """Send samples through the steps from `position` on."""
        for i in range(position, len(self.steps)):
            push, given = self.streams[i].push, _give(self.steps[i], y)
            y = self._step(i, push, given)
        return y

    def _step(self, position: int, call: Callable[..., np.ndarray], *given: np.ndarray) -> Any:
        step = self.steps[position]
        if self.note is not None:
            self.note(step)
        wall, cpu = time.perf_counter(), time.thread_time()
        result = round_to(step.dtype, call(*given))
        before = self.spent.get(step.index, (0.0, 0.0))
        now = time.perf_counter() - wall, time.thread_time() - cpu
        self.spent[step.index] = before[0] + now[0], before[1] + now[1]
        return result

    def _write(self, target: Row, y: np.ndarray) -> None:
        target.write(self.done, y)
        self.done += len(y)
        if self.after is not None and self.first_pass is not None:
            self.first_pass.push(_give(self.after, y))


class _Whole:
    """A step that cannot stream this recording, e.g. since artifacts are not in order.

    Parameters
    ----------
    step : ArrayStep
        The step.
    """

    def __init__(self, step: ArrayStep) -> None:
        self.step = step
        self.buffer = Buffer(_find_dtype(step))

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; the result is empty until :meth:`finish`."""
        self.buffer.append(x)
        return np.empty(0, x.dtype)

    def finish(self) -> np.ndarray:
        """Return the result."""
        x = protect(self.buffer.data)[np.newaxis]
        result: np.ndarray = self.step.processor.compute(x, self.step.prepared)[0]
        return result


def _open(step: ArrayStep, n_times: int, known: Any) -> Any:
    stream = step.processor.stream(step.prepared, n_times, _find_dtype(step), known)
    if stream is None:
        logger.warning(
            "%s cannot process this recording in chunks: it needs memory for a whole channel.",
            step.processor.name,
        )
        return _Whole(step)
    return stream


def _find_dtype(step: ArrayStep) -> np.dtype:
    return np.dtype(step.dtype if step.processor.float32_safe else "float64")


def _give(step: ArrayStep, x: np.ndarray) -> np.ndarray:
    """Return samples in the precision in which a step computes."""
    x = round_to(step.dtype, x)
    return x.astype(float) if x.dtype != np.float64 and not step.processor.float32_safe else x
