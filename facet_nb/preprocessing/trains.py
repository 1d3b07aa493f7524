"""Complete a train of triggers from the parameters of the sequence."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers import spacing
from facet_nb.kernels.triggers.clock import describe_runs
from facet_nb.preprocessing.triggers import (
    Found,
    TriggerStep,
    annotate,
    describe_triggers,
    tell_added,
)

logger = logging.getLogger("facet_nb")

#: Longest rest of a volume, in samples, that is due to rounding of markers and not a pause.
_NO_PAUSE = 3


class _TrainStep(TriggerStep):
    """A step that adds triggers, and optionally annotates them."""

    requires_triggers = True
    label = ""
    add_annotations: bool

    def _run(self, context: ProcessingContext) -> tuple[ProcessingContext, dict[str, Any]]:
        new, notes = super()._run(context)
        added = new.metadata.custom.get(self.name, {}).get("added", [])
        if self.add_annotations and added:
            new = annotate(new, np.array(added, dtype=np.int64), self.label)
        return new, notes


@register_processor
class MissingTriggerCompleter(_TrainStep):
    """Insert missing triggers in gaps, up to a known number of volumes and slices.

    Unlike :class:`MissingTriggerDetector` it does not use the signal: in a gap of *k* regular
    distances (accounting for pauses between volumes), *k* − 1 triggers are missing. Triggers
    missing at the ends cannot be located; they are an error, or are counted in the history
    (``n_lacking``).

    Inserted positions are stored in ``metadata.custom["missing_triggers"]``, in samples.

    Parameters
    ----------
    volumes : int
        Number of acquired volumes.
    slices : int
        Triggers per volume: slices, or slice groups with multiband; 1 for volume triggers.
    add_to_context : bool
        Insert them among the triggers.
    add_annotations : bool
        Add an annotation ``completed_trigger`` at each of them.
    strict : bool
        Raise ValidationError if the final number of triggers is not ``volumes × slices``.
    """

    name = "missing_trigger_completer"
    description = "Insert missing triggers up to a known number"
    label = "completed_trigger"

    def __init__(
        self,
        volumes: int,
        slices: int,
        add_to_context: bool = True,
        add_annotations: bool = True,
        strict: bool = True,
    ) -> None:
        self.volumes = volumes
        self.slices = slices
        self.add_to_context = add_to_context
        self.add_annotations = add_annotations
        self.strict = strict

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        _whole("volumes", self.volumes)
        _whole("slices", self.slices)

    def find(self, context: ProcessingContext) -> Found:
        raw, metadata = context.get_raw(), context.metadata
        expected = _whole("volumes", self.volumes) * _whole("slices", self.slices)
        triggers = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
        known = describe_runs(triggers)
        found = spacing.missing_positions(triggers, known) if len(triggers) > 1 else triggers[:0]
        together = np.union1d(triggers, found)
        lacking = expected - len(together)
        told: tuple[Finding, ...] = ()
        if lacking:
            told = self._complain(len(triggers), len(found), expected)
        if self.add_to_context and len(found):
            told = (*told, tell_added(found, float(raw.info["sfreq"])))
        changes: dict[str, Any] = {}
        if self.add_to_context and len(found):
            changes, _ = describe_triggers(together, metadata.artifact_to_trigger_offset, raw)
            changes["artifact_length"] = metadata.artifact_length or known.artifact_length
        new = metadata.updated(**changes)
        new.custom["missing_triggers"] = [int(p) for p in found]
        new.custom[self.name] = {"added": [int(p) for p in found] if self.add_to_context else []}
        notes = {
            "n_found": len(found),
            "n_added": len(found) if self.add_to_context else 0,
            "n_lacking": lacking,
        }
        return Found(new, notes, told)

    def _complain(self, n_triggers: int, n_found: int, expected: int) -> tuple[Finding, ...]:
        message = (
            f"MissingTriggerCompleter: {self.volumes} volumes × {self.slices} make {expected} "
            f"triggers; there are {n_triggers}, and {n_found} are missing between them. Check the "
            "numbers (an incomplete last volume? a dummy scan?), crop, or use "
            "MissingTriggerDetector(), which uses the signal, or strict=False."
        )
        if self.strict:
            raise ValidationError(message)
        logger.warning(message)
        detail = f"There are {n_triggers}, and {n_found} missing between them, of {expected}."
        return (make_finding("triggers_lacking", detail, n=expected - n_triggers - n_found),)


@register_processor
class SliceTriggerGenerator(_TrainStep):
    r"""Generate slice triggers from volume triggers.

    Slice k (from 0) of a volume whose trigger is at v begins at

    .. math:: v + (k - \mathrm{relative\_position}) \cdot \mathrm{duration}

    rounded to samples once. By default the duration is that of the volume divided by the number of
    slices; give it if there is a pause at the end of the volume. With multiband, `multiband` slices
    are excited at once, and a volume has ``slices / multiband`` artifacts.

    Slices outside the data (of an incomplete last volume) are left out. The metadata gets
    ``slices_per_volume`` (artifacts per volume), ``artifact_length`` and ``volume_gaps``; the
    volume triggers are stored in ``metadata.custom["slice_trigger_generator"]``.

    Parameters
    ----------
    slices : int
        Slices per volume.
    duration_samples : float | None
        Duration of one slice (group), in samples.
    relative_position : float
        Time from the start of the first slice to the volume trigger, in slice durations.
    add_annotations : bool
        Add an annotation ``generated_slice_trigger`` at each of them.
    multiband : int
        Number of slices excited at once.
    """

    name = "slice_trigger_generator"
    description = "Generate slice triggers from volume triggers"
    label = "generated_slice_trigger"

    def __init__(
        self,
        slices: int,
        duration_samples: float | None = None,
        relative_position: float = 0.03,
        add_annotations: bool = False,
        multiband: int = 1,
    ) -> None:
        self.slices = slices
        self.duration_samples = duration_samples
        self.relative_position = relative_position
        self.add_annotations = add_annotations
        self.multiband = multiband

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        groups = self._count_groups()
        duration = self.duration_samples
        if duration is not None and not 0 < duration < np.inf:
            raise ValidationError(f"duration_samples={duration!r} must be a number above 0.")
        if not abs(self.relative_position) <= groups:
            raise ValidationError(
                f"relative_position={self.relative_position!r}: the trigger of a volume must be "
                f"within its {groups} slices."
            )

    def find(self, context: ProcessingContext) -> Found:
        raw, metadata = context.get_raw(), context.metadata
        if metadata.slices_per_volume:
            raise ValidationError(
                "SliceTriggerGenerator: the triggers already mark slices "
                f"({metadata.slices_per_volume} per volume); it needs volume triggers. Choose "
                "another regex in TriggerDetector."
            )
        volumes = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
        groups = self._count_groups()
        duration, pause = self._find_duration(volumes, groups)
        every = spacing.slice_positions(volumes, groups, duration, self.relative_position)
        inside = every[(every >= 0) & (every < raw.n_times)]
        length = math.ceil(round(duration, 6))
        offset = round(metadata.artifact_to_trigger_offset * raw.info["sfreq"])
        start, stop = spacing.acquisition_span(inside, length, offset, raw.n_times)
        new = metadata.updated(
            triggers=inside,
            artifact_length=length,
            slices_per_volume=groups,
            volume_gaps=pause > _NO_PAUSE,
            acq_start_sample=start,
            acq_end_sample=stop - 1,
        )
        new.custom[self.name] = {
            "volume_triggers": [int(v) for v in volumes],
            "duration_samples": duration,
            "added": [int(p) for p in inside] if self.add_annotations else [],
        }
        n_outside = len(every) - len(inside)
        notes = {"n_triggers": len(inside), "duration": duration, "n_outside": n_outside}
        if not n_outside:
            return Found(new, notes)
        detail = f"{n_outside} slices of incomplete volumes are outside the data."
        finding = make_finding("triggers_outside", detail, severity="note", n=n_outside)
        return Found(new, notes, (finding,))

    def _count_groups(self) -> int:
        """Return the number of artifacts per volume."""
        slices, multiband = _whole("slices", self.slices), _whole("multiband", self.multiband)
        if slices % multiband:
            raise ValidationError(
                f"slices={slices} cannot be divided by multiband={multiband}: give all slices of a "
                "volume, and how many of them are excited at once."
            )
        return slices // multiband

    def _find_duration(self, volumes: np.ndarray, groups: int) -> tuple[float, float]:
        """Return the duration of a slice and of the pause after a volume, in samples."""
        usual = spacing.describe_spacing(volumes).usual
        if usual and groups > usual:
            raise ValidationError(
                f"slices={self.slices}: a volume has {usual:.6g} samples, at most as many slices."
            )
        duration = self.duration_samples
        if duration is None:
            if not usual:
                raise ValidationError(
                    "SliceTriggerGenerator: one volume trigger does not determine the duration of "
                    "a slice. Give duration_samples."
                )
            return usual / groups, 0.0
        if usual and groups * duration > usual + _NO_PAUSE:
            raise ValidationError(
                f"duration_samples={duration!r}: {groups} slices must fit into a volume of "
                f"{usual:.6g} samples. With multiband, set multiband=…."
            )
        return float(duration), max(0.0, usual - groups * duration)


def _whole(name: str, value: Any) -> int:
    """Return `value` as int if it is a whole number above 0."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValidationError(f"{name}={value!r} must be a whole number, 1 or more.")
    return int(value)
