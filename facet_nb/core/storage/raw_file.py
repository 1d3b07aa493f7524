"""Recordings whose samples are read on demand, such as those in a scratch file."""

from __future__ import annotations

import sys
from typing import Any

import mne
import numpy as np

from facet_nb.core.storage.arrays import RamArray
from facet_nb.core.storage.row_io import open_rows
from facet_nb.core.storage.scratch import find_file


class RawOnDemand(mne.io.BaseRaw):  # type: ignore[misc]  # MNE ships no type information
    """A recording whose samples are read when MNE asks for them.

    Parameters
    ----------
    samples : object
        What reads them; copies of the recording share it. It has ``shape``, the method
        ``read_into(out, rows, start, stop)`` (float64, in V), and ``at_once``, the largest number
        of values of a read.
    info : mne.Info
        The header.
    first_samp : int
        Sample number of the first sample.
    """

    def __init__(
        self, samples: Any, info: Any, first_samp: int, orig_format: str = "double"
    ) -> None:
        super().__init__(
            info,
            preload=False,
            first_samps=[first_samp],
            last_samps=[first_samp + samples.shape[1] - 1],
            filenames=[None],
            raw_extras=[{"samples": samples, "first_samp": first_samp}],
            orig_format=orig_format,
            verbose="error",
        )
        self._cals: np.ndarray = np.ones(samples.shape[0])  # the samples are in V

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
        # `self` may be MNE's stand-in, which has nothing but `_raw_extras`.
        held = self._raw_extras[fi]
        samples, first = held["samples"], held["first_samp"]
        every = np.arange(samples.shape[0])
        rows = every if mult is not None else every[idx]
        most = max(1, samples.at_once // max(len(rows), 1))
        for begin in range(start, stop, most):
            end = min(begin + most, stop)
            target = data[:, begin - start : end - start]
            x = target if mult is None else np.empty((len(rows), end - begin))
            samples.read_into(x, rows, begin - first, end - first)
            if mult is not None:
                target[:] = mult @ x  # projections combine all channels


class _Samples:
    """Mapped samples that copies of a recording share."""

    at_once = sys.maxsize

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def read_into(self, out: np.ndarray, rows: np.ndarray, start: int, stop: int) -> None:
        """Write samples of some channels to `out`, shape (n_channels, stop - start), in V."""
        ref = find_file(self.array)
        with open_rows(RamArray(self.array) if ref is None else ref) as find_row:
            for target, row in zip(out, rows.tolist(), strict=True):
                target[:] = find_row(row).read(start, stop)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Samples:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle gets the samples themselves: the file is deleted with this process.
        return _Samples, (np.array(self.array),)


class RawFile(RawOnDemand, mne.io.BaseRaw):  # type: ignore[misc]  # MNE looks for BaseRaw here
    """A recording in a scratch file as float32, read piece by piece as float64."""

    @classmethod
    def of(cls, samples: np.ndarray, info: Any, first_samp: int) -> RawFile:
        """Return the recording of mapped samples, shape (n_channels, n_times), in V."""
        return cls(_Samples(samples), info, first_samp, "single")

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
