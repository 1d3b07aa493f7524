"""Protocol for corrections that run at the native rate, without UpSample and DownSample."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class FusedKernel(Protocol):
    """A correction at the native rate; picklable.

    Its result equals that of upsampling, correction and downsampling up to rounding errors.
    """

    def prepare(self, payload: Any, n_times: int) -> Any:
        """Return the payload for ``compute``.

        Parameters
        ----------
        payload : object
            Payload that the correction prepared at the high rate.
        n_times : int
            Number of samples at the native rate.
        """
        ...

    def compute(self, x: np.ndarray, payload: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Return the corrected channels at the native rate; see ``ArrayProcessor.compute``."""
        ...

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        ...

    @property
    def needs_first_pass(self) -> bool:
        """Whether ``stream`` needs statistics of the whole input."""
        ...

    def why_not_chunked(self) -> str | None:
        """Return why it cannot run in chunks of time ("needs …"); None if it can."""
        ...

    def first_pass(self, payload: Any) -> Any:
        """Return an accumulator of these statistics; see ``ArrayProcessor.first_pass``."""
        ...

    def stream(self, payload: Any, known: Any) -> Any:
        """Return a stream of one channel, float64; see ``ArrayProcessor.stream``."""
        ...

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream without its input chunk, in bytes."""
        ...
