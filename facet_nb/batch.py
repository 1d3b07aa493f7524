"""Run one pipeline over many recordings, with a summary of the results."""

from facet_nb.core.map import BatchResult, Study, StudyPlan, StudyRow, map_runs

__all__ = ["BatchResult", "Study", "StudyPlan", "StudyRow", "map_runs"]
