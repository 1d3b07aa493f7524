"""Template subtraction with the epochs most similar to each one."""

from __future__ import annotations

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.parameters import take_arguments
from facet_nb.core.registry import register_processor
from facet_nb.correction.templates import TemplateCorrection
from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights

#: Compared above some frequency, epochs with the same artifact differ by noise only. Up to this
#: factor (of one minus the correlation) they count as equally similar, and the nearest are taken:
#: what changes below that frequency is most alike there. `benchmarks/harm.py`: 1 to 7 dB; 2 is
#: better where the artifact lies still, and worse where slices differ.
_SLACK = 1.5


@register_processor
@fill_doc
class FARMCorrection(TemplateCorrection):
    """Template subtraction with the epochs most similar to each one (FARM).

    The template of an epoch is the mean of the `window_size` epochs around it that correlate best
    with it, without the epoch itself. Each channel selects the epochs by its own samples.

    Parameters
    ----------
    window_size : int
        Largest number of epochs in a template.
    correlation_threshold : float
        Smallest absolute Pearson correlation of an epoch to be included (0 to 1). If no epoch
        reaches it, the `window_size` most similar ones are averaged.
    search_half_window : int | None
        Reach of the search on either side, in epochs; by default `search_half_window_factor` times
        `window_size`.
    search_half_window_factor : float
        Reach of the search on either side, in windows.
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(interpolate_volume_gaps)s
    %(apply_epoch_alpha_scaling)s
    %(ref_channel)s
    %(subsample)s
    compared_hz : float
        With ``subsample=True``, epochs are compared above this frequency, in Hz, and the nearest of
        those that are equally similar are used. Aligned epochs differ by their EEG more than by
        their artifact: with 0, similar EEG is averaged and subtracted.

    Notes
    -----
    Meant for artifacts that vary, because of motion or of timing errors below one sample. If they
    hardly vary, the similarity of epochs depends on their EEG, and the template removes more EEG
    than one of neighbouring epochs: use :class:`~facet_nb.VolumeTriggerCorrection` there.

    FACETpy subtracts an epoch that is similar to no other from itself, which removes all its EEG;
    here its template is the mean of the most similar other epochs.

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
        compared_hz: float = 70.0,
    ) -> None:
        super().__init__(**take_arguments(TemplateCorrection, locals()))
        self.correlation_threshold = correlation_threshold
        self.search_half_window = search_half_window
        self.search_half_window_factor = search_half_window_factor
        self.interpolate_volume_gaps = interpolate_volume_gaps
        self.compared_hz = compared_hz

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument is invalid."""
        super().check()
        if not self.compared_hz >= 0:
            raise ValidationError(f"compared_hz={self.compared_hz} must be 0 Hz or more.")
        if not 0.0 <= self.correlation_threshold <= 1.0:
            raise ValidationError(
                f"correlation_threshold={self.correlation_threshold} must be from 0 to 1."
            )
        if not self.search_half_window_factor < np.inf:
            raise ValidationError("search_half_window_factor must be a finite number.")
        if self._reach() < 1:
            raise ValidationError(
                "the search must reach at least one epoch: use a larger search_half_window or "
                "search_half_window_factor."
            )

    def _reach(self) -> int:
        if self.search_half_window is not None:
            return int(self.search_half_window)
        return int(np.ceil(self.window_size * self.search_half_window_factor))

    def compared_above_hz(self) -> float:
        """Return the lowest frequency at which epochs are compared with ``subsample=True``."""
        return self.compared_hz

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> None:
        """Return None: each channel selects its own epochs."""

    def weigh_channel(self, epochs: np.ndarray, usable: np.ndarray) -> Weights:
        """Return the epochs around each one that are most similar to it."""
        return weights.list_similar(
            epochs,
            window=self.window_size,
            half=self._reach(),
            threshold=self.correlation_threshold,
            usable=usable,
            slack=_SLACK if self.subsample and self.compared_hz > 0 else None,
        )


#: The name of this class in FACETpy.
FARMArtifactCorrection = FARMCorrection
