"""FIR and IIR filters, designed by MNE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import LOWEST_HZ
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.compiled.dispatch import is_chosen
from facet_nb.kernels.filters import fir, iir
from facet_nb.kernels.filters.fir_design import design_fir
from facet_nb.kernels.streams import FilterStream, PiecewiseStream
from facet_nb.kernels.windows import FirWindows, SosWindows
from facet_nb.kernels.windows.filters import has_exact_states

Picks = str | Sequence[str] | Sequence[int] | None

#: Longest kernel of a filter, in samples: half an hour at 5 kHz.
MOST_TAPS = 10_000_000


@dataclass(frozen=True)
class Design:
    """Filter coefficients: FIR taps, or second-order sections with their padding.

    `pieces` are those in which time is continuous; each is filtered by itself.
    """

    taps: np.ndarray | None = None
    sos: np.ndarray | None = None
    padlen: int = 0
    pieces: tuple[tuple[int, int], ...] = ()
    forward: bool = False

    def run(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Return channels in which time is continuous, filtered."""
        if self.forward and self.sos is not None:
            out = np.empty_like(x) if out is None else out
            iir.ForwardFilter(self.sos).push(x, (), out)
            return out
        if self.sos is not None:
            padlen = min(self.padlen, x.shape[1] - 1)
            return iir.filter_sos(x, self.sos, padlen=padlen, out=out)
        assert self.taps is not None
        return fir.filter_zero_phase(x, self.taps, out=out)


def freeze(value: Any) -> Any:
    """Return a hashable copy of `value`: arrays and lists become tuples of floats."""
    if isinstance(value, dict):
        return tuple((key, freeze(entry)) for key, entry in value.items())
    return tuple(map(float, value)) if isinstance(value, list | tuple | np.ndarray) else value


@lru_cache(maxsize=8)
def make_design(
    sfreq: float, low: Any, high: Any, options: tuple, verbose: Any = "error"
) -> Design:
    """Return MNE's design of a zero-phase filter; cached, since it takes about 10 ms."""
    known = dict(options)
    plain = {"filter_length": "auto", "method": "fir", "fir_window": known["fir_window"]}
    if known == plain and verbose == "error":
        taps = design_fir(sfreq, low, high, known["fir_window"])
        if taps is not None:
            return Design(taps=taps)
    from mne.filter import create_filter  # imports scipy.signal, which takes half a second

    if "iir_params" in known:
        known["iir_params"] = dict(known["iir_params"])
    low, high = (np.array(f) if isinstance(f, tuple) else f for f in (low, high))
    fixed = {"phase": "zero", "fir_design": "firwin", "verbose": verbose}
    made = create_filter(None, sfreq, low, high, **known, **fixed)
    if known["method"] == "iir":
        return Design(sos=np.asarray(made["sos"]), padlen=int(made["padlen"]))
    taps = np.asarray(made)
    taps.flags.writeable = False
    return Design(taps=taps)


@register_processor
class Filter(ArrayProcessor):
    """Zero-phase filter, with MNE's default design.

    The result equals ``raw.filter(l_freq, h_freq)``: pieces between annotations that begin with
    ``EDGE`` (of concatenated recordings) are filtered by themselves, and samples within
    ``BAD_ACQ_SKIP`` stay as they are. It is applied to all good data channels (EEG,
    EOG, ECG, EMG, …), or those of `picks`.

    Parameters
    ----------
    l_freq, h_freq : float | None
        Edges of the pass band, in Hz; None for no edge.
    picks : str | list | None
        Channel names, positions or types; None for all data channels.
    filter_length : str | int
        As in :func:`mne.filter.create_filter`.
    method : {"fir", "iir"}
        FIR (windowed design), or a Butterworth filter applied forward and backward.
    phase : {"zero", "forward"}
        ``"forward"``: causal, with the delay of a Butterworth filter that is applied once (−3 dB at
        the edges); needs ``method="iir"``, and works in :meth:`facet_nb.Pipeline.stream`.
    fir_window : {"hamming", "hann", "blackman"}
        Window of the FIR design.
    verbose : bool
        Whether MNE reports its design.
    order : int
        Order of the Butterworth filter (``method="iir"``). It is applied in both directions, which
        doubles its attenuation: amplitudes are halved at the edges.
    """

    name = "filter"
    description = "Zero-phase filter"
    linear = True
    float32_safe = True
    heeds_pieces = True

    def __init__(
        self,
        l_freq: float | None = None,
        h_freq: float | None = None,
        picks: Picks = None,
        filter_length: str | int = "auto",
        method: str = "fir",
        phase: str = "zero",
        fir_window: str = "hamming",
        verbose: bool = False,
        order: int = 4,
    ) -> None:
        self.l_freq = l_freq
        self.h_freq = h_freq
        self.picks = picks
        self.filter_length = filter_length
        self.method = method
        self.phase = phase
        self.fir_window = fir_window
        self.verbose = verbose
        self.order = order

    @property
    def loads_scipy_signal(self) -> bool:  # type: ignore[override]
        """Whether the design is MNE's own, which imports it."""
        return self.method != "fir" or self.filter_length != "auto"

    def edges(self) -> tuple[Any, Any]:
        """Return lower and upper edge, in Hz, as for ``create_filter``."""
        return self.l_freq, self.h_freq

    def design_options(self) -> dict[str, Any]:
        """Return further options of ``create_filter``."""
        if self.method == "iir":
            return {"iir_params": {"order": self.order, "ftype": "butter", "output": "sos"}}
        return {}

    def prepare(self, view: View) -> Prepared:
        """Design the filter for the sampling rate."""
        low, high = self._find_edges(view.sfreq)
        design = self._design(view.sfreq, low, high)
        stops = low is not None and high is not None and np.min(low) > np.min(high)
        return Prepared(
            replace(design, pieces=view.pieces) if view.pieces else design,
            highpass=None if low is None or stops else float(low),
            lowpass=None if high is None or stops else float(high),
        )

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        low, high = self._find_edges(sfreq)
        if np.isfinite(sfreq):
            self._design(sfreq, low, high)

    def _find_edges(self, sfreq: float) -> tuple[Any, Any]:
        """Return the edges of the pass band, which are checked."""
        low, high = self.edges()
        if low is None and high is None:
            raise ValidationError(f"{self.name}: give l_freq, h_freq, or both, in Hz.")
        self._check(sfreq, low, high)
        return low, high

    def _check(self, sfreq: float, low: Any, high: Any) -> None:
        if self.phase not in ("zero", "forward"):
            raise ValidationError(f"{self.name}: phase={self.phase!r}; use 'zero' or 'forward'.")
        if self.phase == "forward" and self.method != "iir":
            raise ValidationError(f"{self.name}: phase='forward' needs method='iir'.")
        if self.method not in ("fir", "iir"):
            raise ValidationError(f"{self.name}: method={self.method!r}; use 'fir' or 'iir'.")
        if not isinstance(self.order, int | np.integer) or self.order < 1:
            raise ValidationError(
                f"{self.name}: order={self.order!r}; use a whole number of at least 1."
            )
        if not isinstance(self.filter_length, str) and not self.filter_length <= MOST_TAPS:
            raise ValidationError(
                f"{self.name}: filter_length={self.filter_length!r}; use at most {MOST_TAPS} "
                "samples, which is longer than a scan."
            )
        for edge in (low, high):
            for f in np.atleast_1d([] if edge is None else edge):
                if not 0 < f < sfreq / 2:
                    half = f" ({sfreq / 2:g} Hz)" if np.isfinite(sfreq) else ""
                    raise ValidationError(
                        f"{self.name}: {f:g} Hz is not between 0 and the Nyquist frequency"
                        f"{half}. Filter before DownSample, or choose another edge."
                    )
                if f < LOWEST_HZ:
                    raise ValidationError(
                        f"{self.name}: {f:g} Hz is below {LOWEST_HZ} Hz; such a filter is longer "
                        "than a scan."
                    )

    def _design(self, sfreq: float, low: Any, high: Any) -> Design:
        options = {
            "filter_length": self.filter_length,
            "method": self.method,
            "fir_window": self.fir_window,
            **self.design_options(),
        }
        if self.verbose:
            design = make_design.__wrapped__(sfreq, low, high, freeze(options), None)
        else:
            try:
                design = make_design(sfreq, freeze(low), freeze(high), freeze(options))
            except ValueError as error:
                raise ValidationError(f"{self.name}: {error}") from error
        return replace(design, forward=True) if self.phase == "forward" else design

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the filtered channels; see :class:`ArrayProcessor`."""
        design: Design = prepared.payload
        if not design.pieces:
            return design.run(x, out)
        result = np.array(x) if out is None else out
        if result is not x:
            result[...] = x
        for start, stop in design.pieces:
            piece = result[:, start:stop]
            done = design.run(x[:, start:stop], piece)
            if done is not piece:
                piece[...] = done
        return result

    def can_overwrite(self) -> bool:
        """Whether the result may replace the samples; those of a FIR filter may."""
        return self.method == "fir" and type(self).compute is Filter.compute

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        if self.method == "iir":
            return 8 * shape[1] + iir.scratch_bytes(shape[1])
        return 8 * shape[1] + fir.scratch_bytes(self._count_taps(sfreq))

    def _count_taps(self, sfreq: float) -> int:
        return int(3.3 * sfreq / self.transition_hz()) | 1

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: eight pairs of input and output blocks."""
        n_taps = self._count_taps(sfreq)
        n_fft = fir.choose_n_fft(n_taps)
        n_kept = 16 * (n_fft - n_taps + 1) + 2 * n_fft
        return 8 * (4 * chunk + 2 * n_kept + n_kept) + fir.scratch_bytes(n_taps)

    def why_not_chunked(self) -> str | None:
        """Return why the filter cannot run in chunks; None if it can."""
        if type(self).compute is not Filter.compute:
            return "computes in a way of its own"
        if self.method == "iir":
            return "runs backwards over the whole length (method='fir' does not)"
        return None

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the streaming filter of one channel; see :class:`ArrayProcessor`."""
        design: Design = prepared.payload
        if design.taps is None:
            return None
        taps = design.taps
        if not design.pieces:
            return FilterStream(taps, n_times, dtype)
        return PiecewiseStream(design.pieces, n_times, lambda n: FilterStream(taps, n, dtype))

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        if type(self).compute is not Filter.compute:
            return "computes in a way of its own"
        if self.phase == "forward":
            return "needs the samples from the first one on"
        if self.method == "iir":
            return None if has_exact_states() else "equals SciPy to rounding on this processor"
        return None if is_chosen("overlap_save") else "needs the compiled filter"

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the filter over windows; see :class:`ArrayProcessor`."""
        design: Design = prepared.payload
        if self.why_not_windowed() is not None or design.pieces:
            return None  # a filter that stops at breaks in time is computed on whole channels
        if design.sos is not None:
            return SosWindows(design.sos, design.padlen, n_times)
        assert design.taps is not None
        return FirWindows.make_for(design.taps, n_times)

    def why_not_live(self) -> str | None:
        """Return why the filter needs later samples; None if it does not."""
        return None if self.phase == "forward" else "looks ahead (phase='zero')"

    def live(self, view: View) -> iir.ForwardFilter:
        """Return the filter of samples that arrive block by block."""
        design = self.prepare(view).payload
        assert design.sos is not None
        return iir.ForwardFilter(design.sos)

    def transition_hz(self) -> float:
        """Return the narrowest transition band of MNE's default design, in Hz."""
        edges = [float(np.min(f)) for f in self.edges() if f is not None]
        return max(min(min(max(0.25 * f, 2.0), f) for f in edges), 0.1)


@register_processor
class HighPassFilter(Filter):
    """Zero-phase high-pass filter; see :class:`Filter`.

    Parameters
    ----------
    freq : float
        Edge, in Hz.
    picks, filter_length, method, phase, fir_window, order
        As in :class:`Filter`.
    """

    name = "highpass_filter"
    description = "Zero-phase high-pass filter"

    def __init__(
        self,
        freq: float,
        picks: Picks = None,
        filter_length: str | int = "auto",
        method: str = "fir",
        phase: str = "zero",
        fir_window: str = "hamming",
        order: int = 4,
    ) -> None:
        super().__init__(None, None, picks, filter_length, method, phase, fir_window, order=order)
        self.freq = freq

    def edges(self) -> tuple[Any, Any]:
        """Return lower and upper edge, in Hz."""
        return self.freq, None


@register_processor
class LowPassFilter(HighPassFilter):
    """Zero-phase low-pass filter; see :class:`Filter`.

    Parameters
    ----------
    freq : float
        Edge, in Hz.
    picks, filter_length, method, phase, fir_window, order
        As in :class:`Filter`.
    """

    name = "lowpass_filter"
    description = "Zero-phase low-pass filter"

    def edges(self) -> tuple[Any, Any]:
        """Return lower and upper edge, in Hz."""
        return None, self.freq


@register_processor
class BandPassFilter(Filter):
    """Zero-phase band-pass filter; see :class:`Filter`.

    Parameters
    ----------
    l_freq, h_freq : float
        Edges, in Hz.
    picks, filter_length, method, phase, fir_window, order
        As in :class:`Filter`.
    """

    name = "bandpass_filter"
    description = "Zero-phase band-pass filter"

    def __init__(
        self,
        l_freq: float,
        h_freq: float,
        picks: Picks = None,
        filter_length: str | int = "auto",
        method: str = "fir",
        phase: str = "zero",
        fir_window: str = "hamming",
        order: int = 4,
    ) -> None:
        super().__init__(
            l_freq, h_freq, picks, filter_length, method, phase, fir_window, order=order
        )


@register_processor
class NotchFilter(Filter):
    """Zero-phase notch filter, as ``raw.notch_filter``.

    Parameters
    ----------
    freqs : float | list of float
        Frequencies to remove, in Hz.
    picks, filter_length, method, phase, fir_window
        As in :class:`Filter`; only ``method="fir"``.
    notch_widths : float | list of float | None
        Width of each stop band, in Hz; ``freqs / 200`` by default.
    """

    name = "notch_filter"
    description = "Zero-phase notch filter"

    def __init__(
        self,
        freqs: float | Sequence[float],
        picks: Picks = None,
        filter_length: str | int = "auto",
        notch_widths: float | Sequence[float] | None = None,
        method: str = "fir",
        phase: str = "zero",
        fir_window: str = "hamming",
    ) -> None:
        super().__init__(None, None, picks, filter_length, method, phase, fir_window)
        self.freqs = freqs
        self.notch_widths = notch_widths

    def edges(self) -> tuple[Any, Any]:
        """Return edges of the stop bands; lower above upper means band-stop in MNE."""
        freqs = np.atleast_1d(np.asarray(self.freqs, dtype=float))
        if not freqs.size:
            raise ValidationError(f"{self.name}: freqs={self.freqs!r}: give one frequency or more.")
        widths = freqs / 200.0 if self.notch_widths is None else np.asarray(self.notch_widths)
        widths = np.broadcast_to(np.atleast_1d(widths), freqs.shape)
        return freqs + widths / 2.0 + 0.5, freqs - widths / 2.0 - 0.5

    def design_options(self) -> dict[str, Any]:
        """Return MNE's transition bands for notches."""
        return {"l_trans_bandwidth": 0.5, "h_trans_bandwidth": 0.5}

    def transition_hz(self) -> float:
        """Return the transition band of MNE's notches, in Hz."""
        return 0.5

    def _check(self, sfreq: float, low: Any, high: Any) -> None:
        super()._check(sfreq, low, high)
        if self.method != "fir":
            raise ValidationError("notch_filter: only method='fir' is supported.")
