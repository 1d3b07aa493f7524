"""The pages about the structure are true: their files exist, and a run takes the way they tell."""

from __future__ import annotations

import re
import warnings

import pytest

from facet_nb.core import ArrayProcessor, Prepared, View

PAGES = ["docs/architecture.md", "CONTRIBUTING.md"]
PATH = re.compile(r"(?<![\w./])(?:facet_nb|tests|docs|benchmarks|notebooks)/[\w./]*")


@pytest.fixture(scope="module")
def page(project_root) -> str:
    return (project_root / "docs/architecture.md").read_text(encoding="utf-8")


def read_table(page: str, comment: str) -> list[list[str]]:
    """Return the cells of the table behind a comment, without its heading."""
    lines = page.split(f"<!-- {comment}:")[1].split("-->", 1)[1].strip().split("\n\n")[0]
    rows = [line.strip("|").split(" | ") for line in lines.splitlines()]
    return [[cell.strip(" |") for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("name", PAGES)
def test_files_of_the_page_exist(project_root, name):
    text = (project_root / name).read_text(encoding="utf-8")
    paths = {path for path in PATH.findall(text) if path != "docs/_build/html/index.html"}
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (project_root / path.rstrip(".")).exists()] == []


def test_files_without_a_folder_are_of_the_package(project_root, page):
    names = {file.name for file in (project_root / "facet_nb").rglob("*.py")}
    bare = set(re.findall(r"`(\w+\.py)`", page))
    assert len(bare) > 10 and bare - names == set()


# ------------------------------------------------------------------------- the rooms of core
@pytest.fixture(scope="module")
def floors(page) -> dict[str, int]:
    """The floor of each file and folder of core; 0 is the top."""
    rows = read_table(page, "rooms")
    return {
        n.rstrip("/"): k for k, row in enumerate(rows) for n in re.findall(r"`([^`]+)`", row[1])
    }


def test_each_file_of_core_is_in_one_room(project_root, floors, page):
    core = project_root / "facet_nb/core"
    there = {p.name for p in core.glob("*.py")} | {p.parent.name for p in core.glob("*/*.py")}
    assert there - {"__init__.py"} == set(floors)
    named = [n for row in read_table(page, "rooms") for n in re.findall(r"`([^`]+)`", row[1])]
    assert len(named) == len(floors)


def test_rooms_of_core_import_downward(graph, floors):
    def room(path: str) -> str:
        parts = path.split("/")
        return parts[2] if parts[:2] == ["facet_nb", "core"] else ""

    inside = [(i, room(i.source), room(i.target)) for i in graph.imports]
    inside = [(i, a, b) for i, a, b in inside if a in floors and b in floors and a != b]
    assert len(inside) > 100
    assert [str(i) for i, a, b in inside if floors[a] > floors[b]] == []
    folders = {"storage", "backends"}
    assert floors["storage"] == floors["backends"]
    assert [str(i) for i, a, b in inside if {a, b} == folders] == []


def test_the_picture_names_the_rooms(project_root, floors):
    picture = (project_root / "docs/_static/house.svg").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", re.sub(r"<[^>]*>", " ", picture)))
    house = {p.stem for p in (project_root / "facet_nb").iterdir() if not p.name.startswith("_")}
    kernels = {p.name for p in (project_root / "facet_nb/kernels").glob("[a-z]*") if p.is_dir()}
    assert {*house - {"py"}, *kernels, *(n.removesuffix(".py") for n in floors)} - words == set()


# ------------------------------------------------------------------------ the way of a recording
@pytest.fixture(scope="module")
def way(page) -> list[tuple[str, str]]:
    """Function and file of each step."""
    text = page.split("## A recording's way")[1].split("\n## ")[0]
    steps = re.findall(r"^(\d+)\. .*: `([\w.]+)` in `facet_nb/([\w/.]+)`\.$", text, flags=re.M)
    assert [int(number) for number, _, _ in steps] == list(range(1, 11))
    return [(name, file) for _, name, file in steps]


def test_a_run_takes_the_steps_in_their_order(way, tmp_path):
    pytest.importorskip("ipywidgets")
    from facet_nb import AASCorrection, BrainVisionExporter, HighPassFilter, Pipeline
    from facet_nb import TriggerDetector as Detector
    from facet_nb.datasets import example
    from facet_nb.widgets import RunPanel
    from tests.core.plain_path import PACKAGE, CallLog

    path = tmp_path / "recording.vhdr"
    BrainVisionExporter(path=path, overwrite=True).execute(example().context())
    steps = [Detector(regex=r"\b1\b"), HighPassFilter(freq=1.0), AASCorrection()]
    panel = RunPanel(Pipeline(steps), path, mode="channel_sequential")
    with CallLog() as log:
        assert panel.run().success
    known = {(str(PACKAGE / file), name) for name, file in way}
    calls = ((code.co_filename, code.co_qualname) for code in log.calls)
    calls = iter([call for call in calls if call in known])
    for name, file in way:  # each step is looked for behind the one before it
        assert (str(PACKAGE / file), name) in calls, f"{name} in {file} does not come next"


# ----------------------------------------------------------------------- what a step declares
def test_earlier_names_still_work(page):
    rows = read_table(page, "names")
    pairs = [[re.findall(r"`([\w.]+)", cell)[0] for cell in (row[0], row[2])] for row in rows]
    assert len(pairs) == 7
    owners = {"View": View(1.0, 1, None, ()), "Prepared": Prepared()}
    for new, old in pairs:
        owner = owners.get(new.partition(".")[0], ArrayProcessor())
        name = new.rpartition(".")[2]
        with pytest.warns(FutureWarning, match=name):
            value = getattr(owner, old)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert getattr(owner, name) == value
