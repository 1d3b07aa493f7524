"""Steps over windows: any part of their result, to the bit, from a part of their input."""

from facet_nb.kernels.windows.base import Keep, Read, SpanWindows, Windows
from facet_nb.kernels.windows.blocks import BlockWindows
from facet_nb.kernels.windows.filters import FirWindows, SosWindows
from facet_nb.kernels.windows.upsampled import UpsampledWindows
from facet_nb.kernels.windows.waveforms import WaveformWindows

__all__ = [
    "BlockWindows",
    "FirWindows",
    "Keep",
    "Read",
    "SosWindows",
    "SpanWindows",
    "UpsampledWindows",
    "WaveformWindows",
    "Windows",
]
