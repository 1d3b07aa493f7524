"""Corrections of the artifacts that the scanner and the pulse cause in EEG."""

from facet_nb.correction.aas import AASCorrection, AveragedArtifactSubtraction
from facet_nb.correction.anc import AdaptiveNoiseCancellation, ANCCorrection
from facet_nb.correction.denoiser import DenoiserCorrection
from facet_nb.correction.farm import FARMArtifactCorrection, FARMCorrection
from facet_nb.correction.gaps import RemoveVolumeArtifactCorrection, VolumeArtifactCorrection
from facet_nb.correction.gradient import GradientCorrection
from facet_nb.correction.ica import ICACorrection
from facet_nb.correction.moosmann import AvgArtWghtMoosmannCorrection, MoosmannCorrection
from facet_nb.correction.obs import OBSCorrection, PCACorrection
from facet_nb.correction.online import OnlineAASCorrection
from facet_nb.correction.pulse import PulseCorrection
from facet_nb.correction.weighted import (
    AvgArtWghtCorrespondingSliceCorrection,
    AvgArtWghtSliceTriggerCorrection,
    AvgArtWghtVolumeTriggerCorrection,
    CorrespondingSliceCorrection,
    SliceTriggerCorrection,
    VolumeTriggerCorrection,
)
from facet_nb.correction.wires import WireLoopCorrection
from facet_nb.correction.zapline import ZapLineCorrection

__all__ = [
    "AASCorrection",
    "ANCCorrection",
    "AdaptiveNoiseCancellation",
    "AveragedArtifactSubtraction",
    "AvgArtWghtCorrespondingSliceCorrection",
    "AvgArtWghtMoosmannCorrection",
    "AvgArtWghtSliceTriggerCorrection",
    "AvgArtWghtVolumeTriggerCorrection",
    "CorrespondingSliceCorrection",
    "DenoiserCorrection",
    "FARMArtifactCorrection",
    "FARMCorrection",
    "GradientCorrection",
    "ICACorrection",
    "MoosmannCorrection",
    "OBSCorrection",
    "OnlineAASCorrection",
    "PCACorrection",
    "PulseCorrection",
    "RemoveVolumeArtifactCorrection",
    "SliceTriggerCorrection",
    "VolumeArtifactCorrection",
    "VolumeTriggerCorrection",
    "WireLoopCorrection",
    "ZapLineCorrection",
]
