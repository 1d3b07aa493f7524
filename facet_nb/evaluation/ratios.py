"""Ratios of the signal within and outside the acquisition, and before and after the correction."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.parameters import LONGEST_S
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    ChannelMetric,
    Span,
    artifact_length,
    find_outside,
    find_span,
    good_channels,
    list_values,
    measure_variance,
    print_channels,
)
from facet_nb.evaluation.original import common_spans, get_original, match_names, project_span
from facet_nb.kernels.measures import metrics

Pair = tuple[np.ndarray, np.ndarray]


class RatioCalculator(ChannelMetric):
    """Base class: a ratio of two quantities for each good data channel, and its average.

    Attributes
    ----------
    key : str
        Name of the metric.
    columns : tuple of str
        Headings of the printed table: its title, the two quantities and the ratio.
    ratio, average : callable
        How to compute the ratio of the two quantities, and its average over channels.
    """

    key: ClassVar[str]
    columns: ClassVar[tuple[str, str, str, str]]
    average: staticmethod[[np.ndarray], float] = staticmethod(metrics.mean_of_valid)
    ratio: staticmethod[[np.ndarray, np.ndarray], np.ndarray] = staticmethod(metrics.rms_ratio)

    def find_pair(self, context: ProcessingContext) -> tuple[Pair, dict[str, Any]]:
        """Return both quantities, each of shape (n_channels,), and notes for the history."""
        raise ValidationError(f"{type(self).__name__} has no find_pair(context) method.")

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the ratio, its values by channel, and the channels without a value."""
        _, _, names = good_channels(context, self.name)
        pair, notes = self.find_pair(context)
        ratios = self.ratio(*pair)
        # The excess of artifact in a power cannot be negative: it is below what can be measured.
        weaker = ratios < 0
        ratios = np.where(weaker, np.nan, ratios)
        average = self._average(ratios, int(np.count_nonzero(weaker)))
        found = list_values(self.key, average, ratios, names)
        if self.verbose:
            title, *heads = self.columns
            print_channels(title, names, dict(zip(heads, (*pair, ratios), strict=True)))
        return found, {**notes, "excluded": found[f"{self.key.removesuffix('_ratio')}_excluded"]}

    def _average(self, ratios: np.ndarray, n_weaker: int) -> float:
        """Return the average of ratios, of which `n_weaker` could not be measured."""
        return self.average(ratios)


class _QuietRatio(RatioCalculator):
    """Base class: a signal-to-noise ratio, from the excess over time without artifact.

    In a channel whose corrected signal is weaker than the time without artifact there is no excess
    to measure. The average of the others alone would be too good: there is none unless they are
    at least half of the channels that are not flat.
    """

    ratio = staticmethod(metrics.snr)

    def _average(self, ratios: np.ndarray, n_weaker: int) -> float:
        n_measured = np.count_nonzero(~np.isnan(ratios))
        return self.average(ratios) if n_measured >= n_weaker else float("nan")

    def judge(self, found: dict[str, Any]) -> list[Finding]:
        """Return a finding about channels that are weaker than the time without artifact."""
        channels = found[f"{self.key}_excluded"]
        if not channels:
            return []
        n = len(found[f"{self.key}_channels"])
        detail = f"{len(channels)} of {n} channels are flat, or weaker than the quiet time."
        return [make_finding("snr_not_measurable", detail, channels=channels, metric=self.key)]


class _OutsideRatio(RatioCalculator):
    """Base class: ratios of the corrected recording outside and within the acquisition."""

    def __init__(self, time_buffer: float = 0.1, verbose: bool = False) -> None:
        super().__init__(verbose)
        self.time_buffer = time_buffer

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not 0 <= self.time_buffer <= LONGEST_S:
            raise ValidationError(
                f"time_buffer={self.time_buffer!r} must be from 0 to {LONGEST_S:g} s, a day."
            )

    def _measure_spans(self, context: ProcessingContext) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the variances outside and within, in V², and the time outside, in s."""
        raw, rows, _ = good_channels(context, self.name)
        span = find_span(context, self.name)
        outside = find_outside(span, self.time_buffer, self.name)
        without = measure_variance(raw, rows, outside)
        corrected = measure_variance(raw, rows, [(span.start, span.stop)])
        return without, corrected, sum(stop - start for start, stop in outside) / span.sfreq


@register_processor
@fill_doc
class SNRCalculator(_QuietRatio, _OutsideRatio):
    r"""Compare the corrected recording within the acquisition with the time outside.

    .. math:: \mathrm{SNR} = \sigma^2_\mathrm{without}
       / (\sigma^2_\mathrm{corrected} - \sigma^2_\mathrm{without})

    for each good data channel, and its mean over channels. *corrected* is the corrected recording
    from the first trigger to the end of the last artifact; *without* is the same recording outside,
    at least `time_buffer` away from the acquisition. Values are not clamped:

    - equal variances give infinity;
    - channels whose corrected signal is weaker than the signal without artifact give nan: the
      ratio would be negative, because the quiet time is too short or the EEG changed, or because
      EEG was removed as well (:class:`RMSResidualCalculator` gives values below 1 then). So do
      flat channels. They are excluded from the mean (``snr_excluded`` lists them), which is nan
      unless at least half of the channels that are not flat have a value.

    Results are in ``metadata.custom["metrics"]``: ``snr``, ``snr_per_channel`` in the order of
    ``snr_channels``, and ``snr_excluded``.

    Parameters
    ----------
    time_buffer : float
        Time on both sides of the acquisition that is excluded, in s.
    %(channel_lines)s

    References
    ----------
    %(glaser_2013)s
    """

    name = "snr_calculator"
    description = "Signal-to-noise ratio against the time outside the acquisition"
    key = "snr"
    columns = ("SNR", "without (V²)", "corrected (V²)", "SNR")

    def find_pair(self, context: ProcessingContext) -> tuple[Pair, dict[str, Any]]:
        """Return the variances outside and within the acquisition, in V²."""
        without, corrected, outside_s = self._measure_spans(context)
        return (without, corrected), {"outside_s": outside_s}


@register_processor
@fill_doc
class LegacySNRCalculator(_QuietRatio):
    """Compare the corrected recording with the *original* one outside the acquisition.

    The ratio is that of :class:`SNRCalculator`, but *without* is the recording before any
    processing, and the acquisition extends from half an artifact before the first trigger to one
    and a half artifacts after the last. Filters in the chain therefore change the result, because
    the original is not filtered.

    Results are in ``metadata.custom["metrics"]``: ``legacy_snr`` (mean over channels),
    ``legacy_snr_per_channel`` in the order of ``legacy_snr_channels``, ``legacy_snr_excluded``.

    Parameters
    ----------
    %(channel_lines)s

    References
    ----------
    %(glaser_2013)s
    """

    name = "legacy_snr_calculator"
    description = "Signal-to-noise ratio against the original outside the acquisition"
    key = "legacy_snr"
    columns = ("Legacy SNR", "without (V²)", "corrected (V²)", "SNR")

    def find_pair(self, context: ProcessingContext) -> tuple[Pair, dict[str, Any]]:
        """Return the variances of the original outside and of the corrected recording, in V²."""
        raw, rows, names = good_channels(context, self.name)
        original = get_original(context, self.name)
        shared, picks = match_names(names, original, self.name)
        span = self._widen(context)
        first, last, _, _ = project_span(raw, original, span)
        rate, n_times = float(original.info["sfreq"]), int(original.n_times)
        theirs = Span(max(0, first), min(n_times, last), n_times, rate)
        without = np.full(len(rows), np.nan)
        without[shared] = measure_variance(original, picks, find_outside(theirs, 0.0, self.name))
        return (without, measure_variance(raw, rows, [(span.start, span.stop)])), {}

    def _widen(self, context: ProcessingContext) -> Span:
        """Return the acquisition with half an artifact more on either side."""
        known = find_span(context, self.name)
        triggers = np.asarray(context.metadata.triggers, dtype=np.int64)
        length = artifact_length(context, self.name)
        start = max(0, int(triggers.min()) - length // 2)
        stop = min(known.n_times, int(triggers.max()) + length + length // 2)
        return Span(start, stop, known.n_times, known.sfreq)


@register_processor
@fill_doc
class RMSCalculator(RatioCalculator):
    r"""Compare the recording before and after the correction, within the acquisition.

    .. math:: \mathrm{ratio} = \sigma_\mathrm{uncorrected} / \sigma_\mathrm{corrected}

    for each good data channel (RMS about the mean), and its median over channels. *uncorrected* is
    ``context.get_raw_original()``: the channel of the same name, over the same time, at its own
    sampling rate. Channels that are flat or missing in the original give nan and are excluded from
    the median (``rms_excluded`` lists them).

    The ratio measures how much was removed, not how much of it was artifact.

    Results are in ``metadata.custom["metrics"]``: ``rms_ratio``, ``rms_ratio_per_channel`` in the
    order of ``rms_channels``, and ``rms_excluded``.

    Parameters
    ----------
    %(channel_lines)s

    References
    ----------
    %(glaser_2013)s
    """

    name = "rms_calculator"
    description = "RMS before over RMS after the correction"
    key = "rms_ratio"
    columns = ("RMS", "before (V)", "after (V)", "ratio")
    average = staticmethod(metrics.median_of_valid)

    def find_pair(self, context: ProcessingContext) -> tuple[Pair, dict[str, Any]]:
        """Return the RMS before and after the correction, in V."""
        raw, rows, names = good_channels(context, self.name)
        original = get_original(context, self.name)
        theirs, ours = common_spans(raw, original, find_span(context, self.name), self.name)
        after = np.sqrt(measure_variance(raw, rows, [ours]))
        before = np.full(len(rows), np.nan)
        shared, picks = match_names(names, original, self.name)
        before[shared] = np.sqrt(measure_variance(original, picks, [theirs]))
        return (before, after), {}


@register_processor
@fill_doc
class RMSResidualCalculator(_OutsideRatio):
    r"""Compare the RMS of the corrected recording within the acquisition with that outside.

    .. math:: \mathrm{residual} = \sigma_\mathrm{corrected} / \sigma_\mathrm{without}

    for each good data channel (RMS about the mean), and its mean over channels. Values close to 1
    are best. A larger value means that artifact remains; a smaller one that EEG was removed, or was
    weaker during the acquisition.

    Results are in ``metadata.custom["metrics"]``: ``rms_residual``, ``rms_residual_per_channel``
    in the order of ``rms_residual_channels``, and ``rms_residual_excluded``.

    Parameters
    ----------
    time_buffer : float
        Time on both sides of the acquisition that is excluded, in s.
    %(channel_lines)s

    References
    ----------
    %(glaser_2013)s
    """

    name = "rms_residual_calculator"
    description = "RMS within over RMS outside the acquisition"
    key = "rms_residual"
    columns = ("RMS residual", "corrected (V)", "without (V)", "residual")

    def find_pair(self, context: ProcessingContext) -> tuple[Pair, dict[str, Any]]:
        """Return the RMS within and outside the acquisition, in V."""
        without, corrected, _ = self._measure_spans(context)
        return (np.sqrt(corrected), np.sqrt(without)), {}
