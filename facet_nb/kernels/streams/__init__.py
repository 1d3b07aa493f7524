"""Kernels over a signal that comes in pieces, with the same result to the bit as over the whole.

A stream takes the samples of one channel in order and returns those of the result that are ready.
What it keeps depends on the kernel, not on the length of the signal: a filter's transforms lie on a
fixed grid of the whole signal; an average needs whole blocks of epochs.
"""

from facet_nb.kernels.streams.averages import AverageStream
from facet_nb.kernels.streams.base import Buffer, Stream
from facet_nb.kernels.streams.blocks import Blocks, BlockStream
from facet_nb.kernels.streams.filters import FilterStream
from facet_nb.kernels.streams.resampling import make_resampler
from facet_nb.kernels.streams.sliding import MovedSlidingStream, SlidingStream
from facet_nb.kernels.streams.upsampled import UpsampledStream
from facet_nb.kernels.streams.waveforms import WaveformStream

__all__ = [
    "AverageStream",
    "BlockStream",
    "Blocks",
    "Buffer",
    "FilterStream",
    "MovedSlidingStream",
    "SlidingStream",
    "Stream",
    "UpsampledStream",
    "WaveformStream",
    "make_resampler",
]
