"""Steps before the correction: triggers, filters, sampling rate, alignment, choice of channels."""

from facet_nb.preprocessing.alignment import SliceAligner, SubsampleAligner, TriggerAligner
from facet_nb.preprocessing.filtering import (
    BandPassFilter,
    Filter,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
)
from facet_nb.preprocessing.qrs import QRSTriggerDetector
from facet_nb.preprocessing.reference import CommonReference
from facet_nb.preprocessing.resampling import DownSample, Resample, UpSample
from facet_nb.preprocessing.selection import Crop, DropChannels, PickChannels
from facet_nb.preprocessing.triggers import MissingTriggerDetector, TriggerDetector

__all__ = [
    "BandPassFilter",
    "CommonReference",
    "Crop",
    "DownSample",
    "DropChannels",
    "Filter",
    "HighPassFilter",
    "LowPassFilter",
    "MissingTriggerDetector",
    "NotchFilter",
    "PickChannels",
    "QRSTriggerDetector",
    "Resample",
    "SliceAligner",
    "SubsampleAligner",
    "TriggerAligner",
    "TriggerDetector",
    "UpSample",
]
