"""How long before or after its trigger an artifact begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers.spacing import describe_spacing
from facet_nb.preprocessing.triggers import TriggerStep

#: The scanner has been silent for this long before an artifact whose beginning can be seen.
_SILENCE_S = 0.05
#: An artifact's slope exceeds that of EEG (its largest in the silence) by this factor.
_STEEP = 4.0
#: Beginnings that are looked at: enough for a median.
_MOST = 50


@register_processor
class ArtifactOffsetFinder(TriggerStep):
    """Find how long before or after its trigger an artifact begins.

    It looks where the scanner has been silent before: at the first trigger, and after pauses
    between volumes and breaks between runs. There, the mean slope of all good electrodes is
    compared with the steepest slope during the silence; the artifact begins where it is first four
    times as steep. The median over all such places becomes
    ``metadata.artifact_to_trigger_offset``, in s (negative: before the trigger).

    A recording that begins and ends during the acquisition, without pauses, has no such place, and
    needs no offset: templates of a train without pauses may begin anywhere.

    Parameters
    ----------
    search_s : float
        How far from the trigger an artifact may begin, in s, either way.

    Raises
    ------
    ValidationError
        If no beginning can be seen.
    """

    name = "artifact_offset_finder"
    description = "Find where artifacts begin relative to their triggers"
    requires_triggers = True

    def __init__(self, search_s: float = 0.05) -> None:
        self.search_s = search_s

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        if not 0 < self.search_s <= 1.0:
            raise ValidationError(f"search_s={self.search_s!r} must be above 0, at most 1 s.")

    def find(self, context: ProcessingContext) -> tuple[ProcessingMetadata, dict[str, Any]]:
        raw = context.get_raw()
        sfreq = float(raw.info["sfreq"])
        search, silence = round(self.search_s * sfreq), round(_SILENCE_S * sfreq)
        triggers = np.unique(np.asarray(context.metadata.triggers, dtype=np.int64))
        places = _find_quiet(triggers, search + silence, raw.n_times - search)
        found = [_find_onset(raw, int(place), search, silence) for place in places[:_MOST]]
        onsets = [onset for onset in found if onset is not None]
        if not onsets:
            raise ValidationError(
                f"ArtifactOffsetFinder: {len(places)} places with a silent scanner before, and no "
                f"artifact that begins within {self.search_s:g} s of its trigger there. Raise "
                "search_s, or set the offset: Loader(path, artifact_to_trigger_offset=…)."
            )
        offset_s = float(np.median(onsets)) / sfreq
        metadata = context.metadata.updated(artifact_to_trigger_offset=offset_s)
        spread_ms = 1e3 * float(np.ptp(onsets)) / sfreq
        return metadata, {
            "offset_s": offset_s,
            "n_places": len(onsets),
            "spread_ms": round(spread_ms, 3),
        }


def _find_quiet(triggers: np.ndarray, before: int, last: int) -> np.ndarray:
    """Return triggers with at least `before` samples without artifact before them."""
    known = describe_spacing(triggers)
    pauses = np.diff(triggers) - (known.artifact_length or 0) if len(triggers) > 1 else triggers[:0]
    follows_pause = ((known.pauses > 0) | (known.slots == 0)) & (pauses >= before)
    quiet = np.concatenate([[True], follows_pause])
    places = triggers[quiet]
    return places[(places >= before) & (places < last)]


def _find_onset(raw: Any, trigger: int, search: int, silence: int) -> int | None:
    """Return where the artifact begins relative to `trigger`, in samples; None if nowhere."""
    rows = recording.data_picks(raw)
    start, stop = trigger - search - silence, trigger + search
    x = raw._data[rows, start:stop] if raw.preload else raw.get_data(rows, start, stop)
    slope = np.abs(np.diff(x, axis=1))
    quiet = slope[:, :silence].max(axis=1, keepdims=True)
    usable = quiet[:, 0] > 0
    if not usable.any():
        return None
    relative = (slope[usable] / quiet[usable]).mean(axis=0)
    steep = np.flatnonzero(relative[silence:] > _STEEP)
    return int(steep[0]) - search if len(steep) else None
