"""Template subtraction with weights by position: consecutive, alternate or corresponding epochs."""

from __future__ import annotations

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.registry import register_processor
from facet_nb.correction.templates import TemplateCorrection
from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights


@register_processor
class VolumeTriggerCorrection(TemplateCorrection):
    """Template subtraction with consecutive epochs: ``2·(window_size // 2) + 1`` around each one.

    Meant for triggers of volumes. The template of an epoch is the mean of its neighbours and of
    the epoch itself; near the ends the window stays whole and moves inward.

    Parameters
    ----------
    window_size : int
        Epochs in a template, rounded up to an odd number.
    plot_artifacts : bool
        Accepted for compatibility; use ``result.plot()``.
    realign_after_averaging : bool
        Move each trigger to where its template fits the reference channel best.
    search_window_factor : float
        Largest move, in samples of the original rate.
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
    FACETpy and MATLAB FACET take epochs −h−1 to h−1 around each one, and leave the first epoch
    out; here the window is centred.

    References
    ----------
    Allen, P. J., Josephs, O., & Turner, R. (2000). A method for removing imaging artifact from
    continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
    doi:10.1006/nimg.2000.0599
    """

    name = "volume_trigger_correction"
    description = "Template subtraction, consecutive epochs"

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return the epochs around each one."""
        return weights.list_neighbours(n_epochs, self.window_size // 2)


@register_processor
class SliceTriggerCorrection(TemplateCorrection):
    """Template subtraction with every second epoch: offsets −window_size, 2 − window_size, ….

    Meant for triggers of slices. A template is the mean of ``window_size + 1`` epochs; neighbours
    take turns, so that two in a row share none. An even `window_size` takes the epoch itself.

    Parameters
    ----------
    window_size : int
        Reach on either side, in epochs.
    plot_artifacts : bool
        Accepted for compatibility; use ``result.plot()``.
    realign_after_averaging : bool
        Move each trigger to where its template fits the reference channel best.
    search_window_factor : float
        Largest move, in samples of the original rate.
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
    Near the ends the window moves inward; the first two epochs and the last two enter no template
    (but for the first epoch's own, which begins with the second). These are FASTR's weights; FASTR
    upsamples, scales each template to its epoch (``apply_epoch_alpha_scaling=True``), and lets
    epochs overlap by a hundredth.

    References
    ----------
    Niazy, R. K., Beckmann, C. F., Iannetti, G. D., Brady, J. M., & Smith, S. M. (2005). Removal of
    FMRI environment artifacts from EEG data using optimal basis sets. NeuroImage, 28(3), 720-737.
    doi:10.1016/j.neuroimage.2005.06.067
    """

    name = "slice_trigger_correction"
    description = "Template subtraction, alternate epochs"

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return every second epoch around each one."""
        return weights.list_alternate(n_epochs, self.window_size)


@register_processor
class CorrespondingSliceCorrection(TemplateCorrection):
    """Template subtraction with the same slice of the volumes around.

    Slices of a volume differ in their gradients, a slice and its like in the next volume hardly.
    The template of an epoch is the mean of the same slice in ``2 window_size + 1`` volumes.

    Parameters
    ----------
    slices_per_volume : int | None
        Slices in a volume; by default what the trigger detector found.
    window_size : int
        Reach on either side, in volumes; fewer where the recording is shorter.
    plot_artifacts : bool
        Accepted for compatibility; use ``result.plot()``.
    realign_after_averaging : bool
        Move each trigger to where its template fits the reference channel best.
    search_window_factor : float
        Largest move, in samples of the original rate.
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
    Near the ends the window moves inward, by whole volumes. With interleaved or multiband
    sequences give the number of excitations in a volume.

    References
    ----------
    Allen, P. J., Josephs, O., & Turner, R. (2000). A method for removing imaging artifact from
    continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
    doi:10.1006/nimg.2000.0599
    """

    name = "corresponding_slice_correction"
    description = "Template subtraction, the same slice of other volumes"

    def __init__(
        self,
        slices_per_volume: int | None = None,
        window_size: int = 30,
        plot_artifacts: bool = False,
        realign_after_averaging: bool = True,
        search_window_factor: float = 3.0,
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
        self.slices_per_volume = slices_per_volume

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return the same slice of the volumes around."""
        period = self.slices_per_volume or metadata.slices_per_volume
        if period is None or period < 1:
            raise ValidationError(
                "the number of slices in a volume is not known: give it as "
                "CorrespondingSliceCorrection(slices_per_volume=…)."
            )
        if n_epochs < 2 * period:
            raise ValidationError(
                f"{n_epochs} slices are fewer than two volumes of slices_per_volume={period}: no "
                "slice has its like. Check the triggers and the number of slices."
            )
        return weights.list_corresponding(n_epochs, period, self.window_size)


#: FACETpy's other names of the same classes.
AvgArtWghtVolumeTriggerCorrection = VolumeTriggerCorrection
AvgArtWghtSliceTriggerCorrection = SliceTriggerCorrection
AvgArtWghtCorrespondingSliceCorrection = CorrespondingSliceCorrection
