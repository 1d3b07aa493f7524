"""Samples that are read from their file again on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.recording import channel_kinds
from facet_nb.core.storage.transpose import transpose

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True)
class DeferredSamples:
    """The samples of a recording on disk, of which a run keeps no copy.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        The recording, not loaded.
    dtype : {"float64", "float32"}
        Precision that the run began with.
    """

    raw: mne.io.BaseRaw
    dtype: str
    #: A dict, as the object itself is frozen: the samples are read when they are first needed.
    _read: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.raw.ch_names)

    def open(self) -> np.ndarray:
        """Return the samples, shape (n_channels, n_times), in V; they are read once and kept.

        Raises
        ------
        FacetError
            If the file can no longer be read, or the disk is full.
        """
        if not self._read:
            self._read["samples"] = self.read()
        return self._read["samples"]

    def read(self, check: Callable[[], None] | None = None) -> np.ndarray:
        """Return the samples in a new scratch file; `check` is called between pieces.

        Raises
        ------
        FacetError
            If the file can no longer be read, or the disk is full.
        """
        # Trigger codes and times must not be rounded: float32 may be too coarse for them.
        kinds = channel_kinds(self.raw)
        exact = [i for i, kind in enumerate(kinds) if kind in ("stim", "other")]
        return transpose(self.raw, check=check, dtype=self.dtype, exact=exact)

    def __getstate__(self) -> dict[str, Any]:
        # Without the samples: their scratch file belongs to this process.
        return {"raw": self.raw, "dtype": self.dtype, "_read": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
