"""Random chains give the same bits in any mode, backend, precision, chunks and budget.

A few seconds by default. ``FACET_NB_FUZZ_S=600`` tries new seeds for that long; a failure names the
seed, which belongs in ``KEPT`` once it is mended.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from facet_nb import Crop, DownSample, HighPassFilter, Pipeline, Resample, UpSample
from facet_nb.core import ArrayProcessor, Prepared
from tests.core import toys
from tests.core.random_chains import NAMES, compare, make_case, make_context

#: Seeds that differed once, and some that never did.
KEPT = [0, 1, 2, 3, 4, 5, 1004]

#: The same, of cases that may use processes.
KEPT_WITH_PROCESSES = [33133, 33426]

#: The same, of wide cases: a decision on a reference that was rounded in one mode only.
KEPT_WIDE = [1796012884137, 1796013182158]

#: Chains around a step that looks at a channel, for each channel.
N_AROUND = 4 if os.environ.get("FACET_NB_NIGHT") else 2

SECONDS = float(os.environ.get("FACET_NB_FUZZ_S", "4"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", KEPT)
def test_kept_seeds(seed, tmp_path):
    case = make_case(seed, tmp_path)
    assert compare(case)[0] == "", str(case)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", KEPT_WITH_PROCESSES)
def test_kept_seeds_with_processes(seed, tmp_path):
    """The noise was computed with compiled kernels after a run without them."""
    case = make_case(seed, tmp_path, processes=True)
    assert compare(case)[0] == "", str(case)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", KEPT_WIDE)
def test_kept_wide_seeds(seed, tmp_path):
    case = make_case(seed, tmp_path, wide=True)
    assert compare(case)[0] == "", str(case)


class Seen(ArrayProcessor):
    """Keeps what it sees of its reference channel."""

    name, run_once, modifies_raw, needs = "seen", True, False, "reference"

    def __init__(self, ref_channel):
        self.ref_channel = ref_channel

    def prepare(self, view):
        seen = [*view.metadata.custom.get("seen", []), view.reference.tobytes()]
        return Prepared(metadata={"custom": {"seen": seen}})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reference", NAMES)
@pytest.mark.parametrize("seed", range(N_AROUND))
def test_decisions_are_made_on_the_same_samples(reference, seed, tmp_path):
    """A step that looks at a channel, of any kind, anywhere among steps that change it."""
    rng = np.random.default_rng(seed)
    context = make_context(rng)
    changing = [
        HighPassFilter(1.0),
        toys.Scaled(1 / 3),
        UpSample(2),
        toys.Demeaned(),
        Crop(0.3, 4.5),
    ]
    chosen = [changing[i] for i in rng.permutation(len(changing))[:3]]
    steps = [Seen(reference)]
    for step in chosen:
        steps += [step, Seen(reference), Seen(reference)]
    options = [
        {"mode": "serial"},
        {"mode": "channel_sequential", "batch_size": 2},
        {"mode": "channel_sequential", "chunk_duration_s": 0.5},
        {"mode": "parallel", "backend": "threading", "n_jobs": 2},
        {"mode": "channel_sequential", "checkpoint": tmp_path},
    ]
    for dtype in ("float32", "float64"):
        found = []
        for option in options:
            if "checkpoint" in option:
                option = option | {"checkpoint": tmp_path / dtype}
            result = Pipeline(steps).run(context, dtype=dtype, show_progress=False, **option)
            assert result.success, result.error
            found.append(result.get_context().metadata.custom["seen"])
        assert len(found[0]) == 7
        for option, seen in zip(options, found, strict=True):
            assert seen == found[0], f"{dtype}, {option}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(6, 10))
def test_onsets_are_rounded_per_step(seed):
    """MNE rounds them to microseconds when it sets them: 1 of 48 chains differed."""
    context = make_context(np.random.default_rng(seed))
    steps = [DownSample(2), Resample(300.0), UpSample(3)]
    a, b = (
        Pipeline(steps).run(context, mode=mode, fuse=False, show_progress=False).get_raw()
        for mode in ("serial", "channel_sequential")
    )
    np.testing.assert_array_equal(a.annotations.onset, b.annotations.onset)
    np.testing.assert_array_equal(a.annotations.duration, b.annotations.duration)
    assert list(a.annotations.description) == list(b.annotations.description)
    assert sorted(a.annotations.description) == list("abcde")


@pytest.fixture
def cluster():
    """Whether there is a Dask cluster for the time of a test."""
    if SECONDS < 10:
        yield False
        return
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    options = {"dashboard_address": "127.0.0.1:0", "threads_per_worker": 1, "memory_limit": 0}
    with (
        distributed.LocalCluster(n_workers=2, host="127.0.0.1", **options) as made,
        distributed.Client(made),
    ):
        yield True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.fault("random chains compared with serial")
@pytest.mark.timeout(SECONDS + 300)
def test_new_seeds(tmp_path, count_fault, cluster):
    begin, n, done, wrong = time.monotonic(), 0, 0, []
    first = 1000 if SECONDS < 10 else int(time.time()) * 1000
    while n == 0 or time.monotonic() - begin < SECONDS:
        case = make_case(first + n, tmp_path, wide=SECONDS >= 10, cluster=cluster)
        difference, completed = compare(case)
        n, done = n + 1, done + completed
        if difference:
            wrong.append(f"{case}\n    {difference}")
        elif completed:
            count_fault()
    count_fault.told(f"FACET_NB_FUZZ_S={SECONDS:g}, seeds {first} to {first + n - 1}")
    assert not wrong, f"{len(wrong)} of {n} runs differ from serial:\n" + "\n".join(wrong)
    assert n < 10 or done > n / 2, f"only {done} of {n} chains came to their end"
