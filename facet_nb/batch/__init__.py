"""Run one pipeline over many recordings: studies, their run files and their inputs."""

from facet_nb.batch.inputs import find_recordings
from facet_nb.batch.making import make_study
from facet_nb.batch.run_file import RunFile
from facet_nb.core.map import BatchResult, Study, StudyPlan, StudyRow, map_runs

__all__ = [
    "BatchResult",
    "RunFile",
    "Study",
    "StudyPlan",
    "StudyRow",
    "find_recordings",
    "make_study",
    "map_runs",
]
