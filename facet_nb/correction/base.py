"""Base of the corrections: the loop over channels, and artifact onsets."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.kernels.means import is_flat


class ChannelCorrection(ArrayProcessor):
    """Base class of corrections that process one channel after another."""

    requires_triggers = True
    subtracts = True

    def correct_channel(self, x: np.ndarray, plan: Any, out: np.ndarray) -> None:
        """Write the corrected channel to `out`.

        Parameters
        ----------
        x : ndarray, shape (n_times,)
            Samples of the channel, in V.
        plan : object
            Payload that ``prepare`` returned.
        out : ndarray, shape (n_times,)
            Where to put the result; may be `x` if ``can_overwrite()`` is true.
        """
        raise ValidationError(f"{type(self).__name__} has no correct_channel(x, plan, out) method.")

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            self.correct_channel(row, prepared.payload, target)
        return out

    def _overrides(self, cls: type[ChannelCorrection]) -> bool:
        """Return whether a subclass of `cls` changed how channels are computed."""
        names = ("compute", "correct_channel")
        return any(getattr(type(self), name) is not getattr(cls, name) for name in names)


def check_artifact_length(length: int | None) -> int:
    """Return the artifact length, in samples.

    Raises
    ------
    ValidationError
        If it is unknown.
    """
    if length is None or length < 1:
        raise ValidationError(
            "the artifact length is not known (fewer than two triggers?). Run TriggerDetector "
            "first, or set it: context.with_trigger_samples(samples, artifact_length=…)."
        )
    return int(length)


def find_artifacts(view: View) -> tuple[np.ndarray, int]:
    """Return the first sample of each artifact, shape (n_epochs,), and their length, in samples."""
    n_samples = check_artifact_length(view.metadata.artifact_length)
    return np.asarray(view.metadata.triggers, dtype=np.int64) + view.offset, n_samples


def check_reference(x: np.ndarray, name: str | None, usable: np.ndarray, n_samples: int) -> None:
    """Check that a template can be made of the reference channel.

    Raises
    ------
    ValidationError
        If fewer than two artifacts lie within the recording, or the channel is flat.
    """
    if usable.sum() < 2:
        raise ValidationError(
            f"{int(usable.sum())} of {len(usable)} artifacts lie wholly within the recording; a "
            f"template needs at least two. Check the triggers, the artifact length ({n_samples} "
            "samples) and artifact_to_trigger_offset."
        )
    if is_flat(x):
        raise ValidationError(
            f"the reference channel {name} is flat: choose another with ref_channel=…, or mark it "
            "as bad in raw.info['bads']."
        )
