"""Run the steps of a pipeline on epochs, each one as a recording of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import PlanError, ValidationError
from facet_nb.core.execution.runner import run_alone
from facet_nb.core.processor import ArrayProcessor, Processor


def apply_to_epochs(processors: Sequence[Processor], epochs: Any) -> Any:
    """Return new epochs; see :meth:`facet_nb.Pipeline.apply`."""
    import mne

    if not isinstance(epochs, mne.BaseEpochs):
        raise ValidationError(
            f"apply takes mne.Epochs, not {type(epochs).__name__}; for a recording, use run."
        )
    refused = [f"{step.name} {why}" for step in processors if (why := _why_not(step)) is not None]
    if refused:
        raise PlanError(
            f"these steps cannot be applied to epochs: {'; '.join(refused)}. Run them on the "
            "recording, and cut the epochs from the result."
        )
    epochs = epochs.copy().load_data()  # rejected epochs are known after this
    if not len(epochs):
        return epochs
    results = []
    for x in epochs.get_data(copy=False):
        context = ProcessingContext(mne.io.RawArray(x, epochs.info, verbose="error"))
        for step in processors:
            context = run_alone(step, context)
        results.append(context.get_raw())
    first = results[0]
    shift_s = first.first_samp / first.info["sfreq"]  # not 0 after Crop
    made = mne.EpochsArray(
        np.stack([raw.get_data() for raw in results]),
        first.info,
        events=epochs.events,
        tmin=epochs.tmin + shift_s,
        event_id=epochs.event_id,
        metadata=epochs.metadata,
        selection=epochs.selection,
        drop_log=epochs.drop_log,
        verbose="error",
    )
    # Behind a step that cuts epochs, the interval may lie outside what is left of them.
    if shift_s == 0 and abs(made.tmax - epochs.tmax) < 1 / first.info["sfreq"]:
        # Noted only: as an argument of EpochsArray it would be subtracted once more.
        made.baseline = epochs.baseline
    return made


def _why_not(step: Processor) -> str | None:
    """Return why a step cannot be applied to epochs; None if it can."""
    if step.requires_triggers:
        return "needs the triggers of a recording"
    if not isinstance(step, ArrayProcessor):
        return "takes whole recordings"
    return None
