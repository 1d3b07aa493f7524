"""List the events of a recording, and those that may be scanner triggers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import check_extra
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers.spacing import describe_spacing
from facet_nb.preprocessing.diagnostics import ReportStep
from facet_nb.preprocessing.triggers import read_annotations, read_stim_codes

if TYPE_CHECKING:
    import mne
    import pandas as pd

#: Fewest events of a train of triggers.
_FEWEST = 5
#: Fraction of the distances that must be multiples of a slot, or pauses.
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
class TriggerExplorer(ReportStep):
    """List all events of a recording, and those that could be scanner triggers.

    For each annotation description and each code of a stim channel, the table has the count, first
    and last time, median distance, the fraction of regular distances (including missing triggers
    and pauses between volumes), and a regular expression for ``TriggerDetector``. It is printed and
    stored in ``metadata.custom["trigger_explorer"]["events"]``;
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

    def format(self, found: dict[str, Any]) -> str:
        return format_events(found["events"])


def explore_triggers(recording: mne.io.BaseRaw | ProcessingContext) -> pd.DataFrame:
    """Return a table of all events, the most likely triggers first.

    Parameters
    ----------
    recording : mne.io.BaseRaw or ProcessingContext
        The recording.

    Returns
    -------
    pandas.DataFrame
        Columns ``source, event, count, first_s, last_s, median_distance_s, regular, regex``.
    """
    check_extra("tables", "pandas")
    import pandas as pd

    raw = recording.get_raw() if isinstance(recording, ProcessingContext) else recording
    return pd.DataFrame(list_events(raw), columns=list(_COLUMNS))


def list_events(raw: mne.io.BaseRaw) -> list[dict[str, Any]]:
    """Return the rows of the table of :class:`TriggerExplorer`, as dicts."""
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
    """Whether the event is frequent and regular enough to be a scanner trigger."""
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
    r"""Return a regular expression for this event only (``S  1`` but not ``S 11``)."""
    last = event.rsplit("/", 1)[-1]
    return rf"(^|/){re.escape(last)}$"


def format_events(events: list[dict[str, Any]]) -> str:
    """Return the table as text; possible scanner triggers are marked with ``*``."""
    if not events:
        return "Trigger explorer\n  no annotations and no stim codes"
    lines = ["Trigger explorer (* may be scanner triggers)"]
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
