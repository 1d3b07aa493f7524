"""A recording whose samples are computed when MNE reads them."""

from __future__ import annotations

from typing import Any

import mne

from facet_nb.core.errors import check_extra
from facet_nb.core.storage.raw_file import RawOnDemand


class LazyRaw(RawOnDemand, mne.io.BaseRaw):  # type: ignore[misc]  # MNE looks for BaseRaw here
    """A corrected recording, computed where it is read; see ``Pipeline.lazy``.

    It is an MNE ``Raw`` with ``preload=False``: ``get_data``, indexing, ``crop``, ``pick``,
    ``save``, ``compute_psd``, :class:`mne.Epochs` and :func:`mne.concatenate_raws` read windows of
    it. Methods that change samples need ``load_data()`` first, as those of any such recording.
    """

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
