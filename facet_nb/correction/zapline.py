"""Lines of pumps and mains, through meegkit's ZapLine."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError, import_extra
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.processor import Processor
from facet_nb.core.recording import kind_of, replace_data
from facet_nb.core.registry import register_processor

#: A line is there if its power exceeds the usual one around it by this factor. Distances of the
#: surroundings, and resolution of the spectrum, in Hz.
_EXCEEDS, _NEAR_HZ, _FAR_HZ, _STEP_HZ = 2.0, 1.0, 3.0, 0.5


@register_processor
class ZapLineCorrection(Processor):
    """Subtract lines (helium pump, ventilation, mains) by ZapLine (de Cheveigné 2020).

    In contrast to a notch filter, ZapLine subtracts the few spatial components that hold the line:
    EEG at its frequency stays in the others. It needs meegkit (``pip install
    facet-nb[zapline]``), and sees all good EEG channels at once. A frequency without a line is left
    out, and a finding tells of it.

    Parameters
    ----------
    freqs : float | list of float
        Frequency of the line, in Hz, or several, one after another; harmonics belong to it.
    n_remove : int
        Number of components to subtract for each frequency.

    References
    ----------
    de Cheveigné, A. (2020). ZapLine: A simple and effective method to remove power line artifacts.
    NeuroImage, 207, 116356. doi:10.1016/j.neuroimage.2019.116356
    """

    name = "zapline_correction"
    description = "Subtract lines of pumps and mains by ZapLine"
    requires_raw = True
    parallel_safe = False
    memory_copies = 9  # meegkit makes them

    def __init__(self, freqs: float | Sequence[float] = 50.0, n_remove: int = 1) -> None:
        self.freqs = freqs
        self.n_remove = n_remove

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        freqs = np.atleast_1d(self.freqs)
        if wrong := [f for f in freqs if not 2.0 * _FAR_HZ < f < sfreq / 2 - _FAR_HZ]:
            raise ValidationError(
                f"zapline_correction: freqs={wrong[0]:g} Hz must be above {2 * _FAR_HZ:g} Hz and "
                f"{_FAR_HZ:g} Hz below {sfreq / 2:g} Hz, half the sampling rate."
            )
        if not self.n_remove > 0:
            raise ValidationError(
                f"zapline_correction: n_remove={self.n_remove}; use 1 or more components."
            )

    def process(self, context: ProcessingContext) -> ProcessingContext:
        self.check_parameters(float(context.get_raw().info["sfreq"]))
        remedy = "zapline_correction needs meegkit: pip install facet-nb[zapline]."
        dss_line = import_extra("meegkit.dss", remedy).dss_line
        raw = context.get_raw()
        sfreq = float(raw.info["sfreq"])
        freqs = [float(f) for f in np.atleast_1d(self.freqs)]
        types, bads = raw.get_channel_types(), set(raw.info["bads"])
        names = list(raw.ch_names)
        rows = [i for i, n in enumerate(names) if kind_of(n, types[i]) == "eeg" and n not in bads]
        if not self.n_remove < len(rows):
            raise ValidationError(
                f"zapline_correction: n_remove={self.n_remove} components of {len(rows)} good EEG "
                "channels; use 1 or more, but fewer than channels."
            )
        data = raw.get_data()
        x = data[rows].T
        findings: list[Finding] = []
        with threadpool_limits(1), contextlib.redirect_stdout(io.StringIO()):
            for freq in freqs:
                excess = measure_line(x.T, freq, sfreq)
                if excess < _EXCEEDS:
                    detail = f"{freq:g} Hz: {excess:.1f} times the power around it."
                    findings.append(make_finding("line_absent", detail, freq_hz=freq))
                    continue
                x = x - dss_line(x.copy(), freq, sfreq, self.n_remove)[1]
        data[rows] = x.T
        return context.with_raw(replace_data(raw, data)).with_findings(findings)


def measure_line(x: np.ndarray, freq: float, sfreq: float) -> float:
    """Return the power at a frequency over the usual one around it, median over channels.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Samples, in V.
    freq : float
        Frequency, in Hz.
    sfreq : float
        Sampling rate, in Hz.
    """
    from scipy.signal import welch

    at, power = welch(x, sfreq, nperseg=min(x.shape[1], round(sfreq / _STEP_HZ)))
    away = np.abs(at - freq)
    around = np.median(power[:, (away >= _NEAR_HZ) & (away <= _FAR_HZ)], axis=1)
    peak = power[:, away <= _STEP_HZ].max(axis=1)
    return float(np.median(peak / np.maximum(around, np.finfo(float).tiny)))
