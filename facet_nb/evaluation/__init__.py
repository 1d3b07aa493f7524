"""How well a correction worked."""

from facet_nb.evaluation.fft import FFTAllenCalculator, FFTNiazyCalculator
from facet_nb.evaluation.legacy import (
    LegacySNRCalculator,
    MedianArtifactCalculator,
    RMSResidualCalculator,
)
from facet_nb.evaluation.report import MetricsReport
from facet_nb.evaluation.rms import RMSCalculator
from facet_nb.evaluation.snr import SNRCalculator

__all__ = [
    "FFTAllenCalculator",
    "FFTNiazyCalculator",
    "LegacySNRCalculator",
    "MedianArtifactCalculator",
    "MetricsReport",
    "RMSCalculator",
    "RMSResidualCalculator",
    "SNRCalculator",
]
