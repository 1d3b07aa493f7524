"""Measure what a chain takes of known EEG: alone, or added to a recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.pipeline import Pipeline
from facet_nb.evaluation.truth import choose_bands, find_middle, match_truth
from facet_nb.kernels.measures import metrics, recovery


@dataclass(frozen=True)
class CleanInResult:
    """The changes that a chain made to EEG without artifact.

    Attributes
    ----------
    harm_db : float
        10 log10(Σ change² / Σ EEG²) in the first band, median over channels, in dB: -20 dB is one
        hundredth of the energy of the EEG, -inf is no change.
    per_channel : dict of str to float
        The value of each channel, in dB.
    per_band : dict of str to float
        Median over channels for each band, in dB.
    """

    harm_db: float
    per_channel: dict[str, float] = field(default_factory=dict)
    per_band: dict[str, float] = field(default_factory=dict)


class _BandTest:
    """A chain that is tested, and the bands in which results are compared."""

    def __init__(
        self,
        processors: Sequence[Any] | Pipeline,
        bands: Mapping[str, tuple[float, float]] | None = None,
        margin_s: float = 1.0,
    ) -> None:
        self.processors = processors
        self.bands = bands
        self.margin_s = margin_s


class CleanInTest(_BandTest):
    """Process artifact-free EEG with triggers, and measure any change as harm.

    No recording in a scanner is free of artifact. However, a chain that removes EEG together with
    the artifact also removes EEG from clean data, where it is visible. Metrics of the residual
    artifact reward such a chain; this test does not.

    Filters in the chain change the EEG as well: compare within their pass-band (`bands`), or omit
    them from the chain.

    Parameters
    ----------
    processors : sequence of Processor | Pipeline
        The steps after the trigger detection, without loader and exporter. A trigger detector may
        be included if the EEG has the annotations that it searches for.
    bands : mapping of str to (float, float) | None
        Edges of the bands, in Hz; by default 0.5-70 Hz, delta, theta, alpha, beta and gamma.
    margin_s : float
        Time excluded at both ends of the acquisition, in s.

    Examples
    --------
    >>> from facet_nb import AASCorrection, CleanInTest, ProcessingContext
    >>> from facet_nb.datasets import simulate
    >>> sim = simulate(2, 500.0, 20.0, 1.0, 5)
    >>> clean = sim.raw.copy()
    >>> clean._data[:] = sim.clean
    >>> eeg = ProcessingContext(clean).with_trigger_samples(sim.triggers)
    >>> CleanInTest([AASCorrection(window_size=30)]).run(eeg).harm_db < -5
    True
    """

    def run(self, clean: ProcessingContext, **options: Any) -> CleanInResult:
        """Run the chain on EEG without artifact, and compare the result with the EEG.

        Parameters
        ----------
        clean : ProcessingContext
            EEG without artifact, and triggers.
        **options
            Arguments of :meth:`facet_nb.Pipeline.run`, such as ``mode`` and ``n_jobs``.

        Returns
        -------
        CleanInResult
            The harm, in dB.

        Raises
        ------
        FacetError
            If the chain fails, or changes the sampling rate or the number of samples.
        """
        done, span = _run_chain(self, clean, options)
        raw = done.get_raw()
        pairs = match_truth(clean.get_raw(), raw)
        found = ((raw.get_data(picks=[row])[0], signal) for row, signal in pairs)
        names = [raw.ch_names[row] for row, _ in pairs]
        return CleanInResult(*_compare(found, names, raw.info["sfreq"], span, self.bands))


@dataclass(frozen=True)
class InjectionResult:
    """What a chain took of known EEG that was added to a recording.

    Attributes
    ----------
    loss_db : float
        10 log10(Σ (arrived − added)² / Σ added²) in the first band, median over channels, in dB:
        -20 dB is one hundredth of the energy of the added EEG, 0 is all of it.
    per_channel : dict of str to float
        The value of each channel, in dB.
    per_band : dict of str to float
        Median over channels for each band, in dB.
    """

    loss_db: float
    per_channel: dict[str, float] = field(default_factory=dict)
    per_band: dict[str, float] = field(default_factory=dict)


class InjectionTest(_BandTest):
    """Add known EEG to a recording, correct it with and without, and measure what arrives.

    The chain meets the recording's own artifact, so that steps that adapt to it behave as they do
    in use; :class:`CleanInTest` shows them a recording without artifact. The truth of the recording
    itself is not needed: the test works on any recording. It measures lost EEG only, not the
    artifact that remains.

    Parameters
    ----------
    processors : sequence of Processor | Pipeline
        The chain, without loader and exporter.
    bands : mapping of str to (float, float) | None
        Edges of the bands, in Hz; by default 0.5-70 Hz, delta, theta, alpha, beta and gamma.
    margin_s : float
        Time excluded at both ends of the acquisition, in s.

    Examples
    --------
    >>> from facet_nb import AASCorrection, InjectionTest, TriggerDetector
    >>> from facet_nb.datasets import example
    >>> chain = [TriggerDetector(regex=r"Stimulus"), AASCorrection(window_size=30)]
    >>> foreign = example(seed=1).clean
    >>> -20 < InjectionTest(chain).run(example().context(), foreign).loss_db < -15
    True
    """

    def run(self, recording: ProcessingContext, foreign: Any, **options: Any) -> InjectionResult:
        """Run the chain twice, and compare the difference of the results with the added EEG.

        Parameters
        ----------
        recording : ProcessingContext
            A recording with its artifact.
        foreign : ndarray, shape (n_channels, n_times) | mne.io.BaseRaw | path
            EEG that is not in the recording, in V, as :class:`facet_nb.TruthCalculator` takes it:
            simulated, or of another person outside the scanner. It must not follow the triggers.
        **options
            Arguments of :meth:`facet_nb.Pipeline.run`, such as ``mode`` and ``n_jobs``.

        Returns
        -------
        InjectionResult
            The loss, in dB.

        Raises
        ------
        FacetError
            If the chain fails, changes the sampling rate or the number of samples, or `foreign`
            does not match the recording.
        """
        more = recording.get_raw().copy().load_data(verbose="error")
        pairs = match_truth(foreign, more)
        for row, signal in pairs:
            more._data[row] += signal
        alone, span = _run_chain(self, recording, options)
        both, _ = _run_chain(self, recording.with_raw(more), options)
        raws = [done.get_raw() for done in (both, alone)]
        found = (
            (np.subtract(*(raw.get_data(picks=[more.ch_names[row]])[0] for raw in raws)), signal)
            for row, signal in pairs
        )
        names = [more.ch_names[row] for row, _ in pairs]
        return InjectionResult(*_compare(found, names, more.info["sfreq"], span, self.bands))


def _run_chain(
    test: CleanInTest | InjectionTest, context: ProcessingContext, options: dict[str, Any]
) -> tuple[ProcessingContext, slice]:
    """Return the chain's result, of the same rate and length, and the samples to compare."""
    chain, name = test.processors, type(test).__name__
    pipeline = chain if isinstance(chain, Pipeline) else Pipeline(chain, name=name)
    options = {"show_progress": False, **options, "raise_on_error": True}
    done = pipeline.run(context, **options).get_context()
    before, after = context.get_raw(), done.get_raw()
    if after.info["sfreq"] != before.info["sfreq"] or after.n_times != before.n_times:
        raise ValidationError(
            f"{name}: the chain turns {before.n_times} samples at "
            f"{before.info['sfreq']:g} Hz into {after.n_times} at {after.info['sfreq']:g} Hz: "
            "it must keep the rate and the length (DownSample after UpSample, no Crop)."
        )
    timed = context if context.has_triggers() else done
    return done, slice(*find_middle(timed, test.margin_s, name))


def _compare(
    found: Iterable[tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    sfreq: float,
    span: slice,
    edges: Mapping[str, tuple[float, float]] | None,
) -> tuple[float, dict[str, float], dict[str, float]]:
    """Return the error of signals against what they should be: in all, by channel, by band."""
    bands = choose_bands(edges, float(sfreq))
    table = {band: np.empty(len(names)) for band in bands}
    for i, pair in enumerate(found):
        for band, sos in bands.items():
            both = [recovery.filter_band(signal, sos)[span] for signal in pair]
            table[band][i] = -recovery.agreement(*both).snr_db
    first = next(iter(table.values()))
    return (
        metrics.median_of_valid(first),
        dict(zip(names, first.tolist(), strict=True)),
        {band: metrics.median_of_valid(values) for band, values in table.items()},
    )
