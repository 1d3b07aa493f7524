"""State of the panels, without display and kernel loop.

The package needs traitlets, which comes with the ``lab`` extra.
"""

from __future__ import annotations

from facet_nb.core.errors import check_extra

check_extra("lab", "traitlets")

from facet_nb.models.batch_model import BatchModel
from facet_nb.models.chain_model import ChainModel, ChainStep
from facet_nb.models.codegen import write_code
from facet_nb.models.compare_model import CompareModel
from facet_nb.models.event_log import Entry
from facet_nb.models.recording_model import RecordingModel
from facet_nb.models.run_model import RunModel
from facet_nb.models.signal_model import SignalModel
from facet_nb.models.sources import as_context
from facet_nb.models.studio_model import StudioModel
from facet_nb.models.time_forecast import TimeForecast
from facet_nb.models.truth import TruthComparison
from facet_nb.models.tune_model import TuneModel

# The public name; inside the package, each class name occurs once.
Forecast = TimeForecast

__all__ = [
    "BatchModel",
    "ChainModel",
    "ChainStep",
    "CompareModel",
    "Entry",
    "Forecast",
    "RecordingModel",
    "RunModel",
    "SignalModel",
    "StudioModel",
    "TimeForecast",
    "TruthComparison",
    "TuneModel",
    "as_context",
    "write_code",
]
