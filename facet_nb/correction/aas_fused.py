"""Averaged artifact subtraction fused with the upsampling before and the downsampling after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.resampling import double_rate_signal
from facet_nb.kernels.resampling.resampled_mean import ResampledMean, RunningResampledMean
from facet_nb.kernels.streams import UpsampledStream
from facet_nb.kernels.templates import upsampled
from facet_nb.kernels.templates.late_alignment import LateAlignment
from facet_nb.kernels.templates.template_train import TrainLayout
from facet_nb.kernels.windows import UpsampledWindows


@dataclass(frozen=True)
class AASPlan:
    """Decisions that all channels share.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch that templates are averaged from.
    aligned : ndarray of int, shape (n_epochs,) | LateAlignment
        First sample of each artifact, where its template is subtracted.
    n_samples : int
        Length of an artifact.
    """

    starts: np.ndarray
    aligned: np.ndarray | LateAlignment
    n_samples: int


#: Epoch length that streams are budgeted for, in s: that of volumes; slices are shorter.
EPOCH_S = 2.0


@dataclass(frozen=True)
class UpsampledAAS:
    """:class:`~facet_nb.AASCorrection` fused with ``UpSample`` and ``DownSample`` by the planner.

    Attributes
    ----------
    factor : int
        Ratio of the high rate to the native rate.
    window : int
        Number of epochs in a block.
    threshold : float
        Pearson correlation that an epoch must exceed to be included.
    shift : int
        Offset of a block's candidate epochs from the block itself, in epochs.
    """

    factor: int
    window: int
    threshold: float
    shift: int

    def prepare(self, payload: AASPlan, n_times: int) -> TrainLayout:
        """Return the positions of artifacts, from the decisions made at the high rate."""
        return TrainLayout(
            self.factor,
            n_times,
            payload.n_samples,
            payload.starts,
            payload.aligned,
            self.window,
            self.threshold,
            self.shift,
        )

    def compute(
        self, x: np.ndarray, payload: TrainLayout, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels, shape (n_channels, n_times), in V."""
        out = np.empty_like(x) if out is None else out
        for row, target in zip(x, out, strict=True):
            upsampled.correct(row, payload, out=target)
        return out

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes.

        It holds the result, one template for each block of epochs at twice the native rate, and
        a group of samples, the epochs of one block, and 6 MB of tables.
        """
        n = shape[1]
        groups = min(n, double_rate_signal.GROUP) + min(n, round(self.window * EPOCH_S * sfreq))
        return 8 * n + 32 * n // self.window + 16 * groups + (6 << 20)

    needs_first_pass = True

    def why_not_chunked(self) -> str | None:
        """Return None: the correction can run in chunks."""
        return None

    def first_pass(self, payload: TrainLayout) -> RunningResampledMean:
        """Return an accumulator for the means of a channel that arrives in pieces."""
        return RunningResampledMean(self.factor)

    def stream(self, payload: TrainLayout, known: ResampledMean) -> UpsampledStream | None:
        """Return the correction of one channel in groups of samples."""
        return UpsampledStream.make(payload, known)

    def windows(self, payload: TrainLayout) -> UpsampledWindows:
        """Return the correction over windows; see :class:`facet_nb.core.ArrayProcessor`."""
        return UpsampledWindows(payload, lambda: self.first_pass(payload))

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: groups of samples and a block of epochs."""
        block = round((self.window + abs(self.shift)) * EPOCH_S * sfreq)
        return 8 * (2 * chunk + 10 * double_rate_signal.GROUP + 9 * block) + (8 << 20)
