"""The quality of a result, judged without ground truth, and whether it is accepted.

The figures are calculated by the step ``quality_calculator`` (in the floor above, and found by its
name), from the recording before and after correction. ``docs/quality.md`` has their equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError, read_message
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.processor import Processor
from facet_nb.core.registry import get_processor

Verdict = Literal["good", "check", "not measured"]

#: Key under which a context keeps its quality.
_KEY = "quality"


@dataclass(frozen=True)
class Measure:
    """One figure of the quality of a result.

    Attributes
    ----------
    name : str
        Its name, as in ``docs/quality.md``.
    title : str
        What it says, in a few words.
    value : float | None
        The figure; None if it was not measured.
    limit : float | None
        Where "good" ends; None for a figure that is only reported.
    unit : str
        Unit of value and limit; empty for ratios.
    verdict : {"good", "check", "not measured"}
        Whether the figure is within its limit.
    detail : str
        The figure in a sentence, or why it was not measured.
    null : tuple of float | None
        Median and largest of the figure if there were nothing to find, from random circular shifts.
    channels : tuple of str
        Channels to look at.
    span_s : tuple of (float, float)
        Spans to look at, in s from the first sample.
    """

    name: str
    title: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    verdict: Verdict = "not measured"
    detail: str = ""
    null: tuple[float, float] | None = None
    channels: tuple[str, ...] = ()
    span_s: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        null = None if self.null is None else list(self.null)
        spans = [list(span) for span in self.span_s]
        return values | {"null": null, "channels": list(self.channels), "span_s": spans}


@dataclass(frozen=True)
class Quality:
    """The quality of a result without ground truth.

    Attributes
    ----------
    verdict : {"good", "check", "not measured"}
        ``"good"`` if no measure exceeds its limit; ``"check"`` if one does; ``"not measured"`` if
        nothing was corrected, or nothing could be measured.
    sentence : str
        The verdict in words: what to look at, or why nothing was measured.
    measures : tuple of Measure
        The figures.
    """

    verdict: Verdict
    sentence: str
    measures: tuple[Measure, ...] = ()

    def __getitem__(self, name: str) -> Measure:
        """Return the measure of a name; raise KeyError if there is none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(f"no measure {name!r}: {', '.join(m.name for m in self.measures) or 'none'}")

    def __str__(self) -> str:
        return f"quality: {self.verdict} – {self.sentence}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values."""
        measures = [measure.to_dict() for measure in self.measures]
        return {"verdict": self.verdict, "sentence": self.sentence, "measures": measures}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quality:
        """Create a quality from the output of :meth:`to_dict`; unknown fields are ignored."""
        known = {f.name for f in fields(Measure)}
        measures = []
        for entry in values.get("measures", ()):
            kept = {k: v for k, v in entry.items() if k in known}
            null = kept.get("null")
            kept["null"] = None if null is None else (float(null[0]), float(null[1]))
            # Tuples again, which JSON does not know: what is read must equal what was written.
            kept["channels"] = tuple(kept.get("channels", ()))
            kept["span_s"] = tuple((float(a), float(b)) for a, b in kept.get("span_s", ()))
            measures.append(Measure(**kept))
        return cls(values["verdict"], values["sentence"], tuple(measures))


def find_known_quality(context: ProcessingContext) -> Quality | None:
    """Return the quality of a context's recording if it was calculated before, else None."""
    judged, quality = context.cache_get(_KEY) or (None, None)
    here: Any = context._raw
    if judged is None or here is None:
        return None
    # A later step replaces the recording, and takes the cache over. A step that must not write to
    # it is given another Raw of the same samples.
    shared = judged.preload and here.preload and np.shares_memory(judged._data, here._data)
    known: Quality | None = quality if judged is here or shared else None
    return known


def find_quality(context: ProcessingContext | None) -> Quality:
    """Return the quality of a context's recording; it is calculated on the first call."""
    if context is None:
        return Quality("not measured", "the run has no result.")
    known = find_known_quality(context)
    if known is not None:
        return known
    calculator: Any = get_processor("quality_calculator")
    try:
        quality: Quality = calculator().measure_quality(context)
    except Exception as error:  # a failed measure must not cost the result or its file
        reason = f"{type(error).__name__}: {read_message(error)}"
        quality = Quality("not measured", f"the calculation failed ({reason}).")
    # With the recording that it was judged on: later contexts take the cache over.
    context.cache_set(_KEY, (context._raw, quality))
    return quality


# ------------------------------------------------------------------------------- acceptance
Accept = str | Mapping[str, float] | Callable[[Quality], Any]


def check_accept(accept: Any) -> None:
    """Raise :class:`ValidationError` if `accept` is not a rule."""
    numbers = isinstance(accept, Mapping) and all(
        isinstance(name, str) and isinstance(limit, (int, float)) and not isinstance(limit, bool)
        for name, limit in accept.items()
    )
    # An empty mapping would accept everything, without a word.
    if accept != "good" and not (numbers and accept) and not callable(accept):
        raise ValidationError(
            f"accept={accept!r}: use 'good', limits by the name of a measure such as "
            "{'untouched_artifact': 0}, or a function of the quality that returns True or False."
        )


def explain_rejection(quality: Quality, accept: Any) -> str:
    """Return why a result of this quality is not accepted; an empty text if it is.

    Parameters
    ----------
    quality : Quality
        The quality.
    accept : "good" | mapping of str to float | callable
        The verdict that is needed; the largest value of measures by name, all of which must have
        been measured; or a function of the quality that returns whether it is accepted.
    """
    if callable(accept):
        return "" if accept(quality) else f"accept() refused it ({quality.sentence})"
    if accept == "good":
        return "" if quality.verdict == "good" else quality.sentence
    reasons = []
    for name, limit in accept.items():
        try:
            measure = quality[name]
        except KeyError as error:
            raise ValidationError(f"accept: {error.args[0]}.") from error
        if measure.value is None:
            reasons.append(f"{name} was not measured ({measure.detail})")
        # Not ">": NaN must not pass.
        elif not measure.value <= limit:
            reasons.append(f"{name} is {measure.value:.3g}, above {limit:g}")
    return "; ".join(reasons)


def reject(context: ProcessingContext, accept: Any) -> Finding | None:
    """Return a finding about a context that is not accepted; None if it is."""
    quality = find_quality(context)
    reason = explain_rejection(quality, accept).rstrip(".")
    if not reason:
        return None
    flagged = [m for m in quality.measures if m.verdict == "check"]
    return make_finding(
        "result_rejected",
        f"The result is not accepted: {reason}.",
        channels=dict.fromkeys(name for m in flagged for name in m.channels),
        span_s=[span for m in flagged for span in m.span_s],
        verdict=quality.verdict,
        measures={m.name: m.value for m in quality.measures},
    )


def add_gates(processors: Sequence[Processor], accept: Any) -> list[Processor]:
    """Return the steps with a gate before each file of corrected samples, or else at the end.

    A gate is an error if the recording is not accepted, so that no file is written.
    """
    check_accept(accept)
    gate: Any = get_processor("quality_gate")
    steps: list[Processor] = []
    gated = False
    # Without a correction that is known as one, each file counts as one of corrected samples.
    corrected = not any(getattr(step, "subtracts", False) for step in processors)
    for step in processors:
        corrected |= bool(getattr(step, "subtracts", False))
        if corrected and step.output_only and hasattr(step, "path"):
            steps.append(gate(accept=accept))
            gated = True
        steps.append(step)
    return steps if gated else [*steps, gate(accept=accept)]
