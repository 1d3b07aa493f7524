"""The data of one stage: its input, and the prepared stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.findings import Finding
from facet_nb.core.noise import NoiseTerm
from facet_nb.core.processor import Prepared, Processor
from facet_nb.core.recording import Header
from facet_nb.core.steps import KnownRow, State, Step


@dataclass(frozen=True)
class Named:
    """A processor with its position, for messages."""

    index: int
    processor: Processor


@dataclass(frozen=True)
class StageInput:
    """The input of a stage.

    Attributes
    ----------
    processors, indices : tuple
        The stage's processors and their positions in the pipeline.
    header : Header
        Header of the recording.
    state : State
        Its shape and metadata.
    data : ndarray, shape (n_channels, n_times)
        All samples, in V: float64, or, in a scratch file, in the precision of the run.
    names, kinds : tuple of str
        Name and kind of each row.
    picks : ndarray of int
        Rows of the good data channels, which the stage processes.
    references : tuple of int
        The row of each processor's reference channel.
    terms : tuple of NoiseTerm
        Noise so far.
    dtype : str
        Precision of the samples between steps.
    chunk : int
        Samples of a chunk of time, if reference channels are kept in scratch files; or 0.
    earlier : Prepared | None
        What the first processor decided with other parameters, if it can take that over.
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
    earlier: Prepared | None = None


@dataclass(frozen=True)
class PreparedStage:
    """A stage ready to run.

    Attributes
    ----------
    steps : tuple of Step
        The prepared steps.
    state : State
        Shape and metadata of the recording afterwards.
    notes : tuple of dict
        What each step decided, for the history.
    times : tuple of StepTime
        Duration of the preparation of each step.
    findings : tuple of tuple of Finding
        Findings of each step.
    trials : dict
        Result on its reference channel of each user-defined step, by position in the stage.
    states : tuple of State
        Shape and metadata after each step.
    """

    steps: tuple[Step, ...]
    state: State
    notes: tuple[Mapping[str, Any], ...]
    times: tuple[StepTime, ...]
    findings: tuple[tuple[Finding, ...], ...]
    trials: Mapping[int, KnownRow]
    states: tuple[State, ...]


@dataclass(frozen=True)
class ReferenceTrial:
    """Result of a user-defined step on its reference channel.

    Attributes
    ----------
    row : ndarray, shape (1, n_times)
        The channel afterwards, in V.
    state : State
        Shape and metadata of the recording afterwards.
    reports : bool
        Whether the step itself reports the noise that it removed.
    findings : tuple of Finding
        Findings that it added.
    """

    row: np.ndarray
    state: State
    reports: bool
    findings: tuple[Finding, ...] = ()
