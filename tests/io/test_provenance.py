"""What a file was made of is told beside it and inside it, and can be checked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet_nb import AASCorrection, HighPassFilter, TriggerDetector, read_provenance
from facet_nb.core import FacetError, Pipeline, ProcessingContext, Processor, ValidationError
from facet_nb.core.findings import make_finding
from facet_nb.datasets import simulate
from facet_nb.io import (
    BIDSExporter,
    BIDSLoader,
    Exporter,
    FIFExporter,
    Loader,
    Provenance,
    export,
    load,
)
from facet_nb.io.provenance import Note, hash_file
from tests.io.conftest import make_recording

SUFFIXES = [".edf", ".bdf", ".vhdr", ".fif", ".set"]
INSIDE = [".vhdr", ".fif"]


class Tells(Processor):
    """A step that tells something, with a file name in it."""

    name = "tells_in_provenance_tests"
    requires_raw = True

    def __init__(self, text: str = "") -> None:
        self.text = text

    def process(self, context: ProcessingContext) -> ProcessingContext:
        return context.add_finding("of_my_own", self.text, title="mine", value=float("nan"))


def run(source, target, *steps, **options):
    pipeline = Pipeline([Loader(source), *steps, Exporter(target)])
    return pipeline.run(raise_on_error=True, show_progress=False, **options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_beside_each_format(suffix, sources, tmp_path):
    """Chain, settings, versions, findings and hashes, without folders."""
    source, target = sources[suffix], tmp_path / f"out{suffix}"
    told = f"{source} has no name"
    run(source, target, HighPassFilter(1.0), Tells(told), mode="channel_sequential", batch_size=2)
    sidecar = tmp_path / "out_provenance.json"
    text = sidecar.read_text("utf-8")
    assert str(source.parent) not in text and str(tmp_path) not in text
    values = json.loads(text)
    assert (values["schema"], values["schema_version"]) == ("facet_nb-provenance", 1)
    found = read_provenance(target)
    assert found == read_provenance(sidecar) == Provenance.from_dict(values)
    names = ["auto_loader", "highpass_filter", "tells_in_provenance_tests"]
    assert [step["name"] for step in found.chain] == names
    assert found.chain[0]["parameters"]["path"] == source.name
    assert found.chain[1]["parameters"]["freq"] == 1.0
    assert found.output["file"] == target.name and found.output["n_channels"] > 2
    assert found.settings["mode"] == "channel_sequential" and found.settings["batch_size"] == 2
    assert {"system", "architecture", "cores"} == set(found.machine)
    assert found.versions["mne"] == mne.__version__ and found.written.startswith("20")
    assert f"{source.name} has no name" in [finding.detail for finding in found.findings]
    for entry in found.inputs:
        content = (source.parent / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    files = {".vhdr": {".vhdr", ".eeg", ".vmrk"}}.get(suffix, {suffix})
    assert {entry["file"] for entry in found.inputs} == {f"whole{part}" for part in files}
    assert found.verify_input(source)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_input_that_has_changed(suffix, tmp_path):
    source, copy = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    export(ProcessingContext(make_recording(seed=1)), source, provenance=False)
    run(source, tmp_path / "out.fif")
    found = read_provenance(tmp_path / "out.fif")
    assert found.verify_input(source)
    export(ProcessingContext(make_recording(seed=2)), copy, provenance=False)
    assert not found.verify_input(copy)


def test_a_marker_file_that_has_changed(sources, tmp_path):
    for part in (".vhdr", ".eeg", ".vmrk"):
        data = sources[".vhdr"].with_suffix(part).read_bytes()
        (tmp_path / f"whole{part}").write_bytes(data)
    run(tmp_path / "whole.vhdr", tmp_path / "out.fif")
    marks = tmp_path / "whole.vmrk"
    marks.write_text(marks.read_text("utf-8").replace("S  1", "S  2"), "utf-8")
    assert not read_provenance(tmp_path / "out.fif").verify_input(tmp_path / "whole.vhdr")


@pytest.mark.parametrize("suffix", INSIDE)
def test_inside_where_there_is_room(suffix, sources, tmp_path):
    """MNE reads the file as ever, and the line is the same for every mode."""
    lines = []
    for i, mode in enumerate(["serial", "channel_sequential"]):
        target = tmp_path / str(i) / f"out{suffix}"
        run(sources[suffix], target, HighPassFilter(1.0), mode=mode)
        (target.parent / "out_provenance.json").unlink()
        raw = mne.io.read_raw(target, verbose="error")
        text = raw.info["description"] if suffix == ".fif" else target.read_text("utf-8")
        lines.append([ln for ln in text.splitlines() if ln.startswith("facet_nb provenance: ")])
        found = read_provenance(target)
        assert [step["name"] for step in found.chain] == ["auto_loader", "highpass_filter"]
        assert found.verify_input(sources[suffix])
        assert (found.settings, found.machine, found.written) == ({}, {}, "")
    assert len(lines[0]) == 1 and lines[0] == lines[1]


def test_which_findings_stand_inside():
    """Those of the run do not, figures neither; the most serious ones come first, 16 at most."""
    mine = [make_finding(f"mine_{i:02d}", title="mine", severity="note") for i in range(20)]
    found = [
        make_finding("workers_lowered", "2 of 8", n_jobs=2),
        *mine,
        make_finding("triggers_stray", "3 markers", n=3),
        make_finding("triggers_stray", "2 markers", n=2),
    ]
    note = Note.of(Provenance(1, "0", findings=tuple(found)), Path("x.json"))
    told = json.loads(note.line.removeprefix("facet_nb provenance: "))["findings"]
    assert [finding["code"] for finding in told] == [
        "triggers_stray",
        *(f"mine_{i:02d}" for i in range(15)),
    ]
    assert set(told[0]) == {"code", "severity", "title"}
    assert note.tag[-1] == "warned"
    assert "warned" not in Note.of(Provenance(1, "0", findings=tuple(mine)), Path("x")).tag


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_the_recording_field_of_edf(suffix, sources, tmp_path):
    import edfio

    target = tmp_path / f"out{suffix}"
    run(sources[suffix], target, HighPassFilter(1.0))
    read = edfio.read_edf if suffix == ".edf" else edfio.read_bdf
    words = read(target).recording.additional
    digest = read_provenance(target).inputs[0]["sha256"]
    assert words[0].startswith("facet_nb-") and words[1:] == ("processed", f"sha256-{digest[:12]}")
    assert mne.io.read_raw(target, verbose="error").info["meas_date"].year == 2021


def test_the_own_description_is_kept_and_the_earlier_chain_is_told(tmp_path):
    raw = make_recording()
    raw.info["description"] = "pilot\nroom 3"
    export(ProcessingContext(raw), tmp_path / "a.fif")
    run(tmp_path / "a.fif", tmp_path / "b.fif", HighPassFilter(1.0))
    run(tmp_path / "b.fif", tmp_path / "c.fif", HighPassFilter(2.0))
    lines = load(tmp_path / "c.fif").get_raw().info["description"].splitlines()
    assert lines[:2] == ["pilot", "room 3"] and len(lines) == 3
    found = read_provenance(tmp_path / "c.fif")
    freqs = [found.chain[1], found.earlier["chain"][1]]
    assert [step["parameters"]["freq"] for step in freqs] == [2.0, 1.0]
    assert found.earlier["output"]["file"] == "b.fif"
    assert raw.info["description"] == "pilot\nroom 3"  # the caller's recording did not change


def test_two_files_of_one_name_keep_theirs(context, sources, tmp_path):
    for suffix in (".edf", ".fif"):
        run(sources[suffix], tmp_path / f"rec{suffix}")
    names = {path.name for path in tmp_path.glob("*.json")}
    assert names == {"rec_provenance.json", "rec.fif_provenance.json"}
    for suffix in (".edf", ".fif"):
        assert read_provenance(tmp_path / f"rec{suffix}").verify_input(sources[suffix])
    (tmp_path / "rec.edf").unlink()  # its file is outdated, and free for the other
    run(sources[".bdf"], tmp_path / "rec.fif")
    assert {path.name for path in tmp_path.glob("*.json")} == {"rec_provenance.json"}
    assert read_provenance(tmp_path / "rec.fif").inputs[0]["file"] == "whole.bdf"


def test_without_provenance(context, tmp_path):
    export(context, tmp_path / "out.fif")
    export(context, tmp_path / "out.fif", provenance=False)
    assert {path.name for path in tmp_path.iterdir()} == {"out.fif"}
    with pytest.raises(ValidationError, match=r"no out_provenance\.json beside it"):
        read_provenance(tmp_path / "out.fif")


def test_a_file_of_somebody_else_is_not_replaced(context, tmp_path):
    for name in ("out_provenance.json", "out.fif_provenance.json"):
        (tmp_path / name).write_text('{"theirs": 1}')
    with pytest.raises(FacetError, match="would replace this file"):
        Pipeline([Exporter(tmp_path / "out.fif")]).plan(context)
    (tmp_path / "out.fif_provenance.json").unlink()
    export(context, tmp_path / "out.fif")
    assert (tmp_path / "out_provenance.json").read_text() == '{"theirs": 1}'
    assert read_provenance(tmp_path / "out.fif").output["file"] == "out.fif"


def test_made_in_memory(context, tmp_path):
    export(context, tmp_path / "out.vhdr")
    found = read_provenance(tmp_path / "out.vhdr")
    assert found.inputs == () and found.chain == ()
    with pytest.raises(ValidationError, match="made in memory"):
        found.verify_input(tmp_path / "out.vhdr")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "holds no provenance"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "no provenance of facet_nb"),
        ('{"schema": "facet_nb-provenance", "schema_version": 2}', "update facet_nb"),
        ('{"schema": "facet_nb-provenance", "schema_version": 1}', "incomplete"),
    ],
)
def test_what_cannot_be_read(text, told, tmp_path):
    (tmp_path / "x_provenance.json").write_text(text)
    with pytest.raises(ValidationError, match=told):
        read_provenance(tmp_path / "x_provenance.json")
    with pytest.raises(ValidationError, match="Check the path"):
        read_provenance(tmp_path / "none.json")


def test_from_file_to_file(sources, tmp_path):
    """A recording that is never loaded, in chunks of time."""
    pipeline = Pipeline(
        [
            Loader(sources[".vhdr"], preload=False),
            HighPassFilter(5.0),
            Exporter(tmp_path / "o.vhdr"),
        ]
    )
    pipeline.run(
        mode="channel_sequential", chunk_duration_s=0.5, show_progress=False, raise_on_error=True
    )
    found = read_provenance(tmp_path / "o.vhdr")
    assert found.settings["chunk_duration_s"] == 0.5 and found.verify_input(sources[".vhdr"])


def test_of_many_files_in_processes(sources, tmp_path):
    inputs = [sources[".edf"], sources[".fif"]]
    batch = Pipeline([HighPassFilter(1.0)]).map(
        inputs, output=f"{tmp_path}/{{stem}}{{suffix}}", n_jobs=2, show_progress=False,
        backend="threading",
    )  # fmt: skip
    assert [result.error for result in batch] == [None, None]
    told = [path for path in tmp_path.glob("*.json") if read_provenance(path).inputs]
    assert told


def test_in_a_bids_folder(sources, tmp_path):
    pytest.importorskip("mne_bids")
    place = {"bids_root": tmp_path, "subject": "01", "task": "rest"}
    steps = [Loader(sources[".vhdr"]), HighPassFilter(1.0), BIDSExporter(**place)]
    Pipeline(steps).run(show_progress=False, raise_on_error=True)
    head = tmp_path / "sub-01" / "eeg" / "sub-01_task-rest_eeg.vhdr"
    found = read_provenance(head)
    assert [step["name"] for step in found.chain] == ["auto_loader", "highpass_filter"]
    assert found.verify_input(sources[".vhdr"]) and found.settings["mode"] == "serial"
    assert json.loads(head.with_suffix(".json").read_text())["GeneratedBy"][0]["Name"] == "facet_nb"
    assert BIDSLoader(**place).execute(ProcessingContext()).get_n_channels() == 6


def test_hash_of_a_file_in_blocks(tmp_path):
    rng = np.random.default_rng(0)
    for size in (0, 1, (1 << 20) - 1, (1 << 20) + 1):
        data = rng.bytes(size)
        (tmp_path / "x").write_bytes(data)
        found = hash_file(tmp_path / "x")
        assert found == {"file": "x", "bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


# Without a codec, for which hypothesis would look at each code point of Unicode: ten seconds.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["[Comment]", "Channels", "a\nb", "\ud800", "x" * 99]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(VALUES)
def test_any_parameter_is_written_and_read_by_mne(tmp_path, value):
    context = ProcessingContext(make_recording(n_times=600))
    context.add_history_entry("mine", "Mine", {"value": value})
    for suffix in INSIDE:
        target = tmp_path / f"out{suffix}"
        export(context, target)
        assert mne.io.read_raw(target, verbose="error").n_times == 600
        found = read_provenance(target)
        assert found.chain[0]["name"] == "mine"
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["schema_version"] == 1


def test_the_line_inside_is_short_and_of_ascii():
    found = Provenance(1, "0.1", chain=({"name": "µ", "parameters": {"x": list(range(9999))}},))
    note = Note.of(dataclasses.replace(found, written="now"), None)
    assert note.line.isascii() and len(note.line) < 600 and "now" not in note.line
    assert b"9998" in note.content


@pytest.mark.skipif(os.name == "nt", reason="such names do not exist there")
def test_a_file_name_that_is_no_text(sources, tmp_path):
    source = os.fsencode(tmp_path) + b"/a\xff.fif"
    with open(source, "wb") as sink:
        sink.write(sources[".fif"].read_bytes())
    run(os.fsdecode(source), tmp_path / "out.fif")
    assert read_provenance(tmp_path / "out.fif").inputs[0]["file"] == os.fsdecode(b"a\xff.fif")


@pytest.mark.parametrize("version", ["0.11.0", "10.20.30.dev1234+g0123456789abcdef0123", "9" * 60])
def test_the_recording_field_takes_what_fits(version, context, tmp_path, monkeypatch):
    import edfio

    from facet_nb.io import provenance

    found = {**provenance.list_versions(), "facet_nb": version}
    monkeypatch.setattr(provenance, "list_versions", lambda: found)
    context.add_history_entry("mine")
    export(context, tmp_path / "out.edf")
    words = edfio.read_edf(tmp_path / "out.edf").recording.additional
    wanted = {6: (f"facet_nb-{version}", "processed"), 60: ("processed",)}
    assert words == wanted.get(len(version), (f"facet_nb-{version}",))


def test_a_folder_and_a_strange_file_in_the_way(context, tmp_path):
    (tmp_path / "out_provenance.json").mkdir()
    (tmp_path / "out.json").write_text("[" * 100_000)
    export(context, tmp_path / "out.fif")
    assert read_provenance(tmp_path / "out.fif").output["file"] == "out.fif"
    assert (tmp_path / "out.fif_provenance.json").is_file()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": "facet_nb-provenance", "schema_version": 9}']
)
def test_a_damaged_or_later_line_inside(text, tmp_path):
    """It is told to who asks for it, and does not keep anybody from an export."""
    raw = make_recording()
    raw.info["description"] = f"pilot\nfacet_nb provenance: {text}"
    raw.save(tmp_path / "in.fif", verbose="error")
    with pytest.raises(ValidationError, match="provenance"):
        read_provenance(tmp_path / "in.fif")
    run(tmp_path / "in.fif", tmp_path / "out.fif")
    assert read_provenance(tmp_path / "out.fif").earlier is None
    run(tmp_path / "in.fif", tmp_path / "on.fif", HighPassFilter(1.0))
    export(load(tmp_path / "on.fif"), tmp_path / "off.fif", provenance=False)
    assert load(tmp_path / "off.fif").get_raw().info["description"] == "pilot"


def test_the_verdict_on_the_result_is_in_it_if_it_was_measured(tmp_path):
    raw = simulate(n_channels=4, sfreq=1000, duration_s=20, seed=1).raw
    chain = [TriggerDetector(r"\b1\b"), AASCorrection(window_size=10)]
    result = Pipeline(chain).run(raw, raise_on_error=True, show_progress=False)
    assert result.quality.verdict in ("good", "check")
    export(result.context, tmp_path / "a.fif")
    assert read_provenance(tmp_path / "a.fif").quality == json.loads(
        json.dumps(result.quality.to_dict())
    )
    export(ProcessingContext(raw), tmp_path / "b.fif")
    assert read_provenance(tmp_path / "b.fif").quality["sentence"] == "nothing was corrected."


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, ""),
        ({"mode": "parallel", "n_jobs": 2, "backend": "threading"}, ""),
        ({"memory_budget": "4GB"}, ""),
        ({"mode": "auto"}, ""),
        ({"memory_budget": "4GB", "accept": lambda quality: True}, ""),
    ],
)
def test_the_verdict_is_beside_the_output_of_a_run_or_why_not(options, reason, tmp_path):
    raw = simulate(n_channels=4, sfreq=500, duration_s=30, seed=1).raw
    steps = [TriggerDetector(r"\b1\b"), AASCorrection(10), FIFExporter(tmp_path / "a.fif")]
    Pipeline(steps).run(raw, raise_on_error=True, show_progress=False, **options)
    found = read_provenance(tmp_path / "a.fif").quality
    assert (found["verdict"] == "not measured") == bool(reason)
    assert reason in found["sentence"] and bool(found["measures"]) != bool(reason)
