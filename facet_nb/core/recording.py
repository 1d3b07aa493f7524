"""What an MNE recording is to us: which rows are data, and how rows become a recording again.

Nothing here imports MNE before it is needed, so that worker processes stay small.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.errors import ValidationError
from facet_nb.kernels.triggers.evidence import choose_reference

if TYPE_CHECKING:
    pass


MB = 10**6

#: Pieces in which recordings in files are worked on, and their copies.
_PIECES = 32 * MB


@dataclass(frozen=True)
class Shape:
    """Size of a recording: channels, of which `n_data` are processed, samples, and rate in Hz."""

    n_channels: int
    n_data: int
    n_times: int
    sfreq: float

    @property
    def n_bytes(self) -> int:
        """Bytes of all samples."""
        return 8 * self.n_channels * self.n_times

    @property
    def row_bytes(self) -> int:
        """Bytes of one channel."""
        return 8 * self.n_times

    @property
    def piece_bytes(self) -> int:
        """Bytes of the pieces in which it is worked on in a file, with their copies."""
        return min(_PIECES, 3 * self.n_bytes)

    @classmethod
    def of(cls, raw: Any) -> Shape:
        """Return the shape of `raw`."""
        n_data = max(1, len(recording.data_picks(raw)))
        return cls(len(raw.ch_names), n_data, int(raw.n_times), float(raw.info["sfreq"]))


#: Channel types that hold electrode signals: the scanner's artifact is in all of them.
DATA_TYPES = ("eeg", "eog", "ecg", "emg", "bio", "seeg", "ecog", "dbs")

#: Annotations of this description mark spans without artifact that metrics compare with.
REFERENCE_SPAN = "REFERENCE"


def channel_kinds(raw: Any) -> list[str]:
    """Return ``"data"``, ``"bad"``, ``"stim"`` or ``"other"`` for each channel of `raw`."""
    bads = set(raw.info["bads"])
    kinds = []
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        if kind in DATA_TYPES:
            kinds.append("bad" if name in bads else "data")
        else:
            kinds.append("stim" if kind == "stim" else "other")
    return kinds


def data_picks(raw: Any) -> np.ndarray:
    """Return the indices of the good data channels (electrodes that are not in ``bads``)."""
    return np.array([i for i, kind in enumerate(channel_kinds(raw)) if kind == "data"], dtype=int)


def find_channel(wanted: int | str, raw: Any) -> int:
    """Return the row of a channel given by name or position."""
    if isinstance(wanted, str):
        if wanted in raw.ch_names:
            return int(raw.ch_names.index(wanted))
    elif 0 <= int(wanted) < len(raw.ch_names):
        return int(wanted)
    raise ValidationError(
        f"ref_channel={wanted!r} is not in the recording: use a name ({', '.join(raw.ch_names[:5])}"
        f"{', …' if len(raw.ch_names) > 5 else ''}) or a position below {len(raw.ch_names)}."
    )


def find_references(
    processors: Iterable[Any], raw: Any, picks: np.ndarray, data: np.ndarray, metadata: Any
) -> tuple[int, ...]:
    """Return the row of each processor's reference channel.

    It is the channel that the processor asks for (``ref_channel``), otherwise the first good EEG
    channel, otherwise the first of `picks`, the good data channels. A channel without the artifact
    gives way to the one in which it stands out most. That is decided once, by the first stage that
    has triggers, and kept in ``metadata.ref_channel``: later stages of one mode are in the middle
    of a stage of another, and must not decide anew.
    """
    types, first = raw.get_channel_types(), int(picks[0])
    if "eeg" in (good := list(map(types.__getitem__, picks))):
        picks = picks[np.array(good) == "eeg"]
        first = int(picks[0])
    if metadata.ref_channel is not None:
        if metadata.ref_channel in (names := list(raw.ch_names)):
            row = names.index(metadata.ref_channel)
            first = row if row in picks else first
    elif metadata.triggers is not None and len(metadata.triggers) > 3:
        length = metadata.artifact_length or int(np.median(np.diff(metadata.triggers)))
        first = choose_reference(data, picks, first, metadata.triggers, length)
        metadata.ref_channel = raw.ch_names[first]
    rows = []
    for processor in processors:
        wanted = getattr(processor, "ref_channel", None)
        rows.append(first if wanted is None else find_channel(wanted, raw))
    return tuple(rows)


def load_array(raw: Any) -> np.ndarray:
    """Return the samples of `raw` in V, shape (n_channels, n_times), without a copy if loaded."""
    if raw.preload:
        return raw._data
    return raw.get_data()


def find_samples(raw: Any) -> np.ndarray | None:
    """Return the mapped float32 samples of a recording that a run left in a file; None else."""
    samples = getattr(raw, "samples", None)
    return samples if isinstance(samples, np.ndarray) else None


def open_array(raw: Any) -> np.ndarray:
    """Return :func:`find_samples`, else :func:`load_array`."""
    samples = find_samples(raw)
    return load_array(raw) if samples is None else samples


def resolve_picks(
    picks: str | Sequence[str] | Sequence[int] | None,
    info: Any,
    types: tuple[str, ...] | None = None,
) -> set[int]:
    """Return rows chosen by names, positions or channel types.

    Raises
    ------
    ValidationError
        If a name or type is not in the recording.
    """
    names, kinds = list(info["ch_names"]), info.get_channel_types()
    everything = {i for i, kind in enumerate(kinds) if types is None or kind in types}
    if picks is None or (isinstance(picks, str) and picks in ("all", "data")):
        return everything
    chosen: set[int] = set()
    for pick in [picks] if isinstance(picks, (str, int)) else picks:
        if isinstance(pick, str):
            found = {i for i, (n, k) in enumerate(zip(names, kinds, strict=True)) if pick in (n, k)}
        else:
            found = {int(pick)} & set(range(len(names)))
        if not found:
            raise ValidationError(
                f"picks: {pick!r} is neither a channel nor a channel type of the recording "
                f"({', '.join(names[:6])}{', …' if len(names) > 6 else ''})."
            )
        chosen |= found
    return chosen & everything


@dataclass(frozen=True)
class Header:
    """All of a recording but its samples.

    Attributes
    ----------
    info : mne.Info
        MNE's header; not changed by us.
    first_samp : int
        Sample number of the first sample, at ``info["sfreq"]``.
    annotations : mne.Annotations
        With onsets in s from the start of the recorder (or from ``orig_time``).
    n_times : int | None
        Number of samples that the annotations were cropped to.
    """

    info: Any
    first_samp: int
    annotations: Any
    n_times: int | None = None

    @classmethod
    def of(cls, raw: Any) -> Header:
        """Return the header of `raw`."""
        return cls(raw.info, int(raw.first_samp), raw.annotations, int(raw.n_times))

    def attach(
        self,
        data: np.ndarray,
        *,
        sfreq: float | None = None,
        first_samp: int | None = None,
        picks: Sequence[int] | None = None,
        band: tuple[float, float] | None = None,
    ) -> Any:
        """Return a recording with this header and other samples.

        Annotations, measurement date, bad channels, positions and filter information are kept;
        the samples are not copied.

        Parameters
        ----------
        data : ndarray, shape (n_channels, n_times)
            Samples, in V; float32 ones, which MNE does not hold, are read from where they are.
        sfreq : float | None
            Sampling rate, in Hz; None for the header's.
        first_samp : int | None
            Sample number of the first sample, at `sfreq`; None for the header's.
        picks : sequence of int | None
            Channels of the header that `data` holds; None for all.
        band : tuple (highpass, lowpass) | None
            New entries of ``info``, in Hz.

        Returns
        -------
        mne.io.BaseRaw
            The recording; it refers to `data`.
        """
        import mne

        sfreq = float(self.info["sfreq"]) if sfreq is None else float(sfreq)
        first = self.first_samp if first_samp is None else int(first_samp)
        with _mne:
            if picks is None:
                info = self.info.copy()
            else:
                info = mne.pick_info(self.info, list(picks), copy=True)
            with info._unlock():
                info["sfreq"] = sfreq
                if band is not None:
                    info["highpass"], info["lowpass"] = map(float, band)
                info["lowpass"] = min(info["lowpass"], sfreq / 2.0)
            if data.dtype == np.float32:
                from facet_nb.core.storage.raw_file import RawFile

                raw = RawFile.of(data, info, first)
            else:
                raw = mne.io.RawArray(data, info, first_samp=first, copy="auto", verbose="error")
        if self.annotations is not None and len(self.annotations):
            annotations = copy_annotations(self.annotations)
            times = sfreq, first, data.shape[1]
            if picks is None and times == (self.info["sfreq"], self.first_samp, self.n_times):
                raw._annotations = annotations  # nothing to crop or to shift: MNE takes 25 ms
                return raw
            if annotations.orig_time is None:
                annotations.onset = annotations.onset - first / sfreq
            raw.set_annotations(annotations, emit_warning=False, on_missing="ignore")
        return raw


def copy_annotations(annotations: Any) -> Any:
    """Return a copy, through a pickle: a tenth of the time of MNE's own."""
    return pickle.loads(pickle.dumps(annotations))


class ChannelHeaders:
    """Headers of single channels, made quickly one after another.

    MNE takes 15 ms to attach 840 annotations, most of it copying; from the second channel on they
    come from a pickle of the first one's (1 ms).

    Parameters
    ----------
    header : Header
        Header of the whole recording.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self._bare = replace(header, annotations=None)
        self._pickled: tuple[int, bytes] | None = None
        of_channels = any(header.annotations.ch_names) if len(header.annotations) else False
        self._same = not of_channels

    def attach(self, data: np.ndarray, channel: int, **shape: Any) -> Any:
        """Return a recording of one channel; `shape` as in :meth:`Header.attach`, always alike."""
        n_times = data.shape[1]
        if self._pickled is not None and self._pickled[0] == n_times:
            raw = self._bare.attach(data, picks=[channel], **shape)
            raw._annotations = pickle.loads(self._pickled[1])
            return raw
        raw = self.header.attach(data, picks=[channel], **shape)
        if self._same:
            self._pickled = (n_times, pickle.dumps(raw.annotations))
        return raw


#: Held while MNE works on what threads share: checking an ``Info`` unlocks it for a moment, and
#: ``verbose=`` sets the level of the one logger.
_mne = threading.Lock()


def _renew_lock() -> None:
    global _mne
    _mne = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def replace_data(raw: Any, data: np.ndarray) -> Any:
    """Return a recording like `raw` with other samples of the same shape, in V."""
    return Header.of(raw).attach(data)
