"""Process artifact-free EEG with a chain, and measure how much it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.pipeline import Pipeline
from facet_nb.evaluation.truth import choose_bands, find_middle, match_truth
from facet_nb.kernels.measures import metrics, recovery

if TYPE_CHECKING:
    import mne


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


class CleanInTest:
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

    def __init__(
        self,
        processors: Sequence[Any] | Pipeline,
        bands: Mapping[str, tuple[float, float]] | None = None,
        margin_s: float = 1.0,
    ) -> None:
        self.processors = processors
        self.bands = bands
        self.margin_s = margin_s

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
        chain = self.processors
        pipeline = chain if isinstance(chain, Pipeline) else Pipeline(chain, name="Clean in")
        before = clean.get_raw()
        options = {"show_progress": False, **options, "raise_on_error": True}
        done = pipeline.run(clean, **options).get_context()
        after = done.get_raw()
        if after.info["sfreq"] != before.info["sfreq"] or after.n_times != before.n_times:
            raise ValidationError(
                f"CleanInTest: the chain turns {before.n_times} samples at "
                f"{before.info['sfreq']:g} Hz into {after.n_times} at {after.info['sfreq']:g} Hz: "
                "it must keep the rate and the length (DownSample after UpSample, no Crop)."
            )
        timed = clean if clean.has_triggers() else done
        start, stop = find_middle(timed, self.margin_s, "CleanInTest")
        return self._compare(before, after, slice(start, stop))

    def _compare(self, before: mne.io.BaseRaw, after: mne.io.BaseRaw, span: slice) -> CleanInResult:
        bands = choose_bands(self.bands, float(before.info["sfreq"]))
        pairs = match_truth(before, after)
        table = {band: np.empty(len(pairs)) for band in bands}
        for i, (row, clean) in enumerate(pairs):
            x = after.get_data(picks=[row])[0]
            for band, sos in bands.items():
                both = [recovery.filter_band(signal, sos)[span] for signal in (x, clean)]
                table[band][i] = -recovery.agreement(*both).snr_db
        names = [after.ch_names[row] for row, _ in pairs]
        first = next(iter(table.values()))
        return CleanInResult(
            harm_db=metrics.median_of_valid(first),
            per_channel=dict(zip(names, first.tolist(), strict=True)),
            per_band={band: metrics.median_of_valid(values) for band, values in table.items()},
        )
