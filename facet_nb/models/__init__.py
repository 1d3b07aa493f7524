"""State behind the panels: no display, no kernel loop.

Needs traitlets, which comes with the ``lab`` extra.
"""

from __future__ import annotations

from facet_nb.models.code import write_code
from facet_nb.models.journal import Entry
from facet_nb.models.run_model import RunModel
from facet_nb.models.sources import as_context
from facet_nb.models.truth import TruthComparison

__all__ = ["Entry", "RunModel", "TruthComparison", "as_context", "write_code"]
