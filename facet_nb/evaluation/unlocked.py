"""Removed signal that is not time-locked to the triggers."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import check_band
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    MetricStep,
    artifact_length,
    find_span,
    good_channels,
    name_invalid,
)
from facet_nb.kernels.measures import metrics, recovery
from facet_nb.kernels.triggers import spacing


@register_processor
class UnlockedEnergyCalculator(MetricStep):
    r"""Measure how much of the removed signal does not recur with the triggers.

    The gradient artifact recurs with each volume (or slice); EEG does not. The removed signal
    (``context.get_estimated_noise()``) is band-pass filtered and cut into epochs. Its variance
    about the mean epoch is the energy that is not time-locked:

    .. math:: u = \frac{1}{(N-1) L} \sum_k \sum_t (e_k(t) - m(t))^2

    It is an upper bound of the EEG lost, because an artifact that changes with drift or motion is
    not time-locked either. EEG that a template removes equally from all epochs is not included; a
    ground truth reveals it (:class:`TruthCalculator`, :class:`CleanInTest`).

    An epoch is a volume if ``metadata.slices_per_volume`` is known, otherwise one artifact.

    Results are in ``metadata.custom["metrics"]``: ``unlocked_energy_db``, the share 10 log10(u /
    mean square of the removed signal), and ``unlocked_rms``, the square root of u in V, both as
    medians over channels; ``unlocked_energy_db_per_channel`` in the order of ``unlocked_channels``.

    Parameters
    ----------
    fmin, fmax : float
        Edges of the band, in Hz. Use the EEG band: at higher frequencies a marker error of half a
        sample makes the artifact differ from epoch to epoch.
    """

    name = "unlocked_energy_calculator"
    description = "Removed energy that does not recur with the triggers"
    memory_copies = 1  # the estimated noise

    def __init__(self, fmin: float = 0.5, fmax: float = 70.0) -> None:
        self.fmin = fmin
        self.fmax = fmax

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        check_band(self.fmin, self.fmax, sfreq)

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the energy that is not time-locked, and the epochs used."""
        noise = context.get_estimated_noise()
        if noise is None:
            raise ValidationError(
                f"{self.name}: nothing has been removed yet. Put it after a correction."
            )
        raw, rows, names = good_channels(context, self.name)
        sfreq = float(raw.info["sfreq"])
        sos = recovery.design_band(sfreq, self.fmin, self.fmax)
        starts, length = self._cut(context)
        pairs = [
            recovery.unlocked_share(recovery.filter_band(noise[row], sos), starts, length)
            for row in rows
        ]
        power, share = np.array(pairs).T
        with np.errstate(divide="ignore"):
            share_db = 10.0 * np.log10(share)
        found = {
            "unlocked_energy_db": metrics.median_of_valid(share_db),
            "unlocked_rms": metrics.median_of_valid(np.sqrt(power)),
            "unlocked_energy_db_per_channel": share_db.tolist(),
            "unlocked_energy_db_excluded": name_invalid(share_db, names),
            "unlocked_channels": names,
        }
        return found, {"n_epochs": len(starts), "epoch_samples": length}

    def _cut(self, context: ProcessingContext) -> tuple[np.ndarray, int]:
        """Return the first samples of epochs, and their length, in samples."""
        metadata, span = context.metadata, find_span(context, self.name)
        triggers = np.sort(np.asarray(metadata.triggers, dtype=np.int64))
        length = artifact_length(context, self.name)
        if metadata.slices_per_volume and len(triggers) > metadata.slices_per_volume:
            known = spacing.describe_spacing(triggers)
            triggers = triggers[:: metadata.slices_per_volume]
            length = int(metadata.slices_per_volume * known.usual + known.pause)
        starts = triggers + round(metadata.artifact_to_trigger_offset * span.sfreq)
        starts = starts[(starts >= 0) & (starts + length <= span.n_times)]
        if len(starts) < 2:
            raise ValidationError(
                f"{self.name}: two complete epochs of {length} samples are needed, but "
                f"{len(starts)} lie within the data."
            )
        return starts, length
