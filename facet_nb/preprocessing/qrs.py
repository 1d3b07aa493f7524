"""Detect heartbeats as triggers, for the correction of the pulse artifact."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, FindingError, make_finding
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.recording import find_channel, kind_of
from facet_nb.core.registry import register_processor
from facet_nb.core.samples import check_finite
from facet_nb.kernels.means import average_blocks
from facet_nb.kernels.triggers.spacing import acquisition_span, find_best_match
from facet_nb.preprocessing.triggers import Found, TriggerStep

if TYPE_CHECKING:
    import mne

SOURCES = ("auto", "ecg", "eeg")
_SHORTEST_S = 4.0
#: Half width of the QRS complex for comparing beats, in s.
_QRS_S = 0.1
#: Intervals longer than this many median intervals are searched for missed beats.
_LONG = 1.5
#: Largest distance of a missed beat from its expected position, in median intervals.
_REACH = 0.33
#: Lowest correlation of a missed beat with the median beat, and lowest relative amplitude.
_ALIKE, _AS_LARGE = 0.6, 0.4

#: The ECG is averaged to this rate or up to twice as much, which resolves a QRS complex: neurokit2
#: then takes a tenth of its time at 5 kHz. Peaks are interpolated back to samples.
_RATE_HZ = 500.0


@register_processor
class QRSTriggerDetector(TriggerStep):
    """Detect heartbeats and use them as triggers.

    R peaks of the ECG are found by neurokit2 [1]_ if it is installed (``pip install
    facet-nb[ecg]``), and otherwise by :func:`mne.preprocessing.find_ecg_events`. Intervals longer
    than 1.5 medians are searched for missed beats, which must resemble the median beat: with a
    correlation of at least 0.6 and at least 0.4 of its amplitude.

    The pulse artifact in the EEG tells whether they are right: beats and mean artifact are found
    there in turns, without the ECG
    (:func:`facet_nb.kernels.pulse.eeg_beats.find_eeg_beats`). R peaks without artifact are left
    out and missed ones added. If ECG and EEG agree on less than 90 % of the beats, or there is no
    ECG, the beats are those of the EEG. A finding tells of each case. If the EEG shows
    no clear pulse artifact, or still holds the gradient artifact, the R peaks stay as they are.

    The metadata gets ``triggers`` (the R peaks, in samples), ``trigger_regex="QRS"``,
    ``artifact_length`` (half the median interval between beats) and
    ``artifact_to_trigger_offset`` (the artifact is centred on its trigger). The history gets the
    channel, the method and the number of beats.

    Parameters
    ----------
    save_to_annotations : bool
        Add an annotation ``QRS`` at each beat.
    ecg_channel : str | int | None
        Name or position of the ECG; by default the first channel of type ``ecg``, else the first
        whose name contains ECG or EKG.
    source : {"auto", "ecg", "eeg"}
        ``"auto"``: the ECG, supported by the EEG, or the EEG alone if there is no ECG. ``"ecg"``:
        the ECG alone. ``"eeg"``: the EEG alone.

    References
    ----------
    .. [1] Makowski D et al. (2021) NeuroKit2: a Python toolbox for neurophysiological signal
       processing. Behav Res Methods 53, 1689-1696. doi:10.3758/s13428-020-01516-y
    """

    name = "qrs_trigger_detector"
    description = "Detect heartbeats in the ECG or the EEG"

    def __init__(
        self,
        save_to_annotations: bool = False,
        ecg_channel: str | int | None = None,
        source: str = "auto",
    ) -> None:
        self.save_to_annotations = save_to_annotations
        self.ecg_channel = ecg_channel
        self.source = source

    def find(self, context: ProcessingContext) -> Found:
        if self.source not in SOURCES:
            raise ValidationError(f"source={self.source!r}: use one of {', '.join(SOURCES)}.")
        raw = context.get_raw()
        notes: dict[str, Any] = {}
        findings: list[Finding] = []
        row = None if self.source == "eeg" else _find_ecg(raw, self.ecg_channel)
        if row is None and self.source == "ecg":
            raise ValidationError(_describe_missing(raw))
        if row is None:
            beats = _find_in_eeg(raw, self.source)
            notes = {"ecg_channel": None, "method": "eeg", "n_triggers": len(beats)}
            findings.append(make_finding("beats_from_eeg", f"{len(beats)} beats were found."))
        else:
            beats, notes = _find_in_ecg(raw, row)
            findings += self._tell_bad(raw, row)
            if self.source == "auto":
                beats, told, more = _support(raw, beats)
                notes, findings = {**notes, **told, "n_triggers": len(beats)}, findings + more
        return Found(_describe_beats(context.metadata, beats, raw), notes, tuple(findings))

    def _tell_bad(self, raw: mne.io.BaseRaw, row: int) -> list[Finding]:
        name = raw.ch_names[row]
        if name not in raw.info["bads"]:
            return []
        detail = f"{name} is the only ECG." if self.ecg_channel is None else f"{name} is used."
        return [make_finding("ecg_marked_bad", detail, channels=[name])]


def _find_in_ecg(raw: mne.io.BaseRaw, row: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the R peaks of an ECG, and notes about them."""
    sfreq, name = float(raw.info["sfreq"]), raw.ch_names[row]
    ecg = raw.get_data(picks=[row])[0]
    check_finite(ecg[np.newaxis], [name])
    if len(ecg) < _SHORTEST_S * sfreq or np.ptp(ecg) == 0:
        what = "flat" if len(ecg) and np.ptp(ecg) == 0 else "too short"
        raise ValidationError(
            f"QRSTriggerDetector: the ECG ({name}) is {what}; at least {_SHORTEST_S:g} s with "
            "heartbeats are needed. Choose another channel with ecg_channel=…, or the EEG with "
            "source='eeg'."
        )
    peaks, method = find_beats(ecg, sfreq, name)
    beats = fill_long_intervals(ecg, peaks, sfreq)
    if len(beats) < 2:
        raise ValidationError(
            f"QRSTriggerDetector: {len(beats)} heartbeats found in {name}. Check the channel "
            "(remove the gradient artifact first), or choose another with ecg_channel=…, or the "
            "EEG with source='eeg'."
        )
    notes = {"ecg_channel": name, "method": method, "n_triggers": len(beats)}
    return beats, {**notes, "n_filled": len(beats) - len(peaks)}


def _find_in_eeg(raw: mne.io.BaseRaw, source: str) -> np.ndarray:
    """Return the R peaks that the pulse artifact in the EEG tells."""
    from facet_nb.preprocessing.eeg_support import EEGPulse

    pulse = EEGPulse(raw)
    said = "QRSTriggerDetector:" if source == "eeg" else _describe_missing(raw)
    if pulse.has_gradient:
        raise FindingError(make_finding("gradient_left", f"{said} The EEG is uncorrected."))
    peaks = pulse.find_peaks()
    if peaks is None:
        raise ValidationError(
            f"{said} The EEG shows no clear pulse artifact, from which beats could be found (at "
            "least 30 s are needed)."
        )
    return peaks


def _support(
    raw: mne.io.BaseRaw, peaks: np.ndarray
) -> tuple[np.ndarray, dict[str, Any], list[Finding]]:
    """Return the R peaks that the EEG supports, notes, and a finding if they changed."""
    from facet_nb.preprocessing.eeg_support import EEGPulse

    found = EEGPulse(raw).support(peaks)
    if found is None:
        return peaks, {}, []
    beats, told = found
    n_false, n_added = int(np.sum(~told.kept)), len(told.added)
    notes: dict[str, Any] = {
        "supported": round(told.share, 3),
        "n_false": n_false,
        "n_added": n_added,
    }
    if not n_false and not n_added:
        return peaks, notes, []
    supported = f"ECG and EEG agree on {100 * told.share:.0f} % of {len(peaks)} beats"
    if told.is_noisy:
        return beats, notes, [make_finding("ecg_noisy", f"{supported}.", **notes)]
    detail = f"{supported}: {n_false} were left out and {n_added} added."
    return beats, notes, [make_finding("beats_corrected", detail, **notes)]


def find_beats(ecg: np.ndarray, sfreq: float, name: str = "ECG") -> tuple[np.ndarray, str]:
    """Return R peaks, and the method that found them.

    Parameters
    ----------
    ecg : ndarray, shape (n_times,)
        Electrocardiogram, in V; either polarity.
    sfreq : float
        Sampling rate, in Hz.
    name : str
        Name of the channel.

    Returns
    -------
    peaks : ndarray of int, shape (n_beats,)
        Positions, in samples.
    method : {"neurokit2", "mne"}
        The method.
    """
    try:
        import neurokit2
    except ImportError:
        return _find_with_mne(ecg, sfreq, name), "mne"
    n_mean = max(1, int(sfreq // _RATE_HZ))
    small, rate = average_blocks(ecg, n_mean), sfreq / n_mean
    clean = neurokit2.ecg_clean(small, sampling_rate=rate)
    if is_inverted(clean, rate):
        clean = neurokit2.ecg_clean(2 * small.mean() - small, sampling_rate=rate)
    peaks = neurokit2.ecg_findpeaks(clean, sampling_rate=rate)["ECG_R_Peaks"]
    peaks = np.unique(np.asarray(peaks, dtype=np.int64))
    return peaks if n_mean == 1 else _interpolate_peaks(clean, peaks, n_mean, len(ecg)), "neurokit2"


def _interpolate_peaks(
    clean: np.ndarray, peaks: np.ndarray, n_mean: int, n_times: int
) -> np.ndarray:
    """Return peaks in samples, interpolated with a parabola through three means."""
    inner = np.clip(peaks, 1, len(clean) - 2)
    before, top, after = clean[inner - 1], clean[inner], clean[inner + 1]
    bend = before - 2 * top + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros(len(peaks)), where=bend < 0)
    middle = (inner + np.clip(shift, -1, 1)) * n_mean + (n_mean - 1) / 2
    return np.unique(np.clip(np.rint(middle), 0, n_times - 1).astype(np.int64))


def is_inverted(clean: np.ndarray, sfreq: float) -> bool:
    """Return whether the largest deflection of most windows of 2 s points downwards.

    This is the rule of ``neurokit2.ecg_invert``, which uses the window around each sample and needs
    24 GB for a minute at 5 kHz. Here a window begins every half second.

    Parameters
    ----------
    clean : ndarray, shape (n_times,)
        Filtered electrocardiogram.
    sfreq : float
        Sampling rate, in Hz.
    """
    x = clean - clean.mean()
    window = min(len(x), int(2 * sfreq))
    stretches = np.lib.stride_tricks.sliding_window_view(x, window)[:: max(1, window // 4)]
    largest = [stretch[np.argmax(np.abs(stretch))] for stretch in stretches]
    return bool(np.median(largest) < 0)


def _find_with_mne(ecg: np.ndarray, sfreq: float, name: str) -> np.ndarray:
    import mne

    info = mne.create_info([name], sfreq, ["ecg"])
    raw = mne.io.RawArray(ecg[np.newaxis], info, copy="both", verbose="error")
    events = mne.preprocessing.find_ecg_events(raw, ch_name=name, verbose="error")[0]
    return np.unique(events[:, 0].astype(np.int64))


def fill_long_intervals(ecg: np.ndarray, peaks: np.ndarray, sfreq: float) -> np.ndarray:
    """Return `peaks` with the beats that were missed.

    Parameters
    ----------
    ecg : ndarray, shape (n_times,)
        Electrocardiogram.
    peaks : ndarray of int, shape (n_beats,)
        R peaks, in samples.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    ndarray of int, shape (n_beats_after,)
        R peaks, in samples.
    """
    half = round(_QRS_S * sfreq)
    whole = peaks[(peaks >= half) & (peaks + half < len(ecg))]
    if len(whole) < 3:
        return peaks
    beat = np.median(ecg[whole[:, np.newaxis] + np.arange(-half, half + 1)], axis=0)
    usual = float(np.median(np.diff(peaks)))
    found: list[int] = []
    for before, after in pairwise(peaks):
        if after - before <= _LONG * usual:
            continue
        n = max(2, round((after - before) / usual))
        for place in np.linspace(before, after, n + 1)[1:-1]:
            start, r = find_best_match(ecg, beat, round(place) - half, round(_REACH * usual))
            size = r * np.std(ecg[start : start + len(beat)]) / np.std(beat)
            if r >= _ALIKE and size >= _AS_LARGE:
                found.append(start + half)
    return np.union1d(peaks, np.array(found, dtype=np.int64))


def _find_ecg(raw: mne.io.BaseRaw, wanted: str | int | None) -> int | None:
    """Return the row of the ECG; None if there is none."""
    if wanted is not None:
        return find_channel(wanted, raw)
    types = raw.get_channel_types()
    found = [i for i, n in enumerate(raw.ch_names) if kind_of(n, types[i]) == "ecg"]
    bads = set(raw.info["bads"])

    def rank(i: int) -> tuple[bool, bool, int]:
        return raw.ch_names[i] in bads, types[i] != "ecg", i

    # Of several, a channel of the type, and one that is not marked bad.
    return min(found, key=rank, default=None)


def _describe_missing(raw: mne.io.BaseRaw) -> str:
    shown = ", ".join(raw.ch_names[:8]) + (", …" if len(raw.ch_names) > 8 else "")
    return (
        "QRSTriggerDetector: there is no ECG, neither a channel of type ecg nor one with ECG or "
        f"EKG in its name (channels: {shown}). Set it with raw.set_channel_types({{'NAME': "
        "'ecg'}) or ecg_channel='NAME'."
    )


def _describe_beats(
    metadata: ProcessingMetadata, beats: np.ndarray, raw: mne.io.BaseRaw
) -> ProcessingMetadata:
    """Return the metadata with beats as triggers."""
    sfreq = float(raw.info["sfreq"])
    length = int(np.median(np.diff(beats))) // 2
    custom = dict(metadata.custom)
    if metadata.triggers is not None and metadata.trigger_regex != "QRS":
        # In s of the recorder's clock: later steps may crop or resample.
        start_s = raw.first_samp / sfreq
        custom["scanner_times_s"] = (metadata.triggers / sfreq + start_s).tolist()
        custom["scanner_start_s"] = start_s
    start, stop = acquisition_span(beats, length, -(length // 2), raw.n_times)
    return metadata.updated(
        triggers=beats,
        trigger_regex="QRS",
        artifact_length=length,
        artifact_to_trigger_offset=-length / (2.0 * sfreq),
        volume_gaps=False,
        slices_per_volume=None,
        acq_start_sample=start,
        acq_end_sample=stop - 1,
        custom=custom,
    )
