"""What opening a panel imports: what only later plots and runs need comes later."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")

#: Packages whose import takes long, and which the first picture does not need.
LATER = {"matplotlib", "pandas", "joblib", "dask", "scipy.fft", "scipy.signal", "scipy.stats"}
CODE = """
import sys
from facet_nb.widgets import Studio
studio = Studio()
assert studio.model.wait_for_preview()
print(" ".join(sys.modules))
"""


def test_the_studio_opens_without_what_comes_later():
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert LATER & set(told.stdout.split()) == set()
