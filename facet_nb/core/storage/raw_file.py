"""A recording whose samples are stored in a scratch file as float32, and read on demand."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np

from facet_nb.core.storage.arrays import RamArray
from facet_nb.core.storage.row_io import open_rows
from facet_nb.core.storage.scratch import find_file


class _Samples:
    """Mapped samples that copies of a recording share."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __deepcopy__(self, memo: dict[int, Any]) -> _Samples:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A pickle gets the samples themselves: the file is deleted with this process.
        return {"array": np.array(self.array)}


class RawFile(mne.io.BaseRaw):  # type: ignore[misc]  # MNE ships no type information
    """A recording in a scratch file, read piece by piece as float64.

    Parameters
    ----------
    held : _Samples
        Mapped samples, float32, in V.
    info : mne.Info
        The header.
    first_samp : int
        Sample number of the first sample.
    """

    def __init__(self, held: _Samples, info: Any, first_samp: int) -> None:
        super().__init__(
            info,
            preload=False,
            first_samps=[first_samp],
            last_samps=[first_samp + held.array.shape[1] - 1],
            filenames=[None],
            raw_extras=[{"samples": held, "first_samp": first_samp}],
            orig_format="single",
            verbose="error",
        )
        self._cals: np.ndarray = np.ones(len(held.array))  # the samples are in V

    @classmethod
    def of(cls, samples: np.ndarray, info: Any, first_samp: int) -> RawFile:
        """Return the recording of mapped samples, shape (n_channels, n_times), in V."""
        return cls(_Samples(samples), info, first_samp)

    @property
    def samples(self) -> np.ndarray | None:
        """The mapped samples, shape (n_channels, n_times), in V; not to be written to.

        None if the recording is loaded, contains only some of them, or is to be projected.
        """
        if self.preload or self._projector is not None or len(self._raw_extras) != 1:
            return None
        samples = self._raw_extras[0]["samples"].array
        whole = samples.shape == (len(self.ch_names), self.n_times)
        in_order = np.array_equal(self._read_picks[0], np.arange(len(samples)))
        return samples if whole and in_order else None

    def _read_segment_file(
        self,
        data: np.ndarray,
        idx: Any,
        fi: int,
        start: int,
        stop: int,
        cals: np.ndarray,
        mult: np.ndarray | None,
    ) -> None:
        """Read for MNE: samples `start` to `stop` of channels `idx` into `data`."""
        held = self._raw_extras[fi]
        samples, first = held["samples"].array, held["first_samp"]
        start, stop = start - first, stop - first
        everything = range(len(samples))
        rows = everything if mult is not None else np.arange(len(samples))[idx]
        x = data if mult is None else np.empty((len(rows), stop - start))
        ref = find_file(samples)
        with open_rows(RamArray(samples) if ref is None else ref) as find_row:
            for target, row in zip(x, rows, strict=True):
                target[:] = find_row(int(row)).read(start, stop)
        if mult is not None:  # projections, which combine all channels
            data[:] = mult @ x
