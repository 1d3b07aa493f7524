"""The documentation says what the code does: its tables, its examples, and that it builds."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys

import pytest

FLAGS = ["channel_wise", "parallel_safe", "run_once"]


def _code_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def guide(project_root) -> str:
    """The page about modes."""
    return (project_root / "docs/choosing_a_mode.md").read_text()


@pytest.fixture(scope="module")
def readme(project_root) -> str:
    """The readme."""
    return (project_root / "README.md").read_text()


def _flag_rows(guide: str) -> dict[str, dict[str, bool]]:
    table = guide.split("<!-- flags:")[1]
    rows = {}
    for line in re.findall(r"^\| `.*", table, flags=re.MULTILINE):
        names, *flags = (cell.strip() for cell in line.strip("|").split("|"))
        said = dict(zip(FLAGS, (flag == "yes" for flag in flags), strict=False))
        rows |= dict.fromkeys(re.findall(r"`(\w+)`", names), said)
    return rows


def test_table_of_flags_is_true(guide):
    import facet_nb

    rows = _flag_rows(guide)
    assert len(rows) > 15
    real = {n: {f: getattr(getattr(facet_nb, n), f) for f in FLAGS} for n in rows}
    assert real == rows


def test_examples_of_the_guide_run(guide, capsys, tmp_path, monkeypatch):
    """One after another, in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "guide"}
    blocks = _code_blocks(guide)
    assert len(blocks) >= 5
    for block in blocks:
        exec(compile(block, "choosing_a_mode.md", "exec"), namespace)
    assert namespace["result"].success
    assert all(result.success for result in namespace["batch"].results)
    assert "channel_wise" in capsys.readouterr().out


def test_names_of_the_readme_exist(readme):
    trees = [ast.parse(block) for block in _code_blocks(readme)]
    imports = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    ]
    names = {alias.name: node.module for node in imports for alias in node.names}
    assert "Pipeline" in names
    gone = [n for n, module in names.items() if not hasattr(importlib.import_module(module), n)]
    assert gone == []


def test_example_of_the_readme_corrects_a_file(readme, tmp_path, monkeypatch):
    """Word for word, beside a recording of the name that it uses."""
    import mne

    from facet_nb.datasets import example
    from facet_nb.io import BrainVisionExporter

    monkeypatch.chdir(tmp_path)
    BrainVisionExporter(path="recording.vhdr", overwrite=True).execute(example().context())
    namespace: dict = {"__name__": "readme"}
    for block in _code_blocks(readme):
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["result"].success, namespace["result"].error
    assert len(mne.io.read_raw_edf("corrected.edf", verbose="error").ch_names) == 6


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_readme_lead_somewhere(project_root, page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (project_root / page).read_text())
    assert [link for link in links if not (project_root / link).exists()] == []


@pytest.mark.slow
def test_documentation_builds_without_a_warning(project_root, tmp_path):
    if importlib.util.find_spec("myst_nb") is None:
        pytest.skip("the docs extra is not installed: make docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    run = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", "docs", tmp_path / "html"],
        cwd=project_root,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    pages = [
        "index",
        "choosing_a_mode",
        "between_samples",
        "architecture",
        "contributing",
        "api/index",
    ]
    assert [name for name in pages if not (tmp_path / f"html/{name}.html").is_file()] == []
    assert "<img" in (tmp_path / "html/architecture.html").read_text()
