"""The demo: what it prints is so, and what it writes can be read."""

from __future__ import annotations

import re
import subprocess
import sys

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

SNR = re.compile(r"SNR against truth: (\S+) dB before, (\S+) dB after")
SECTIONS = ["Recording", "Triggers", "Plan", "Progress", "Measured", "Metrics", "File"]
CHAIN = ["trigger_detector", "gradient_correction", "lowpass_filter"]


def _read_snr(text: str) -> tuple[float, float]:
    match = SNR.search(text)
    assert match is not None, text
    return float(match[1]), float(match[2])


def _compute_snr(path, truth_uv, sfreq, trig) -> float:
    """The same figure from the written file, with nothing of the command line's."""
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    out, clean = 1e6 * raw.get_data(), np.asarray(truth_uv, float)
    sos = butter(4, (0.5, 70.0), "bandpass", fs=sfreq, output="sos")
    out, clean = sosfiltfilt(sos, out), sosfiltfilt(sos, clean)
    inner = slice(int(trig[0] + sfreq), int(trig[-1] + np.median(np.diff(trig)) - sfreq))
    out, clean = out[:, inner], clean[:, inner]
    return float(np.median(10 * np.log10((clean**2).sum(1) / ((out - clean) ** 2).sum(1))))


def test_without_a_file_it_simulates(facet_nb, tmp_path):
    result = facet_nb("demo")
    assert result.exit_code == 0, result.output
    titles = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert titles == [*SECTIONS[:-1], "Truth", "File"]
    assert "375 found" in result.stdout
    before, after = _read_snr(result.stdout)
    assert after > 20.0 > before
    raw = mne.io.read_raw(tmp_path / "corrected" / "simulated_corrected.fif", verbose="error")
    assert len(raw.ch_names) == 6 and raw.n_times == 72000
    assert len(raw.annotations) == 375


def test_measured_times_are_those_of_the_chain(facet_nb):
    lines = facet_nb("demo", "--mode", "serial").stdout.splitlines()
    begin = lines.index("Measured")
    times = [re.match(r"\s+(\w+)\s+([\d.]+) s wall", x) for x in lines[begin + 2 : begin + 9]]
    assert [found[1] for found in times if found] == CHAIN
    assert sum(float(found[2]) for found in times if found) > 0.0


def test_brainvision_twin_against_its_truth(facet_nb, shared_data, tmp_path):
    source, truth = (shared_data / f"niazy_twin_2048{end}" for end in (".vhdr", "_truth.npz"))
    result = facet_nb("demo", "--input", source, "--truth", truth)
    assert result.exit_code == 0, result.output
    assert "840 found" in result.stdout
    before, after = _read_snr(result.stdout)
    assert after > 20.0 > before
    written = tmp_path / "corrected" / "niazy_twin_2048_corrected.vhdr"
    known = np.load(truth)
    uv, sfreq, trig = known["clean"], float(known["fs"]), known["trig"]
    assert after == pytest.approx(_compute_snr(written, uv, sfreq, trig), abs=0.06)
    assert before == pytest.approx(_compute_snr(source, uv, sfreq, trig), abs=0.06)
    raw = mne.io.read_raw(written, verbose="error")
    assert raw.ch_names == ["FPz", "EOG1", "F3", "Fz", "F4", "EOG2"]
    assert raw.n_times == 332416 and len(raw.annotations) == 840


def test_every_mode_writes_the_same(facet_nb, files, tmp_path):
    ways = {
        "a": ["--mode", "serial"],
        "b": ["--mode", "channel_sequential", "--n-jobs", 2, "--backend", "threading"],
        "c": ["--n-workers", 2, "--batch-size", 3],
        "d": ["--mode", "auto"],
    }
    texts = {}
    for name, words in ways.items():
        output = tmp_path / f"{name}.fif"
        result = facet_nb(
            "demo", "--input", files.vhdr, "--truth", files.truth, "--output", output, *words
        )
        assert result.exit_code == 0, result.output
        texts[name] = result.stdout
    raws = [mne.io.read_raw(tmp_path / f"{n}.fif", verbose="error").get_data() for n in ways]
    assert all(np.array_equal(raws[0], other) for other in raws[1:])
    assert "mode=serial" in texts["a"] and "over 2 threads" in texts["b"]
    assert len({_read_snr(text) for text in texts.values()}) == 1


def test_without_time_outside_the_scan_the_snr_is_not_known(facet_nb, files, tmp_path):
    raw = mne.io.read_raw(files.fif, preload=True, verbose="error")
    raw.crop(4.0, 33.99).save(tmp_path / "scan_raw.fif", verbose="error")
    result = facet_nb("demo", "--input", "scan_raw.fif")
    assert result.exit_code == 0, result.output
    assert (
        "SNR: not measurable here: no quiet time" in result.stdout
        and "RMS uncorrected" in result.stdout
    )
    assert (tmp_path / "corrected" / "scan_raw_corrected.fif").is_file()


@pytest.mark.parametrize("name", ["scan.vhdr", "scan.eeg"])
def test_the_input_is_never_replaced(facet_nb, files, name):
    before = files.contents()
    result = facet_nb("demo", "--input", files.vhdr, "--output", files.vhdr.with_name(name))
    assert result.exit_code == 1
    assert "is the recording itself" in result.stderr
    assert files.contents() == before


def test_no_trigger_is_told_before_anything_is_done(facet_nb, files, tmp_path):
    result = facet_nb("demo", "--input", files.fif, "--trigger", "R128")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "R128" in result.stderr and "(375)" in result.stderr
    assert not (tmp_path / "corrected").exists()


def test_as_a_program(tmp_path):
    """In a terminal that knows ASCII only, as `make demo` calls it."""
    run = subprocess.run(
        [sys.executable, "-m", "facet_nb.cli", "demo", "--output", "x.edf"],
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr
    assert b"dB after" in run.stdout
    assert len(mne.io.read_raw(tmp_path / "x.edf", verbose="error").ch_names) == 6
