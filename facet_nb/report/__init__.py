"""Reports: one self-contained page about a run, or about a study."""

from __future__ import annotations

from facet_nb.report.page import RunReport, make_report
from facet_nb.report.study import make_study_report

__all__ = ["RunReport", "make_report", "make_study_report"]
