"""Reports: one self-contained page about a run."""

from __future__ import annotations

from facet_nb.report.page import RunReport, make_report

__all__ = ["RunReport", "make_report"]
