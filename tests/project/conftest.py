"""What several tests of the project look at."""

from __future__ import annotations

import pytest

from tests.project.import_graph import Graph


@pytest.fixture(scope="session")
def graph(project_root) -> Graph:
    """The imports of the package; they are read once, which takes two seconds."""
    return Graph(project_root / "facet_nb")
