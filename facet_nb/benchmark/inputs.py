"""Prepare the chain and the recording of a benchmark for its processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.benchmark.measurement import BenchmarkInput
from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.backends.base import check_picklable, dumps
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor

if TYPE_CHECKING:
    import mne


def find_input(pipeline: Pipeline, source: Any) -> tuple[BenchmarkInput, Any]:
    """Return a description of chain and recording, and the recording for :func:`write_job`.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    source : ProcessingContext | path | Simulation | dict
        The recording: a context, a file, a simulation, or the arguments of
        :func:`facet_nb.datasets.simulate`.

    Raises
    ------
    ValidationError
        If `source` is none of these, or the chain is empty.
    """
    pipeline = leave_out_writers(pipeline)
    if not len(pipeline):
        raise ValidationError("the pipeline has no steps: there is nothing to measure.")
    if isinstance(source, (str, os.PathLike)):
        from facet_nb.io.sources import open_recording

        path = str(Path(source).resolve())
        return _describe(pipeline, open_recording(Path(path)), Path(path).name), path
    name = "recording"
    if isinstance(source, Mapping):
        from facet_nb.datasets import simulate

        try:
            source = simulate(**source)
        except TypeError as error:
            raise ValidationError(f"{error}: a dict holds arguments of simulate().") from error
    if hasattr(source, "context") and hasattr(source, "spec"):
        source, name = source.context(), "simulation"
    if not isinstance(source, ProcessingContext):
        raise ValidationError(
            f"source must be a ProcessingContext, a path, a Simulation or the arguments of "
            f"simulate() as a dict, not {type(source).__name__}; of a Raw, "
            "ProcessingContext(raw)."
        )
    return _describe(pipeline, source.get_raw(), name), source


def leave_out_writers(pipeline: Pipeline) -> Pipeline:
    """Return the chain without the steps that write files, as each run would write them again.

    These are exporters and steps with a ``save_path``.
    """
    return Pipeline([p for p in pipeline.processors if not writes(p)], pipeline.name)


def writes(step: Processor) -> bool:
    """Whether a step writes files."""
    exports = type(step).__module__.startswith("facet_nb.io.") and step.name.endswith("exporter")
    return exports or getattr(step, "save_path", None) is not None


def write_job(path: Path, pipeline: Pipeline, source: Any) -> None:
    """Write chain and recording to the file that :mod:`facet_nb.benchmark.child` reads.

    Raises
    ------
    PlanError
        If a step cannot be pickled; the message names it.
    """
    # Step by step first: an error of the whole pickle would not name the step.
    check_picklable([(p.name, p) for p in pipeline.processors])
    path.write_bytes(dumps({"pipeline": pipeline, "source": source}))


def _describe(pipeline: Pipeline, raw: mne.io.BaseRaw, name: str) -> BenchmarkInput:
    return BenchmarkInput(
        n_channels=len(raw.ch_names),
        n_times=int(raw.n_times),
        sfreq=float(raw.info["sfreq"]),
        steps=tuple(repr(p) for p in pipeline.processors),
        pipeline=pipeline.name,
        source=f"{name}: {len(raw.ch_names)} channels × {raw.n_times / raw.info['sfreq']:.1f} s "
        f"at {raw.info['sfreq']:g} Hz",
    )
