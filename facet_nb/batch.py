"""Many recordings: one pipeline over files, with a summary of what became of each."""

from facet_nb.core.map import BatchResult, map_runs

__all__ = ["BatchResult", "map_runs"]
