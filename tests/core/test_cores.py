"""The number of cores that a run may use: as joblib counts them, without importing joblib."""

import math
import os
import subprocess
import sys

import joblib
import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core.backends import cores
from facet_nb.core.backends.cores import count_allowed

QUOTAS = st.one_of(st.integers(-1, 10**7), st.just("max"))


@pytest.mark.parametrize("wanted", [None, "1", "2", "3", "1000", "0"])
def test_same_as_joblib(monkeypatch, wanted):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    if wanted is not None:
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", wanted)
    assert count_allowed() == joblib.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not bound here")
def test_affinity_counts():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert count_allowed() == joblib.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_no_processes_allowed(monkeypatch):
    monkeypatch.setenv("JOBLIB_MULTIPROCESSING", "0")
    assert count_allowed() == 1


@given(quota=QUOTAS, period=st.integers(1, 10**6), version=st.sampled_from((1, 2)))
def test_share_of_a_container(tmp_path_factory, quota, period, version):
    folder = tmp_path_factory.mktemp("cgroup")
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota} {period}\n")
    else:
        (folder / "cpu").mkdir()
        (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    limited = quota != "max" and quota > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "_CGROUP", folder)
        patch.setattr(os, "cpu_count", lambda: 64)
        patch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
        patch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
        assert count_allowed() == (min(64, math.ceil(quota / period)) if limited else 64)


def test_no_container(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "_CGROUP", tmp_path / "none")
    assert 1 <= count_allowed() <= os.cpu_count()


def test_a_run_in_this_process_does_not_import_joblib(tmp_path):
    samples = 1e-5 * np.random.default_rng(0).standard_normal((2, 5000))
    raw = mne.io.RawArray(samples, mne.create_info(2, 500.0, "eeg"), verbose="error")
    file = tmp_path / "x_raw.fif"
    raw.save(file, verbose="error")
    program = (
        "import sys\nfrom facet_nb import Pipeline\n"
        "from facet_nb.preprocessing import LowPassFilter\n"
        f"result = Pipeline([LowPassFilter(70.0)]).run({str(file)!r}, mode='auto')\n"
        "assert result.success, result.error\nsys.exit('joblib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
