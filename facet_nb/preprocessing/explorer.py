"""What events there are, and which of them may be the scanner's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers.spacing import describe_spacing
from facet_nb.preprocessing.diagnostics import _Report
from facet_nb.preprocessing.triggers import read_annotations, read_stim_codes

if TYPE_CHECKING:
    import pandas as pd

#: Fewer events are no train of triggers.
_FEWEST = 5
#: Part of the distances that must be explained as slots and pauses.
_REGULAR = 0.9
_COLUMNS = (
    "source",
    "event",
    "count",
    "first_s",
    "last_s",
    "median_distance_s",
    "regular",
    "regex",
)


@register_processor
class TriggerExplorer(_Report):
    """List all events of a recording, and say which could be the scanner's triggers.

    For each description of annotations and each code of stim channels: how many, from when to when,
    how far apart, which part of the distances is regular (slots of a train, missing triggers and
    pauses between volumes included), and the expression that finds it with ``TriggerDetector``. The
    table is printed and kept in ``metadata.custom["trigger_explorer"]["events"]``;
    :func:`facet_nb.preprocessing.explorer.explore_triggers` returns it as a data frame.

    Parameters
    ----------
    verbose : bool
        Print the table.
    """

    name = "trigger_explorer"
    description = "List all events of the recording"

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose

    def report(self, context: ProcessingContext) -> dict[str, Any]:
        events = list_events(context.get_raw())
        likely = [event["regex"] for event in events if is_train(event)]
        return {"events": events, "likely": likely}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        found = self.report(context)
        if self.verbose:
            print(format_events(found["events"]))
        metadata = context.metadata.copy()
        metadata.custom[self.name] = found
        new = context.with_metadata(metadata)
        new._noise_array = context._noise_array
        return new


def explore_triggers(recording: Any) -> pd.DataFrame:
    """Return a table of all events, the likeliest triggers first.

    Parameters
    ----------
    recording : mne.io.BaseRaw or ProcessingContext
        The recording.

    Returns
    -------
    pandas.DataFrame
        Columns ``source, event, count, first_s, last_s, median_distance_s, regular, regex``.
    """
    import pandas as pd

    raw = recording.get_raw() if isinstance(recording, ProcessingContext) else recording
    return pd.DataFrame(list_events(raw), columns=list(_COLUMNS))


def list_events(raw: Any) -> list[dict[str, Any]]:
    """Return what :class:`TriggerExplorer` tells of each kind of event."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for position, text in read_annotations(raw):
        kinds.setdefault(("annotations", text), []).append(position)
    for channel, events in read_stim_codes(raw).items():
        for position, code in events:
            kinds.setdefault((channel, str(code)), []).append(position)
    found = [
        _describe(source, event, np.unique(positions), float(raw.info["sfreq"]))
        for (source, event), positions in kinds.items()
    ]
    return sorted(found, key=lambda e: (not is_train(e), -e["count"]))


def is_train(event: dict[str, Any]) -> bool:
    """Whether the event comes often and regularly enough to be a scanner's trigger."""
    return event["count"] >= _FEWEST and (event["regular"] or 0.0) >= _REGULAR


def _describe(source: str, event: str, positions: np.ndarray, sfreq: float) -> dict[str, Any]:
    distances = np.diff(positions)
    regular = median_s = None
    if len(distances):
        median_s = float(np.median(distances) / sfreq)
        regular = round(float(np.mean(describe_spacing(positions).slots > 0)), 3)
    return {
        "source": source,
        "event": event,
        "count": len(positions),
        "first_s": float(positions[0] / sfreq),
        "last_s": float(positions[-1] / sfreq),
        "median_distance_s": median_s,
        "regular": regular,
        "regex": suggest_regex(event),
    }


def suggest_regex(event: str) -> str:
    r"""Return an expression that finds this event and no other (``S  1`` but not ``S 11``)."""
    last = event.rsplit("/", 1)[-1]
    return rf"(^|/){re.escape(last)}$"


def format_events(events: list[dict[str, Any]]) -> str:
    """Return the table as text; lines that may be the scanner's begin with ``*``."""
    if not events:
        return "Trigger explorer\n  no annotation and no code of a stim channel"
    lines = ["Trigger explorer (* may be the scanner's)"]
    for event in events:
        mark = "*" if is_train(event) else " "
        distance = event["median_distance_s"]
        apart = (
            "" if distance is None else f"every {distance:.4g} s, {event['regular']:.0%} regular"
        )
        lines.append(
            f" {mark} {event['count']:>6} × {event['event']!r} ({event['source']}), "
            f"{event['first_s']:.3f} to {event['last_s']:.3f} s {apart}  regex={event['regex']!r}"
        )
    return "\n".join(lines)
