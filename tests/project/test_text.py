"""Tracked files: no paths of one machine, no package hosts, and notebooks that are readable."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

MACHINE_PATH = re.compile(r"(?<![\w.~}])/(?:root|work|home/\w+|Users/\w+)/")
#: An address that holds the place of an account or a project.
PLACEHOLDER = re.compile(r"https?://[^\s)>\"']*\b(?:OWNER|USER|USERNAME|ORG|YOUR\w*)\b")
PACKAGE_HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|anaconda\.org)\b")
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def tracked(project_root) -> dict[str, str]:
    """Text of each tracked text file by its name."""
    run = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project_root, capture_output=True, text=True
    )
    if run.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked cannot be asked")
    files = [project_root / name for name in run.stdout.split("\0") if name]
    texts = {}
    for file in files:
        content = file.read_bytes() if file.is_file() else b"\0"
        if b"\0" not in content:
            texts[str(file.relative_to(project_root))] = content.decode()
    return texts


@pytest.mark.parametrize(
    "pattern", [MACHINE_PATH, PACKAGE_HOST, PLACEHOLDER], ids=["paths", "hosts", "placeholders"]
)
def test_tracked_files_name_no_machine(tracked, pattern):
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked.items()
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_the_patterns_notice():
    assert MACHINE_PATH.search("see " + "/home" + "/ada/eeg.vhdr")
    work = "/work" + "/x"
    assert not MACHINE_PATH.search(f"facet_nb{work}, ~{work} and docs" + "/home" + "/a/b")
    assert PLACEHOLDER.search("[x](https" + "://github.com/OWNER/facet_nb)")
    assert not PLACEHOLDER.search("https" + "://example.org/owner/facet_nb, and OWNER")
    assert PACKAGE_HOST.search("https://" + "pypi" + ".org/simple")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_valid(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_keeps_its_results(path):
    """Read on a page without a kernel, a notebook shows what it found, and no error."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs]
    assert outputs
    assert [out for out in outputs if out.output_type == "error"] == []
