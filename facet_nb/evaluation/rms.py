"""How much smaller the recording has become."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    MetricStep,
    find_span,
    good_rows,
    measure_variance,
    name_invalid,
    print_channels,
)
from facet_nb.evaluation.original import common_spans, get_original, match_names
from facet_nb.kernels.measures import metrics


@register_processor
class RMSCalculator(MetricStep):
    r"""Compare the recording before and after the correction, within the acquisition.

    .. math:: \mathrm{ratio} = \sigma_\mathrm{uncorrected} / \sigma_\mathrm{corrected}

    for each good data channel (RMS about the mean), and its median over channels. *uncorrected* is
    ``context.get_raw_original()``: the channel of the same name, over the same time, at its own
    sampling rate. Channels that the original does not have, and flat ones, give nan and do not
    count in the median (``rms_excluded`` names them).

    The ratio tells how much was removed, not how much of it was artifact.

    Results are in ``metadata.custom["metrics"]``: ``rms_ratio``, ``rms_ratio_per_channel`` in the
    order of ``rms_channels``, and ``rms_excluded``.

    Parameters
    ----------
    verbose : bool
        Print a line for each channel.

    References
    ----------
    Glaser J, Beisteiner R, Bauer H, Fischmeister FPS (2013) FACET - a "Flexible Artifact Correction
    and Evaluation Toolbox" for concurrently recorded EEG/fMRI data. BMC Neurosci 14:138.
    doi:10.1186/1471-2202-14-138
    """

    name = "rms_calculator"
    description = "RMS before over RMS after the correction"

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        raw, rows = context.get_raw(), good_rows(context, self.name)
        original = get_original(context, self.name)
        names = [raw.ch_names[i] for i in rows]
        span = find_span(context, self.name)
        theirs, ours = common_spans(raw, original, span, self.name)
        after = np.sqrt(measure_variance(raw, rows, [ours]))
        before = np.full(len(rows), np.nan)
        shared, picks = match_names(names, original, self.name)
        before[shared] = np.sqrt(measure_variance(original, picks, [theirs]))
        ratios = metrics.rms_ratio(before, after)
        excluded = name_invalid(ratios, names, self.name)
        if self.verbose:
            columns = {"before (V)": before, "after (V)": after, "ratio": ratios}
            print_channels("RMS", names, columns)
        found = {
            "rms_ratio": metrics.median_of_valid(ratios),
            "rms_ratio_per_channel": ratios.tolist(),
            "rms_channels": names,
            "rms_excluded": excluded,
        }
        return found, {"excluded": excluded}
