"""Adaptive noise cancellation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.aas import check_artifact_length
from facet_nb.kernels.filters.fir import filter_zero_phase


@dataclass(frozen=True)
class ANCPlan:
    """What all channels share: length of the filter, high-pass, and the acquisition."""

    n_taps: int
    taps: np.ndarray
    first: int
    stop: int


@register_processor
class ANCCorrection(ArrayProcessor):
    """Subtract what an adaptive filter of the estimated noise predicts (Allen et al. 2000).

    It needs a correction before it in the chain, whose noise it filters. On the recordings that we
    know the truth of it takes EEG with it: it is in none of our default chains.

    Parameters
    ----------
    filter_order : int | None
        Length of the filter, in samples; one artifact by default.
    hp_freq : float | None
        Edge of the high-pass before the adaptation, in Hz; by default 0.75 times the triggers per
        second, and at least 2 Hz.
    hp_filter_weights : ndarray, shape (n_taps,) | None
        A symmetric FIR high-pass of odd length to use instead.
    use_c_extension : bool
        Accepted for compatibility; the loop is compiled where numba is present.
    mu_factor : float
        Step size, relative to the length of the filter times the power of the noise.
    max_gain : float
        A channel whose prediction exceeds its signal by this factor (rms) is left as it is.

    References
    ----------
    Allen, P. J., Josephs, O., & Turner, R. (2000). NeuroImage, 12(2), 230-239.
    doi:10.1006/nimg.2000.0599
    """

    name = "anc_correction"
    description = "Adaptive noise cancellation"
    requires_triggers = True
    parallel_safe = False
    subtracts = True
    uses_noise = True

    def __init__(
        self,
        filter_order: int | None = None,
        hp_freq: float | None = None,
        hp_filter_weights: np.ndarray | None = None,
        use_c_extension: bool = True,
        mu_factor: float = 0.05,
        max_gain: float = 50.0,
    ) -> None:
        self.filter_order = filter_order
        self.hp_freq = hp_freq
        self.hp_filter_weights = hp_filter_weights
        self.use_c_extension = use_c_extension
        self.mu_factor = mu_factor
        self.max_gain = max_gain

    def prepare(self, view: View) -> Prepared:
        """Design the high-pass and find the acquisition."""
        metadata = view.metadata
        n_samples = check_artifact_length(metadata.artifact_length)
        triggers = np.asarray(metadata.triggers, dtype=np.int64)
        first = triggers[0] + view.offset
        stop = min(int(triggers[-1]) + n_samples, view.n_times)
        n_taps = int(self.filter_order or n_samples)
        if n_taps < 1 or stop - max(first, 0) <= n_taps:
            raise ValidationError(
                f"anc_correction: filter_order={n_taps} samples does not fit the acquisition of "
                f"{stop - max(first, 0)} samples."
            )
        if self.hp_filter_weights is not None:
            taps = np.asarray(self.hp_filter_weights, dtype=float)
        else:
            from mne.filter import create_filter

            rate = len(triggers) / max(1e-9, (triggers[-1] - triggers[0]) / view.sfreq)
            freq = max(2.0, 0.75 * rate) if self.hp_freq is None else self.hp_freq
            if not 0 < freq < view.sfreq / 2:
                raise ValidationError(f"anc_correction: hp_freq={freq:g} Hz is out of range.")
            taps = create_filter(None, view.sfreq, freq, None, verbose="error")
        return Prepared(ANCPlan(n_taps, taps, max(int(first), 0), stop))

    def compute(
        self,
        x: np.ndarray,
        prepared: Prepared,
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the corrected channels; `noise`, shape of `x`, is what corrections removed."""
        from facet_nb.kernels.filters.lms import cancel_adaptively

        if noise is None:
            raise ValidationError(
                "anc_correction needs estimated noise: put AASCorrection before it."
            )
        plan: ANCPlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        span = slice(plan.first, plan.stop)
        for row, reference, target in zip(x, noise, out, strict=True):
            target[...] = row
            signal = filter_zero_phase(row[None], plan.taps)[0][span]
            past = reference[span]
            power = float(np.einsum("i,i", past, past))
            if power <= 0:
                continue
            past = past * (float(np.einsum("i,i", signal, past)) / power)
            spread = float(np.var(past))
            if spread <= 0:
                continue
            step = self.mu_factor / (plan.n_taps * spread)
            predicted = cancel_adaptively(signal, past, plan.n_taps, step)
            if np.std(predicted) <= self.max_gain * np.std(signal):
                target[span] -= predicted
        return out

    def why_not_chunked(self) -> str | None:
        """Return why the step cannot run in chunks: its prediction is judged as a whole."""
        return "scales the noise by, and judges its prediction on, all samples of a channel"

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * 6


#: FACETpy's other name of the same class.
AdaptiveNoiseCancellation = ANCCorrection
