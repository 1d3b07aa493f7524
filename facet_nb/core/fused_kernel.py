"""What a correction is that does without the high sampling rate around it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class FusedKernel(Protocol):
    """How a correction does without the high sampling rate around it; picklable.

    What it gives is what rise of the rate, correction and fall give, to rounding.
    """

    def prepare(self, payload: Any, n_times: int) -> Any:
        """Return what ``compute`` needs: `payload` is what the correction decided at the high rate.

        The recording has `n_times` samples at the native rate.
        """
        ...

    def compute(self, x: np.ndarray, payload: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Return the corrected channels at the native rate; as ``ArrayProcessor.compute``."""
        ...

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        ...

    @property
    def needs_first_pass(self) -> bool:
        """As of :class:`facet_nb.core.ArrayProcessor`."""
        ...

    def why_not_chunked(self) -> str | None:
        """Return why it cannot run in chunks of time ("needs …"); None if it can."""
        ...

    def first_pass(self, payload: Any) -> Any:
        """Return what finds out what ``stream`` must know; as ``ArrayProcessor.survey``."""
        ...

    def stream(self, payload: Any, known: Any) -> Any:
        """Return a stream of one channel, float64; as ``ArrayProcessor.stream``."""
        ...

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream beyond the chunk it is given, in bytes."""
        ...
