"""Averaged artifact subtraction between a rise and a fall of the sampling rate, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.kernels.resampling import double_rate_signal
from facet_nb.kernels.resampling.resampled_mean import ResampledMean, RunningResampledMean
from facet_nb.kernels.streams import (
    UpsampledStream,
)
from facet_nb.kernels.templates import upsampled
from facet_nb.kernels.templates.template_train import TrainLayout

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class AASPlan:
    """What all channels share.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch that templates are made from.
    aligned : ndarray of int, shape (n_epochs,)
        First sample of each artifact, where its template is subtracted.
    n_samples : int
        Length of an artifact.
    """

    starts: np.ndarray
    aligned: np.ndarray
    n_samples: int


#: Streams are told to keep epochs of this length, in s: volumes; slices are shorter.
EPOCH_S = 2.0


@dataclass(frozen=True)
class UpsampledAAS:
    """What :class:`~facet_nb.AASCorrection` does where the planner fuses it with its neighbours.

    Attributes
    ----------
    factor : int
        High rate over native rate.
    window : int
        Epochs in a block.
    threshold : float
        Pearson correlation that an epoch must exceed to take part.
    shift : int
        Candidates of a block begin this many epochs after it does.
    """

    factor: int
    window: int
    threshold: float
    shift: int

    def prepare(self, payload: AASPlan, n_times: int) -> TrainLayout:
        """Return where artifacts are, from what was decided at the high rate."""
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

        The result; one template for each block of epochs, at twice the rate; and groups of samples
        with one block's epochs, which are as long as the recording at most.
        """
        n = shape[1]
        return 8 * n + 32 * n // self.window + 32 * min(n, 1 << 19) + (20 << 20)

    needs_first_pass = True

    def why_not_chunked(self) -> str | None:
        """Return why it cannot run in chunks of time: it can."""
        return None

    def first_pass(self, payload: TrainLayout) -> RunningResampledMean:
        """Return what finds the means of a channel that comes in pieces."""
        return RunningResampledMean(self.factor)

    def stream(self, payload: TrainLayout, known: ResampledMean) -> UpsampledStream | None:
        """Return the correction of one channel, group by group."""
        return UpsampledStream.make(payload, known)

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: groups of samples, and a block of epochs."""
        block = round((self.window + abs(self.shift)) * EPOCH_S * sfreq)
        return 8 * (2 * chunk + 10 * double_rate_signal.GROUP + 9 * block) + (8 << 20)
