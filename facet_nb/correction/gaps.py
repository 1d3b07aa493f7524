"""Correction of the slices next to pauses between volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import make_finding
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection, check_artifact_length
from facet_nb.kernels.templates import volume_gaps
from facet_nb.kernels.triggers.spacing import describe_spacing

#: Slices beside pauses are corrected if they differ from others by this factor (power) more than
#: these do among each other.
_EXCEEDS = 2.0
#: Least power of the artifact below 70 Hz that the step takes from a channel, over that of the EEG.
#: Averages were 0.1 dB or more better without the step up to 3, and with it from 4 on (17
#: recordings of 500 to 2000 Hz, pauses of 0.05 to 1 s).
_OF_EEG = 4.0


@dataclass(frozen=True)
class GapPlan:
    """Decisions that all channels share: slices, volumes, and the weight along a slice."""

    starts: np.ndarray
    n_samples: int
    volumes: volume_gaps.Volumes
    weight: np.ndarray
    sfreq: float


@register_processor
class VolumeArtifactCorrection(ChannelCorrection):
    """Match the slices next to a pause between volumes to the other slices.

    If the scanner pauses between volumes, the last slice before and the first slice after the pause
    differ from the others: one neighbour is missing, and the decaying artifact extends into the
    pause. Templates averaged from slices leave this difference in the signal. Put this step before
    the correction, and use slice triggers.

    The step subtracts the difference of these slices from a template of neighbouring slices of the
    same volume, weighted with a logistic function ``1 / (1 + exp(-slope * (x - position)))`` that
    rises towards the pause [1]_. The difference is averaged over neighbouring volumes, without the
    corrected volume itself, so that its EEG is preserved. A recording without pauses is unchanged.

    Parameters
    ----------
    template_count : int
        Number of slices of the same volume that form the template.
    weighting_position : float
        Position along the slice, from 0 (far from the pause) to 1, where the weight is one half.
    weighting_slope : float
        Slope of the logistic weight at that position.
    n_volumes : int
        Number of volumes over which the difference is averaged.
    fill : {"average", "line"}
        What to subtract within the pause: the mean of other pauses, which contains the decaying
        artifact, or a straight line between the two ends [1]_.
    control : bool
        Leave the recording unchanged if the slices beside pauses differ from others no more than
        these do among each other, in the reference channel: slices that begin between samples,
        or differ in their artifact, make templates of neighbouring slices wrong. Also leave
        channels unchanged from which the step would take as much EEG as artifact below 70 Hz.
        False for FACETpy's behaviour.

    References
    ----------
    .. [1] Glaser, J., Beisteiner, R., Bauer, H., & Fischmeister, F. P. S. (2013). FACET - a
       "Flexible Artifact Correction and Evaluation Toolbox" for concurrently recorded EEG/fMRI
       data. BMC Neuroscience, 14, 138. doi:10.1186/1471-2202-14-138
    """

    name = "volume_artifact_correction"
    description = "Match slices next to a pause between volumes to the others"
    needs = "reference"

    def __init__(
        self,
        template_count: int = 5,
        weighting_position: float = 0.8,
        weighting_slope: float = 20.0,
        n_volumes: int = 25,
        fill: str = "average",
        control: bool = True,
    ) -> None:
        self.template_count = template_count
        self.weighting_position = weighting_position
        self.weighting_slope = weighting_slope
        self.n_volumes = n_volumes
        self.fill = fill
        self.control = control

    def prepare(self, view: View) -> Prepared:
        """Find the volumes and the pauses between them."""
        self._check()
        metadata = view.metadata
        n_samples = check_artifact_length(metadata.artifact_length)
        triggers = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
        spacing = describe_spacing(triggers)
        volumes = volume_gaps.Volumes.of(spacing.pauses > 0)
        n_pauses = len(volumes.firsts) - 1
        if n_pauses < 2:
            finding = make_finding(
                "pauses_not_corrected",
                f"{'One pause' if n_pauses == 1 else 'No pause'} between volumes was found in the "
                "markers, and two are needed: the recording is unchanged.",
                severity="note",
                title="there are no pauses between volumes: nothing was corrected there",
                remedy="Leave the step out, or use the markers of slices.",
                n_pauses=n_pauses,
            )
            return Prepared(None, notes={"n_pauses": n_pauses}, findings=(finding,))
        starts = triggers + view.offset
        weight = volume_gaps.weigh_transition(
            n_samples, self.weighting_position, self.weighting_slope
        )
        pause_ms = round(1e3 * spacing.pause / view.sfreq, 3)
        notes = {"n_pauses": n_pauses, "pause_ms": pause_ms}
        plan = GapPlan(starts, n_samples, volumes, weight, view.sfreq)
        excess = of_eeg = np.inf
        if self.control:
            assert view.reference is not None
            beside = self._compare(view.reference, plan)
            excess = volume_gaps.compare_with_inner(
                *(view.reference, starts, volumes, beside),
                n_template=self.template_count,
                **self._average(plan),
            )
            of_eeg = self._compare_with_eeg(view.reference, plan, beside)
        if excess >= _EXCEEDS and of_eeg >= _OF_EEG:
            return Prepared(plan, notes=notes)
        detail = f"In {view.reference_name}, " + (
            f"slices beside pauses differ from others {excess:.2g} times as much (power) as these "
            "do among each other."
            if excess < _EXCEEDS
            else f"the step would take {max(of_eeg, 0.0):.2g} times as much artifact as EEG below "
            "70 Hz (power)."
        )
        finding = make_finding(
            "pauses_not_corrected",
            detail,
            relative_to_slices=round(float(excess), 3),
            relative_to_eeg=round(float(of_eeg), 3),
        )
        return Prepared(None, notes=notes, findings=(finding,))

    def _compare(self, x: np.ndarray, plan: GapPlan) -> volume_gaps.Transitions:
        """Compare the slices beside pauses with others."""
        return volume_gaps.Transitions.of(
            x, plan.starts, plan.n_samples, plan.volumes, self.template_count
        )

    def _average(self, plan: GapPlan) -> dict[str, Any]:
        """Return how transitions are averaged."""
        return {"weight": plan.weight, "n_volumes": self.n_volumes}

    def _compare_with_eeg(
        self, x: np.ndarray, plan: GapPlan, beside: volume_gaps.Transitions
    ) -> float:
        given = x, plan.sfreq, plan.starts, plan.volumes, beside
        return volume_gaps.compare_with_eeg(*given, **self._average(plan))

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self._check()

    def _check(self) -> None:
        if not (self.template_count >= 1 and self.n_volumes >= 1):
            raise ValidationError("template_count and n_volumes must be 1 or more.")
        if self.fill not in ("average", "line"):
            raise ValidationError(f"fill={self.fill!r} must be 'average' or 'line'.")
        if not (0 <= self.weighting_position <= 1 and self.weighting_slope > 0):
            raise ValidationError(
                "weighting_position must be from 0 to 1, weighting_slope above 0."
            )

    def correct_channel(self, x: np.ndarray, plan: GapPlan | None, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        if plan is None:
            out[...] = x
            return
        beside = self._compare(x, plan)
        if self.control and self._compare_with_eeg(x, plan, beside) < _OF_EEG:
            out[...] = x
            return
        starts, volumes = plan.starts, plan.volumes
        heads, tails = beside.average(**self._average(plan))
        if self.fill == "line":
            pauses = volume_gaps.draw_lines(starts, volumes, heads, tails)
        else:
            pauses = volume_gaps.average_pauses(x, starts, plan.n_samples, volumes, self.n_volumes)
        volume_gaps.subtract_transitions(x, starts, volumes, heads, tails, pauses, out=out)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes: the result and the epochs."""
        return 8 * shape[1] * 3 + (1 << 20)


#: The name of this class in FACETpy.
RemoveVolumeArtifactCorrection = VolumeArtifactCorrection
