"""Kernels over a signal that arrives in pieces; results equal those of the whole to the bit.

A stream takes the samples of one channel in order and returns the samples of the result that are
final. Its memory depends on the kernel, not on the length of the signal: transforms of a filter lie
on a fixed grid of the whole signal, and an average needs whole blocks of epochs.
"""

from facet_nb.kernels.streams.averages import AverageStream
from facet_nb.kernels.streams.base import Buffer, Stream
from facet_nb.kernels.streams.blocks import Blocks, BlockStream
from facet_nb.kernels.streams.filters import FilterStream, PiecewiseStream
from facet_nb.kernels.streams.resampling import make_resampler
from facet_nb.kernels.streams.sliding import SlidingStream, SubsampleSlidingStream
from facet_nb.kernels.streams.upsampled import UpsampledStream
from facet_nb.kernels.streams.waveforms import WaveformStream

__all__ = [
    "AverageStream",
    "BlockStream",
    "Blocks",
    "Buffer",
    "FilterStream",
    "PiecewiseStream",
    "SubsampleSlidingStream",
    "SlidingStream",
    "Stream",
    "UpsampledStream",
    "WaveformStream",
    "make_resampler",
]
