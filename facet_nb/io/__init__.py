"""Processors that load and write recordings."""

from facet_nb.io.exporters import (
    BDFExporter,
    BrainVisionExporter,
    EDFExporter,
    Exporter,
    FIFExporter,
    export,
)
from facet_nb.io.loader import Loader, load

__all__ = [
    "BDFExporter",
    "BrainVisionExporter",
    "EDFExporter",
    "Exporter",
    "FIFExporter",
    "Loader",
    "export",
    "load",
]
