"""The result of a simulation: recording, ground truth, and a comparison with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import epi
from facet_nb.datasets.agreement import compare_snr_db

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    """A low-rank artifact: sources, and weights that change at head movements.

    Attributes
    ----------
    sources : ndarray, shape (n_sources, n_times)
        Time courses.
    weights : ndarray, shape (n_changes + 1, n_channels, n_sources)
        Weights before the first change and after each, in V per unit of the sources.
    changes_s : ndarray, shape (n_changes,)
        Onsets of the changes, in s.
    sfreq : float
        Sampling rate, in Hz.
    ramp_s : float
        Duration of a change, in s.
    """

    sources: np.ndarray
    weights: np.ndarray
    changes_s: np.ndarray
    sfreq: float
    ramp_s: float

    def add_to(self, out: np.ndarray) -> None:
        """Add the first ``len(out)`` channels of the mixture to an array in V, in place."""
        blocks = epi.iterate_mixture(
            self.sources,
            self.weights[:, : len(out)],
            self.changes_s,
            self.sfreq,
            ramp_s=self.ramp_s,
        )
        for span, block in blocks:
            out[:, span] += block


@dataclass(frozen=True, eq=False, repr=False)
class Simulation:
    """A simulated recording with its ground truth, from `facet_nb.datasets.simulate`.

    Attributes
    ----------
    raw : mne.io.RawArray
        The contaminated recording, in V: EEG channels with positions, then an ECG channel if
        `pulse` is set; markers are annotations. It may be changed; the arrays below are read-only.
    clean : ndarray, shape (n_channels, n_times)
        The EEG without artifacts, in V.
    onsets_s : ndarray, shape (n_markers,)
        Exact times of all markers, missing ones included, in s; not rounded to samples.
    triggers : ndarray of int, shape (n_markers - n_missing,)
        Samples marked by the recorder.
    sfreq : float
        Sampling rate, in Hz.
    spec : dict
        The arguments, which can be written as JSON; ``simulate(**spec)`` repeats the simulation.
    slice_onsets_s : ndarray, shape (n_volumes * n_groups,)
        Exact onsets of all slices (with multiband: slice groups), in s.
    movements_s : ndarray, shape (n_movements,)
        Onsets of head movements, in s.
    r_peaks_s : ndarray, shape (n_beats,)
        R peaks, in s; empty without pulse.
    other : ndarray, shape (n_channels, n_times) | None
        What is neither EEG nor artifact of the scanner (muscle bursts), in V; None without it. A
        correction should keep it; the comparison with the truth disregards it.
    scan_end_s : float | None
        End of the last volume, in s.
    """

    raw: mne.io.RawArray
    clean: np.ndarray
    onsets_s: np.ndarray
    triggers: np.ndarray
    sfreq: float
    spec: dict[str, Any]
    slice_onsets_s: np.ndarray
    movements_s: np.ndarray
    r_peaks_s: np.ndarray
    gradient: Mixture = field(repr=False)
    pulse: Mixture | None = field(repr=False)
    other: np.ndarray | None = field(default=None, repr=False)
    scan_end_s: float | None = None

    def __repr__(self) -> str:
        n_channels, n_times = self.clean.shape
        scan = f"{len(self.triggers)} {self.spec['markers']} markers"
        return (
            f"<Simulation | {n_channels} EEG channels × {n_times / self.sfreq:g} s at "
            f"{self.sfreq:g} Hz, {scan}, seed {self.spec['seed']}>"
        )

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {left}>{label}</th><td {left}>{escape(text)}</td></tr>"
            for label, text in self._describe()
        )
        return f"<table><caption {left}><b>Simulation</b></caption><tbody>{rows}</tbody></table>"

    def _describe(self) -> list[tuple[str, str]]:
        """Return what was simulated, as pairs of a label and a text."""
        n_channels, n_times = self.clean.shape
        spec, (begin_s, end_s) = self.spec, self.acquisition_s
        n_beats, n_movements = len(self.r_peaks_s), len(self.movements_s)
        return [
            ("channels", f"{n_channels} EEG" + (", 1 ECG" if self.pulse is not None else "")),
            ("duration", f"{n_times / self.sfreq:g} s, {n_times} samples at {self.sfreq:g} Hz"),
            ("scan", f"{begin_s:.2f} to {end_s:.2f} s, {len(self.slice_onsets_s)} slices"),
            ("markers", f"{len(self.triggers)} {spec['markers']} markers"),
            ("pulse artifact", f"{n_beats} beats" if self.pulse is not None else "none"),
            ("head movements", str(n_movements or "none")),
            ("seed", str(spec["seed"])),
            ("SNR before correction", f"{np.median(self.snr_db(self.raw)):.1f} dB (median)"),
        ]

    @property
    def ch_names(self) -> list[str]:
        """Names of the EEG channels: the rows of `clean`."""
        return list(self.raw.ch_names[: len(self.clean)])

    @property
    def artifact(self) -> np.ndarray:
        """Sum of all artifacts, in V, shape (n_channels, n_times)."""
        artifact = self.gradient_artifact
        if self.pulse is not None:
            self.pulse.add_to(artifact)
        return artifact

    @property
    def gradient_artifact(self) -> np.ndarray:
        """The gradient artifact alone, in V, shape (n_channels, n_times)."""
        artifact = np.zeros(self.clean.shape)
        self.gradient.add_to(artifact)
        return artifact

    @property
    def acquisition_s(self) -> tuple[float, float]:
        """Start and end of the scan, in s."""
        spec, onsets_s = self.spec, self.slice_onsets_s
        if self.scan_end_s is not None:
            return float(onsets_s[0]), self.scan_end_s
        rate = 1.0 + 1e-6 * spec["clock_offset_ppm"]
        per_volume = spec["n_slices"] // spec["multiband"]
        return float(onsets_s[0]), float(onsets_s[-per_volume] + spec["tr_s"] * rate)

    def context(self) -> ProcessingContext:
        """Return a context for a pipeline, without detected triggers."""
        return ProcessingContext(self.raw)

    def snr_db(
        self,
        data: Any,
        fmin: float = 0.5,
        fmax: float = 70.0,
        *,
        acquisition: bool = True,
        margin_s: float = 1.0,
    ) -> np.ndarray:
        """Return the signal-to-noise ratio of a corrected recording against the ground truth.

        This is 10 log10(Σ clean² / Σ (data − clean)²), both band-passed (Butterworth of order 4,
        forward and backward). It counts both kinds of error: residual artifact and lost EEG.

        Parameters
        ----------
        data : array, shape (n_channels, n_times) | mne.io.BaseRaw | ProcessingContext
            Corrected EEG, in V, with the simulation's sampling rate and length. The channels of a
            recording are picked by name.
        fmin, fmax : float
            Edges of the band, in Hz.
        acquisition : bool
            Whether to compare only the time of the scan.
        margin_s : float
            Time to exclude at both ends, in s.

        Returns
        -------
        ndarray, shape (n_channels,)
            Signal-to-noise ratio of each channel, in dB; infinite where nothing differs, NaN for
            dead and loose channels.

        Raises
        ------
        ValidationError
            If `data` does not match the truth, or the margins exclude everything.
        """
        data = self._match(data)
        span = self._select(acquisition, margin_s)
        data = data if self.other is None else data - self.other
        snr_db = compare_snr_db(
            data, self.clean, self.sfreq, fmin, fmax, start=span.start, stop=span.stop
        )
        wrong = self.spec.get("imperfections", {})
        snr_db[[*wrong.get("dead_channels", ()), *wrong.get("loose_channels", ())]] = np.nan
        return snr_db

    def _match(self, data: Any) -> np.ndarray:
        if hasattr(data, "get_data"):
            data = data.get_data(picks=self.ch_names)
        data = np.asarray(data)
        if data.shape != self.clean.shape:
            raise ValidationError(
                f"data has shape {data.shape}, the truth {self.clean.shape}: compare all EEG "
                "channels at the simulation's own sampling rate and length."
            )
        return data

    def _select(self, acquisition: bool, margin_s: float) -> slice:
        n_times = self.clean.shape[1]
        begin_s, end_s = self.acquisition_s if acquisition else (0.0, n_times / self.sfreq)
        begin, end = np.rint((np.array([begin_s, end_s]) + (margin_s, -margin_s)) * self.sfreq)
        span = slice(max(0, int(begin)), min(n_times, int(end)))
        if span.stop <= span.start:
            raise ValidationError(
                f"margin_s={margin_s:g} excludes all of {end_s - begin_s:.3g} s: lower it."
            )
        return span
