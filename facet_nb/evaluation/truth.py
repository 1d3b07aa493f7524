"""Comparison of the corrected recording with the ground truth."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.core.limits import load_npz
from facet_nb.core.parameters import LONGEST_S, check_band
from facet_nb.core.registry import register_processor
from facet_nb.evaluation.base import MetricStep, find_span, name_invalid, read_rows
from facet_nb.kernels.measures import metrics, recovery

if TYPE_CHECKING:
    import mne

#: Lower and upper edge of the bands, in Hz.
BANDS = {
    "broad": (0.5, 70.0),
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "beta": (12.0, 30.0),
    "gamma": (30.0, 70.0),
}
_FIELDS = ("snr_db", "nrmse", "correlation")


@register_processor
class TruthCalculator(MetricStep):
    r"""Compare the corrected recording with the ground truth, band by band.

    .. math:: \mathrm{SNR} = 10 \log_{10} \frac{\sum \mathrm{clean}^2}
       {\sum (\mathrm{out} - \mathrm{clean})^2}

    the normalised error :math:`\mathrm{nRMSE} = \sqrt{\sum (\mathrm{out} - \mathrm{clean})^2 /
    \sum \mathrm{clean}^2}`, and the Pearson correlation are computed from signals filtered with
    the same band-pass (Butterworth of order 4, forward and backward). Any difference counts,
    residual artifact as well as lost EEG. A correlation close to 1 does not depend on the
    amplitude, and a ratio of powers does not depend on the waveform: read both.

    The samples compared are those of the acquisition, `margin_s` away from its ends; without
    triggers, those of the whole recording.

    Results are in ``metadata.custom["metrics"]``, as medians over channels: ``truth_snr_db``,
    ``truth_nrmse`` and ``truth_correlation`` of the first band; ``truth_residual_v``, the RMS of
    the unfiltered error, in V; ``truth_bands``, a table of the three metrics for each band below
    half the sampling rate; ``truth_snr_db_per_channel`` in the order of ``truth_channels``.

    Parameters
    ----------
    truth : path | ndarray | mne.io.BaseRaw
        The EEG without artifact: an array in V, a recording, the file of a recording (``.fif``), or
        an ``.npz`` file with ``clean`` in µV (and ``fs``, in Hz). The rows of an array correspond
        to the electrodes (good and bad), or to all channels; the channels of a recording are
        matched by name. It must have as many samples as the corrected recording, at the same rate.
    bands : mapping of str to (float, float) | None
        Edges of the bands, in Hz; by default 0.5-70 Hz, delta, theta, alpha, beta and gamma.
    margin_s : float
        Time excluded at both ends, in s.
    """

    name = "truth_calculator"
    description = "Error against the truth, per band"
    requires_triggers = False
    memory_copies = 1  # the truth

    def __init__(
        self,
        truth: Any,
        bands: Mapping[str, tuple[float, float]] | None = None,
        margin_s: float = 1.0,
    ) -> None:
        self.truth = truth
        self.bands = bands
        self.margin_s = margin_s

    def get_parameters(self) -> dict[str, Any]:
        """Return the arguments, with the shape of the truth if it is an array."""
        truth = self.truth
        if isinstance(truth, np.ndarray):
            truth = f"<array {' × '.join(map(str, truth.shape))}>"
        elif isinstance(truth, Path) or hasattr(truth, "ch_names"):
            truth = str(truth)
        return {"truth": truth, "bands": self.bands, "margin_s": self.margin_s}

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not 0 <= self.margin_s <= LONGEST_S:
            raise ValidationError(
                f"margin_s={self.margin_s!r} must be from 0 to {LONGEST_S:g} s, a day."
            )
        for fmin, fmax in (self.bands or BANDS).values():
            check_band(fmin, fmax)

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the metrics of each band, and the samples compared."""
        raw = context.get_raw()
        pairs = match_truth(self.truth, raw)
        start, stop = find_middle(context, self.margin_s, self.name)
        bands = choose_bands(self.bands, float(raw.info["sfreq"]))
        table = {band: np.empty((3, len(pairs))) for band in bands}
        residual = np.empty(len(pairs))
        for i, (row, clean) in enumerate(pairs):
            x = read_rows(raw, row, [(0, raw.n_times)])[0]
            error = (x - clean)[start:stop]
            residual[i] = np.std(error)
            for band, sos in bands.items():
                both = [recovery.filter_band(signal, sos)[start:stop] for signal in (x, clean)]
                found = recovery.agreement(*both)
                table[band][:, i] = [getattr(found, field) for field in _FIELDS]
        names = [raw.ch_names[row] for row, _ in pairs]
        return self._summarise(table, residual, names), {"start": start, "stop": stop}

    def _summarise(
        self, table: dict[str, np.ndarray], residual: np.ndarray, names: list[str]
    ) -> dict[str, Any]:
        medians = {
            band: {f: metrics.median_of_valid(v) for f, v in zip(_FIELDS, values, strict=True)}
            for band, values in table.items()
        }
        first = next(iter(table))
        return {
            **{f"truth_{field}": value for field, value in medians[first].items()},
            "truth_residual_v": metrics.median_of_valid(residual),
            "truth_snr_db_per_channel": table[first][0].tolist(),
            "truth_snr_db_excluded": name_invalid(table[first][0], names),
            "truth_channels": names,
            "truth_bands": medians,
        }


def choose_bands(
    bands: Mapping[str, tuple[float, float]] | None, sfreq: float
) -> dict[str, np.ndarray]:
    """Return the filter of each band below half the sampling rate.

    Raises
    ------
    ValidationError
        If an edge is invalid, or there is no such band.
    """
    given = BANDS if bands is None else bands
    for band, (fmin, fmax) in given.items():
        if not 0 < fmin < fmax:
            raise ValidationError(f"band {band!r}: {fmin:g}-{fmax:g} Hz; need 0 < fmin < fmax.")
    usable = {b: (low, high) for b, (low, high) in given.items() if high < sfreq / 2}
    if not usable:
        raise ValidationError(
            f"no band lies below {sfreq / 2:g} Hz, half the sampling rate: set "
            "bands={'broad': (0.5, …)}."
        )
    return {b: recovery.design_band(sfreq, low, high) for b, (low, high) in usable.items()}


def find_middle(context: ProcessingContext, margin_s: float, step: str) -> tuple[int, int]:
    """Return the samples of the acquisition, or of the recording, without `margin_s` at the ends.

    Raises
    ------
    ValidationError
        If no sample remains.
    """
    raw = context.get_raw()
    start, stop = 0, int(raw.n_times)
    if context.has_triggers():
        span = find_span(context, step)
        start, stop = span.start, span.stop
    margin = round(margin_s * float(raw.info["sfreq"]))
    if margin < 0 or stop - start <= 2 * margin:
        raise ValidationError(
            f"{step}: margin_s={margin_s!r} leaves nothing of {stop - start} samples; use a "
            "smaller one, 0 or more."
        )
    return start + margin, stop - margin


def match_truth(truth: Any, raw: mne.io.BaseRaw) -> list[tuple[int, np.ndarray]]:
    """Return the row of each good electrode with its ground truth, in V.

    Raises
    ------
    ValidationError
        If the truth cannot be read, or differs in channels, sampling rate or length.
    """
    clean, names, sfreq = read_truth(truth)
    kinds = recording.channel_kinds(raw)
    good = [i for i, kind in enumerate(kinds) if kind == "data"]
    if names is not None:
        places = {name: k for k, name in enumerate(names)}
        rows = {i: places[raw.ch_names[i]] for i in good if raw.ch_names[i] in places}
    else:
        electrodes = [i for i, kind in enumerate(kinds) if kind in ("data", "bad")]
        everything = list(range(len(kinds)))
        order = next((o for o in (electrodes, everything) if len(o) == len(clean)), [])
        rows = {i: k for k, i in enumerate(order) if kinds[i] == "data"}
    rate = float(raw.info["sfreq"])
    if not rows or clean.shape[1] != raw.n_times or (sfreq or rate) != rate:
        raise ValidationError(
            f"the truth is {clean.shape[0]} channels × {clean.shape[1]} samples"
            f"{f' at {sfreq:g} Hz' if sfreq else ''}, the recording {len(kinds)} channels "
            f"({kinds.count('data')} good electrodes) × {raw.n_times} samples at {rate:g} Hz: use "
            "the truth of the same electrodes, and crop or resample it as the recording was."
        )
    return [(i, clean[k]) for i, k in rows.items()]


def read_truth(truth: Any) -> tuple[np.ndarray, list[str] | None, float | None]:
    """Return samples in V, shape (n_channels, n_times), and names and rate in Hz, if known.

    Raises
    ------
    ValidationError
        If `truth` is of no kind that :class:`TruthCalculator` accepts.
    """
    if hasattr(truth, "get_data") and hasattr(truth, "ch_names"):
        return recording.load_array(truth), list(truth.ch_names), float(truth.info["sfreq"])
    if isinstance(truth, (str, Path)):
        path = Path(truth)
        return _read_archive(path) if path.suffix == ".npz" else _read_recording(path)
    clean = np.asarray(truth, dtype=float)
    if clean.ndim != 2:
        raise ValidationError(
            f"truth has shape {clean.shape}: use an array (n_channels, n_times) in V, a recording "
            "or a file."
        )
    return clean, None, None


def _read_archive(path: Path) -> tuple[np.ndarray, None, float | None]:
    try:
        arrays, _ = load_npz(path, ("clean", "fs"))
        clean = 1e-6 * np.asarray(arrays["clean"], dtype=float)
        sfreq = float(np.ravel(arrays["fs"])[0]) if "fs" in arrays else None
    except FacetError:
        raise
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValidationError(
            f"{path} cannot be used as truth ({error}): use an .npz file with 'clean' in µV, "
            "n_channels × n_times."
        ) from error
    if clean.ndim != 2:
        raise ValidationError(f"{path}: 'clean' has shape {clean.shape}, not channels × samples.")
    return clean, None, sfreq


def _read_recording(path: Path) -> tuple[np.ndarray, list[str], float]:
    import mne

    try:
        raw = mne.io.read_raw(path, preload=True, verbose="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise ValidationError(
            f"{path} cannot be used as truth ({error}): use an .npz file, the file of a recording, "
            "or an array of samples in V (which the description of a pipeline does not include)."
        ) from error
    return raw._data, list(raw.ch_names), float(raw.info["sfreq"])
