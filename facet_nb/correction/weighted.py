"""Template subtraction by position: consecutive, alternate or corresponding epochs."""

from __future__ import annotations

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.parameters import take_arguments
from facet_nb.core.registry import register_processor
from facet_nb.correction.templates import TemplateCorrection
from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights


@register_processor
@fill_doc
class VolumeTriggerCorrection(TemplateCorrection):
    """Template subtraction with consecutive epochs: ``2·(window_size // 2) + 1`` around each one.

    Meant for volume triggers. The template of an epoch is the mean of its neighbours and of the
    epoch itself; near the ends of the recording the window keeps its size and moves inward.

    Parameters
    ----------
    window_size : int
        Number of epochs in a template, rounded up to an odd number.
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(apply_epoch_alpha_scaling)s
    %(ref_channel)s
    %(subsample)s

    Notes
    -----
    FACETpy and MATLAB FACET average the epochs from −h−1 to h−1 around each one, without the first
    epoch; here the window is centred.

    References
    ----------
    %(allen_2000)s
    """

    name = "volume_trigger_correction"
    description = "Template subtraction, consecutive epochs"

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return the consecutive epochs around each one."""
        return weights.list_neighbours(n_epochs, self.window_size // 2)


@register_processor
@fill_doc
class SliceTriggerCorrection(TemplateCorrection):
    """Template subtraction with every second epoch: offsets −window_size, 2 − window_size, ….

    Meant for slice triggers. A template is the mean of ``window_size + 1`` alternate epochs, so
    that the templates of two consecutive epochs share none. If `window_size` is even, the template
    includes the epoch itself.

    Parameters
    ----------
    window_size : int
        Reach of the window on either side, in epochs.
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(apply_epoch_alpha_scaling)s
    %(ref_channel)s
    %(subsample)s

    Notes
    -----
    Near the ends of the recording the window moves inward. The first two and the last two epochs
    enter no template, except for that of the first epoch, which starts with the second one. These
    are the weights of FASTR, which also upsamples, scales each template to its epoch
    (``apply_epoch_alpha_scaling=True``), and lets epochs overlap by one hundredth.

    References
    ----------
    %(niazy_2005)s
    """

    name = "slice_trigger_correction"
    description = "Template subtraction, alternate epochs"

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return every second epoch around each one."""
        return weights.list_alternate(n_epochs, self.window_size)


@register_processor
@fill_doc
class CorrespondingSliceCorrection(TemplateCorrection):
    """Template subtraction with the same slice of neighbouring volumes.

    The gradients of one volume's slices differ; those of the same slice in consecutive volumes
    hardly do. The template of an epoch is the mean of the same slice in ``2 window_size + 1``
    volumes.

    Parameters
    ----------
    slices_per_volume : int | None
        Number of slices in a volume; by default what the trigger detector found.
    window_size : int
        Reach of the window on either side, in volumes; less if the recording is shorter.
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(apply_epoch_alpha_scaling)s
    %(ref_channel)s
    %(subsample)s

    Notes
    -----
    Near the ends of the recording the window moves inward by whole volumes. For interleaved or
    multiband sequences, give the number of excitations in a volume.

    References
    ----------
    %(allen_2000)s
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
        super().__init__(**take_arguments(TemplateCorrection, locals()))
        self.slices_per_volume = slices_per_volume

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return the same slice of the neighbouring volumes."""
        period = self.slices_per_volume or metadata.slices_per_volume
        if period is None or period < 1:
            raise ValidationError(
                "the number of slices in a volume is unknown: set it with "
                "CorrespondingSliceCorrection(slices_per_volume=…)."
            )
        if n_epochs < 2 * period:
            raise ValidationError(
                f"{n_epochs} slices are fewer than two volumes of slices_per_volume={period}, so "
                "that no slice recurs. Check the triggers and the number of slices."
            )
        return weights.list_corresponding(n_epochs, period, self.window_size)


#: The names of these classes in FACETpy.
AvgArtWghtVolumeTriggerCorrection = VolumeTriggerCorrection
AvgArtWghtSliceTriggerCorrection = SliceTriggerCorrection
AvgArtWghtCorrespondingSliceCorrection = CorrespondingSliceCorrection
