"""Contexts, processors and pipelines, and the engine that runs them."""

from typing import TYPE_CHECKING, Any

from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext
from facet_nb.core.defaults import set_defaults
from facet_nb.core.errors import (
    FacetError,
    PlanError,
    RunCancelled,
    StepError,
    ValidationError,
)
from facet_nb.core.execution.global_step import guard_input, run_read_only
from facet_nb.core.execution.runner import run_alone
from facet_nb.core.findings import FINDING_KINDS, Finding, FindingKind, make_finding
from facet_nb.core.metadata import ProcessingMetadata, ProcessingStep
from facet_nb.core.parallel import ChannelSequentialExecutor, ParallelExecutor
from facet_nb.core.pipeline import Pipeline
from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.processor import (
    ArrayProcessor,
    LambdaProcessor,
    Prepared,
    Processor,
    View,
    engine,
)
from facet_nb.core.quality import Measure, Quality
from facet_nb.core.registry import get_processor, list_processors, register_processor
from facet_nb.core.result import PipelineResult

if TYPE_CHECKING:
    from facet_nb.core.map import BatchResult, Study, StudyPlan, StudyRow

# Set here, since steps must not import the engine that runs them.
engine.run_alone, engine.run_read_only, engine.guard_input = run_alone, run_read_only, guard_input

#: FACETpy's names for the same things.
PipelineError = FacetError
ProcessorError = FacetError
ProcessorValidationError = ValidationError

__all__ = [
    "FINDING_KINDS",
    "ArrayProcessor",
    "BatchResult",
    "CancelToken",
    "ChannelSequentialExecutor",
    "FacetError",
    "Finding",
    "FindingKind",
    "LambdaProcessor",
    "Measure",
    "ParallelExecutor",
    "Pipeline",
    "PipelineError",
    "PipelineResult",
    "Plan",
    "PlanError",
    "Prepared",
    "ProcessingContext",
    "ProcessingMetadata",
    "ProcessingStep",
    "Processor",
    "ProcessorError",
    "ProcessorValidationError",
    "Quality",
    "RunCancelled",
    "Stage",
    "StepError",
    "Study",
    "StudyPlan",
    "StudyRow",
    "ValidationError",
    "View",
    "get_processor",
    "list_processors",
    "make_finding",
    "register_processor",
    "set_defaults",
]


def __getattr__(name: str) -> Any:
    """Return a class of studies, whose modules a run of one recording does not need."""
    if name in ("BatchResult", "Study", "StudyPlan", "StudyRow"):
        from facet_nb.core import map as studies

        return getattr(studies, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
