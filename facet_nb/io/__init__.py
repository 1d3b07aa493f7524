"""Steps that load and write recordings."""

from facet_nb.io.bids import BIDSExporter, BIDSLoader
from facet_nb.io.exporters import (
    BDFExporter,
    BrainVisionExporter,
    EDFExporter,
    EEGLABExporter,
    Exporter,
    FIFExporter,
    export,
)
from facet_nb.io.loader import Loader, load

__all__ = [
    "BDFExporter",
    "BIDSExporter",
    "BIDSLoader",
    "BrainVisionExporter",
    "EDFExporter",
    "EEGLABExporter",
    "Exporter",
    "FIFExporter",
    "Loader",
    "export",
    "load",
]
