"""Select a span of the recording as reference."""

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
    """Select a span without artifact as the reference of metrics.

    By default, metrics use all time before and after the acquisition, as given by the triggers. The
    span becomes an annotation ``REFERENCE``, which is kept on cropping, resampling and saving, and
    can also be drawn with the mouse in ``raw.plot()``. Several spans are combined.

    Parameters
    ----------
    tmin, tmax : float
        Start and end of the span, in s from the first sample.

    Raises
    ------
    ValidationError
        If the span is not within the recording.
    """

    name = "signal_interval_selector"
    description = "Select a span without artifact as reference"
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


#: FACETpy's second name of the same class.
ReferenceIntervalSelector = SignalIntervalSelector
