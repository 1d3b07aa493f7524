"""The table of FACETpy's names tells the truth about ours."""

from __future__ import annotations

import inspect
import re

import pytest

import facet_nb
from facet_nb import plots
from facet_nb.datasets import simulate

STATUS = ("same", "another way")


@pytest.fixture(scope="module")
def page(project_root) -> str:
    return (project_root / "docs/coming_from_facetpy.md").read_text()


@pytest.fixture(scope="module")
def rows(page) -> dict[str, list[str]]:
    """Status, our name and remark of each of their names."""
    body = page.split("<!-- names:")[1]
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", body, flags=re.MULTILINE)
    cells = [(name, [c.strip() for c in rest.split(" | ")]) for name, rest in lines]
    assert len(cells) == len({name for name, _ in cells})
    return dict(cells)


def test_all_names_are_there(rows):
    assert len(rows) >= 98 + 9
    assert {row[0] for row in rows.values()} == set(STATUS)


def test_what_is_present_resolves(rows):
    present = [name for name, row in rows.items() if row[0] == "same"]
    assert len(present) > 65
    assert [n for n in present if rows[n][1] != f"`{n}`"] == []
    assert [n for n in present if not hasattr(facet_nb, n)] == []


def test_what_is_missing_is_missing(rows):
    """A name that has come meanwhile deserves another row."""
    missing = [name for name, row in rows.items() if row[0] != "same"]
    assert [name for name in missing if hasattr(facet_nb, name)] == []
    unsaid = [n for n, row in rows.items() if row[0] == "another way" and row[1] == "–"]
    assert unsaid == []


def test_what_is_recommended_exists(rows):
    """Every name of ours in the text, written as code, is one."""
    words = {w for row in rows.values() for w in re.findall(r"`([A-Z]\w+)`", " ".join(row[1:]))}
    assert {w for w in words if not hasattr(facet_nb, w)} <= {"BAD_", "REFERENCE"}
    for name in ("plot_before_after", "plot_channels", "plot_psd"):
        assert callable(getattr(plots, name))
    assert callable(simulate)


#: Constructor arguments of FACETpy 2.0.2, as its users write them.
ARGUMENTS = {
    "ChannelStandardizer": ["standard", "on_missing", "keep_auxiliary", "rename_aliases"],
    "CheckDataReport": ["require_triggers", "strict"],
    "ConditionalProcessor": ["condition", "processor", "else_processor"],
    "CutAcquisitionWindow": ["pre_padding_samples", "post_padding_samples"],
    "FFTAllenCalculator": ["verbose"],
    "FFTNiazyCalculator": ["verbose"],
    "LegacySNRCalculator": ["verbose"],
    "MedianArtifactCalculator": ["verbose"],
    "MissingTriggerCompleter": [
        "volumes", "slices", "add_to_context", "add_annotations", "strict",
    ],
    "RMSResidualCalculator": ["time_buffer", "verbose"],
    "RawTransform": ["name", "func"],
    "SequenceProcessor": ["processors"],
    "SliceTriggerGenerator": [
        "slices", "duration_samples", "relative_position", "add_annotations",
    ],
    "SwitchProcessor": ["selector", "cases", "default"],
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_come_in_their_order(name):
    ours = list(inspect.signature(getattr(facet_nb, name)).parameters)
    assert ours[: len(ARGUMENTS[name])] == ARGUMENTS[name]


def test_example_of_the_page_runs(page):
    namespace: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, "coming_from_facetpy.md", "exec"), namespace)
    assert namespace["again"].to_dict() == namespace["pipeline"].to_dict()
