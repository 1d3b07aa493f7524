"""Corrections: what takes the scanner's artifact away."""

from facet_nb.correction.aas import AASCorrection, AveragedArtifactSubtraction
from facet_nb.correction.anc import ANCCorrection
from facet_nb.correction.pca import PCACorrection

__all__ = ["AASCorrection", "ANCCorrection", "AveragedArtifactSubtraction", "PCACorrection"]
