"""A recording whose samples are computed when MNE reads them."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np

from facet_nb.core.errors import check_extra

#: Largest number of values that are handed to MNE at once: 64 MB.
_VALUES = 1 << 23


class LazyRaw(mne.io.BaseRaw):  # type: ignore[misc]  # MNE ships no type information
    """A corrected recording, computed where it is read; see ``Pipeline.lazy``.

    It is an MNE ``Raw`` with ``preload=False``: ``get_data``, indexing, ``crop``, ``pick``,
    ``save``, ``compute_psd``, :class:`mne.Epochs` and :func:`mne.concatenate_raws` read windows of
    it. Methods that change samples need ``load_data()`` first, as those of any such recording.

    Parameters
    ----------
    samples : LazySamples
        What computes the samples; copies of the recording share it.
    info : mne.Info
        The header.
    first_samp : int
        Sample number of the first sample.
    """

    def __init__(self, samples: Any, info: Any, first_samp: int) -> None:
        super().__init__(
            info,
            preload=False,
            first_samps=[first_samp],
            last_samps=[first_samp + samples.shape[1] - 1],
            filenames=[None],
            raw_extras=[{"samples": samples, "first_samp": first_samp}],
            orig_format="double",
            verbose="error",
        )
        self._cals: np.ndarray = np.ones(samples.shape[0])  # the samples are in V

    def describe_steps(self) -> Any:
        """Return how each step is computed, as a table: ``step``, ``how``, ``why``."""
        check_extra("tables", "pandas")
        import pandas as pd

        rows = self._raw_extras[0]["samples"].describe()
        return pd.DataFrame(rows, columns=["step", "how", "why"])

    @property
    def cache_bytes(self) -> int:
        """Bytes that the cache holds now."""
        return int(self._raw_extras[0]["samples"].cache.n_bytes)

    @property
    def context(self) -> Any:
        """Triggers, other metadata and history behind this recording."""
        return self._raw_extras[0]["samples"].context

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
        most = max(1, _VALUES // max(len(rows), 1))
        for begin in range(start, stop, most):
            end = min(begin + most, stop)
            x = samples.read(rows.tolist(), begin - first, end - first)
            target = data[:, begin - start : end - start]
            target[:] = x if mult is None else mult @ x  # projections look at all channels
