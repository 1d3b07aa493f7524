"""The data of one stage: its input, and the prepared steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.noise import NoiseTerm
from facet_nb.core.planning.fusion import NO_FUSIONS, Fusions
from facet_nb.core.planning.plan import Stage, count_chunk
from facet_nb.core.processor import Processor
from facet_nb.core.recording import Header, find_channel
from facet_nb.core.steps import State, Step
from facet_nb.core.storage import scratch


@dataclass(frozen=True)
class Named:
    """A step by position, for messages."""

    index: int
    processor: Processor


@dataclass(frozen=True)
class StageInput:
    """The recording that a stage works on.

    Attributes
    ----------
    processors, indices : tuple
        The stage's processors and their positions.
    header : Header
        Header of the recording.
    state : State
        Its shape and metadata.
    data : ndarray, shape (n_channels, n_times)
        All samples, in V: float64, or those of a file of the run in its precision.
    names, kinds : tuple of str
        Name and kind of each row.
    picks : ndarray of int
        Rows that the stage processes.
    references : tuple of int
        The row of each processor's reference channel.
    terms : tuple of NoiseTerm
        Noise so far.
    dtype : str
        Precision of the samples between steps.
    chunk : int
        Samples of a chunk of time, where reference channels go to files, too; 0 for none.
    """

    processors: tuple[Processor, ...]
    indices: tuple[int, ...]
    header: Header
    state: State
    data: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    picks: np.ndarray
    references: tuple[int, ...]
    terms: tuple[NoiseTerm, ...] = ()
    dtype: str = "float64"
    chunk: int = 0

    @classmethod
    def of(
        cls,
        context: ProcessingContext,
        stage: Stage,
        processors: Sequence[Processor],
        fusions: Fusions = NO_FUSIONS,
        samples: np.ndarray | None = None,
    ) -> StageInput:
        """Return the subject of `stage` in `context`; `samples` are those of its recording.

        Raises
        ------
        ValidationError
            If there is no recording, it has no data channel, or no such reference channel.
        """
        units = fusions.replace(processors, stage.steps)
        chosen = tuple(unit.processor for unit in units)
        raw = context.get_raw()
        kinds = tuple(recording.channel_kinds(raw))
        picks = np.array([i for i, kind in enumerate(kinds) if kind == "data"], dtype=int)
        if not len(picks):
            types = ", ".join(sorted(set(raw.get_channel_types()))) or "none"
            bads = ", ".join(raw.info["bads"]) or "none"
            raise ValidationError(
                f"the recording has no good data channel (types: {types}; bad: "
                f"{bads}). Set types with raw.set_channel_types, or clear raw.info['bads']."
            )
        data = recording.load_array(raw) if samples is None else samples
        if np.iscomplexobj(data):
            raise ValidationError("the samples are complex: take their real part or magnitude.")
        if samples is None and not (data.flags.c_contiguous and data.dtype == np.float64):
            data = np.ascontiguousarray(data, dtype=np.float64)
        return cls(
            processors=chosen,
            indices=tuple(unit.index for unit in units),
            header=Header.of(raw),
            state=State.of(raw, context.metadata),
            data=data,
            names=tuple(raw.ch_names),
            kinds=kinds,
            picks=picks,
            references=tuple(_reference(p, raw, picks) for p in chosen),
            terms=context._noise,
            dtype=stage.dtype,
            chunk=count_chunk(stage, float(raw.info["sfreq"])) if scratch.is_spilled(data) else 0,
        )


def _reference(processor: Processor, raw: Any, picks: np.ndarray) -> int:
    """Return the row of the explicit reference channel: the processor's, else the first EEG."""
    wanted = getattr(processor, "ref_channel", None)
    if wanted is not None:
        return find_channel(wanted, raw)
    types = raw.get_channel_types()
    eeg = [int(i) for i in picks if types[i] == "eeg"]
    return eeg[0] if eeg else int(picks[0])


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


@dataclass(frozen=True)
class ReferenceTrial:
    """What anyone's step did to its reference channel."""

    row: np.ndarray
    state: State
    reports: bool
