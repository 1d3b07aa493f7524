"""Principal components of the residual artifact (optimal basis sets)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.aas import check_artifact_length
from facet_nb.kernels.filters.fir import filter_zero_phase
from facet_nb.kernels.lowrank.obs import fit_residual

#: FASTR's edge: components are learned from, and fitted to, what lies above the EEG bands.
DEFAULT_HP_FREQ = 70.0


@dataclass(frozen=True)
class OBSPlan:
    """What all channels share: where artifacts are, and the high-pass."""

    starts: np.ndarray
    n_samples: int
    taps: np.ndarray


@register_processor
class PCACorrection(ArrayProcessor):
    """Subtract the principal components of what averaging left behind (Niazy et al. 2005).

    The signal is high-passed, cut into artifacts, and its strongest components are fitted to each
    of them and subtracted. Nothing below the high-pass is touched, so that EEG in the usual bands
    stays.

    Parameters
    ----------
    n_components : int, float or "auto"
        A number; a fraction (below 1) of the variance of the high-passed residual; or FASTR's
        automatic rule.
    hp_freq : float | None
        Edge of the high-pass, in Hz; 70 by default. 0 for no high-pass: slow EEG then goes, too.
    hp_filter_weights : ndarray, shape (n_taps,) | None
        A symmetric FIR high-pass of odd length to use instead.
    exclude_channels : list of str or int | None
        Channels to leave alone.

    References
    ----------
    Niazy, R. K., et al. (2005). Removal of FMRI environment artifacts from EEG data using optimal
    basis sets. NeuroImage, 28(3), 720-737. doi:10.1016/j.neuroimage.2005.06.067
    """

    name = "pca_correction"
    description = "Subtract principal components of the residual artifact"
    requires_triggers = True
    subtracts = True

    def __init__(
        self,
        n_components: int | float | str = 0.95,
        hp_freq: float | None = None,
        hp_filter_weights: np.ndarray | Sequence[float] | None = None,
        exclude_channels: list | None = None,
    ) -> None:
        self.n_components = n_components
        self.hp_freq = hp_freq
        self.hp_filter_weights = hp_filter_weights
        self.exclude_channels = exclude_channels

    def prepare(self, view: View) -> Prepared:
        """Place the artifacts and design the high-pass."""
        n = self.n_components
        if n != "auto" and (isinstance(n, str) or not n > 0):
            raise ValidationError(
                f"n_components={n!r}: use a number of components, a fraction below 1, or 'auto'."
            )
        metadata = view.metadata
        n_samples = check_artifact_length(metadata.artifact_length)
        starts = np.asarray(metadata.triggers, dtype=np.int64) + view.offset
        return Prepared(OBSPlan(starts, n_samples, self._taps(view.sfreq)))

    def _taps(self, sfreq: float) -> np.ndarray:
        if self.hp_filter_weights is not None:
            taps = np.asarray(self.hp_filter_weights, dtype=float)
            if taps.ndim != 1 or len(taps) % 2 == 0:
                raise ValidationError("hp_filter_weights must be a symmetric FIR of odd length.")
            return taps
        freq = DEFAULT_HP_FREQ if self.hp_freq is None else self.hp_freq
        if freq == 0:
            return np.ones(1)
        if not 0 < freq < 0.45 * sfreq:
            raise ValidationError(
                f"pca_correction: the high-pass at {freq:g} Hz needs a sampling rate above "
                f"{freq / 0.45:g} Hz, this is {sfreq:g} Hz: run it before DownSample, or give "
                "hp_freq."
            )
        from mne.filter import create_filter

        return create_filter(None, sfreq, freq, None, fir_design="firwin", verbose="error")

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: OBSPlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            high = row if len(plan.taps) == 1 else filter_zero_phase(row[None], plan.taps)[0]
            fitted = fit_residual(high, plan.starts, plan.n_samples, self.n_components)
            np.subtract(row, fitted, out=target)
        return out

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * 7
