"""Template subtraction with the epochs most like each one."""

from __future__ import annotations

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.registry import register_processor
from facet_nb.correction.templates import TemplateCorrection
from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights


@register_processor
class FARMCorrection(TemplateCorrection):
    """Template subtraction with the epochs most like each one (FARM).

    The template of an epoch is the mean of the `window_size` epochs around it whose correlation
    with it is greatest, without itself. Each channel chooses by its own samples.

    Parameters
    ----------
    window_size : int
        Epochs in a template, at most.
    correlation_threshold : float
        Absolute Pearson correlation that an epoch must have at least (0 to 1). Where none has, the
        `window_size` most alike are taken.
    search_half_window : int | None
        Reach of the search on either side, in epochs; by default `search_half_window_factor` times
        `window_size`.
    search_half_window_factor : float
        Reach of the search, in windows.
    plot_artifacts : bool
        Accepted for compatibility; use ``result.plot()``.
    realign_after_averaging : bool
        Move each trigger to where its template fits the reference channel best.
    search_window_factor : float
        Largest move, in samples of the original rate.
    interpolate_volume_gaps : bool
        Subtract a straight line between one template's end and the next one's start.
    apply_epoch_alpha_scaling : bool
        Scale each template to its epoch by least squares. It takes EEG away where the artifact is
        weak.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.
    subsample : bool
        Find where artifacts begin between samples, and move epochs and templates there in the
        Fourier domain: use it without ``UpSample`` and ``DownSample``.

    Notes
    -----
    Meant for artifacts that change, with motion or with timing that is off by parts of a sample.
    Where they hardly change, epochs are alike by their EEG, and more of it goes than with
    neighbours: :class:`~facet_nb.VolumeTriggerCorrection` does less harm there.

    FACETpy subtracts an epoch that resembles no other from itself, EEG and all; here the most
    alike of the others are its template.

    References
    ----------
    Van der Meer, J. N., Tijssen, M. A. J., Bour, L. J., van Rootselaar, A. F., & Nederveen, A. J.
    (2010). Robust EMG-fMRI artifact reduction for motion (FARM). Clinical Neurophysiology, 121(5),
    766-776. doi:10.1016/j.clinph.2009.12.035
    """

    name = "farm_correction"
    description = "Template subtraction, the most similar epochs"

    def __init__(
        self,
        window_size: int = 30,
        correlation_threshold: float = 0.9,
        search_half_window: int | None = None,
        search_half_window_factor: float = 3.0,
        plot_artifacts: bool = False,
        realign_after_averaging: bool = True,
        search_window_factor: float = 3.0,
        interpolate_volume_gaps: bool = False,
        apply_epoch_alpha_scaling: bool = False,
        ref_channel: int | str | None = None,
        subsample: bool = False,
    ) -> None:
        super().__init__(
            window_size,
            plot_artifacts,
            realign_after_averaging,
            search_window_factor,
            apply_epoch_alpha_scaling,
            ref_channel,
            subsample,
        )
        self.correlation_threshold = correlation_threshold
        self.search_half_window = search_half_window
        self.search_half_window_factor = search_half_window_factor
        self.interpolate_volume_gaps = interpolate_volume_gaps

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument makes no sense."""
        super().check()
        if not 0.0 <= self.correlation_threshold <= 1.0:
            raise ValidationError(
                f"correlation_threshold={self.correlation_threshold} must be from 0 to 1."
            )
        if self._reach() < 1:
            raise ValidationError(
                "the search must reach at least one epoch: use a greater search_half_window or "
                "search_half_window_factor."
            )
        if self.subsample and self.interpolate_volume_gaps:
            raise ValidationError(
                "subsample=True does not go with interpolate_volume_gaps: leave it off."
            )

    def _reach(self) -> int:
        if self.search_half_window is not None:
            return int(self.search_half_window)
        return int(np.ceil(self.window_size * self.search_half_window_factor))

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> None:
        """Leave the choice to each channel."""

    def weigh_channel(self, epochs: np.ndarray, usable: np.ndarray) -> Weights:
        """Return the most similar epochs around each one."""
        return weights.list_similar(
            epochs,
            window=self.window_size,
            half=self._reach(),
            threshold=self.correlation_threshold,
            usable=usable,
        )


#: FACETpy's other name of the same class.
FARMArtifactCorrection = FARMCorrection
