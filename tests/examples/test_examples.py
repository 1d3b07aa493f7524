"""Each script of examples/ runs as it is, from an empty folder, and prints what it promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: What the output of a script must hold.
SAYS = {
    "channelwise_execution.py": r"(?s)serial: .*largest difference between backends: 0\.0 V.*stage",
    "custom_executor.py": r"trigger_detector .* s\nhighpass_filter .* s\naas_correction .* s",
    "dask_cluster.py": r"the same bits as without Dask: True",
    "files_in_a_process_pool.py": r"(?s)recording_0.fif corrected.*recording_2.fif corrected"
    r".*recording_2.fif: done",
    "gpu_processor.py": r"on the (cpu|cuda) by \w+: at most (0\.0e\+00|\S+e-1[5-9]) V off",
    "mne_script.py": r"-2\d\.\d dB before, 2\d\.\d dB after",
}
NEEDS = {"dask_cluster.py": "distributed"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name, tmp_path, project_root):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    command = [sys.executable, str(EXAMPLES / name)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.search(SAYS[name], run.stdout), run.stdout


def test_all_are_tested_and_listed():
    files = {path.name for path in EXAMPLES.glob("*.py")}
    assert files == set(SAYS)
    listed = re.findall(r"^\| `(\w+\.py)` \|", (EXAMPLES / "README.md").read_text(), re.M)
    assert set(listed) == files


@pytest.mark.parametrize("name", SAYS)
def test_it_does_nothing_when_imported(name):
    """Worker processes import a script again: its work stands below the guard."""
    tree = ast.parse((EXAMPLES / name).read_text())
    assert ast.get_docstring(tree)
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Expr, ast.If)
    assert all(isinstance(node, kinds) for node in tree.body)
    assert ast.unparse(tree.body[-1].test) == "__name__ == '__main__'"


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_the_filter_follows_the_device(library, monkeypatch):
    """As on a machine with a GPU: the functions of NumPy stand for those of the library."""
    import importlib.util
    import types

    import numpy as np

    spec = importlib.util.spec_from_file_location("gpu_processor", EXAMPLES / "gpu_processor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x = np.random.default_rng(0).standard_normal((2, 1000))
    plain = module.low_pass(x, 500.0, 70.0)
    spectrum = np.abs(np.fft.rfft(plain))
    assert spectrum[:, 141:].max() < 1e-9 * spectrum[:, :141].max()

    class Array(np.ndarray):
        def cpu(self):
            return self.view(np.ndarray)

    fft = types.SimpleNamespace(rfft=np.fft.rfft, irfft=lambda y, n: np.fft.irfft(y, n).view(Array))
    placed = []
    fake = types.SimpleNamespace(
        __name__=library, asarray=lambda x, **k: placed.append(k) or x, fft=fft
    )
    monkeypatch.setattr(module, "find_arrays", lambda: (fake, "cuda"))
    assert np.array_equal(module.low_pass(x, 500.0, 70.0), plain)
    assert placed == [{"device": "cuda"} if library == "torch" else {}]
