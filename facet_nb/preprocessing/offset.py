"""Find the start of the artifact relative to its trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers.spacing import describe_spacing
from facet_nb.preprocessing.triggers import TriggerStep

if TYPE_CHECKING:
    import mne

#: Silence before an artifact that is needed to find its start.
_SILENCE_S = 0.05
#: Ratio of the slope of an artifact to the largest slope of EEG during the silence.
_STEEP = 4.0
#: Starts that are examined: enough for a median.
_MOST = 50


@register_processor
class ArtifactOffsetFinder(TriggerStep):
    """Find the start of the artifact relative to its trigger.

    It examines triggers after silence of the scanner: the first one, and those after pauses between
    volumes and breaks between runs. The mean slope of all good electrodes is compared with the
    steepest slope during the silence; the artifact begins where it is first four times as steep.
    The median over these triggers becomes ``metadata.artifact_to_trigger_offset``, in s (negative:
    before the trigger).

    A recording that begins and ends during an acquisition without pauses has no such trigger. It
    needs no offset, because templates of a train without pauses may begin anywhere.

    Parameters
    ----------
    search_s : float
        Largest distance between trigger and start of the artifact, in s, in both directions.

    Raises
    ------
    ValidationError
        If no start is found.
    """

    name = "artifact_offset_finder"
    description = "Find the start of artifacts relative to their triggers"
    requires_triggers = True

    def __init__(self, search_s: float = 0.05) -> None:
        self.search_s = search_s

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
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
                f"ArtifactOffsetFinder: {len(places)} triggers follow a silent scanner, and no "
                f"artifact begins within {self.search_s:g} s of one of them. Raise "
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
    """Return triggers after at least `before` samples without artifact."""
    known = describe_spacing(triggers)
    pauses = np.diff(triggers) - (known.artifact_length or 0) if len(triggers) > 1 else triggers[:0]
    follows_pause = ((known.pauses > 0) | (known.slots == 0)) & (pauses >= before)
    quiet = np.concatenate([[True], follows_pause])
    places = triggers[quiet]
    return places[(places >= before) & (places < last)]


def _find_onset(raw: mne.io.BaseRaw, trigger: int, search: int, silence: int) -> int | None:
    """Return the start of the artifact relative to `trigger`, in samples, or None."""
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
