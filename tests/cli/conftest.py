"""A terminal, and small recordings with known truth in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from facet_nb.cli import app
from facet_nb.datasets import example


@pytest.fixture
def facet_nb(tmp_path, monkeypatch):
    """Call the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def call(*words: object) -> Result:
        result = runner.invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@dataclass
class Files:
    """A simulated recording in files."""

    vhdr: Path
    fif: Path
    truth: Path
    simulation: object

    def contents(self) -> dict[str, bytes]:
        """What is in the files of the recording."""
        return {p.name: p.read_bytes() for p in sorted(self.vhdr.parent.iterdir())}


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    """A simulation as BrainVision and FIF, and its truth as an archive."""
    from facet_nb.io import Exporter

    folder = tmp_path_factory.mktemp("recordings")
    simulation = example(seed=3)
    found = Files(folder / "scan.vhdr", folder / "scan.fif", folder / "truth.npz", simulation)
    for path in (found.vhdr, found.fif):
        Exporter(path).execute(simulation.context())
    np.savez(
        found.truth,
        clean=(1e6 * simulation.clean).astype(np.float32),
        fs=int(simulation.sfreq),
        trig=simulation.triggers,
    )
    return found
