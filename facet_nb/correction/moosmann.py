"""Template subtraction informed by realignment parameters of the head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.parameters import take_arguments
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.motion import read_translations
from facet_nb.correction.templates import TemplateCorrection
from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights

#: Most volumes without a row in the motion file: no scan has as many.
_MOST_VOLUMES = 100_000


@register_processor
@fill_doc
class MoosmannCorrection(TemplateCorrection):
    r"""Template subtraction informed by realignment parameters (Moosmann et al. 2009).

    The template of a volume is the mean of the volumes closest to it, where head motion between
    two volumes adds to their distance. Volumes during which the head moves enter no template.

    Parameters
    ----------
    motion_file : str | None
        File of realignment parameters, one row for each volume: SPM ``rp_*.txt``, FSL ``.par``, or
        a table with a header (BIDS ``.tsv``: x y z pitch roll yaw).
    window_size : int
        Largest number of volumes in a template.
    motion_threshold : float
        Length of the translation from one volume to the next above which the head counts as
        moving, in the unit of the file (mm). FACETpy's default is 5, which head motion rarely
        reaches.
    motion_window_size : int | None
        Number of volumes in a template, which overrides `window_size` (FACETpy's name).
    n_dummies : int
        Number of volumes at the beginning that have triggers but are missing in `motion_file`.
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(apply_epoch_alpha_scaling)s
    %(ref_channel)s
    %(subsample)s
    rp_file : str | None
        FACETpy's name for `motion_file`.

    Notes
    -----
    Let :math:`C_i` be the sum of the translations above the threshold up to volume :math:`i`, and
    :math:`m` the smallest of these translations. The distance of two volumes is
    :math:`|i - j| + (k / m) |C_i - C_j|`, and the :math:`k` closest volumes form the template. Of
    two movements less than :math:`k` volumes apart, the smaller one adds no distance; its volumes
    are excluded all the same. The first volume has no translation. The weights are those of MATLAB
    FACET and of the Bergen toolbox.

    Slice triggers must be equally many in each volume: the template of a slice is the mean of the
    same slice in the volumes chosen for its volume. `motion_file` and `n_dummies` give the number
    of volumes.

    References
    ----------
    Moosmann, M., Schönfelder, V. H., Specht, K., Scheeringa, R., Nordby, H., & Hugdahl, K. (2009).
    Realignment parameter-informed artefact correction for simultaneous EEG-fMRI recordings.
    NeuroImage, 45(4), 1144-1150. doi:10.1016/j.neuroimage.2009.01.024
    """

    name = "moosmann_correction"
    description = "Template subtraction informed by head motion"

    def __init__(
        self,
        motion_file: str | None = None,
        window_size: int = 25,
        motion_threshold: float = 0.5,
        motion_window_size: int | None = None,
        n_dummies: int = 0,
        plot_artifacts: bool = False,
        realign_after_averaging: bool = True,
        search_window_factor: float = 3.0,
        apply_epoch_alpha_scaling: bool = False,
        ref_channel: int | str | None = None,
        subsample: bool = False,
        rp_file: str | None = None,
    ) -> None:
        super().__init__(**take_arguments(TemplateCorrection, locals()))
        self.motion_file = motion_file
        self.motion_threshold = motion_threshold
        self.motion_window_size = motion_window_size
        self.n_dummies = n_dummies
        self.rp_file = rp_file

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument is invalid."""
        super().check()
        if not self._path():
            raise ValidationError(
                "realignment parameters are missing: use MoosmannCorrection(motion_file=…)."
            )
        if self.motion_file and self.rp_file and str(self.motion_file) != str(self.rp_file):
            raise ValidationError("motion_file and rp_file name different files: give one of them.")
        if not self.motion_threshold >= 0:
            raise ValidationError(f"motion_threshold={self.motion_threshold} must be 0 or more.")
        if self._n_scans() < 1:
            raise ValidationError(
                f"motion_window_size={self.motion_window_size} must be 1 or more."
            )
        if not 0 <= self.n_dummies <= _MOST_VOLUMES:
            raise ValidationError(
                f"n_dummies={self.n_dummies} must be 0 or more, at most {_MOST_VOLUMES}."
            )

    def _path(self) -> str | None:
        return self.motion_file or self.rp_file

    def _n_scans(self) -> int:
        return self.window_size if self.motion_window_size is None else self.motion_window_size

    def prepare(self, view: View) -> Prepared:
        """Read the motion file, and choose the epochs of each template."""
        prepared = super().prepare(view)
        speed = self._read_speed()
        notes = {
            **prepared.notes,
            "volumes": len(speed),
            "volumes_in_motion": int(np.count_nonzero(speed)),
        }
        return replace(prepared, notes=notes)

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights:
        """Return the volumes around each one in which the head was in the same position."""
        speed = self._read_speed()
        n_slices = self._count_slices(n_epochs, len(speed), metadata.slices_per_volume)
        rows = weights.list_at_rest(speed, self._n_scans())
        if min(len(row) for row in rows) < min(2, self._n_scans()):
            raise ValidationError(
                f"the head moves in {int(np.count_nonzero(speed))} of {len(speed)} volumes of "
                f"{self._path()}, and some volumes have fewer than two at rest for a template: "
                f"raise motion_threshold={self.motion_threshold} or the window."
            )
        return weights.repeat_for_slices(rows, n_slices)

    def _read_speed(self) -> np.ndarray:
        """Return the length of each volume's translation; 0 up to the threshold."""
        path = self._path()
        assert path is not None
        places = read_translations(Path(path))
        speed = np.linalg.norm(np.diff(places, axis=0), axis=1)
        speed[speed <= self.motion_threshold] = 0.0
        return np.concatenate([np.zeros(self.n_dummies + 1), speed])

    def _count_slices(self, n_epochs: int, n_volumes: int, known: int | None) -> int:
        n_slices, rest = divmod(n_epochs, n_volumes)
        given = f"{self._path()} and n_dummies={self.n_dummies} give {n_volumes} volumes"
        if rest or not n_slices:
            raise ValidationError(
                f"{given}, but there are {n_epochs} triggers: neither one for each volume nor the "
                "same number of slices in each. Set n_dummies=… if the first volumes were not "
                "realigned, complete missing triggers, or cut the file to the recording."
            )
        if known and n_slices not in (1, known):
            raise ValidationError(
                f"{given}, so that {n_epochs} triggers are {n_slices} slices in each, but the "
                f"triggers show {known}. Check that the file belongs to this recording, and "
                "n_dummies=…."
            )
        return n_slices


#: The name of this class in FACETpy.
AvgArtWghtMoosmannCorrection = MoosmannCorrection
