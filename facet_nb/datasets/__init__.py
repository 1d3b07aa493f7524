"""Simulated recordings with ground truth."""

from __future__ import annotations

from facet_nb.datasets.examples import example
from facet_nb.datasets.simulation import Simulation
from facet_nb.datasets.synthetic import simulate

__all__ = ["Simulation", "example", "simulate"]
