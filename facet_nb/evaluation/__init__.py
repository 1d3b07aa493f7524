"""How well a correction worked."""

from facet_nb.evaluation.report import MetricsReport
from facet_nb.evaluation.rms import RMSCalculator
from facet_nb.evaluation.snr import SNRCalculator

__all__ = ["MetricsReport", "RMSCalculator", "SNRCalculator"]
