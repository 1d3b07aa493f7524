"""What happens to a stage before its batches: validation, decisions, pass-through channels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.executors.store import ArrayRef
from facet_nb.core.executors.task import Failure, check_finite, fail
from facet_nb.core.plan import Stage
from facet_nb.core.processor import ArrayProcessor, Processor, View, check_has_triggers
from facet_nb.core.recording import Header
from facet_nb.core.steps import ArrayStep, ChannelStep, State, Step, explain_read_only


@dataclass(frozen=True)
class Named:
    """A step by position, for messages."""

    index: int
    processor: Processor


@dataclass(frozen=True)
class Subject:
    """The recording that a stage works on.

    Attributes
    ----------
    processors, indices : tuple
        The stage's processors and their positions.
    header : Header
        Header of the recording.
    state : State
        Its shape and metadata.
    data : ndarray or ArrayRef, shape (n_channels, n_times)
        All samples, in V.
    names, kinds : tuple of str
        Name and kind of each row.
    picks : ndarray of int
        Rows that the stage processes.
    reference : int
        The reference channel's row.
    """

    processors: tuple[Processor, ...]
    indices: tuple[int, ...]
    header: Header
    state: State
    data: Any
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    picks: np.ndarray
    reference: int

    @classmethod
    def of(
        cls, context: ProcessingContext, stage: Stage, processors: Sequence[Processor]
    ) -> Subject:
        """Return the subject of `stage` in `context`.

        Raises
        ------
        StepError
            If the recording has no data channel.
        """
        chosen = tuple(processors[i] for i in stage.steps)
        raw = context.get_raw()
        kinds = tuple(recording.channel_kinds(raw))
        picks = np.array([i for i, kind in enumerate(kinds) if kind == "data"], dtype=int)
        if not len(picks):
            types = ", ".join(sorted(set(raw.get_channel_types()))) or "none"
            bads = ", ".join(raw.info["bads"]) or "none"
            raise ValidationError(
                f"{chosen[0].name}: the recording has no good data channel (types: {types}; bad: "
                f"{bads}). Set types with raw.set_channel_types, or clear raw.info['bads']."
            )
        data = recording.load_array(raw)
        if not (data.flags.c_contiguous and data.dtype == np.float64):
            data = np.ascontiguousarray(data, dtype=np.float64)
        return cls(
            processors=chosen,
            indices=stage.steps,
            header=Header.of(raw),
            state=State.of(raw, context.metadata),
            data=data,
            names=tuple(raw.ch_names),
            kinds=kinds,
            picks=picks,
            reference=_reference(chosen, raw, picks),
        )


def _reference(processors: Sequence[Processor], raw: Any, picks: np.ndarray) -> int:
    """Return the row of the explicit reference channel: a processor's, else the first EEG."""
    for processor in processors:
        wanted = getattr(processor, "ref_channel", None)
        if wanted is not None:
            return find_channel(wanted, raw)
    types = raw.get_channel_types()
    eeg = [int(i) for i in picks if types[i] == "eeg"]
    return eeg[0] if eeg else int(picks[0])


def find_channel(wanted: int | str, raw: Any) -> int:
    """Return the row of a channel given by name or position."""
    if isinstance(wanted, str):
        if wanted in raw.ch_names:
            return int(raw.ch_names.index(wanted))
    elif 0 <= int(wanted) < len(raw.ch_names):
        return int(wanted)
    raise ValidationError(
        f"ref_channel={wanted!r} is not in the recording: use a name ({', '.join(raw.ch_names[:5])}"
        f"{', …' if len(raw.ch_names) > 5 else ''}) or a position below {len(raw.ch_names)}."
    )


@dataclass(frozen=True)
class Prepared:
    """A stage ready to run: its steps, the shape afterwards, notes, and time spent."""

    steps: tuple[Step, ...]
    state: State
    notes: tuple[Mapping[str, Any], ...]
    times: tuple[StepTime, ...]

    def times_zero(self) -> tuple[StepTime, ...]:
        """Return zero times of the steps: the work is accounted for elsewhere."""
        return tuple(StepTime(t.step, 0.0, 0.0) for t in self.times)


def prepare(subject: Subject) -> Prepared | Failure:
    """Make every decision of a stage: the reference channel goes through its steps first."""
    data = subject.data.open() if isinstance(subject.data, ArrayRef) else subject.data
    ref = subject.reference
    row = np.array(data[ref : ref + 1]) if isinstance(data, np.memmap) else data[ref : ref + 1]
    state, steps, notes, times = subject.state, [], [], []
    wanted = _last_wanted(subject.processors)
    name = subject.names[ref]
    for position, (index, processor) in enumerate(
        zip(subject.indices, subject.processors, strict=True)
    ):
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            if position == 0 and wanted >= 0:
                check_finite(row, [name])
            step, row, state, note = _prepare_one(
                subject, processor, index, row, state, data, onward=position < wanted
            )
        except Exception as error:
            where = name if getattr(processor, "needs", "reference") == "reference" else None
            return replace(
                fail(error, 0, Named(index, processor), where, None), cause=_plain(error)
            )
        times.append(StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu))
        steps.append(step)
        notes.append(note)
    return Prepared(tuple(steps), state, tuple(notes), tuple(times))


def _plain(error: Exception) -> Exception | None:
    """Return `error` if it can travel between processes, else None."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may fail to pickle in any way it likes
        return None
    return error


def _last_wanted(processors: Sequence[Processor]) -> int:
    """Return the last position whose step must see samples of the reference channel."""
    wanted = -1
    for position, processor in enumerate(processors):
        if not isinstance(processor, ArrayProcessor) or processor.needs == "reference":
            wanted = position
    return wanted


def _prepare_one(
    subject: Subject,
    processor: Processor,
    index: int,
    row: np.ndarray,
    state: State,
    data: np.ndarray,
    *,
    onward: bool,
) -> tuple[Step, np.ndarray, State, Mapping[str, Any]]:
    ref = subject.reference
    _validate(processor, subject, state, row)
    if not isinstance(processor, ArrayProcessor):
        step = ChannelStep(index, processor, subject.header, state)
        row, after = step.process(row, ref)
        if processor.run_once or not processor.modifies_raw:
            after = replace(state, metadata=after.metadata)
        return step, row, after, {}
    view = View(
        sfreq=state.sfreq,
        n_times=state.n_times,
        metadata=state.metadata,
        ch_names=tuple(subject.names[i] for i in subject.picks),
        reference=row[0] if processor.needs == "reference" else None,
        reference_name=subject.names[ref],
        data=data[subject.picks] if processor.needs == "all" else None,
    )
    prepared = processor.prepare(view)
    array_step = ArrayStep(index, processor, prepared, _rows(processor, subject))
    if onward and processor.modifies_raw:
        row = array_step.run(row, [ref])
    return array_step, row, state.after(prepared), prepared.notes


def _rows(processor: ArrayProcessor, subject: Subject) -> frozenset[int] | None:
    """Return the rows that a step with ``picks`` or ``types`` works on; None for all."""
    picks = getattr(processor, "picks", None)
    exclude = getattr(processor, "exclude_channels", None)
    types = processor.types
    if picks is None and types is None and not exclude:
        return None
    chosen = recording.resolve_picks(picks, subject.header.info, types)
    if exclude:
        chosen -= recording.resolve_picks(exclude, subject.header.info)
    return frozenset(int(i) for i in subject.picks if int(i) in chosen)


def _validate(processor: Processor, subject: Subject, state: State, row: np.ndarray) -> None:
    if processor.requires_triggers:
        check_has_triggers(state.metadata)
    if isinstance(processor, ArrayProcessor):
        return
    raw = subject.header.attach(
        row,
        sfreq=state.sfreq,
        first_samp=state.first_samp,
        picks=[subject.reference],
        band=state.band,
    )
    processor.validate(ProcessingContext(raw, metadata=state.metadata))


def pass_through(subject: Subject, prepared: Prepared, result: np.ndarray) -> None:
    """Write the rows that hold no data, or bad data, to `result`."""
    done = {int(i) for i in subject.picks}
    for row, kind in enumerate(subject.kinds):
        if row in done:
            continue
        x = subject.data[row : row + 1]
        for step in prepared.steps:
            if isinstance(step, ArrayStep):
                x = step.processor.compute_other(x, kind, step.prepared)
        if x.shape[1] != result.shape[1]:
            raise ValidationError(
                f"{subject.names[row]} ({kind}) has {x.shape[1]} samples after this stage, the "
                f"data channels {result.shape[1]}: a channel-wise step of your own must not "
                "change the number of samples where other channels are present. Use UpSample, "
                "DownSample or Resample, or set channel_wise = False."
            )
        result[row] = x[0]


def run_shielded(processor: Processor, context: ProcessingContext) -> ProcessingContext:
    """Execute a processor that sees all channels; what it is given cannot be changed in place."""
    raw = context._raw
    if raw is None or not raw.preload:
        return processor.execute(context)
    view = raw._data.view()
    view.flags.writeable = False
    shield = recording.replace_data(raw, view)
    given = context._derive(raw=shield)
    given._noise_array = context._noise_array
    with explain_read_only():
        new = processor.execute(given)
    if new._raw is not shield:
        return new
    kept = new._noise_array
    if shield._data is view:
        new = new._derive(raw=raw)
    else:
        replaced = context.with_raw(shield)
        replaced._metadata, replaced._history = new._metadata, new._history
        return replaced
    new._noise_array = kept
    return new
