"""Optimal basis sets: principal components of the residual artifact, by two sets of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import LOWEST_HZ
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection, find_artifacts
from facet_nb.kernels.filters.fir import filter_zero_phase
from facet_nb.kernels.lowrank.obs import fit_residual

#: FASTR's edge: components are estimated and fitted above the EEG bands.
DEFAULT_HP_FREQ = 70.0
#: Stop-band and pass-band edge of FASTR's high-pass filter, in Hz.
_STOP_HZ, _PASS_HZ = 60.0, 80.0
#: Artifacts shorter than this are those of slices, unless the metadata say otherwise, in s.
_SLICE_S = 0.5


@dataclass(frozen=True)
class OBSPlan:
    """Decisions that all channels share.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact.
    n_samples : int
        Length of an artifact.
    taps : ndarray, shape (n_taps,)
        High-pass filter; a single 1 for none.
    every : int
        Components are estimated from every `every`-th artifact.
    constant : bool
        Whether the basis includes a constant.
    locked_only : bool
        Whether components that are not locked to the artifacts are left out.
    """

    starts: np.ndarray
    n_samples: int
    taps: np.ndarray
    every: int = 1
    constant: bool = False
    locked_only: bool = False


class BasisCorrection(ChannelCorrection):
    """Base class of corrections by components of the high-passed residual."""

    memory_copies = 7  # the high-passed channel, its epochs, and fits
    n_components: int | float | str

    def correct_channel(self, x: np.ndarray, plan: OBSPlan, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        high = x if len(plan.taps) == 1 else filter_zero_phase(x[np.newaxis], plan.taps)[0]
        fitted = fit_residual(
            high,
            plan.starts,
            plan.n_samples,
            self.n_components,
            every=plan.every,
            constant=plan.constant,
            locked_only=plan.locked_only,
        )
        np.subtract(x, fitted, out=out)


@register_processor
@fill_doc
class OBSCorrection(BasisCorrection):
    """Subtract an optimal basis set of the residual artifact (Niazy et al. 2005).

    Put it after a correction by averages. The residual is high-pass filtered (60 to 80 Hz), and the
    principal components of its artifacts are fitted to each artifact by least squares. Frequencies
    below the high-pass filter are unchanged, so that EEG in the usual bands is preserved.

    The step follows FASTR: with slice triggers, components are estimated from every second
    artifact; with volume triggers, they are estimated from all artifacts, and the basis includes a
    constant. Three things differ. The selection of artifacts is not random, so that results are
    reproducible. The high-pass filter has FASTR's edges, but is longer and flat in the pass band
    (FASTR's has a ripple of one tenth, which leaves as much artifact). It runs at the sampling rate
    of the data, whereas FASTR upsamples. ``PCACorrection`` applies the same method with a free
    choice of the high-pass filter and of the explained variance. Components count only as far as
    they are locked to the artifacts, as in ``PCACorrection``.

    Parameters
    ----------
    n_components : int or "auto"
        Number of components. ``"auto"`` is FASTR's rule, the mean of three numbers: where the
        variances stop falling, where their sum exceeds 80 %, and where they fall below 5 %.
    slice_triggers : bool | None
        Whether the triggers mark slices (True) or volumes (False). None takes it from the metadata,
        or else from the artifact length (below 0.5 s: slices).
    %(exclude_channels)s
    locked_only : bool
        Leave out components that are not locked to the artifacts, and leave a channel without any
        unchanged; False for FASTR's behaviour.

    References
    ----------
    %(niazy_2005)s
    """

    name = "obs_correction"
    description = "Subtract an optimal basis set of the residual artifact"

    def __init__(
        self,
        n_components: int | str = "auto",
        slice_triggers: bool | None = None,
        exclude_channels: list | None = None,
        locked_only: bool = True,
    ) -> None:
        self.n_components = n_components
        self.slice_triggers = slice_triggers
        self.exclude_channels = exclude_channels
        self.locked_only = locked_only

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        n = self.n_components
        whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0
        if n != "auto" and not whole:
            raise ValidationError(f"n_components={n!r}: use 1, 2, … or 'auto'.")

    def prepare(self, view: View) -> Prepared:
        """Find the artifacts, and design the high-pass filter."""
        self.check_parameters(view.sfreq)
        starts, n_samples = find_artifacts(view)
        slices = self._has_slices(view.metadata.slices_per_volume, n_samples / view.sfreq)
        every = 2 if slices else 1
        taps = design_highpass(view.sfreq)
        plan = OBSPlan(starts, n_samples, taps, every, not slices, self.locked_only)
        return Prepared(plan, notes={"slice_triggers": slices})

    def _has_slices(self, slices_per_volume: int | None, length_s: float) -> bool:
        if self.slice_triggers is not None:
            return bool(self.slice_triggers)
        if slices_per_volume is not None:
            return slices_per_volume > 1
        return length_s < _SLICE_S


def design_highpass(sfreq: float) -> np.ndarray:
    """Return a symmetric FIR high-pass filter with FASTR's edges, shape (n_taps,).

    Raises
    ------
    ValidationError
        If the sampling rate is too low for it.
    """
    if sfreq <= 2.0 * _PASS_HZ:
        raise ValidationError(
            f"obs_correction: the high-pass filter at {_STOP_HZ:g} to {_PASS_HZ:g} Hz needs a "
            f"sampling rate above {2 * _PASS_HZ:g} Hz, but the data have {sfreq:g} Hz: run it "
            "before DownSample."
        )
    from mne.filter import create_filter

    width = _PASS_HZ - _STOP_HZ
    return create_filter(
        None, sfreq, _PASS_HZ, None, l_trans_bandwidth=width, fir_design="firwin", verbose="error"
    )


@register_processor
@fill_doc
class PCACorrection(BasisCorrection):
    """Subtract the principal components of the residual artifact (Niazy et al. 2005).

    Put it after a correction by averages. The signal is high-pass filtered and cut into artifacts;
    the strongest components of these are fitted to each artifact and subtracted. Frequencies below
    the high-pass filter are unchanged, so that EEG in the usual bands is preserved.

    After a good correction most of the residual is EEG, which is the same at any time. Components
    therefore count only as far as their variance exceeds that in epochs with random starts
    (:func:`facet_nb.kernels.lowrank.obs.count_locked`). A channel without such components is
    unchanged.

    Parameters
    ----------
    n_components : int, float or "auto"
        Number of components, a fraction (below 1) of the variance of the high-passed residual, or
        FASTR's automatic rule.
    hp_freq : float | None
        Edge of the high-pass filter, in Hz; 70 by default. With 0 there is no filter, and slow EEG
        is removed as well.
    %(hp_filter_weights)s
    %(exclude_channels)s
    locked_only : bool
        Leave out components that are not locked to the artifacts; False for FACETpy's behaviour,
        which removes EEG.

    References
    ----------
    %(niazy_2005)s
    """

    name = "pca_correction"
    description = "Subtract principal components of the residual artifact"

    def __init__(
        self,
        n_components: int | float | str = 0.95,
        hp_freq: float | None = None,
        hp_filter_weights: np.ndarray | Sequence[float] | None = None,
        exclude_channels: list | None = None,
        locked_only: bool = True,
    ) -> None:
        self.n_components = n_components
        self.hp_freq = hp_freq
        self.hp_filter_weights = hp_filter_weights
        self.exclude_channels = exclude_channels
        self.locked_only = locked_only

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        n = self.n_components
        if n != "auto" and (isinstance(n, str) or not 0 < n < np.inf):
            raise ValidationError(
                f"n_components={n!r}: use a number of components, a fraction below 1, or 'auto'."
            )
        freq = self._find_edge()
        if freq != 0 and not LOWEST_HZ <= freq < 0.45 * sfreq:
            if LOWEST_HZ <= freq < np.inf:
                raise ValidationError(
                    f"pca_correction: the high-pass filter at {freq:g} Hz needs a sampling rate "
                    f"above {freq / 0.45:g} Hz, but the data have {sfreq:g} Hz: run it before "
                    "DownSample, or set hp_freq."
                )
            raise ValidationError(
                f"pca_correction: hp_freq={freq!r}: use an edge of {LOWEST_HZ} Hz or more, or 0 "
                "for no filter."
            )

    def prepare(self, view: View) -> Prepared:
        """Find the artifacts, and design the high-pass filter."""
        self.check_parameters(view.sfreq)
        taps = self._taps(view.sfreq)
        return Prepared(OBSPlan(*find_artifacts(view), taps, locked_only=self.locked_only))

    def _find_edge(self) -> float:
        """Return the edge of the high-pass filter, in Hz; 0 if there is none to design."""
        if self.hp_filter_weights is not None:
            return 0.0
        return DEFAULT_HP_FREQ if self.hp_freq is None else self.hp_freq

    def _taps(self, sfreq: float) -> np.ndarray:
        if self.hp_filter_weights is not None:
            taps = np.asarray(self.hp_filter_weights, dtype=float)
            if taps.ndim != 1 or len(taps) % 2 == 0:
                raise ValidationError("hp_filter_weights must be a symmetric FIR of odd length.")
            return taps
        freq = self._find_edge()
        if freq == 0:
            return np.ones(1)
        from mne.filter import create_filter

        return create_filter(None, sfreq, freq, None, fir_design="firwin", verbose="error")
