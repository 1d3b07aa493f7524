"""Base of the corrections: the loop over channels, artifact onsets, and shared documentation."""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any, TypeVar

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.kernels.means import is_flat

T = TypeVar("T")

#: Parts of docstrings that several corrections share; see :func:`fill_doc`.
DOCS = {
    "plot_artifacts": """\
plot_artifacts : bool
    Accepted for compatibility with FACETpy; use ``result.plot()`` instead.""",
    "realign_after_averaging": """\
realign_after_averaging : bool
    Whether to shift each trigger to where its template fits the reference channel best.""",
    "search_window_factor": """\
search_window_factor : float
    Largest shift of a trigger, in samples at the original sampling rate.""",
    "interpolate_volume_gaps": """\
interpolate_volume_gaps : bool
    Whether to subtract a straight line from the end of one template to the start of the next.""",
    "apply_epoch_alpha_scaling": """\
apply_epoch_alpha_scaling : bool
    Whether to scale each template to its epoch by least squares. Scaling removes EEG where the
    artifact is weak: leave it off unless the amplitude changes from epoch to epoch.""",
    "ref_channel": """\
ref_channel : int | str | None
    Index or name of the reference channel; the first EEG channel by default.""",
    "subsample": """\
subsample : bool
    Whether to estimate artifact onsets between samples, and to shift epochs and templates by
    fractions of a sample in the Fourier domain. Use it without ``UpSample`` and ``DownSample``.""",
    "exclude_channels": """\
exclude_channels : list of str or int | None
    Channels to leave unchanged.""",
    "hp_filter_weights": """\
hp_filter_weights : ndarray, shape (n_taps,) | None
    A symmetric FIR high-pass filter of odd length to use instead.""",
    "allen_2000": """\
Allen, P. J., Josephs, O., & Turner, R. (2000). A method for removing imaging artifact from
continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
doi:10.1006/nimg.2000.0599""",
    "niazy_2005": """\
Niazy, R. K., Beckmann, C. F., Iannetti, G. D., Brady, J. M., & Smith, S. M. (2005). Removal of
FMRI environment artifacts from EEG data using optimal basis sets. NeuroImage, 28(3), 720-737.
doi:10.1016/j.neuroimage.2005.06.067""",
}


def fill_doc(cls: type[T]) -> type[T]:
    """Replace lines ``%(key)s`` in the docstring of a class with ``DOCS[key]``.

    This is the convention of MNE-Python; other percent signs need no escape.
    """
    if cls.__doc__:  # None under ``python -OO``
        cls.__doc__ = re.sub(
            r"^( *)%\((\w+)\)s$",
            lambda line: indent(DOCS[line[2]], line[1]),
            cls.__doc__,
            flags=re.MULTILINE,
        )
    return cls


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
