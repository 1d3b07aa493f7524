"""Power in EEG bands and at the harmonics of slices and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import (
    ChannelMetric,
    find_outside,
    find_span,
    good_channels,
    name_invalid,
    print_channels,
    read_rows,
)
from facet_nb.evaluation.original import common_spans, get_original, match_names
from facet_nb.kernels.measures import metrics, spectrum
from facet_nb.kernels.triggers import spacing

if TYPE_CHECKING:
    import mne

#: Bands of Allen et al.: name, lower edge, upper edge in Hz.
BANDS = (("Delta", 0.8, 4.0), ("Theta", 4.0, 8.0), ("Alpha", 8.0, 12.0), ("Beta", 12.0, 24.0))
_SEGMENT_S = 3.0
_BUFFER_S = 0.1
_HARMONICS = 5
_HARMONIC_SEGMENT_S = 4.0
_TOLERANCE_HZ = 0.5


@register_processor
@fill_doc
class FFTAllenCalculator(ChannelMetric):
    r"""Compare the power of EEG bands within the acquisition with that outside.

    .. math:: 100 \, |c - n| / n

    where c is the mean power spectral density of the corrected recording within the acquisition,
    and n that outside, at least 0.1 s away from it (Welch's method with segments of 3 s, or less if
    one of the two is shorter). Bands are 0.8-4-8-12-24 Hz; a frequency at an edge belongs to the
    upper band. The value of a band is the median over good data channels, in %: 0 is best, and
    twice the power gives 100.

    Results are in ``metadata.custom["metrics"]``: ``fft_allen``, a dict ``Delta, Theta, Alpha,
    Beta``, and ``fft_allen_per_channel``, a dict of lists in the order of ``fft_allen_channels``.

    Parameters
    ----------
    %(channel_lines)s

    References
    ----------
    Allen PJ, Josephs O, Turner R (2000) A method for removing imaging artifact from continuous EEG
    recorded during functional MRI. NeuroImage 12, 230-239. doi:10.1006/nimg.2000.0599
    """

    name = "fft_allen_calculator"
    description = "Difference of band power within and outside the acquisition, in %"

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the differences by band, and the segment length, in s."""
        raw, rows, names = good_channels(context, self.name)
        span = find_span(context, self.name)
        outside = find_outside(span, _BUFFER_S, self.name)
        longest = max(stop - start for start, stop in outside)
        n_segment = min(round(_SEGMENT_S * span.sfreq), longest, span.stop - span.start)
        differences = np.empty((len(rows), len(BANDS)))
        for i, row in enumerate(rows):
            inner = read_rows(raw, row, [(span.start, span.stop)])
            powers = [
                _band_powers(pieces, span.sfreq, n_segment)
                for pieces in (inner, read_rows(raw, row, outside))
            ]
            differences[i] = spectrum.percent_difference(*powers)
        bands = [band for band, _, _ in BANDS]
        excluded = name_invalid(differences.sum(axis=1), names)
        if self.verbose:
            columns = {f"{b} (%)": differences[:, i] for i, b in enumerate(bands)}
            print_channels("FFT Allen", names, columns)
        found = {
            "fft_allen": {
                band: metrics.median_of_valid(differences[:, i]) for i, band in enumerate(bands)
            },
            "fft_allen_per_channel": {b: differences[:, i].tolist() for i, b in enumerate(bands)},
            "fft_allen_channels": names,
            "fft_allen_excluded": excluded,
        }
        return found, {"segment_s": n_segment / span.sfreq, "excluded": excluded}


@register_processor
class FFTNiazyCalculator(ChannelMetric):
    """Measure the attenuation of the harmonics of slices and volumes, in dB.

    The attenuation is 10 log10 of the ratio of the power before (``context.get_raw_original()``) to
    the power after the correction. The power is the mean density within ±0.5 Hz (or half the
    fundamental, if that is less) of each of the first five harmonics, as the median over the good
    data channels. Spectra are computed within the acquisition by Welch's method, with segments of
    4 s or four periods. Larger values are better as long as EEG is preserved: once the artifact is
    gone, removing EEG increases them further.

    The slice rate is that of the triggers. The volume rate follows from
    ``metadata.slices_per_volume`` (set by :class:`TriggerDetector` if pauses separate the volumes,
    and by :class:`SliceTriggerGenerator`); without it there are no volume harmonics.

    Results are in ``metadata.custom["metrics"]``: ``fft_niazy``, a dict ``slice`` and ``volume`` of
    dicts ``h1`` … ``h5`` in dB (those below half the sampling rate of both recordings), and
    ``fft_niazy_frequencies``, the fundamentals in Hz.

    Parameters
    ----------
    verbose : bool
        Whether to print a line for slices and one for volumes.

    References
    ----------
    Niazy RK, Beckmann CF, Iannetti GD, Brady JM, Smith SM (2005) Removal of FMRI environment
    artifacts from EEG data using optimal basis sets. NeuroImage 28, 720-737.
    doi:10.1016/j.neuroimage.2005.06.067
    """

    name = "fft_niazy_calculator"
    description = "Power removed at harmonics of slices and volumes, in dB"

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the attenuation of each harmonic, and the fundamentals, in Hz."""
        raw, rows, names = good_channels(context, self.name)
        original = get_original(context, self.name)
        shared, picks = match_names(names, original, self.name)
        theirs, ours = common_spans(raw, original, find_span(context, self.name), self.name)
        rates = _find_rates(context, self.name)
        found: dict[str, dict[str, float]] = {"slice": {}, "volume": {}}
        for kind, f0 in rates.items():
            before = _median_harmonics(original, picks, theirs, f0)
            after = _median_harmonics(raw, [rows[i] for i in shared], ours, f0)
            ratios = spectrum.decibels(before, after)
            found[kind] = {f"h{k}": float(r) for k, r in enumerate(ratios, 1) if not np.isnan(r)}
        if self.verbose:
            for kind, values in found.items():
                text = ", ".join(f"{k} {v:.1f} dB" for k, v in values.items())
                print(f"FFT Niazy {kind}: {text or 'none'}")
        return {"fft_niazy": found, "fft_niazy_frequencies": rates}, {"frequencies_hz": rates}


def _band_powers(pieces: list[np.ndarray], sfreq: float, n_segment: int) -> np.ndarray:
    freqs, density = spectrum.average_spectrum(pieces, sfreq, n_segment)
    return spectrum.band_power(freqs, density, [(low, high) for _, low, high in BANDS])


def _find_rates(context: ProcessingContext, step: str) -> dict[str, float]:
    """Return the rate of slices and, if known, that of volumes, in Hz."""
    metadata = context.metadata
    known = spacing.describe_spacing(np.asarray(metadata.triggers, dtype=np.int64))
    if not known.usual:
        raise ValidationError(f"{step}: at least two triggers are needed to know their rate.")
    sfreq = context.get_sfreq()
    rates = {"slice": sfreq / known.usual}
    if metadata.slices_per_volume:
        rates["volume"] = sfreq / (metadata.slices_per_volume * known.usual + known.pause)
    return rates


def _median_harmonics(
    raw: mne.io.BaseRaw, rows: list[int], span: tuple[int, int], f0: float
) -> np.ndarray:
    """Return the median over channels of the power at each harmonic, in V²/Hz."""
    sfreq = float(raw.info["sfreq"])
    n_segment = round(max(_HARMONIC_SEGMENT_S, 4.0 / f0) * sfreq)
    n_segment = min(n_segment, span[1] - span[0])
    tolerance = min(_TOLERANCE_HZ, f0 / 2)
    powers = []
    for row in rows:
        pieces = read_rows(raw, row, [span])
        freqs, density = spectrum.average_spectrum(pieces, sfreq, n_segment)
        powers.append(spectrum.harmonic_power(freqs, density, f0, _HARMONICS, tolerance))
    # Flat channels have no power and would lower the median.
    valid = np.where(np.array(powers) > 0, powers, np.nan)
    return np.array([metrics.median_of_valid(column) for column in valid.T])
