"""facet_nb: a notebook-first toolkit for EEG recorded inside an MRI scanner.

Public names load when they are first used; importing the package loads no MNE, no plotting, no
widgets and no compiler.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "facet_nb.core": (
        "ArrayProcessor BatchResult CancelToken ChannelSequentialExecutor FINDING_KINDS "
        "FacetError Finding FindingKind LambdaProcessor Measure ParallelExecutor Pipeline "
        "PipelineError PipelineResult Plan PlanError Prepared ProcessingContext "
        "ProcessingMetadata ProcessingStep Processor ProcessorError ProcessorValidationError "
        "Quality RunCancelled Stage StepError Study StudyPlan StudyRow ValidationError View "
        "get_processor list_processors make_finding register_processor set_defaults"
    ),
    "facet_nb.io": (
        "Anonymizer BDFExporter BIDSExporter BIDSLoader BrainVisionExporter EDFExporter "
        "EEGLABExporter Exporter FIFExporter Loader LslSource Provenance export load "
        "read_provenance"
    ),
    "facet_nb.preprocessing": (
        "AnalyzeDataReport ArtifactOffsetFinder BandPassFilter ChannelStandardizer "
        "CheckDataReport ClockModel CommonReference ConditionalProcessor Crop "
        "CutAcquisitionWindow DownSample DropChannels Filter HighPassFilter LowPassFilter "
        "MATLABPreFilter MissingTriggerCompleter MissingTriggerDetector NoOpProcessor NotchFilter "
        "PasteAcquisitionWindow PickChannels QRSTriggerDetector RawTransform "
        "ReferenceIntervalSelector Resample SequenceProcessor SignalIntervalSelector SliceAligner "
        "SliceTriggerGenerator SubsampleAligner SwitchProcessor TriggerAligner TriggerDetector "
        "TriggerExplorer UpSample"
    ),
    "facet_nb.correction": (
        "AASCorrection ANCCorrection AdaptiveNoiseCancellation AveragedArtifactSubtraction "
        "AvgArtWghtCorrespondingSliceCorrection AvgArtWghtMoosmannCorrection "
        "AvgArtWghtSliceTriggerCorrection AvgArtWghtVolumeTriggerCorrection "
        "CorrespondingSliceCorrection DenoiserCorrection FARMArtifactCorrection FARMCorrection "
        "GradientCorrection ICACorrection MoosmannCorrection OBSCorrection OnlineAASCorrection "
        "PCACorrection "
        "PulseCorrection RemoveVolumeArtifactCorrection SliceTriggerCorrection "
        "VolumeArtifactCorrection VolumeTriggerCorrection WireLoopCorrection ZapLineCorrection"
    ),
    "facet_nb.evaluation": (
        "CleanInTest FFTAllenCalculator FFTNiazyCalculator InjectionTest IntegrityCalculator "
        "LegacySNRCalculator MedianArtifactCalculator MetricsReport PrintMetric QualityCalculator "
        "QualityGate RMSCalculator RMSResidualCalculator SNRCalculator TruthCalculator "
        "UnlockedEnergyCalculator compare"
    ),
    "facet_nb.benchmark": "Advice BenchmarkTable advise benchmark_scaling",
    "facet_nb.pipelines": (
        "classic_correction correct_gradient correct_pulse create_standard_pipeline "
        "gradient_correction"
    ),
    "facet_nb.widgets": (
        "BatchPanel ChainEditor ComparePanel ControlPanel RunPanel SignalView Studio TunePanel"
    ),
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names.split()}
_SUBMODULES = [
    "batch",
    "benchmark",
    "core",
    "correction",
    "datasets",
    "evaluation",
    "io",
    "kernels",
    "lessons",
    "models",
    "pipelines",
    "plots",
    "preprocessing",
    "report",
    "signal",
    "widgets",
]

# Without the extra "lab", ``from facet_nb import *`` is the toolkit without its panels.
_PANELS = "facet_nb.widgets"
try:
    _HAS_PANELS = find_spec("ipywidgets") is not None
except (ImportError, ValueError):  # a finder that refuses it; a module without a spec
    _HAS_PANELS = False
__all__ = ["__version__", *(n for n, room in _WHERE.items() if room != _PANELS or _HAS_PANELS)]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
    elif name in _SUBMODULES:
        value = import_module(f"facet_nb.{name}")
    else:
        raise AttributeError(f"module 'facet_nb' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
