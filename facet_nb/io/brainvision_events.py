"""Annotations as the events that pybv writes into a marker file.

pybv knows stimuli and responses with a number, and comments with a text. What is neither becomes a
comment with the whole description.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from facet_nb.io.markers import Marker, list_markers

#: How the format writes a comma inside a field; pybv leaves that to its callers.
COMMA = r"\1"
_CODE = re.compile(r"(Stimulus/S|Response/R) *(0|[1-9][0-9]{0,8})")
#: The largest number that pybv does not pad to more than three characters.
_LARGEST_SHORT = 1000


def make_events(raw: Any) -> tuple[list[dict[str, Any]], list[Marker]]:
    """Return the annotations of a recording as pybv's events, and as they will be read.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.

    Returns
    -------
    events : list of dict
        For ``pybv.write_brainvision``: onsets and durations in whole samples, within the recording.
        An event belongs to one channel or to all.
    seen : list of Marker
        What MNE makes of them, in the same order.
    """
    sfreq = float(raw.info["sfreq"])
    markers = list_markers(raw)
    codes = _find_codes(marker.description for marker in markers)
    events, seen = [], []
    for marker in markers:
        kind, what, read = _classify(marker.description, codes)
        onset = min(max(round(marker.onset_s * sfreq), 0), raw.n_times - 1)
        size = min(round(marker.duration_s * sfreq), raw.n_times - onset)
        channels = list(marker.ch_names) if len(marker.ch_names) == 1 else []  # none: all
        events.append(
            {
                "onset": onset,
                "duration": size,
                "description": what,
                "type": kind,
                "channels": channels,
            }
        )
        seen.append(Marker(onset / sfreq, size / sfreq, read))
    return events, seen


def _classify(description: str, codes: dict[str, int]) -> tuple[str, str | int, str]:
    """Return type and content of the event, and the description that MNE reads."""
    if description in codes:
        return description.partition("/")[0], codes[description], description
    text = description.removeprefix("Comment/")
    return "Comment", text.replace(",", COMMA), f"Comment/{text}"


def _find_codes(descriptions: Iterable[str]) -> dict[str, int]:
    """Return the numbers in those descriptions that pybv writes just so.

    It pads all numbers of a file to the width of the largest, at least three: ``S  1``, but
    ``S   1`` beside ``S2000``. Where that would alter one, those above 1000 are left out.
    """
    matches = [_CODE.fullmatch(text) for text in set(descriptions)]
    found = [(match[0], match[1], int(match[2])) for match in matches if match]
    right: dict[str, int] = {}
    for largest in (math.inf, _LARGEST_SHORT):
        fitting = [code for code in found if code[2] <= largest]
        width = max(3, math.ceil(math.log10(max([1, *(number for *_, number in fitting)]))))
        right = {
            text: number for text, kind, number in fitting if text == f"{kind}{number:>{width}}"
        }
        if len(right) == len(fitting):
            break
    return right
