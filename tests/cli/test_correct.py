"""``run``, ``batch`` and ``plan``."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb.cli.chains import make_chain
from facet_nb.cli.problems import to_line
from facet_nb.core import Pipeline
from facet_nb.core.study.table import StudyTable
from facet_nb.io import Loader, load
from facet_nb.preprocessing import HighPassFilter


def _samples(path) -> np.ndarray:
    return mne.io.read_raw(path, verbose="error").get_data()


# ---------------------------------------------------------------------------------------- run
def test_run_writes_what_the_pipeline_gives(facet_nb, files, tmp_path):
    result = facet_nb("run", files.vhdr, "new/out.fif", "--n-jobs", 2, "--backend", "threading")
    assert result.exit_code == 0, result.output
    assert "gradient_correction" in result.stdout and "n_jobs=2" in result.stdout
    expected = make_chain().run(load(files.vhdr), raise_on_error=True).get_raw().get_data()
    np.testing.assert_allclose(_samples(tmp_path / "new" / "out.fif"), expected, rtol=1e-6)


def test_run_and_batch_with_a_checkpoint(facet_nb, files, tmp_path):
    Pipeline([HighPassFilter(2.0)]).to_yaml(tmp_path / "chain.yaml")
    words = ["run", files.fif, "out.fif", "--chain", "chain.yaml", "--checkpoint", "kept"]
    for _ in range(2):
        result = facet_nb(*words, "--timeout", 60)
        assert result.exit_code == 0
        assert len(list((tmp_path / "kept").glob("stage-*.f64"))) == 1
        out = (tmp_path / "out.fif").read_bytes()
        (tmp_path / "out.fif").unlink()
    assert len(out) > 100_000 and "from the checkpoint" in result.stdout
    refused = facet_nb(*words, "--timeout", -1)
    assert refused.exit_code == 1 and "timeout=-1" in refused.stderr
    done = facet_nb("batch", files.fif, "--output", "all", *words[3:])
    assert done.exit_code == 0 and len(list((tmp_path / "kept").glob("*/journal.jsonl"))) == 1


def test_run_with_a_chain_of_ones_own(facet_nb, files, tmp_path):
    Pipeline([HighPassFilter(2.0)]).to_yaml(tmp_path / "chain.yaml")
    assert facet_nb("run", files.fif, "out.fif", "--chain", "chain.yaml").exit_code == 0
    expected = mne.io.read_raw(files.fif, preload=True, verbose="error")
    expected.filter(2.0, None, verbose="error")
    np.testing.assert_allclose(
        _samples(tmp_path / "out.fif"), expected.get_data(), rtol=1e-5, atol=1e-11
    )


def test_run_replaces_an_older_output(facet_nb, files, tmp_path):
    (tmp_path / "out.fif").write_text("old")
    assert facet_nb("run", files.fif, "out.fif").exit_code == 0
    assert _samples(tmp_path / "out.fif").shape == (6, 72000)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["absent.vhdr", "out.fif"], "there is no such file"),
        (["{scan}", "out.xyz"], ".vhdr, .fif"),
        (["{scan}", "."], "suffix"),
        (["{scan}", "{scan}"], "is the recording itself"),
        (["{scan}", "out.fif", "--trigger", "R128"], "matches nothing"),
        (["{scan}", "out.fif", "--trigger", "("], "not a regular expression"),
        (["{scan}", "out.fif", "--chain", "absent.yaml"], "cannot read absent.yaml"),
    ],
)
def test_run_fails_in_one_line(facet_nb, files, tmp_path, words, told):
    before = files.contents()
    result = facet_nb("run", *(word.format(scan=files.vhdr) for word in words))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("facet-nb: ") and told in result.stderr
    assert list(tmp_path.iterdir()) == [] and files.contents() == before


def test_an_output_that_cannot_be_is_told_before_the_work(facet_nb, files, tmp_path):
    (tmp_path / "folder").write_text("a file")
    result = facet_nb("run", files.fif, "folder/out.fif")
    assert result.exit_code == 1
    assert "is a file, not a folder" in result.stderr
    assert "Step" not in result.stderr


def test_debug_shows_the_traceback(facet_nb, files):
    result = facet_nb("run", files.fif, "out.fif", "--trigger", "R128", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "triggers.py" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("facet-nb: Step 1 (trigger_detector)")


# --------------------------------------------------------------------------------------- batch
@pytest.fixture
def quick(tmp_path) -> list:
    """The option for a chain of one step."""
    Pipeline([HighPassFilter(2.0)]).to_yaml(tmp_path / "quick.yaml")
    return ["--chain", tmp_path / "quick.yaml"]


def test_batch_writes_a_file_for_each(facet_nb, files, tmp_path, quick):
    result = facet_nb(
        "batch", files.vhdr, files.fif, "--output", "out {stem} {x}", "--n-jobs", 1, *quick
    )
    assert result.exit_code == 0, result.output
    assert "2 of 2 succeeded" in result.stdout
    folder = tmp_path / "out {stem} {x}"
    a, b = (_samples(folder / f"scan_corrected{end}") for end in (".vhdr", ".fif"))
    np.testing.assert_allclose(a, b, atol=1e-9)  # BrainVision keeps float32 of µV


def test_batch_goes_on_after_a_failure(facet_nb, files, tmp_path):
    result = facet_nb("batch", "absent.edf", files.fif, "--output", "out", "--n-jobs", 1)
    assert result.exit_code == 1
    head, first, second, last = result.stdout.splitlines()
    assert head.split() == ["recording", "outcome", "time", "(s)", "quality", "file", "or", "error"]
    assert first.split()[:2] == ["absent.edf", "failed"] and "no such file" in first
    assert second.split()[1] == "done" and second.endswith("scan_corrected.fif")
    assert last == "1 of 2 succeeded"
    assert (tmp_path / "out" / "scan_corrected.fif").is_file()


def test_batch_passes_its_options_on(facet_nb, files, tmp_path, quick):
    words = ["-o", "out", "--n-jobs", 2, "--mode", "serial", "--backend", "threading"]
    words += ["--batch-size", 2, "--dtype", "float32", "--timeout", 60, "--retries", 1]
    result = facet_nb("batch", files.vhdr, files.fif, *words, *quick)
    assert result.exit_code == 0, result.output
    (header,), rows = StudyTable(tmp_path / "out").read()
    assert header["options"] == {"mode": "serial", "batch_size": 2, "dtype": "float32"}
    assert header["backend"] == "threading" and header["n_jobs"] == 2
    assert header["file_timeout"] == 60 and len(rows) == 2


def test_batch_does_not_write_two_recordings_to_one_file(facet_nb, files, tmp_path):
    result = facet_nb("batch", files.vhdr, files.vhdr.with_suffix(".eeg"), "--output", "out")
    assert result.exit_code == 1
    assert "several inputs would be written" in result.stderr
    assert not (tmp_path / "out").exists()


def test_batch_does_not_write_over_an_input(facet_nb, tmp_path):
    names = ["a.fif", "a_corrected.fif"]
    for name in names:
        (tmp_path / name).write_text(name)
    result = facet_nb("batch", *names, "--output", ".")
    assert result.exit_code == 1
    assert "choose another folder" in result.stderr
    assert [(tmp_path / name).read_text() for name in names] == names


# ---------------------------------------------------------------------------------------- plan
@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {"mode": "auto"}),
        (["--mode", "serial"], {"mode": "serial"}),
        (["--n-jobs", 2], {"mode": "channel_sequential", "n_jobs": 2}),
        (["--mode", "parallel", "--n-jobs", -1], {"mode": "parallel", "n_jobs": -1}),
    ],
)
def test_plan_is_the_pipelines(facet_nb, tmp_path, words, options):
    pipeline = make_chain("R128")
    pipeline.to_yaml(tmp_path / "chain.yaml")
    result = facet_nb("plan", "chain.yaml", *words)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(pipeline.plan(**options))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"processors: [{processor: highpas_filter}]", "Did you mean highpass_filter"),
        (b"a: [1\n b", "not a YAML pipeline"),
        (b"[1, 2]", "a pipeline is"),
        (b"\xff\xfe\x00\x81", "not a"),
    ],
)
def test_chains_that_are_none(facet_nb, tmp_path, content, told):
    (tmp_path / "chain.yaml").write_bytes(content)
    result = facet_nb("plan", "chain.yaml")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and told in result.stderr


def test_a_chain_brings_no_files_of_its_own(facet_nb, files, tmp_path):
    Pipeline([Loader("other.fif"), HighPassFilter(1.0)]).to_yaml(tmp_path / "chain.yaml")
    result = facet_nb("run", files.fif, "out.fif", "--chain", "chain.yaml")
    assert result.exit_code == 1
    assert "remove auto_loader" in result.stderr


# ---------------------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Stimulus/S  1", "Stimulus/S  1"),
        ("one\n  two\r\nthree\n", "one two three"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("µV → [bold]", "µV → [bold]"),
    ],
)
def test_lines_are_harmless(text, line):
    assert to_line(text) == line


def test_a_report_of_success_and_of_failure(facet_nb, files, tmp_path):
    done = facet_nb("run", files.vhdr, "out.fif", "--report", "new/out.html")
    assert done.exit_code == 0
    page = (tmp_path / "new" / "out.html").read_text("utf-8")
    assert "<h1>out.fif</h1>" in page and "The worst two seconds" in page
    failed = facet_nb("run", files.vhdr, "o.fif", "--trigger", "R128", "--report", "o.html")
    assert failed.exit_code == 1 and "matches nothing" in failed.stderr
    assert "matches nothing" in (tmp_path / "o.html").read_text("utf-8")
    (tmp_path / "folder.html").mkdir()
    refused = facet_nb("run", files.vhdr, "p.fif", "--report", "folder.html")
    assert refused.exit_code == 1 and "this is a folder" in refused.stderr
    assert not (tmp_path / "p.fif").exists()


def test_anonymous_files(facet_nb, files, tmp_path):
    raw = mne.io.read_raw(files.fif, preload=True, verbose="error")
    raw.info["subject_info"] = {"last_name": "Byron"}
    raw.save(tmp_path / "named.fif", verbose="error")
    Pipeline([HighPassFilter(2.0)]).to_yaml(tmp_path / "chain.yaml")
    words = ["--chain", "chain.yaml", "--anonymize"]
    kept = facet_nb("run", "named.fif", "a.fif", *words[:2])
    assert "identity_kept" not in kept.stderr and "the header says something" in kept.stderr
    assert facet_nb("run", "named.fif", "b.fif", *words).exit_code == 0
    assert facet_nb("batch", "named.fif", "--output", "all", *words).exit_code == 0
    names = [
        mne.io.read_raw(tmp_path / path, verbose="error").info["subject_info"]["last_name"]
        for path in ("a.fif", "b.fif", "all/named_corrected.fif")
    ]
    assert names == ["Byron", "mne_anonymize", "mne_anonymize"]
