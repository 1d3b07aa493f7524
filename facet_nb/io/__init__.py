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
from facet_nb.io.identity import Anonymizer
from facet_nb.io.loader import Loader, load
from facet_nb.io.lsl import LslSource
from facet_nb.io.provenance import Provenance, read_provenance

__all__ = [
    "Anonymizer",
    "BDFExporter",
    "BIDSExporter",
    "BIDSLoader",
    "BrainVisionExporter",
    "EDFExporter",
    "EEGLABExporter",
    "Exporter",
    "FIFExporter",
    "Loader",
    "LslSource",
    "Provenance",
    "export",
    "load",
    "read_provenance",
]
