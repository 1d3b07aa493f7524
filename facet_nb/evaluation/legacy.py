"""SNR, residual and amplitude as earlier toolboxes define them."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    MetricStep,
    Span,
    artifact_length,
    find_outside,
    find_span,
    good_rows,
    list_values,
    measure_variance,
    print_channels,
    read_rows,
)
from facet_nb.evaluation.original import get_original, match_names
from facet_nb.kernels.measures import metrics


@register_processor
class LegacySNRCalculator(MetricStep):
    r"""Compare the corrected recording with the *original* one outside the acquisition.

    .. math:: \mathrm{SNR} = \sigma^2_\mathrm{without}
       / (\sigma^2_\mathrm{corrected} - \sigma^2_\mathrm{without})

    as :class:`SNRCalculator`, but *without* is the recording before any processing, and the
    acquisition reaches from half an artifact before the first trigger to one and a half after the
    last. A filter in the chain therefore changes the result: the original went through none.
    Negative values are kept, nothing is clamped.

    Results are in ``metadata.custom["metrics"]``: ``legacy_snr`` (mean over channels),
    ``legacy_snr_per_channel`` in the order of ``legacy_snr_channels``, ``legacy_snr_excluded``.

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

    name = "legacy_snr_calculator"
    description = "Signal-to-noise ratio against the original outside the acquisition"

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        raw, rows = context.get_raw(), good_rows(context, self.name)
        names = [raw.ch_names[i] for i in rows]
        original = get_original(context, self.name)
        shared, picks = match_names(names, original, self.name)
        span = self._widen(context)
        corrected = measure_variance(raw, rows, [(span.start, span.stop)])
        without = np.full(len(rows), np.nan)
        theirs = _outside_of_original(raw, original, span, self.name)
        without[shared] = measure_variance(original, picks, theirs)
        ratios = metrics.snr(without, corrected)
        mean = metrics.mean_of_valid(ratios)
        found = list_values("legacy_snr", mean, ratios, names, self.name)
        if self.verbose:
            columns = {"without (V²)": without, "corrected (V²)": corrected, "SNR": ratios}
            print_channels("Legacy SNR", names, columns)
        return found, {"excluded": found["legacy_snr_excluded"]}

    def _widen(self, context: ProcessingContext) -> Span:
        """Return the acquisition with half an artifact more on either side."""
        known = find_span(context, self.name)
        triggers = np.asarray(context.metadata.triggers, dtype=np.int64)
        length = artifact_length(context, self.name)
        start = max(0, int(triggers.min()) - length // 2)
        stop = min(known.n_times, int(triggers.max()) + length + length // 2)
        return Span(start, stop, known.n_times, known.sfreq)


@register_processor
class RMSResidualCalculator(MetricStep):
    r"""Compare the corrected recording within the acquisition with itself outside.

    .. math:: \mathrm{residual} = \sigma_\mathrm{corrected} / \sigma_\mathrm{without}

    for each good data channel (RMS about the mean), and its mean over channels. The nearer to 1 the
    better: above, artifact is left; below, EEG was removed, or was weaker then.

    Results are in ``metadata.custom["metrics"]``: ``rms_residual``, ``rms_residual_per_channel``
    in the order of ``rms_residual_channels``, and ``rms_residual_excluded``.

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

    name = "rms_residual_calculator"
    description = "RMS within over RMS outside the acquisition"

    def __init__(self, time_buffer: float = 0.1, verbose: bool = False) -> None:
        self.time_buffer = time_buffer
        self.verbose = verbose

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        raw, rows = context.get_raw(), good_rows(context, self.name)
        names = [raw.ch_names[i] for i in rows]
        span = find_span(context, self.name)
        outside = find_outside(span, self.time_buffer, self.name)
        without = np.sqrt(measure_variance(raw, rows, outside))
        corrected = np.sqrt(measure_variance(raw, rows, [(span.start, span.stop)]))
        ratios = metrics.rms_ratio(corrected, without)
        mean = metrics.mean_of_valid(ratios)
        found = list_values("rms_residual", mean, ratios, names, self.name)
        if self.verbose:
            columns = {"corrected (V)": corrected, "without (V)": without, "residual": ratios}
            print_channels("RMS residual", names, columns)
        return found, {"excluded": found["rms_residual_excluded"]}


@register_processor
class MedianArtifactCalculator(MetricStep):
    """Tell how large the artifact still is, peak to peak.

    Largest less smallest sample of each artifact epoch, their mean for each good data channel, and
    the median of that over channels, in V. The same of epochs outside the acquisition, where there
    is EEG alone, says how small it can become.

    Results are in ``metadata.custom["metrics"]``: ``median_artifact`` and
    ``median_artifact_per_channel`` (V) in the order of ``median_artifact_channels``, and, if there
    is at least one artifact length outside the acquisition, ``median_artifact_reference`` (V) and
    ``median_artifact_ratio``, the one over the other.

    FACETpy, too, reports V, but takes the mean over channels first and the median over epochs.

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

    name = "median_artifact_calculator"
    description = "Peak-to-peak amplitude of the artifact that is left"

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        raw, rows = context.get_raw(), good_rows(context, self.name)
        names = [raw.ch_names[i] for i in rows]
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
        found = list_values("median_artifact", typical, left, names, self.name)
        reference = metrics.median_of_valid(without)
        if reference > 0:
            found["median_artifact_reference"] = reference
            found["median_artifact_ratio"] = typical / reference
        return found, {"n_epochs": len(whole), "n_reference_epochs": len(quiet)}


def _epochs_outside(span: Span, length: int) -> np.ndarray:
    """Return the first samples of epochs that lie outside the acquisition, one after another."""
    before = np.arange(0, span.start - length + 1, length)
    after = np.arange(span.stop, span.n_times - length + 1, length)
    return np.concatenate([before, after])


def _outside_of_original(raw: Any, original: Any, span: Span, step: str) -> list[tuple[int, int]]:
    """Return the samples of the original before and after the acquisition, by the recorder's clock.

    Raises
    ------
    ValidationError
        If there are none.
    """
    rate = float(original.info["sfreq"])
    edges = [(raw.first_samp + at) / span.sfreq for at in (span.start, span.stop)]
    first, last = (round(t * rate) - int(original.first_samp) for t in edges)
    theirs = Span(max(0, first), min(int(original.n_times), last), int(original.n_times), rate)
    return find_outside(theirs, 0.0, step)
