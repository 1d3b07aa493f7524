"""The recording before and after a run, read window by window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import PipelineResult, ProcessingContext, get_processor
from facet_nb.core.errors import FacetError
from facet_nb.core.recording import channel_kinds, find_samples

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True, eq=False)
class Pair:
    """The recording before and after a run; samples that are in files stay there.

    Attributes
    ----------
    context : ProcessingContext | None
        The result, or the last good context of a run that failed.
    before, after : mne.io.BaseRaw | None
        The recordings; None if they are neither in memory nor in a file that is still there.
    source, target : str
        Files that they were read from and written to; empty if there are none.
    """

    context: ProcessingContext | None
    before: mne.io.BaseRaw | None
    after: mne.io.BaseRaw | None
    source: str = ""
    target: str = ""

    @classmethod
    def of(cls, result: PipelineResult) -> Pair:
        """Return the recordings of a result.

        A result without samples (``map(keep_raw=False)``) names its files in the history: their
        headers are read, and later the windows that are shown.
        """
        context = result.context or result.last_context
        if context is None:
            return cls(None, None, None)
        history = context.get_history()
        loaders = [s for s in history if s.name in ("auto_loader", "bids_loader")]
        writers = [s for s in history if s.processor_type.endswith("Exporter")]
        source = str(loaders[-1].parameters.get("path", "")) if loaders else ""
        target = str(writers[-1].parameters.get("path", "")) if writers else ""
        after = context.get_raw() if context.has_raw() else _open(target, {})
        before = context.get_raw_original()
        if before is None and loaders:
            before = _open(source, dict(loaders[-1].parameters))
        if not source and before is not None and before.filenames[0] is not None:
            source = str(before.filenames[0])
        return cls(context, before, after, source, target)

    @property
    def versions(self) -> tuple[str, ...]:
        """The recordings to compare: only ``"after"`` if there is one, or nothing was changed."""
        changed = self.before is not None and self.before is not self.after
        return ("before", "after") if changed else ("after",)

    @property
    def in_memory(self) -> bool:
        """Whether all samples are in memory, so that no file has to be read."""
        raws = [raw for raw in (self.before, self.after) if raw is not None]
        return all(raw.preload or find_samples(raw) is not None for raw in raws)

    @property
    def sfreq(self) -> float:
        """Sampling rate of the result, in Hz."""
        return 0.0 if self.after is None else float(self.after.info["sfreq"])

    @property
    def begin_s(self) -> float:
        """Start of the result, in s from the start of the recording before."""
        return 0.0 if self.after is None else self._find_offset_s(self.after)

    @property
    def duration_s(self) -> float:
        """Duration of the result, in s."""
        return 0.0 if self.after is None else self.after.n_times / self.sfreq

    @property
    def channels(self) -> list[str]:
        """Names of the electrodes that are in both recordings and not bad."""
        if self.after is None:
            return []
        kinds = zip(self.after.ch_names, channel_kinds(self.after), strict=True)
        known = self.after.ch_names if self.before is None else self.before.ch_names
        good = [name for name, kind in kinds if kind == "data" and name in known]
        types = dict(zip(self.after.ch_names, self.after.get_channel_types(), strict=True))
        eeg = [name for name in good if types[name] == "eeg"]
        return eeg or good

    @property
    def triggers_s(self) -> np.ndarray:
        """Triggers that the run used, in s from the start of the recording before."""
        triggers = None if self.context is None else self.context.get_triggers()
        if triggers is None or not self.sfreq:
            return np.zeros(0)
        return self.begin_s + np.asarray(triggers, dtype=float) / self.sfreq

    def _find_offset_s(self, raw: mne.io.BaseRaw) -> float:
        original = self.before
        if original is None or raw is original:
            return 0.0
        first_s = original.first_samp / float(original.info["sfreq"])
        return float(raw.first_samp / float(raw.info["sfreq"]) - first_s)

    def read(
        self, which: str, channels: list[str], begin_s: float, duration_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return times (s from the start of the recording before) and samples (V) of a window.

        Parameters
        ----------
        which : {"before", "after"}
            The recording.
        channels : list of str
            Names.
        begin_s, duration_s : float
            The window, in s; what is outside of the recording is left out.

        Returns
        -------
        times_s : ndarray, shape (n_times,)
            Times of the samples.
        values_v : ndarray, shape (n_channels, n_times)
            Samples, in V.
        """
        raw: Any = getattr(self, which)
        sfreq, offset_s = float(raw.info["sfreq"]), self._find_offset_s(raw)
        start = min(max(round((begin_s - offset_s) * sfreq), 0), raw.n_times)
        stop = min(max(start + round(duration_s * sfreq), 0), raw.n_times)
        rows = [raw.ch_names.index(name) for name in channels]
        values = raw.get_data(picks=rows, start=start, stop=stop, verbose="error")
        return offset_s + np.arange(start, stop) / sfreq, np.asarray(values, dtype=float)


def _open(path: str, parameters: dict[str, Any]) -> Any:
    """Return the recording in a file without loading it, or None if it cannot be read."""
    if not path or not Path(path).is_file():
        return None
    loader: Any = get_processor("auto_loader")
    known = ("bad_channels", "start_sample", "stop_sample", "anonymize")
    options = {name: parameters[name] for name in known if name in parameters}
    try:
        return loader(path, preload=False, **options).process(ProcessingContext()).get_raw()
    except FacetError:
        return None  # the page then says that there are no samples
