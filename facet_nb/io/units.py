"""Which channels hold volts."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_voltage(raw: Any) -> np.ndarray:
    """Return which channels hold volts, shape (n_channels,). Stim channels hold codes."""
    from mne.io.constants import FIFF

    units = [ch["unit"] == FIFF.FIFF_UNIT_V for ch in raw.info["chs"]]
    codes = [kind == "stim" for kind in raw.get_channel_types()]
    return np.array(units, dtype=bool) & ~np.array(codes, dtype=bool)
