"""The page about methods names every correction, and its example runs."""

from __future__ import annotations

import re

import pytest

from facet_nb import correction


@pytest.fixture(scope="module")
def page(project_root) -> str:
    return (project_root / "docs/methods.md").read_text()


def test_every_correction_is_there_and_has_its_paper(page):
    named = set(re.findall(r"`(\w+)", page))
    for name in correction.__all__:
        cls = getattr(correction, name)
        assert cls.__name__ in named, name
        assert "doi:10." in cls.__doc__ or cls.__name__ == "GradientCorrection", name


def test_papers_of_the_page_are_those_of_the_code(page, project_root):
    code = "".join(p.read_text() for p in (project_root / "facet_nb").rglob("*.py"))
    dois = set(re.findall(r"doi\.org/(10\.[^)\s]+)", page))
    assert len(dois) >= 7
    assert [doi for doi in sorted(dois) if doi not in code] == []


def test_example_runs(page):
    namespace: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, "methods.md", "exec"), namespace)
    assert list(namespace["comparison"].table.index) == ["before", "blocks", "sliding"]
