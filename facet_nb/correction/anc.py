"""Adaptive noise cancellation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import LOWEST_HZ
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import find_artifacts
from facet_nb.kernels import fft
from facet_nb.kernels.filters.fir import filter_zero_phase

#: Shift of the control, in Hz, at most half the rate of the triggers: EEG has about the same power
#: there, also at the slope of an alpha peak.
_SHIFT_HZ = 0.5
#: Power of a prediction below 70 Hz, relative to the control, from which it is artifact: up to 2.1
#: where the step removed EEG (alpha at the slice rate, few volumes), and 2.7 to 34 where it removed
#: artifact. Above 70 Hz, artifact predominates in either case.
_BETTER, _EEG_HZ = 2.5, 70.0


@dataclass(frozen=True)
class ANCPlan:
    """Decisions that all channels share.

    Filter length, high-pass, acquisition window, and by how much the control shifts the noise, in
    cycles per sample. Both are compared below an edge, in cycles per sample.
    """

    n_taps: int
    taps: np.ndarray
    first: int
    stop: int
    shift: float | None
    edge: float


@register_processor
@fill_doc
class ANCCorrection(ArrayProcessor):
    """Subtract what an adaptive filter predicts from the estimated noise (Allen et al. 2000).

    The step needs a correction before it in the chain, whose estimated noise it filters. On
    recordings with a known ground truth it removed EEG as well, so that
    :func:`facet_nb.gradient_correction` does not include it.

    The filter follows EEG at the frequencies of the artifact. A control tells how much of it: the
    prediction from the same noise, shifted by 0.5 Hz (at most half the rate of the triggers), where
    there is EEG but no artifact. Channels of which the true noise does not predict 2.5 times
    the control's power below 70 Hz are unchanged.

    Parameters
    ----------
    filter_order : int | None
        Length of the adaptive filter, in samples; that of one artifact by default.
    hp_freq : float | None
        Edge of the high-pass filter before the adaptation, in Hz; by default 0.75 times the number
        of triggers per second, and at least 2 Hz.
    %(hp_filter_weights)s
    use_c_extension : bool
        Accepted for compatibility; the loop is compiled where the kernels are.
    mu_factor : float
        Step size of the adaptation. It is divided by the product of filter length and noise
        variance.
    max_gain : float
        Channels whose prediction exceeds their signal by this factor (RMS) are left unchanged.
    control : bool
        Whether channels whose prediction is mostly EEG are left unchanged; False for FACETpy's
        behaviour.

    References
    ----------
    %(allen_2000)s
    """

    name = "anc_correction"
    description = "Adaptive noise cancellation"
    requires_triggers = True
    parallel_safe = False
    subtracts = True
    uses_noise = True
    memory_copies = 8  # of signal, noise, and predictions

    def __init__(
        self,
        filter_order: int | None = None,
        hp_freq: float | None = None,
        hp_filter_weights: np.ndarray | None = None,
        use_c_extension: bool = True,
        mu_factor: float = 0.05,
        max_gain: float = 50.0,
        control: bool = True,
    ) -> None:
        self.filter_order = filter_order
        self.hp_freq = hp_freq
        self.hp_filter_weights = hp_filter_weights
        self.use_c_extension = use_c_extension
        self.mu_factor = mu_factor
        self.max_gain = max_gain
        self.control = control

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if self.filter_order is not None and not self.filter_order >= 0:
            raise ValidationError(
                f"anc_correction: filter_order={self.filter_order!r}: give samples above 0, or "
                "None for the length of an artifact."
            )
        if self.hp_freq is not None and not LOWEST_HZ <= self.hp_freq < sfreq / 2:
            raise ValidationError(f"anc_correction: hp_freq={self.hp_freq:g} Hz is out of range.")

    def prepare(self, view: View) -> Prepared:
        """Design the high-pass filter and find the acquisition window."""
        self.check_parameters(view.sfreq)
        starts, n_samples = find_artifacts(view)
        first, triggers = starts[0], starts - view.offset
        stop = min(int(triggers[-1]) + n_samples, view.n_times)
        n_taps = int(self.filter_order or n_samples)
        if n_taps < 1 or stop - max(first, 0) <= n_taps:
            raise ValidationError(
                f"anc_correction: filter_order={n_taps} samples does not fit an acquisition of "
                f"{stop - max(first, 0)} samples."
            )
        rate = len(triggers) / max(1e-9, (triggers[-1] - triggers[0]) / view.sfreq)
        if self.hp_filter_weights is not None:
            taps = np.asarray(self.hp_filter_weights, dtype=float)
        else:
            from mne.filter import create_filter

            freq = max(2.0, 0.75 * rate) if self.hp_freq is None else self.hp_freq
            if not 0 < freq < view.sfreq / 2:
                raise ValidationError(f"anc_correction: hp_freq={freq:g} Hz is out of range.")
            taps = create_filter(None, view.sfreq, freq, None, verbose="error")
        first = max(int(first), 0)
        shift = min(_SHIFT_HZ, 0.5 * rate) / view.sfreq if self.control else None
        return Prepared(ANCPlan(n_taps, taps, first, stop, shift, _EEG_HZ / view.sfreq))

    def compute(
        self,
        x: np.ndarray,
        prepared: Prepared,
        out: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the corrected channels; `noise` is what earlier corrections removed from `x`."""
        if noise is None:
            raise ValidationError(
                "anc_correction needs estimated noise: put a correction such as AASCorrection "
                "before it."
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
            predicted = self._predict(signal, past, plan.n_taps)
            # A larger prediction means that the adaptation diverged.
            if predicted is None or np.std(predicted) > self.max_gain * np.std(signal):
                continue
            if plan.shift is not None:
                wave = np.cos(2.0 * np.pi * plan.shift * np.arange(len(past)))
                other = self._predict(signal, past * wave, plan.n_taps)
                if other is not None and _compare(predicted, other, plan.edge) < _BETTER:
                    continue
            target[span] -= predicted
        return out

    def _predict(self, signal: np.ndarray, past: np.ndarray, n_taps: int) -> np.ndarray | None:
        """Return what an adaptive filter of `past` predicts; None if `past` is constant."""
        from facet_nb.kernels.filters.lms import cancel_adaptively

        spread = float(np.var(past))
        if spread <= 0:
            return None
        return cancel_adaptively(signal, past, n_taps, self.mu_factor / (n_taps * spread))

    def why_not_chunked(self) -> str | None:
        """Return why the step cannot run in chunks: it uses statistics of whole channels."""
        return "scales the noise by, and checks its prediction on, all samples of a channel"


def _compare(one: np.ndarray, other: np.ndarray, edge: float) -> float:
    """Return the ratio of the powers of two signals at frequencies below an edge, without 0."""
    # Most lengths have a large prime factor, with which a transform takes several times as long.
    n = fft.next_fast_len(len(one), True)
    n_below = 1 + max(1, int(edge * n))
    powers = [np.sum(np.abs(fft.rfft(x, n)[1:n_below]) ** 2) for x in (one, other)]
    return float(powers[0] / max(powers[1], np.finfo(float).tiny))


#: The name of this class in FACETpy.
AdaptiveNoiseCancellation = ANCCorrection
