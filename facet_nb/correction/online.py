"""Averaged artifact subtraction that looks at the past only."""

from __future__ import annotations

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import MOST
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection, find_artifacts
from facet_nb.kernels.templates.past_average import PastAverage


@register_processor
@fill_doc
class OnlineAASCorrection(ChannelCorrection):
    """Averaged artifact subtraction with past epochs only (Allen et al. 2000).

    Each artifact is corrected by the mean of the last epochs that were complete when it began, so
    that it works while a recording goes on (:meth:`facet_nb.Pipeline.stream`), without latency. The
    first five artifacts pass unchanged. Epochs are not aligned: the clocks of amplifier and scanner
    must be synchronised. Offline, :class:`facet_nb.GradientCorrection` is much nearer to the truth.

    Parameters
    ----------
    window_size : int
        Epochs in a template, at the most.

    Notes
    -----
    The length of an epoch is the distance of the first two triggers. A template has no mean over
    time, so that slow EEG enters it only where it recurs with the artifact.

    References
    ----------
    %(allen_2000)s
    """

    name = "online_aas_correction"
    description = "Averaged artifact subtraction with past epochs only"

    def __init__(self, window_size: int = 30) -> None:
        self.window_size = window_size

    def prepare(self, view: View) -> Prepared:
        """Return the onsets of the artifacts."""
        self._check()
        starts, _ = find_artifacts(view)
        if view.offset < 0:
            raise ValidationError(
                f"{self.name}: artifacts that begin before their triggers "
                f"(artifact_to_trigger_offset={view.metadata.artifact_to_trigger_offset} s) are "
                "known too late. Use AASCorrection."
            )
        starts = np.unique(starts)
        return Prepared(starts[(starts >= 0) & (starts < view.n_times)])

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        out = np.empty_like(x) if out is None else out
        PastAverage(self.window_size).push(x, prepared.payload, out)
        return out

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * 3 + (4 << 20)

    def why_not_live(self) -> str | None:
        """Return None: the correction needs no later samples."""
        return None

    def live(self, view: View) -> PastAverage:
        """Return the correction of samples that arrive block by block."""
        self._check()
        return PastAverage(self.window_size)

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self._check()

    def _check(self) -> None:
        if not 5 <= self.window_size <= MOST:
            raise ValidationError(
                f"{self.name}: window_size={self.window_size}; use 5 or more, at most {MOST}."
            )
