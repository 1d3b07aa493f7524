"""Spans of the recording that people choose."""

from __future__ import annotations

from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.recording import REFERENCE_SPAN, Header
from facet_nb.core.registry import register_processor


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
        return _annotate_span(context, raw, self.tmin, self.tmax - self.tmin)


def _annotate_span(
    context: ProcessingContext, raw: Any, onset_s: float, duration_s: float
) -> ProcessingContext:
    first_s = float(raw.first_samp / raw.info["sfreq"])
    marks = raw.annotations.copy()
    marks.append(onset_s + first_s, duration_s, REFERENCE_SPAN)
    if raw.preload:
        data = raw._data if raw._data.flags.writeable else raw._data.copy()
        new = Header(raw.info, int(raw.first_samp), marks).attach(data)
    else:
        if marks.orig_time is None:
            marks.onset = marks.onset - first_s
        new = raw.copy().set_annotations(marks, emit_warning=False)
    return context._selected(new, list(range(len(raw.ch_names))))


#: FACETpy's other name of the same class.
ReferenceIntervalSelector = SignalIntervalSelector
