"""Summary of a recording: size, channels and events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facet_nb.core import ProcessingContext
from facet_nb.core.recording import channel_kinds
from facet_nb.preprocessing.triggers import read_annotations, read_stim_codes

if TYPE_CHECKING:
    import mne

_LISTED = 30


@dataclass(frozen=True)
class RecordingSummary:
    """Size, channels and events of a recording.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of the recording.
    sfreq : float
        Sampling rate, in Hz.
    types : tuple of (str, int)
        Channel types and their numbers of channels.
    bads : tuple of str
        Names of bad channels.
    events : tuple of (str, int)
        Descriptions of annotations and codes of stim channels, with their counts.
    """

    n_channels: int
    n_times: int
    sfreq: float
    types: tuple[tuple[str, int], ...]
    bads: tuple[str, ...]
    events: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, context: ProcessingContext) -> RecordingSummary:
        """Return the summary of the recording in `context`."""
        raw = context.get_raw()
        types = Counter(raw.get_channel_types()).most_common()
        return cls(
            len(raw.ch_names),
            int(raw.n_times),
            float(raw.info["sfreq"]),
            tuple(types),
            tuple(raw.info["bads"]),
            tuple(_count_events(raw)),
        )

    @property
    def duration_s(self) -> float:
        """Duration, in s."""
        return self.n_times / self.sfreq

    @property
    def memory_bytes(self) -> int:
        """Size of the samples as float64, in bytes."""
        return 8 * self.n_channels * self.n_times

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values as text."""
        types = ", ".join(f"{n} {kind}" for kind, n in self.types)
        size = f"{self.duration_s:.1f} s, {self.n_times} samples at {self.sfreq:g} Hz"
        rows = [
            ("Channels", f"{self.n_channels} ({types})"),
            ("Length", size),
            ("In memory", f"{self.memory_bytes / 1e6:.1f} MB (float64)"),
        ]
        if self.bads:
            rows.append(("Bad channels", ", ".join(self.bads)))
        return rows


def _count_events(raw: mne.io.BaseRaw) -> list[tuple[str, int]]:
    counts = Counter(text for _, text in read_annotations(raw))
    if "stim" in channel_kinds(raw) or "stim" in raw.get_channel_types():
        for events in read_stim_codes(raw).values():
            counts.update(str(code) for _, code in events)
    return counts.most_common(_LISTED)
