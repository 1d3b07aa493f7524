"""Steps before a correction: triggers, filters, resampling, alignment, channel selection."""

from facet_nb.preprocessing.acquisition import CutAcquisitionWindow, PasteAcquisitionWindow
from facet_nb.preprocessing.alignment import SliceAligner, SubsampleAligner, TriggerAligner
from facet_nb.preprocessing.clock import ClockModel
from facet_nb.preprocessing.diagnostics import AnalyzeDataReport, CheckDataReport
from facet_nb.preprocessing.explorer import TriggerExplorer
from facet_nb.preprocessing.filtering import (
    BandPassFilter,
    Filter,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
)
from facet_nb.preprocessing.flow import (
    ConditionalProcessor,
    NoOpProcessor,
    RawTransform,
    SequenceProcessor,
    SwitchProcessor,
)
from facet_nb.preprocessing.gaussian import MATLABPreFilter
from facet_nb.preprocessing.layout import ChannelStandardizer
from facet_nb.preprocessing.offset import ArtifactOffsetFinder
from facet_nb.preprocessing.qrs import QRSTriggerDetector
from facet_nb.preprocessing.reference import CommonReference
from facet_nb.preprocessing.resampling import DownSample, Resample, UpSample
from facet_nb.preprocessing.selection import (
    Crop,
    DropChannels,
    PickChannels,
    ReferenceIntervalSelector,
    SignalIntervalSelector,
)
from facet_nb.preprocessing.trains import MissingTriggerCompleter, SliceTriggerGenerator
from facet_nb.preprocessing.triggers import MissingTriggerDetector, TriggerDetector

__all__ = [
    "AnalyzeDataReport",
    "ArtifactOffsetFinder",
    "BandPassFilter",
    "ChannelStandardizer",
    "CheckDataReport",
    "ClockModel",
    "CommonReference",
    "ConditionalProcessor",
    "Crop",
    "CutAcquisitionWindow",
    "DownSample",
    "DropChannels",
    "Filter",
    "HighPassFilter",
    "LowPassFilter",
    "MATLABPreFilter",
    "MissingTriggerCompleter",
    "MissingTriggerDetector",
    "NoOpProcessor",
    "NotchFilter",
    "PasteAcquisitionWindow",
    "PickChannels",
    "QRSTriggerDetector",
    "RawTransform",
    "ReferenceIntervalSelector",
    "Resample",
    "SequenceProcessor",
    "SignalIntervalSelector",
    "SliceAligner",
    "SliceTriggerGenerator",
    "SubsampleAligner",
    "SwitchProcessor",
    "TriggerAligner",
    "TriggerDetector",
    "TriggerExplorer",
    "UpSample",
]
