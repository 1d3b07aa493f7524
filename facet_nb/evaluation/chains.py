"""Comparison of several chains on one recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError, check_extra
from facet_nb.core.plotting import draw
from facet_nb.core.result import PipelineResult
from facet_nb.evaluation.base import find_span, good_channels, read_rows
from facet_nb.evaluation.original import common_spans, get_original, match_names
from facet_nb.evaluation.truth import TruthCalculator, match_truth
from facet_nb.kernels.measures import metrics, spectrum
from facet_nb.kernels.triggers import spacing

if TYPE_CHECKING:
    import mne
    import pandas as pd

#: Resolution of the spectra, in Hz.
_STEP_HZ = 0.25
#: Half width of the peak of a harmonic, and of its surroundings, in Hz.
_PEAK_HZ, _AROUND_HZ = 0.5, 2.0
_NAME = "compare"


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Power spectral density of a recording, as the median over good channels.

    Attributes
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, in Hz.
    density_v2 : ndarray, shape (n_freqs,)
        Power spectral density, in V²/Hz.
    """

    freqs_hz: np.ndarray
    density_v2: np.ndarray


@dataclass(frozen=True, eq=False)
class ChainReport:
    """Result of one chain.

    Attributes
    ----------
    name : str
        Name of the chain.
    spectrum : Spectrum
        Spectrum within the acquisition.
    harmonics_db : ndarray, shape (n_harmonics,)
        Deviation of each slice harmonic from its surroundings, in dB: positive where artifact
        remains, negative where EEG was removed.
    per_channel : ndarray, shape (n_channels,)
        Error of each channel (RMS, in µV) if the truth is known, otherwise the absolute deviation
        of its harmonics (median, in dB).
    ch_names : tuple of str
        Names of these channels.
    scores : dict of str to float
        Row of the table.
    """

    name: str
    spectrum: Spectrum
    harmonics_db: np.ndarray
    per_channel: np.ndarray
    ch_names: tuple[str, ...]
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ChainComparison:
    """Comparison of several chains on one recording: a table, and the data of its figure.

    Attributes
    ----------
    chains : tuple of ChainReport
        One report for each chain.
    before : ChainReport
        The uncorrected recording.
    truth : Spectrum | None
        Spectrum of the EEG without artifact.
    slice_hz : float
        Slices per second (or volumes, if the triggers mark volumes).
    info : mne.Info
        Header with the channel positions.
    """

    chains: tuple[ChainReport, ...]
    before: ChainReport
    truth: Spectrum | None
    slice_hz: float
    info: mne.Info

    @property
    def unit(self) -> str:
        """Unit of ``per_channel``: µV for errors, dB for deviations of harmonics."""
        return "dB" if self.truth is None else "µV"

    @property
    def table(self) -> pd.DataFrame:
        """One row for each chain; see :func:`compare` for the columns."""
        check_extra("tables", "pandas")
        import pandas as pd

        reports = (self.before, *self.chains)
        frame = pd.DataFrame([dict(r.scores) for r in reports], index=[r.name for r in reports])
        return frame.rename_axis("chain")

    def plot(self, **options: Any) -> Any:
        """Return the figure; see :func:`facet_nb.plots.plot_chains`."""
        return draw("plot_chains", self, **options)

    def __repr__(self) -> str:
        return f"<ChainComparison of {', '.join(chain.name for chain in self.chains)}>"

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format="{:.4g}".format)


def compare(
    results: Mapping[str, Any] | Sequence[Any], *, truth: Any = None, fmax_hz: float = 100.0
) -> ChainComparison:
    """Compare several chains that ran on one recording.

    Parameters
    ----------
    results : mapping of str to PipelineResult or ProcessingContext, or a sequence of them
        The results of the chains by name. In a sequence they are named ``chain 1``, ``chain 2``, ….
    truth : path | ndarray | mne.io.BaseRaw | None
        The EEG without artifact, as for :class:`facet_nb.TruthCalculator`.
    fmax_hz : float
        Highest frequency of spectra and harmonics, in Hz.

    Returns
    -------
    ChainComparison
        ``.table`` is a data frame, ``.plot()`` a figure. The columns, as medians over good
        channels, are ``seconds`` (duration of the run), ``rms_uv`` (of the signal) and
        ``slice_off_db`` (absolute deviation of the slice harmonics from their surroundings; about 1
        for EEG alone); with `truth` also ``snr_db``, ``nrmse``, ``correlation`` (0.5-70 Hz),
        ``alpha_correlation`` (8-12 Hz) and ``error_uv`` (RMS, all frequencies). The first row is
        the uncorrected recording.

    Raises
    ------
    ValidationError
        If a run failed, or if triggers or the original recording are missing.

    Examples
    --------
    >>> from facet_nb import AASCorrection, Pipeline, TriggerDetector, compare
    >>> from facet_nb.datasets import example
    >>> recording = example()
    >>> chains = {
    ...     "blocks": [TriggerDetector(regex=r"Stimulus"), AASCorrection()],
    ...     "sliding": [TriggerDetector(regex=r"Stimulus"), AASCorrection(weighting="sliding")],
    ... }
    >>> runs = {name: Pipeline(steps).run(recording.context()) for name, steps in chains.items()}
    >>> list(compare(runs, truth=recording.clean).table.index)
    ['before', 'blocks', 'sliding']
    """
    named = _name_results(results)
    contexts = {name: _get_context(name, result) for name, result in named.items()}
    first = next(iter(contexts.values()))
    spacing_ = spacing.describe_spacing(np.asarray(first.get_triggers(), dtype=np.int64))
    if not spacing_.usual:
        raise ValidationError(f"{_NAME}: at least two triggers are needed to know their rate.")
    slice_hz = first.get_sfreq() / spacing_.usual
    reports = []
    for name, context in contexts.items():
        seconds = getattr(named[name], "execution_time", np.nan)
        reports.append(_report(name, context, truth, seconds, slice_hz, fmax_hz))
    before = _report_before(first, truth, slice_hz, fmax_hz)
    return ChainComparison(
        tuple(reports),
        before,
        _truth_spectrum(first, truth, slice_hz, fmax_hz),
        slice_hz,
        first.get_raw().info,
    )


def _name_results(results: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(results, (PipelineResult, ProcessingContext)):
        results = [results]
    if not isinstance(results, Mapping):
        results = {f"chain {i}": result for i, result in enumerate(results, 1)}
    if not results:
        raise ValidationError(f"{_NAME}: there is nothing to compare: give at least one result.")
    return dict(results)


def _get_context(name: str, result: Any) -> ProcessingContext:
    if isinstance(result, PipelineResult):
        if result.context is None:
            raise ValidationError(f"{_NAME}: the run of {name!r} failed: {result.error}")
        result = result.context
    if not isinstance(result, ProcessingContext):
        raise ValidationError(
            f"{_NAME}: {name!r} is a {type(result).__name__}; give the result of Pipeline.run."
        )
    if not result.has_triggers():
        raise ValidationError(
            f"{_NAME}: {name!r} has no triggers: put TriggerDetector into the chain."
        )
    return result


def _report(
    name: str, context: ProcessingContext, truth: Any, seconds: float, slice_hz: float, fmax: float
) -> ChainReport:
    raw, rows, names = good_channels(context, _NAME)
    span = find_span(context, _NAME)
    report = _describe(name, raw, rows, (span.start, span.stop), names, slice_hz, fmax)
    scores = report.scores | {"seconds": seconds}
    if truth is None:
        return replace(report, scores=scores)
    more, kept, errors = _score_truth(context, truth)
    return replace(report, scores=scores | more, ch_names=kept, per_channel=errors)


def _report_before(
    context: ProcessingContext, truth: Any, slice_hz: float, fmax: float
) -> ChainReport:
    """Return the report of the uncorrected recording over the same time."""
    original = get_original(context, _NAME)
    raw, _, names = good_channels(context, _NAME)
    span, _ = common_spans(raw, original, find_span(context, _NAME), _NAME)
    shared, picks = match_names(names, original, _NAME)
    report = _describe("before", original, picks, span, [names[i] for i in shared], slice_hz, fmax)
    same = original.n_times == raw.n_times and original.info["sfreq"] == raw.info["sfreq"]
    if truth is None or not same:
        return report
    uncorrected = ProcessingContext(original, metadata=context.metadata.copy())
    more, kept, errors = _score_truth(uncorrected, truth)
    return replace(report, scores=report.scores | more, ch_names=kept, per_channel=errors)


def _describe(
    name: str,
    raw: mne.io.BaseRaw,
    rows: list[int],
    span: tuple[int, int],
    names: Sequence[str],
    slice_hz: float,
    fmax: float,
) -> ChainReport:
    """Return the report of some rows of a recording, without scores against the truth."""
    pieces = [read_rows(raw, row, [span])[0] for row in rows]
    freqs, densities = _densities(pieces, float(raw.info["sfreq"]), slice_hz, fmax)
    middle = Spectrum(freqs, np.median(densities, axis=0))
    harmonics = find_peaks(middle, slice_hz, fmax)
    each = [np.abs(find_peaks(Spectrum(freqs, d), slice_hz, fmax)) for d in densities]
    scores = {
        "seconds": np.nan,
        "rms_uv": 1e6 * metrics.median_of_valid(np.array([np.std(x) for x in pieces])),
        "slice_off_db": metrics.median_of_valid(np.abs(harmonics)),
    }
    off = np.array([metrics.median_of_valid(values) for values in each])
    return ChainReport(name, middle, harmonics, off, tuple(names), scores)


def _score_truth(
    context: ProcessingContext, truth: Any
) -> tuple[dict[str, float], tuple[str, ...], np.ndarray]:
    """Return the scores against the truth, the channels, and the error of each one, in µV."""
    found, notes = TruthCalculator(truth).measure(context)
    raw = context.get_raw()
    pairs = match_truth(truth, raw)
    start, stop = notes["start"], notes["stop"]
    errors = [
        np.std(read_rows(raw, row, [(start, stop)])[0] - clean[start:stop]) for row, clean in pairs
    ]
    scores = {
        "snr_db": found["truth_snr_db"],
        "nrmse": found["truth_nrmse"],
        "correlation": found["truth_correlation"],
        "alpha_correlation": found["truth_bands"].get("alpha", {}).get("correlation", np.nan),
        "error_uv": 1e6 * found["truth_residual_v"],
    }
    return scores, tuple(found["truth_channels"]), 1e6 * np.array(errors)


def _densities(
    pieces: Sequence[np.ndarray], sfreq: float, slice_hz: float, fmax: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies up to `fmax`, and the power spectral density of each piece."""
    step_hz = min(_STEP_HZ, slice_hz / 16)
    size = min(round(sfreq / step_hz), len(pieces[0]))
    found = [spectrum.average_spectrum([x], sfreq, size) for x in pieces]
    shown = found[0][0] <= fmax
    return found[0][0][shown], np.array([density[shown] for _, density in found])


def _truth_spectrum(
    context: ProcessingContext, truth: Any, slice_hz: float, fmax: float
) -> Spectrum | None:
    if truth is None:
        return None
    raw, span = context.get_raw(), find_span(context, _NAME)
    pieces = [clean[span.start : span.stop] for _, clean in match_truth(truth, raw)]
    freqs, densities = _densities(pieces, float(raw.info["sfreq"]), slice_hz, fmax)
    return Spectrum(freqs, np.median(densities, axis=0))


def find_peaks(found: Spectrum, slice_hz: float, fmax: float) -> np.ndarray:
    """Return the deviation of each harmonic of `slice_hz` from its surroundings, in dB.

    The deviation is the largest one, positive (residual artifact) or negative (removed EEG), within
    0.5 Hz of the harmonic, relative to the median of the other frequencies up to 2 Hz away.
    """
    freqs, density = found.freqs_hz, found.density_v2
    peak, around = min(_PEAK_HZ, slice_hz / 8), min(_AROUND_HZ, slice_hz / 2)
    values = []
    for harmonic in np.arange(slice_hz, fmax - around, slice_hz):
        apart = np.abs(freqs - harmonic)
        inside, outside = density[apart <= peak], density[(apart > peak) & (apart <= around)]
        if not len(inside) or not len(outside) or not np.median(outside) > 0:
            values.append(np.nan)
            continue
        off = 10 * np.log10(np.maximum(inside, 1e-300) / np.median(outside))
        values.append(off[np.argmax(np.abs(off))])
    return np.array(values)
