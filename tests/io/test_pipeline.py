"""Loaders and exporters as the first and last steps of a pipeline."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from facet_nb import AASCorrection, LowPassFilter, TriggerDetector, read_provenance
from facet_nb.core import Pipeline, ProcessingContext, Processor
from facet_nb.core.findings import FINDING_KINDS
from facet_nb.datasets import simulate
from facet_nb.io import Exporter, Loader, export, load

MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


class Halve(Processor):
    """Half of every data channel."""

    name = "halve_in_io_tests"
    requires_raw = True
    channel_wise = True

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw().copy()
        raw._data = raw._data * 0.5
        return context.with_raw(raw)


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".vhdr", ".fif"])
def test_every_mode_writes_the_same_bytes(suffix, preload, sources, tmp_path):
    written = []
    for i, mode in enumerate(MODES):
        path = tmp_path / str(i) / f"out{suffix}"
        pipeline = Pipeline([Loader(sources[".fif"], preload=preload), Halve(), Exporter(path)])
        result = pipeline.run(show_progress=False, raise_on_error=True, **mode)
        assert [s.name for s in result.context.get_history()] == [
            "auto_loader",
            "halve_in_io_tests",
            "exporter",
        ]
        # The provenance beside the file tells mode and time.
        files = [p for p in path.parent.iterdir() if p.name != "out_provenance.json"]
        written.append({p.name: p.read_bytes() for p in files})
    whole = load(sources[".fif"]).get_data()
    np.testing.assert_allclose(load(path).get_data()[:4], 0.5 * whole[:4], atol=1e-6)
    np.testing.assert_array_equal(load(path).get_data()[5], whole[5])
    if suffix == ".fif":  # its file id holds the time of writing
        sizes = [{name: len(data) for name, data in files.items()} for files in written]
        assert sizes[0] == sizes[1] == sizes[2]
    else:
        assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("suffix", [".edf", ".vhdr", ".fif"])
def test_what_is_told_inside_is_the_same_in_every_mode(suffix, tmp_path):
    """Findings about the result stand in the file, those about the run beside it only."""
    sim = simulate(seed=2, n_channels=3, sfreq=500, duration_s=30.0)
    again = sim.raw.annotations.onset[4] + 0.02  # a marker twice
    sim.raw.annotations.append(again, 0.0, sim.raw.annotations.description[4])
    export(ProcessingContext(sim.raw), tmp_path / "in.vhdr", provenance=False)
    modes = [
        *MODES,
        {"mode": "channel_sequential", "chunk_duration_s": 10.0},
    ]
    inside, beside = [], []
    for i, mode in enumerate(modes):
        path = tmp_path / str(i) / f"out{suffix}"
        steps = [TriggerDetector(r"S  1|R128"), AASCorrection(), LowPassFilter(70)]
        load_it = Loader(tmp_path / "in.vhdr", preload="chunk_duration_s" not in mode)
        Pipeline([load_it, *steps, Exporter(path)]).run(
            show_progress=False, raise_on_error=True, **mode
        )
        beside.append({f.code for f in read_provenance(path).findings})
        (path.parent / "out_provenance.json").unlink()
        if suffix == ".edf":
            inside.append("warned" in path.read_bytes()[:256].decode("ascii").split())
            continue
        found = read_provenance(path)
        inside.append([(f.code, f.severity) for f in found.findings])
        about_runs = {code for code, kind in FINDING_KINDS.items() if kind.of_runs}
        assert {code for code, _ in inside[-1]} == beside[-1] - about_runs
    assert all(told == inside[0] for told in inside) and inside[0]
    assert "triggers_stray" in beside[0]


def test_failures_name_the_step(tmp_path, sources):
    result = Pipeline([Loader(tmp_path / "none.edf")]).run(show_progress=False)
    assert not result.success
    assert "Step 1 (auto_loader) failed" in str(result.error)
    assert "none.edf" in str(result.error)
    (tmp_path / "file").write_text("x")
    steps = [Loader(sources[".edf"]), Exporter(tmp_path / "file" / "out.edf")]
    result = Pipeline(steps).run(show_progress=False)
    assert "Step 2 (exporter) failed" in str(result.error)
    assert "is a file, not a folder" in str(result.error)


def test_steps_survive_yaml_and_pickle(tmp_path, sources):
    pipeline = Pipeline(
        [Loader(sources[".edf"], bad_channels=["Cz"]), Exporter(tmp_path / "o.fif")]
    )
    again = Pipeline.from_yaml(pipeline.to_yaml(tmp_path / "chain.yaml"))
    assert [p.get_parameters() for p in again] == [
        {**p.get_parameters(), "path": str(p.path)} for p in pipeline
    ]
    pickle.loads(pickle.dumps(again)).run(show_progress=False, raise_on_error=True)
    assert load(tmp_path / "o.fif").get_raw().info["bads"] == ["Cz"]


def test_many_files(sources, tmp_path):
    inputs = [sources[".edf"], sources[".vhdr"]]
    batch = Pipeline([Halve()]).map(inputs, output=tmp_path, show_progress=False)
    assert [result.error for result in batch] == [None, None]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "study.csv",
        "study.jsonl",
        "whole_corrected.edf",
        "whole_corrected.eeg",
        "whole_corrected.vhdr",
        "whole_corrected.vhdr_provenance.json",
        "whole_corrected.vmrk",
        "whole_corrected_provenance.json",
    ]
