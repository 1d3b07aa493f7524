"""Simulated recordings with ground truth."""

from __future__ import annotations

from facet_nb.datasets.examples import example
from facet_nb.datasets.imperfections import Imperfections
from facet_nb.datasets.simulation import Simulation
from facet_nb.datasets.synthetic import simulate

__all__ = ["Imperfections", "Simulation", "example", "simulate"]
