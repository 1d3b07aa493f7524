"""No export replaces the recording that it was made from, by whatever name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import mne
import numpy as np
import pytest

from facet_nb import (
    Crop,
    DownSample,
    Exporter,
    HighPassFilter,
    Loader,
    UpSample,
    export,
    load,
)
from facet_nb.core import Pipeline, ProcessingContext, StepError, ValidationError
from facet_nb.core.storage.originals import list_files
from facet_nb.datasets import simulate
from facet_nb.pipelines import PlotBeforeAfter
from tests.benchmark.samples import make_table
from tests.core import toys
from tests.io.conftest import make_recording


def hashes(folder):
    """Hash of each file below `folder`."""
    files = [p for p in Path(folder).rglob("*") if p.is_file()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(params=[".fif", ".vhdr", ".edf"])
def source(request, tmp_path):
    path = tmp_path / f"raw{request.param}"
    export(ProcessingContext(make_recording()), path)
    return path


def same_name(path):
    return path


def relative_name(path):
    return Path(os.path.relpath(path))


def symbolic_link(path):
    link = path.with_name(f"link{path.suffix}")
    link.symlink_to(path)
    return link


def hard_link(path):
    link = path.with_name(f"hard{path.suffix}")
    link.hardlink_to(path)
    return link


def linked_folder(path):
    (path.parent / "folder").symlink_to(path.parent)
    return path.parent / "folder" / path.name


TWINS = [same_name, relative_name, symbolic_link, hard_link, linked_folder]


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("make_twin", TWINS)
def test_the_input_of_a_chain_is_kept(source, make_twin, preload):
    target = make_twin(source)
    before = hashes(source.parent)
    counted: list[int] = []
    chain = [Loader(source, preload=preload), lambda context: counted.append(1) or context]
    answer = Pipeline([*chain, Exporter(target)]).run(show_progress=False)
    assert isinstance(answer.error, StepError) and answer.failed_processor == "exporter"
    assert "replace" in str(answer.error)
    assert not counted
    assert hashes(source.parent) == before
    with pytest.raises(StepError, match="replace"):
        Pipeline([*chain, Exporter(target)]).plan()


@pytest.mark.parametrize("make_twin", TWINS)
def test_the_input_of_a_context_is_kept(source, make_twin):
    before = hashes(source.parent)
    target = make_twin(source)
    context = Pipeline([toys.Scaled()]).run(load(source), show_progress=False).get_context()
    with pytest.raises(ValidationError, match="replace_input=True"):
        export(context, target)
    assert {k: v for k, v in hashes(source.parent).items() if k in before} == before


def name_otherwise(folder, part):
    """Rename a part of raw.vhdr; only the header names it then."""
    name = f"raw{part}"
    os.rename(folder / name, folder / f"other{part}")
    header = (folder / "raw.vhdr").read_text("utf-8").replace(name, f"other{part}")
    (folder / "raw.vhdr").write_text(header, "utf-8")


@pytest.mark.parametrize("part", [".eeg", ".vmrk"])
@pytest.mark.parametrize("reader", ["loader", "mne"])
def test_parts_that_only_a_header_names_are_kept(tmp_path, part, reader):
    """By exporters as by MNE's methods of a lazy recording, however it was read."""
    export(ProcessingContext(make_recording()), tmp_path / "raw.vhdr")
    name_otherwise(tmp_path, part)
    before, path = hashes(tmp_path), tmp_path / "raw.vhdr"
    source = path if reader == "loader" else mne.io.read_raw_brainvision(path, verbose="error")
    lazy = Pipeline([HighPassFilter(1.0)]).lazy(source)
    for target in ("raw.vhdr", "other.vhdr", f"raw{part}", f"other{part}"):
        with pytest.raises(ValidationError, match="from which the recording is computed"):
            lazy.export(tmp_path / target, fmt="brainvision", overwrite=True)
        assert hashes(tmp_path) == before
    context = load(path) if reader == "loader" else ProcessingContext(source)
    with pytest.raises(ValidationError, match=r"file of the input|still being read"):
        export(context, tmp_path / "other.vhdr")
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"MarkerFile=Mess\xc3\xa4.vmrk", "Mess\u00e4.vmrk"),
        (b"  MarkerFile = Mess\xe4.vmrk \r\nx=1", "Mess\u00e4.vmrk"),
        (b"MarkerFile=$b_2.vmrk", "raw_2.vmrk"),
        (b"MarkerFile=.\\mine.mrk", "mine.mrk"),
    ],
)
def test_names_in_headers(tmp_path, line, name):
    (tmp_path / "raw.vhdr").write_bytes(b"Brain Vision\n[Common Infos]\nDataFile=\n" + line)
    (tmp_path / name).touch()
    found = list_files([], [tmp_path / "raw.vhdr"])
    assert [path.resolve() for path in found] == [tmp_path / "raw.vhdr", tmp_path / name]


@pytest.mark.parametrize("part", [".eeg", ".vmrk"])
def test_parts_of_a_recording_are_kept(tmp_path, part):
    """The header of another recording may not take the name of this one's samples."""
    export(ProcessingContext(make_recording()), tmp_path / "raw.vhdr")
    os.rename(tmp_path / "raw.eeg", tmp_path / "other.eeg")
    header = (tmp_path / "raw.vhdr").read_text("utf-8").replace("raw.eeg", "other.eeg")
    (tmp_path / "raw.vhdr").write_text(header, "utf-8")
    before = hashes(tmp_path)
    context = load(tmp_path / "raw.vhdr")
    for target in ("raw.vhdr", "other.vhdr", f"raw{part}"):
        with pytest.raises(ValidationError, match="file of the input"):
            export(context, tmp_path / target)
    assert hashes(tmp_path) == before


def test_it_may_be_replaced_on_demand(source):
    Pipeline([Loader(source), toys.Scaled(factor=3.0), Exporter(source, replace_input=True)]).run(
        show_progress=False, raise_on_error=True
    )
    expected = 3 * make_recording().get_data()[:5]
    np.testing.assert_allclose(load(source).get_data()[:5], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_inputs_of_a_batch_are_kept(tmp_path, n_jobs):
    pipeline = Pipeline([toys.Scaled()])
    for name in ("a.fif", "b.fif"):
        toys.make_raw(n_times=1100).save(tmp_path / name, verbose="error")
    files = sorted(map(str, tmp_path.glob("*.fif")))
    options = {"show_progress": False, "n_jobs": n_jobs}
    before = hashes(tmp_path)
    with pytest.raises(ValidationError, match=r"output of .*a\.fif would replace"):
        pipeline.map(files, output=f"{tmp_path}/{{stem}}{{suffix}}", **options)
    (tmp_path / "a_corrected.fif").symlink_to(tmp_path / "b.fif")
    with pytest.raises(ValidationError, match=r"would replace .*b\.fif"):
        pipeline.map(files, output=tmp_path, **options)
    (tmp_path / "a_corrected.fif").unlink()
    assert all(r.success for r in pipeline.map(files, output=tmp_path, **options))
    # A pattern that catches its own outputs: the second call is refused as a whole.
    again = sorted(map(str, tmp_path.glob("*.fif")))
    with pytest.raises(ValidationError, match="earlier call"):
        pipeline.map(again, output=tmp_path, **options)
    assert {k: v for k, v in hashes(tmp_path).items() if k in before} == before
    assert len(list(tmp_path.glob("*.fif"))) == 4


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("out.xyz", {}, "cannot be written"),
        ("", {}, "suffix|folder"),
        ("there.fif", {"overwrite": False}, "it exists"),
        ("folder.fif", {}, "is a folder"),
        ("there.fif/out.fif", {}, "is a file, not a folder"),
        ("date.edf", {}, "dated"),
    ],
)
def test_what_is_certain_to_fail_is_refused_early(tmp_path, name, options, told):
    (tmp_path / "there.fif").write_text("precious")
    (tmp_path / "folder.fif").mkdir()
    raw = toys.make_raw(n_times=1100)
    if name == "date.edf":
        import datetime

        raw.set_meas_date(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
    counted: list[int] = []
    steps = [toys.Halved(), Exporter(tmp_path / name if name else "", **options)]
    if name != "date.edf":  # of a user-defined step it is not known what it does to the date
        steps[0] = lambda context: counted.append(1) or context
    answer = Pipeline(steps).run(ProcessingContext(raw), show_progress=False)
    assert answer.failed_processor_index == 1 and not counted
    with pytest.raises(StepError, match=told):
        Pipeline(steps).plan(ProcessingContext(raw))
    assert (tmp_path / "there.fif").read_text() == "precious"


CHAINS = {
    "one rate": [HighPassFilter(1.0)],
    "there and back": [UpSample(2), HighPassFilter(1.0), DownSample(2)],
    "another rate": [DownSample(2), HighPassFilter(1.0)],
}


def spoil(raw, what):
    """Give a recording what the format of its name cannot hold."""
    if what == "rate.edf":
        return toys.make_raw(n_times=1100, sfreq=500.37)
    if what == "text.edf":
        raw.set_annotations(mne.Annotations([1.0], [0.0], ["a \x14 b"]))
    elif what == "lines.vhdr":
        raw.set_annotations(mne.Annotations([1.0], [0.0], ["a\nb"]))
    elif what == "names.bdf":
        raw.rename_channels({"E1": "日本語"})
    return raw


@pytest.mark.parametrize("what", ["rate.edf", "text.edf", "lines.vhdr", "names.bdf"])
@pytest.mark.parametrize("chain", CHAINS)
def test_what_is_no_header_of_the_format_is_refused_early(chain, what, tmp_path):
    """Also behind steps that change the rate, and whatever the first sample is called."""
    raw, events = spoil(toys.make_raw(n_times=1100), what), []
    steps = [*CHAINS[chain], Exporter(tmp_path / what)]
    with pytest.raises(StepError, match="exporter") as planned:
        Pipeline(steps).plan(ProcessingContext(raw))
    answer = Pipeline(steps).run(ProcessingContext(raw), on_event=events.append)
    assert str(answer.error) == str(planned.value)
    assert "StageStarted" not in [type(event).__name__ for event in events]


@pytest.mark.parametrize("name", ["a\0b.fif", "n" * 300 + ".fif", "n" * 250 + ".fif"])
def test_what_is_no_name_of_a_file_is_refused_early(name, tmp_path):
    """The last one is short enough, but not the name of its provenance."""
    steps = [HighPassFilter(1.0), Exporter(tmp_path / name)]
    with pytest.raises(StepError, match=r"no file can have|too long"):
        Pipeline(steps).plan(ProcessingContext(toys.make_raw(n_times=1100)))


def test_crops_may_leave_out_what_a_format_cannot_hold(tmp_path):
    raw = toys.make_raw(n_times=1100)
    raw.set_annotations(mne.Annotations([2.0], [0.0], ["a \x14 b"]))
    steps = [Crop(0.0, 1.0), Exporter(tmp_path / "x.edf")]
    assert Pipeline(steps).run(ProcessingContext(raw), raise_on_error=True).success


LAZY_WAYS = {
    "itself": lambda path: path,
    "link": lambda path: make_link(path, os.symlink),
    "hard link": lambda path: make_link(path, os.link),
}


def make_link(path, how):
    """Return another name of a recording: links to all its files."""
    for part in path.parent.glob(f"{path.stem}.*"):
        how(part, part.with_stem("other_raw"))
    return path.with_stem("other_raw")


@pytest.mark.parametrize("change", ["whole", "crop", "concatenated", "loaded"])
@pytest.mark.parametrize("way", LAZY_WAYS)
@pytest.mark.parametrize("suffix", [".fif", ".edf", ".vhdr"])
def test_the_input_of_a_lazy_recording_is_kept(suffix, way, change, tmp_path):
    """MNE would empty the file while the recording is still read from it."""
    path = tmp_path / f"x_raw{suffix}"
    export(ProcessingContext(make_recording()), path)
    target = LAZY_WAYS[way](path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    lazy = Pipeline([HighPassFilter(1.0)]).lazy(path)
    if change == "crop":
        lazy = lazy.crop(0.0, 1.0).pick([0])
    elif change == "concatenated":
        lazy = mne.concatenate_raws([lazy.copy(), lazy.copy()])
    elif change == "loaded":
        lazy.load_data()
    write = lazy.save if suffix == ".fif" else lazy.export
    with pytest.raises(ValidationError, match="from which the recording is computed"):
        write(target, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
    if suffix != ".edf":  # whose samples are too large for MNE
        write(tmp_path / f"new_raw{suffix}", overwrite=True)
        assert (tmp_path / f"new_raw{suffix}").exists()


# ------------------------------------------------------------- pages, tables, chains, pictures
def run_chain(*steps):
    return Pipeline([HighPassFilter(1.0), *steps]).run(toys.make_context(n_times=2000))


def write_picture(path):
    result = run_chain(PlotBeforeAfter(duration=1.0, save_path=path))
    if result.error is not None:
        raise result.error


def write_run_file(path):
    from facet_nb.batch import RunFile

    chain, folder = Pipeline([HighPassFilter(1.0)]), path.parent
    RunFile.of(chain, [folder], folder / "out").write(path, overwrite=True)


def write_command(path):
    """The command line, which says so before it reads the recording."""
    from typer.testing import CliRunner

    from facet_nb.cli import app

    words = ["run", "not_there.fif", str(path.with_name("out.fif")), "--report", str(path)]
    answer = CliRunner().invoke(app, words)
    if "would replace" in answer.output:
        raise ValidationError(answer.output)


WRITERS = {
    "report": (lambda path: run_chain().report(path), ".html"),
    "chain": (lambda path: Pipeline([HighPassFilter(1.0)]).to_yaml(path), ".yaml"),
    "run file": (write_run_file, ".yaml"),
    "table": (lambda path: make_table().to_json(path), ".json"),
    "table as text": (lambda path: make_table().to_csv(path), ".csv"),
    "picture": (write_picture, ".png"),
    "command line": (write_command, ".html"),
}


@pytest.mark.parametrize("suffix", [".fif", ".eeg", ".gz"])
@pytest.mark.parametrize("behind", ["name", "link"])
@pytest.mark.parametrize("what", WRITERS)
def test_what_is_no_recording_replaces_none(what, behind, suffix, tmp_path):
    """``--report x.fif`` wrote the page over the recording."""
    write, own = WRITERS[what]
    path = target = tmp_path / f"rec{suffix}"
    path.write_bytes(b"samples")
    if behind == "link":
        target = tmp_path / f"link{own}"
        target.symlink_to(path)
    with pytest.raises((ValidationError, StepError), match="would replace"):
        write(target)
    assert path.read_bytes() == b"samples"


@pytest.mark.parametrize("what", WRITERS)
def test_what_is_of_the_same_kind_is_replaced(what, tmp_path):
    write, own = WRITERS[what]
    path = tmp_path / f"made{own}"
    path.write_text("of before")
    write(path)
    assert what == "command line" or path.read_bytes() != b"of before"


def test_a_file_with_a_relative_and_a_whole_path_is_one(tmp_path, monkeypatch):
    for name in ("a_raw.fif", "b_raw.fif"):
        simulate(n_channels=2, sfreq=250, duration_s=20, seed=1).raw.save(
            tmp_path / name, verbose="error"
        )
    monkeypatch.chdir(tmp_path)
    for name in ("a_raw.fif", "b_raw.fif"):
        raw = mne.io.read_raw_fif(tmp_path / name, verbose="error")
        assert list_files([raw], [name, tmp_path / name]) == [Path(name)]
