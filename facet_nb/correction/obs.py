"""Optimal basis sets by the rules of FASTR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.aas import check_artifact_length
from facet_nb.kernels.filters.fir import filter_zero_phase
from facet_nb.kernels.lowrank.obs import fit_residual

#: Stop and pass edge of the high-pass, in Hz.
_STOP_HZ, _PASS_HZ = 60.0, 80.0
#: Artifacts shorter than this are those of slices, unless the metadata tell.
_SLICE_S = 0.5


@dataclass(frozen=True)
class BasisPlan:
    """What all channels share: where artifacts are, the high-pass, and how to learn."""

    starts: np.ndarray
    n_samples: int
    taps: np.ndarray
    every: int
    constant: bool


@register_processor
class OBSCorrection(ArrayProcessor):
    """Subtract an optimal basis set of what averaging left behind (Niazy et al. 2005).

    Put it behind a correction by averages. The residual is high-passed (60 to 80 Hz), principal
    components of its artifacts are found, and fitted to each artifact by least squares. Nothing
    below the high-pass is touched, so that EEG in the usual bands stays.

    It follows FASTR: with slice triggers, components are learned from every second artifact, with
    volume triggers from all of them, and a constant belongs to the basis. Three things differ:
    which artifacts are taken is not left to chance, so that results repeat; the high-pass has
    FASTR's edges, but is longer and flat (theirs ripples by a tenth, which leaves as much
    artifact); and it runs at the rate the data have, where FASTR upsamples. ``PCACorrection`` is
    the same idea with a free choice of the high-pass and of the share of variance.

    Parameters
    ----------
    n_components : int or "auto"
        Number of components; ``"auto"`` is FASTR's rule, the mean of three: where variances stop
        falling, where their sum exceeds 80 %, and where they fall below 5 %.
    slice_triggers : bool | None
        Whether triggers are those of slices rather than volumes; None: from the metadata, else by
        the artifact's length (0.5 s).
    exclude_channels : list of str or int | None
        Channels to leave alone.

    References
    ----------
    Niazy, R. K., et al. (2005). Removal of FMRI environment artifacts from EEG data using optimal
    basis sets. NeuroImage, 28(3), 720-737. doi:10.1016/j.neuroimage.2005.06.067
    """

    name = "obs_correction"
    description = "Subtract an optimal basis set of the residual artifact"
    requires_triggers = True
    subtracts = True

    def __init__(
        self,
        n_components: int | str = "auto",
        slice_triggers: bool | None = None,
        exclude_channels: list | None = None,
    ) -> None:
        self.n_components = n_components
        self.slice_triggers = slice_triggers
        self.exclude_channels = exclude_channels

    def prepare(self, view: View) -> Prepared:
        """Place the artifacts and design the high-pass."""
        n = self.n_components
        whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0
        if n != "auto" and not whole:
            raise ValidationError(f"n_components={n!r}: use 1, 2, … or 'auto'.")
        metadata = view.metadata
        n_samples = check_artifact_length(metadata.artifact_length)
        starts = np.asarray(metadata.triggers, dtype=np.int64) + view.offset
        slices = self._has_slices(metadata, n_samples / view.sfreq)
        every = 2 if slices else 1
        plan = BasisPlan(starts, n_samples, design_highpass(view.sfreq), every, not slices)
        return Prepared(plan, notes={"slice_triggers": slices})

    def _has_slices(self, metadata: ProcessingMetadata, length_s: float) -> bool:
        if self.slice_triggers is not None:
            return bool(self.slice_triggers)
        if metadata.slices_per_volume is not None:
            return metadata.slices_per_volume > 1
        return length_s < _SLICE_S

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: BasisPlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            high = filter_zero_phase(row[np.newaxis], plan.taps)[0]
            fitted = fit_residual(
                high,
                plan.starts,
                plan.n_samples,
                self.n_components,
                every=plan.every,
                constant=plan.constant,
            )
            np.subtract(row, fitted, out=target)
        return out

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * 7


def design_highpass(sfreq: float) -> np.ndarray:
    """Return a symmetric FIR high-pass with FASTR's edges, shape (n_taps,)."""
    if sfreq <= 2.0 * _PASS_HZ:
        raise ValidationError(
            f"obs_correction: the high-pass at {_STOP_HZ:g} to {_PASS_HZ:g} Hz needs a sampling "
            f"rate above {2 * _PASS_HZ:g} Hz, this is {sfreq:g} Hz: run it before DownSample."
        )
    from mne.filter import create_filter

    width = _PASS_HZ - _STOP_HZ
    return create_filter(
        None, sfreq, _PASS_HZ, None, l_trans_bandwidth=width, fir_design="firwin", verbose="error"
    )
