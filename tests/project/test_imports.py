"""Importing the package is cheap: nothing heavy is loaded, and public names come when asked for."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys

import pytest

HEAVY = {
    "IPython",
    "dask",
    "distributed",
    "ipywidgets",
    "joblib",
    "matplotlib",
    "mne",
    "pandas",
    "scipy",
    "traitlets",
}
CPU_LIMIT_S = 0.3

PUBLIC = [
    "AASCorrection",
    "BandPassFilter",
    "BrainVisionExporter",
    "CommonReference",
    "Crop",
    "DownSample",
    "EDFExporter",
    "Exporter",
    "FIFExporter",
    "HighPassFilter",
    "Loader",
    "LowPassFilter",
    "MetricsReport",
    "NotchFilter",
    "ParallelExecutor",
    "PickChannels",
    "Pipeline",
    "PipelineResult",
    "ProcessingContext",
    "Processor",
    "RMSCalculator",
    "Resample",
    "SNRCalculator",
    "SliceAligner",
    "SubsampleAligner",
    "TriggerAligner",
    "TriggerDetector",
    "UpSample",
]
PUBLIC_PATHS = {
    "facet_nb.core": ["Pipeline", "Processor", "ProcessingContext", "ParallelExecutor"],
    "facet_nb.io": ["Loader", "EDFExporter", "BrainVisionExporter", "FIFExporter", "Exporter"],
    "facet_nb.preprocessing": ["TriggerDetector", "HighPassFilter", "UpSample", "CommonReference"],
    "facet_nb.correction": ["AASCorrection", "PCACorrection", "ANCCorrection"],
    "facet_nb.evaluation": ["SNRCalculator", "RMSCalculator", "MetricsReport"],
}

IMPORT_PROBE = """
import json, sys, time
start = time.process_time()
import facet_nb
cpu_s = time.process_time() - start
print(json.dumps({"cpu_s": cpu_s, "modules": sorted(sys.modules), "names": dir(facet_nb)}))
"""


def _import_in_fresh_interpreter() -> dict:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_PROBE], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def fresh_imports() -> list[dict]:
    """Three imports, each in an interpreter of its own."""
    return [_import_in_fresh_interpreter() for _ in range(3)]


def test_import_loads_nothing_heavy(fresh_imports):
    loaded = {name.partition(".")[0] for name in fresh_imports[0]["modules"]}
    assert loaded & HEAVY == set()


def test_import_is_quick(fresh_imports):
    """CPU time, the best of three: a busy machine must not fail this."""
    assert min(run["cpu_s"] for run in fresh_imports) < CPU_LIMIT_S


def test_public_names_are_listed_before_they_are_loaded(fresh_imports):
    assert set(PUBLIC) <= set(fresh_imports[0]["names"])


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_loads(name):
    import facet_nb

    assert getattr(facet_nb, name).__name__ == name


def test_every_advertised_name_loads():
    import facet_nb

    assert [name for name in facet_nb.__all__ if getattr(facet_nb, name, None) is None] == []


def test_unknown_name_is_an_attribute_error():
    import facet_nb

    with pytest.raises(AttributeError, match="NoSuchProcessor"):
        facet_nb.NoSuchProcessor  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize("path", sorted(PUBLIC_PATHS))
def test_public_path_has_its_names(path):
    module = importlib.import_module(path)
    assert [name for name in PUBLIC_PATHS[path] if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", ["Pipeline", "AASCorrection", "Loader"])
def test_front_door_and_package_give_the_same_object(name):
    import facet_nb

    homes = [path for path, names in PUBLIC_PATHS.items() if name in names]
    home = importlib.import_module(homes[0])
    assert getattr(facet_nb, name) is getattr(home, name)


STEPS_PROBE = """
import json, sys
from facet_nb.core.execution import batch
from facet_nb import AASCorrection, DownSample, GradientCorrection
from facet_nb import HighPassFilter, LowPassFilter, UpSample
from facet_nb.kernels import windows
print(json.dumps(sorted(sys.modules)))
"""


def test_steps_leave_the_slow_parts_of_scipy_to_those_that_need_them():
    """Each worker process imports the steps; scipy.signal loads a third of SciPy with it."""
    run = subprocess.run(
        [sys.executable, "-c", STEPS_PROBE],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(run.stdout))
    assert {"facet_nb.kernels.fft", "facet_nb.kernels.filters.iir"} <= loaded
    slow = {
        "scipy.fft",
        "scipy.special",
        "scipy.linalg",
        "scipy.signal",
        "scipy.stats",
        "scipy.optimize",
        "pandas",
        "mne",
    }
    assert not loaded & slow


def test_programs_beside_the_package_find_what_they_import(project_root):
    """Benchmarks run for minutes, and some imports only in the middle: names must be there."""
    lost = []
    for folder in ("benchmarks", "docs", "examples", "notebooks", "binder", ".ci"):
        for file in sorted((project_root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facet_nb"):
                    names = [name.name for name in node.names]
                    lost += [f"{file.name}: {n}" for n in names if not _is_there(node.module, n)]
    assert lost == []


def test_parts_that_a_benchmark_leaves_out_are_called_as_what_stands_in_for_them(
    project_root, monkeypatch
):
    monkeypatch.syspath_prepend(str(project_root / "benchmarks"))
    quality = importlib.import_module("quality")
    monkeypatch.delitem(sys.modules, "quality")
    for _, replaced in quality.ABLATIONS.values():
        for target, stand_in in replaced.items():
            owner: object = None
            for name in target.split("."):
                if owner is None:
                    owner = importlib.import_module(name)
                elif hasattr(owner, name):
                    owner = getattr(owner, name)
                else:
                    owner = importlib.import_module(f"{owner.__name__}.{name}")
            if callable(owner):
                ours, theirs = (len(inspect.signature(f).parameters) for f in (stand_in, owner))
                assert ours == theirs, target


def _is_there(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


WRITE_PROBE = """
import sys
import mne, numpy as np
from facet_nb import ProcessingContext, export
raw = mne.io.RawArray(np.ones((1, 100)), mne.create_info(1, 100.0, "eeg"), verbose="error")
raw.set_annotations(mne.Annotations(0.5, 0.0, "mark"))
export(ProcessingContext(raw), sys.argv[1])
print(sorted({"mne.source_estimate", "mne.cov", "scipy.special"} & set(sys.modules)))
"""


def test_writing_does_not_load_source_estimates(tmp_path):
    command = [sys.executable, "-c", WRITE_PROBE, str(tmp_path / "a_raw.fif")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
