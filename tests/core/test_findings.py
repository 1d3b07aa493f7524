"""Findings: one mechanism from the step to the eye, the same in every mode."""

from __future__ import annotations

import ast
import json
import pickle
import re
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facet_nb
from facet_nb import (
    FINDING_KINDS,
    DownSample,
    Finding,
    HighPassFilter,
    Pipeline,
    Prepared,
    ProcessingContext,
    Processor,
    SequenceProcessor,
    UpSample,
    ValidationError,
    make_finding,
)
from facet_nb.core import ArrayProcessor
from facet_nb.core.events import FindingRaised, RunState
from facet_nb.core.findings import SEVERITIES, FindingError, find_in_error, merge_findings

PACKAGE = Path(facet_nb.__file__).parent
MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


class TellsOnce(ArrayProcessor):
    """Doubles the signal, and decides once which channel is the largest."""

    needs = "all"

    def prepare(self, view):
        largest = view.ch_names[int(np.argmax(np.abs(view.data).max(axis=1)))]
        found = make_finding("loud", "One is loud.", title="a loud channel", channels=[largest])
        return Prepared(findings=(found,))

    def compute(self, x, prepared, out=None):
        return 2.0 * x


class TellsOfAll(Processor):
    """A user-defined step that sees all channels."""

    def process(self, context):
        n = context.get_n_channels()
        return context.add_finding("count", "", title="channels counted", severity="note", n=n)


class TellsOfReference(Processor):
    """A user-defined channel-wise step."""

    channel_wise = True

    def process(self, context):
        return context.add_finding("seen", f"{context.get_channel_names()[0]}.", title="seen")


class Refuses(Processor):
    """A user-defined step that cannot go on."""

    def process(self, context):
        raise FindingError(
            make_finding("refused", "No.", severity="error", title="refused", remedy="Do not.")
        )


@pytest.fixture
def loaded():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((4, 2000)) * 1e-5 * np.array([[1], [1], [7], [1]])
    return ProcessingContext(mne.io.RawArray(data, mne.create_info(4, 250.0, "eeg"), verbose=False))


@pytest.mark.parametrize("options", MODES)
def test_every_mode_tells_the_same(loaded, options):
    events = []
    chain = Pipeline([TellsOfAll(), TellsOnce(), TellsOfReference()])
    result = chain.run(loaded, on_event=events.append, **options)
    assert result.success, result.error
    told = [f for f in result.findings if f.code != "workers_lowered"]
    assert [(f.code, f.step, f.channels) for f in told] == [
        ("loud", "tells_once", ("2",)),
        ("seen", "tells_of_reference", ()),
        ("count", "tells_of_all", ()),
    ]
    assert told[1].detail == "0."
    assert told[2].evidence == {"n": 4}
    # History and events hold the same.
    steps = [s for s in result.get_history() if s.findings]
    assert [s.name for s in steps] == ["tells_of_all", "tells_once", "tells_of_reference"]
    live = [e.finding for e in events if isinstance(e, FindingRaised)]
    assert [f for f in live if f.code != "workers_lowered"] == [
        f for s in steps for f in s.findings
    ]
    assert RunState().apply_all(events).findings == result.state.findings


def test_a_nested_step_tells(loaded):
    result = Pipeline([SequenceProcessor([TellsOfAll(), TellsOnce()])]).run(loaded)
    assert [f.code for f in result.findings] == ["loud", "count"]


def test_a_refusal_is_a_finding(loaded):
    """An error that names its finding is told like one, through the step's error."""
    events = []
    result = Pipeline([TellsOfAll(), Refuses()]).run(loaded, on_event=events.append)
    assert not result.success
    assert "No. Do not." in str(result.error)
    assert [f.code for f in result.findings] == ["refused", "count"]
    assert [e.finding.code for e in events if isinstance(e, FindingRaised)] == ["count", "refused"]
    back = pickle.loads(pickle.dumps(find_in_error(result.error)))
    assert back == find_in_error(result.error)


def test_a_killed_run_tells_again(loaded, tmp_path):
    """A trial from a checkpoint keeps what its step told."""
    chain = Pipeline([TellsOfReference()])
    first = chain.run(loaded, mode="channel_sequential", checkpoint=tmp_path)
    again = chain.run(loaded, mode="channel_sequential", checkpoint=tmp_path)
    assert first.success, first.error
    assert again.state.batches_restored == 4
    assert again.findings == first.findings != ()


def test_it_is_shown_everywhere(loaded, capsys):
    result = Pipeline([TellsOnce()]).run(loaded)
    result.print_summary()
    assert "warning [tells_once]: a loud channel. One is loud. (channels: 2)" in (
        capsys.readouterr().out
    )
    assert "a loud channel" in result._repr_html_()
    batch = Pipeline([TellsOnce()]).map([loaded, loaded])
    table = batch.summary_df
    assert table["findings"].tolist() == [1, 1]
    assert table["worst"].tolist() == ["warning", "warning"]
    assert batch.summary().count("a loud channel") == 2
    plain = Pipeline([HighPassFilter(1.0)]).map([loaded])
    assert plain.summary_df[["findings", "worst"]].values.tolist() == [[0, ""]]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mode": "serial", "n_jobs": 3}, "mode='serial'"),
        ({"mode": "channel_sequential", "n_jobs": 2, "backend": "serial"}, "backend='serial'"),
        ({"mode": "channel_sequential", "n_workers": 4096}, "cores"),
    ],
)
def test_the_planner_tells(options, why):
    plan = Pipeline([HighPassFilter(1.0)]).plan(**options)
    assert [f.code for f in plan.findings] == ["workers_lowered"]
    assert why in plan.findings[0].detail
    assert str(plan.findings[0]) in str(plan)
    assert not Pipeline([HighPassFilter(1.0)]).plan(mode="serial").findings


def test_the_planner_tells_of_a_budget():
    """Settings that follow a forecast are told, with the forecast."""
    raw = mne.io.RawArray(np.zeros((16, 200_000)), mne.create_info(16, 250.0, "eeg"), verbose=False)
    chain = Pipeline([UpSample(10), HighPassFilter(1.0), DownSample(10)])
    context = ProcessingContext(raw)
    options = {"mode": "channel_sequential", "batch_size": 16}
    limit = chain.plan(context, **options).forecast.peak_bytes - 8_000_000
    plan = chain.plan(context, memory_budget=limit, **options)
    assert [f.code for f in plan.findings] == ["memory_predicted"]
    assert plan.findings[0].evidence["peak_bytes"] <= limit
    assert "The run uses batch_size=" in plan.findings[0].detail


def test_the_executor_tells(loaded):
    """More workers than batches: known when the recording is."""
    result = Pipeline([HighPassFilter(1.0)]).run(
        loaded, mode="channel_sequential", n_jobs=64, backend="threading"
    )
    (found,) = result.findings
    assert (found.code, found.evidence) == ("workers_lowered", {"n_jobs": 4, "asked": 64})


# --------------------------------------------------------------------------------- the data class
def test_a_code_must_be_declared():
    with pytest.raises(ValidationError, match="title"):
        make_finding("no_such_code")
    with pytest.raises(ValidationError, match="severity"):
        make_finding("no_such_code", title="x", severity="fatal")


texts = st.text("abc", max_size=3)
findings = st.builds(
    Finding,
    code=st.sampled_from("xyz"),
    severity=st.sampled_from(SEVERITIES),
    title=texts,
    detail=texts,
    evidence=st.dictionaries(texts, st.integers() | st.none() | st.lists(st.floats(0, 1))),
    step=texts | st.none(),
    channels=st.lists(texts, max_size=3).map(tuple),
    span_s=st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), max_size=3).map(tuple),
)


@given(
    begins=st.lists(st.floats(0, 999), max_size=300),
    length_s=st.floats(0, 9),
    n=st.integers(1, 3),
)
def test_spans_are_no_more_than_a_person_looks_at(begins, length_s, n):
    spans = [(round(a, 6), round(a + length_s, 6)) for a in begins]
    parts = [make_finding("epochs_few", str(i), span_s=spans[i::n]) for i in range(n)]
    (found,) = merge_findings(parts)
    kept = np.array(found.span_s).reshape(-1, 2)
    if len(set(spans)) <= 100:
        assert {tuple(span) for span in kept} == set(spans)
        return
    assert len(kept) <= 100
    for begin, end in spans:
        assert np.any((kept[:, 0] <= begin) & (kept[:, 1] >= end))
    # Where two are apart by much, neither is lost in the other.
    gaps = np.sort(np.diff(np.sort(begins)))[::-1] - length_s
    assert np.all(kept[1:, 0] - kept[:-1, 1] >= min(gaps[98], 0.0) - 1e-4)


@given(st.lists(findings, max_size=8))
def test_merging(given):
    merged = merge_findings(given)
    assert {f.code for f in merged} == {f.code for f in given}
    assert len(merged) == len({f.code for f in given})
    assert merge_findings(merged) == merged
    ranks = [SEVERITIES.index(f.severity) for f in merged]
    assert ranks == sorted(ranks, reverse=True)
    for one in merged:
        alike = [f for f in given if f.code == one.code]
        assert {c for f in alike for c in f.channels} == set(one.channels)
        assert {s for f in alike for s in f.span_s} == set(one.span_s)


@given(findings)
def test_plain_values(finding):
    assert pickle.loads(pickle.dumps(finding)) == finding
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding


# ---------------------------------------------------------------------------- codes and their page
def raised_codes() -> dict[str, str]:
    """Return the codes in the package's source, and a file in which each is raised."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name not in ("make_finding", "add_finding"):
                continue
            code = node.args[0]
            if isinstance(code, ast.Constant):
                found[code.value] = path.name
            else:
                assert path.name == "context.py", f"{path}: the code must be a literal"
    return found


def test_every_code_is_declared_raised_and_explained(project_root):
    raised = raised_codes()
    assert set(raised) == set(FINDING_KINDS)
    page = (project_root / "docs/findings.md").read_text(encoding="utf-8")
    codes = page.partition("## Codes")[2]
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", codes, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(FINDING_KINDS)
    for code, text in sections.items():
        assert text.strip().startswith(f"*{FINDING_KINDS[code].severity.capitalize()}"), code
        assert len(text.split()) > 25, code


def test_only_one_call_makes_findings():
    calls = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
    ]
    assert calls == ["findings.py"]
