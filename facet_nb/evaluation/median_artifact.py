"""Peak-to-peak amplitude of the residual artifact."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    ChannelMetric,
    Span,
    artifact_length,
    find_span,
    good_channels,
    list_values,
    print_channels,
    read_rows,
)
from facet_nb.kernels.measures import metrics


@register_processor
@fill_doc
class MedianArtifactCalculator(ChannelMetric):
    """Measure the peak-to-peak amplitude of the residual artifact.

    The peak-to-peak amplitude of artifact epochs is averaged over the epochs of each good data
    channel; the metric is the median over channels, in V. The same value of epochs outside the
    acquisition, which contain EEG only, is the smallest amplitude to expect.

    Results are in ``metadata.custom["metrics"]``: ``median_artifact`` and
    ``median_artifact_per_channel`` (V) in the order of ``median_artifact_channels``; and, if there
    is at least one artifact length outside the acquisition, ``median_artifact_reference`` (V) and
    ``median_artifact_ratio``, the ratio of the two.

    FACETpy reports V as well, but takes the mean over channels first and then the median over
    epochs.

    Parameters
    ----------
    %(channel_lines)s

    References
    ----------
    %(glaser_2013)s
    """

    name = "median_artifact_calculator"
    description = "Peak-to-peak amplitude of the residual artifact"

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the amplitudes within and outside the acquisition, and the numbers of epochs."""
        raw, rows, names = good_channels(context, self.name)
        span, length = find_span(context, self.name), artifact_length(context, self.name)
        starts = np.sort(np.asarray(context.metadata.triggers, dtype=np.int64))
        starts = starts + round(context.metadata.artifact_to_trigger_offset * span.sfreq)
        whole = starts[(starts >= 0) & (starts + length <= span.n_times)]
        if not len(whole):
            raise ValidationError(
                f"{self.name}: no artifact of {length} samples lies within the data. Check the "
                "triggers and artifact_length."
            )
        quiet = _epochs_outside(span, length)
        left, without = np.empty(len(rows)), np.full(len(rows), np.nan)
        for i, row in enumerate(rows):
            x = read_rows(raw, row, [(0, span.n_times)])[0]
            left[i] = metrics.peak_to_peak(x, whole, length).mean()
            if len(quiet):
                without[i] = metrics.peak_to_peak(x, quiet, length).mean()
        left[left == 0] = np.nan  # flat
        without[without == 0] = np.nan
        if self.verbose:
            columns = {"artifact (V)": left, "without (V)": without}
            print_channels("Median artifact", names, columns)
        typical = metrics.median_of_valid(left)
        found = list_values("median_artifact", typical, left, names)
        reference = metrics.median_of_valid(without)
        if reference > 0:
            found["median_artifact_reference"] = reference
            found["median_artifact_ratio"] = typical / reference
        return found, {"n_epochs": len(whole), "n_reference_epochs": len(quiet)}


def _epochs_outside(span: Span, length: int) -> np.ndarray:
    """Return the first samples of consecutive epochs outside the acquisition."""
    before = np.arange(0, span.start - length + 1, length)
    after = np.arange(span.stop, span.n_times - length + 1, length)
    return np.concatenate([before, after])
