"""Spans of the recording that people choose."""

from __future__ import annotations

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.recording import REFERENCE_SPAN
from facet_nb.core.registry import register_processor
from facet_nb.preprocessing.triggers import annotate


@register_processor
class SignalIntervalSelector(Processor):
    """Choose a span without artifact that metrics compare with.

    Without it, metrics take all time before and after the acquisition, which the triggers tell. The
    span becomes an annotation ``REFERENCE``, which survives cropping, resampling and saving; one
    can as well be drawn with the mouse in ``raw.plot()``. Several add up.

    Parameters
    ----------
    tmin, tmax : float
        Beginning and end of the span, in s from the first sample.

    Raises
    ------
    ValidationError
        If the span is not within the recording.
    """

    name = "signal_interval_selector"
    description = "Choose a span without artifact to compare with"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

    def __init__(self, tmin: float, tmax: float) -> None:
        self.tmin = tmin
        self.tmax = tmax

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        longest = float(raw.n_times / raw.info["sfreq"])
        if not 0 <= self.tmin < self.tmax <= longest + 0.5 / raw.info["sfreq"]:
            raise ValidationError(
                f"{self.name}: choose 0 ≤ tmin < tmax ≤ {longest:.6g} s, not "
                f"{self.tmin!r} to {self.tmax!r}."
            )
        start = np.array([round(self.tmin * raw.info["sfreq"])])
        return annotate(context, start, REFERENCE_SPAN, self.tmax - self.tmin)


#: FACETpy's other name of the same class.
ReferenceIntervalSelector = SignalIntervalSelector
