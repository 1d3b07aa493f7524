"""Annotations as lines of a BrainVision marker file, in pybv's notation.

pybv writes numbered stimuli and responses, and comments with a text. Any other annotation becomes a
comment with its whole description.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from facet_nb.io.markers import Marker, iter_markers

if TYPE_CHECKING:
    import mne

#: The format's escape for a comma inside a field, which pybv leaves to its callers.
COMMA = r"\1"

_CODE = re.compile(r"(Stimulus/S|Response/R) *(0|[1-9][0-9]{0,8})")

#: The largest number that pybv pads to three characters.
_LARGEST_SHORT = 1000


class MarkerLine(NamedTuple):
    """One line of a marker file.

    Attributes
    ----------
    kind : str
        ``"Stimulus"``, ``"Response"`` or ``"Comment"``.
    what : int | str
        Number or text.
    onset, duration : int
        In samples, within the recording.
    channel : str | None
        The channel that it applies to; None for all.
    seen : Marker
        The annotation that MNE reads from the line.
    """

    kind: str
    what: int | str
    onset: int
    duration: int
    channel: str | None
    seen: Marker


def iter_marker_lines(raw: mne.io.BaseRaw) -> Iterator[MarkerLine]:
    """Yield the annotations of a recording as lines of a marker file."""
    sfreq = float(raw.info["sfreq"])
    codes = find_codes(raw)
    for marker in iter_markers(raw):
        kind, what, read = _classify(marker.description, codes)
        onset = min(max(round(marker.onset_s * sfreq), 0), raw.n_times - 1)
        size = min(round(marker.duration_s * sfreq), raw.n_times - onset)
        channel = marker.ch_names[0] if len(marker.ch_names) == 1 else None
        seen = Marker(onset / sfreq, size / sfreq, sys.intern(read))
        yield MarkerLine(kind, what, onset, size, channel, seen)


def _classify(description: str, codes: dict[str, int]) -> tuple[str, str | int, str]:
    """Return type and content of the line, and the description that MNE reads."""
    if description in codes:
        return description.partition("/")[0], codes[description], description
    text = description.removeprefix("Comment/")
    return "Comment", text.replace(",", COMMA), f"Comment/{text}"


def find_codes(raw: mne.io.BaseRaw) -> dict[str, int]:
    """Return the descriptions that pybv can write unchanged as numbered markers, and their numbers.

    pybv pads all numbers of a file to the width of the largest, at least three: ``S  1``, but
    ``S   1`` beside ``S2000``. If that would change a description, numbers above 1000 are left out
    and become comments.
    """
    descriptions = {str(text) for text in set(raw.annotations.description)}
    matches = [_CODE.fullmatch(text) for text in descriptions]
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
