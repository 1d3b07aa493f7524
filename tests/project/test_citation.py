"""What others read about the project says the same as pyproject.toml: citation, conda recipe."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

#: Packages with another name on conda-forge, where MNE without its optional parts is mne-base.
CONDA = {"mne": "mne-base"}


@pytest.fixture(scope="module")
def project(project_root) -> dict:
    return tomllib.loads((project_root / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version(project, project_root):
    citation = yaml.safe_load((project_root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [a["name"] for a in citation["authors"]] == [a["name"] for a in project["authors"]]
    dois = [reference["doi"] for reference in citation["references"]]
    assert dois and all(re.fullmatch(r"10\.\d{4,}/\S+", doi) for doi in dois)


def test_the_conda_recipe_asks_for_the_same(project, project_root):
    recipe = yaml.safe_load((project_root / ".ci/conda/recipe.yaml").read_text())
    assert recipe["context"]["version"] == project["version"]
    assert project["requires-python"] == f">={recipe['context']['python_min']}"
    wanted = [Requirement(line) for line in project["dependencies"]]
    asked = {f"{CONDA.get(one.name, one.name)} {one.specifier}" for one in wanted}
    assert set(recipe["requirements"]["run"]) - {"python >=${{ python_min }}"} == asked
