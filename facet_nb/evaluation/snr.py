"""Signal-to-noise ratio of the corrected recording."""

from __future__ import annotations

from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    MetricStep,
    find_outside,
    find_span,
    good_rows,
    list_values,
    measure_variance,
    print_channels,
)
from facet_nb.kernels.measures import metrics


@register_processor
class SNRCalculator(MetricStep):
    r"""Compare the corrected recording with what it is without artifact.

    .. math:: \mathrm{SNR} = \sigma^2_\mathrm{without}
       / (\sigma^2_\mathrm{corrected} - \sigma^2_\mathrm{without})

    for each good data channel, and its mean over channels. *corrected* is the recording from the
    first trigger to the end of the last artifact; *without* is the same, corrected recording
    outside, `time_buffer` away from both. Nothing is clamped:

    - a negative value means that the corrected signal is weaker than the one without artifact: EEG
      was removed too, or was weaker then;
    - equal variances give infinity;
    - flat channels give nan and do not count in the mean (``snr_excluded`` names them).

    Results are in ``metadata.custom["metrics"]``: ``snr``, ``snr_per_channel`` in the order of
    ``snr_channels``, and ``snr_excluded``.

    Parameters
    ----------
    time_buffer : float
        Time around the acquisition that counts for neither, in s.
    verbose : bool
        Print a line for each channel.

    References
    ----------
    Glaser J, Beisteiner R, Bauer H, Fischmeister FPS (2013) FACET - a "Flexible Artifact Correction
    and Evaluation Toolbox" for concurrently recorded EEG/fMRI data. BMC Neurosci 14:138.
    doi:10.1186/1471-2202-14-138
    """

    name = "snr_calculator"
    description = "Signal-to-noise ratio against the time outside the acquisition"

    def __init__(self, time_buffer: float = 0.1, verbose: bool = False) -> None:
        self.time_buffer = time_buffer
        self.verbose = verbose

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        raw, rows = context.get_raw(), good_rows(context, self.name)
        span = find_span(context, self.name)
        outside = find_outside(span, self.time_buffer, self.name)
        without = measure_variance(raw, rows, outside)
        corrected = measure_variance(raw, rows, [(span.start, span.stop)])
        ratios = metrics.snr(without, corrected)
        names = [raw.ch_names[i] for i in rows]
        found = list_values("snr", metrics.mean_of_valid(ratios), ratios, names, self.name)
        if self.verbose:
            columns = {"without (V²)": without, "corrected (V²)": corrected, "SNR": ratios}
            print_channels("SNR", names, columns)
        outside_s = sum(stop - start for start, stop in outside) / span.sfreq
        return found, {"outside_s": outside_s, "excluded": found["snr_excluded"]}
