"""Damage that a correction leaves: clipped and uncorrected samples, discarded channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    MetricStep,
    artifact_length,
    find_span,
    good_channels,
    logger,
    read_rows,
)
from facet_nb.kernels.measures import recovery

if TYPE_CHECKING:
    import mne


@register_processor
class IntegrityCalculator(MetricStep):
    """Count clipped samples, uncorrected samples and discarded channels.

    - *Clipped* samples of the original recording: the amplifier was saturated, and no correction
      can recover the EEG there. They are runs of three or more equal samples at the largest or
      smallest value of the channel and, if `limit_v` is given, samples that reach it (int16 at
      0.5 µV is limited to ±16.384 mV).
    - *Uncorrected* samples: parts of the acquisition, at least one tenth of an artifact long, from
      which nothing was removed. Filters after the correction spread what was removed: put this step
      directly after the correction for exact counts.
    - *Discarded* channels: good electrodes of the original that are missing or bad in the result.

    Results are in ``metadata.custom["metrics"]``: ``clipped_samples``, ``uncorrected_samples`` and
    ``n_discarded`` (sums over channels); ``clipped_fraction`` of all samples of the electrodes;
    ``clipped_channels`` and ``uncorrected_channels``, tables of the affected channels; and
    ``discarded_channels``. Without a correction there is no ``uncorrected_samples``.

    Parameters
    ----------
    limit_v : float | None
        Largest amplitude that the recorder can represent, in V.
    """

    name = "integrity_calculator"
    description = "Clipped and uncorrected samples, discarded channels"
    requires_triggers = False
    memory_copies = 1  # the estimated noise

    def __init__(self, limit_v: float | None = None) -> None:
        self.limit_v = limit_v

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if self.limit_v is not None and not self.limit_v > 0:
            raise ValidationError(f"limit_v={self.limit_v!r} must be above 0 V, or None.")

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the counts, and tables of the affected channels."""
        original = context.get_raw_original() or context.get_raw()
        clipped, n_samples = self._count_clipped(original)
        discarded = _find_discarded(original, context.get_raw())
        found: dict[str, Any] = {
            "clipped_samples": sum(clipped.values()),
            "clipped_fraction": sum(clipped.values()) / n_samples if n_samples else 0.0,
            "clipped_channels": clipped,
            "n_discarded": len(discarded),
            "discarded_channels": discarded,
        }
        if clipped:
            logger.warning(
                "%s: clipped samples in %s; their EEG is lost", self.name, ", ".join(clipped)
            )
        if context.has_triggers() and context.has_estimated_noise():
            left = self._count_uncorrected(context)
            found["uncorrected_samples"] = sum(left.values())
            found["uncorrected_channels"] = left
        return found, {}

    def _count_clipped(self, original: mne.io.BaseRaw) -> tuple[dict[str, int], int]:
        """Return the number of clipped samples by channel, and the number of all samples."""
        kinds = recording.channel_kinds(original)
        rows = [i for i, kind in enumerate(kinds) if kind in ("data", "bad")]
        counts = {}
        for row in rows:
            x = read_rows(original, row, [(0, original.n_times)])[0]
            n = int(np.count_nonzero(recovery.find_clipped(x, self.limit_v)))
            if n:
                counts[original.ch_names[row]] = n
        return counts, len(rows) * int(original.n_times)

    def _count_uncorrected(self, context: ProcessingContext) -> dict[str, int]:
        _, rows, names = good_channels(context, self.name)
        span = find_span(context, self.name)
        noise = context.get_estimated_noise()
        assert noise is not None
        least = max(3, artifact_length(context, self.name) // 10)
        counts = {}
        for row, name in zip(rows, names, strict=True):
            untouched = recovery.find_untouched(noise[row, span.start : span.stop], least)
            if np.any(untouched):
                counts[name] = int(np.count_nonzero(untouched))
        return counts


def _find_discarded(original: mne.io.BaseRaw, raw: mne.io.BaseRaw) -> list[str]:
    """Return the good electrodes of the original that are missing or bad in the result."""
    theirs = [original.ch_names[i] for i in recording.data_picks(original)]
    ours = {raw.ch_names[i] for i in recording.data_picks(raw)}
    return [name for name in theirs if name not in ours]
