"""Compare a corrected simulation with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core import ProcessingContext


@dataclass(frozen=True, eq=False)
class TruthComparison:
    """Agreement of a recording with its clean EEG.

    Attributes
    ----------
    before_db, after_db : ndarray, shape (n_channels,)
        Signal-to-noise ratio against the truth before and after the run, in dB.
    """

    before_db: np.ndarray
    after_db: np.ndarray

    @classmethod
    def of(
        cls, source: Any, before_db: np.ndarray | None, context: ProcessingContext
    ) -> TruthComparison | None:
        """Compare `context` with the truth of `source`; return None if `source` has none.

        `before_db` holds the ratios before the run if an earlier comparison has computed them.

        Raises
        ------
        ValueError
            If the run changed channels, sampling rate or length.
        """
        compare = getattr(source, "snr_db", None)
        if compare is None or not hasattr(source, "raw"):
            return None
        after_db = compare(context)
        return cls(compare(source.raw) if before_db is None else before_db, after_db)


def find_truth(source: Any) -> Any:
    """Return the clean EEG of a simulation as an mne.io.RawArray; None for other sources."""
    clean, raw = getattr(source, "clean", None), getattr(source, "raw", None)
    if clean is None or raw is None:
        return None
    import mne

    info = mne.pick_info(raw.info, range(len(clean)))
    return mne.io.RawArray(clean, info, raw.first_samp, copy="auto", verbose="error")
