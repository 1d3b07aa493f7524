"""Re-referencing."""

from __future__ import annotations

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.filters.common_reference import subtract_common


@register_processor
class CommonReference(ArrayProcessor):
    """Subtract the median or mean of all good EEG channels from each of them.

    It needs all channels at once, so it is not channel-wise; inner threads divide the time between
    them. Other channels and bad channels are neither used nor changed.

    Parameters
    ----------
    operator : {"median", "average"}
        The statistic to subtract.
    """

    name = "common_reference"
    description = "Common median or average reference"
    channel_wise = False
    parallel_safe = False
    splits = "times"
    float32_safe = True
    types = ("eeg",)

    def __init__(self, operator: str = "median") -> None:
        self.operator = operator

    def prepare(self, view: View) -> Prepared:
        """Check the operator."""
        if self.operator not in ("median", "average"):
            raise ValidationError(
                f"common_reference: operator={self.operator!r}; use 'median' or 'average'."
            )
        return Prepared(self.operator)

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the re-referenced channels; see :class:`ArrayProcessor`."""
        return subtract_common(x, prepared.payload, out=out)
