"""Metrics of how well a correction worked."""

from facet_nb.evaluation.chains import ChainComparison, compare
from facet_nb.evaluation.clean_in import (
    CleanInResult,
    CleanInTest,
    InjectionResult,
    InjectionTest,
)
from facet_nb.evaluation.fft import FFTAllenCalculator, FFTNiazyCalculator
from facet_nb.evaluation.integrity import IntegrityCalculator
from facet_nb.evaluation.median_artifact import MedianArtifactCalculator
from facet_nb.evaluation.quality import QualityCalculator, QualityGate
from facet_nb.evaluation.ratios import (
    LegacySNRCalculator,
    RMSCalculator,
    RMSResidualCalculator,
    SNRCalculator,
)
from facet_nb.evaluation.report import MetricsReport, PrintMetric
from facet_nb.evaluation.truth import TruthCalculator
from facet_nb.evaluation.unlocked import UnlockedEnergyCalculator

__all__ = [
    "ChainComparison",
    "CleanInResult",
    "CleanInTest",
    "FFTAllenCalculator",
    "FFTNiazyCalculator",
    "InjectionResult",
    "InjectionTest",
    "IntegrityCalculator",
    "LegacySNRCalculator",
    "MedianArtifactCalculator",
    "MetricsReport",
    "PrintMetric",
    "QualityCalculator",
    "QualityGate",
    "RMSCalculator",
    "RMSResidualCalculator",
    "SNRCalculator",
    "TruthCalculator",
    "UnlockedEnergyCalculator",
    "compare",
]
