"""Random chains give the same bits in any mode, backend, precision, chunks and budget.

A few seconds by default. ``FACET_NB_FUZZ_S=600`` tries new seeds for that long; a failure names the
seed, which belongs in ``KEPT`` once it is mended.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from facet_nb import DownSample, Pipeline, Resample, UpSample
from tests.core.random_chains import compare, make_case, make_context

#: Seeds that differed once, and some that never did.
KEPT = [0, 1, 2, 3, 4, 5, 1004]

#: The same, of cases that may use processes.
KEPT_WITH_PROCESSES = [33133, 33426]

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.fault("random chains compared with serial")
@pytest.mark.timeout(SECONDS + 300)
def test_new_seeds(tmp_path, count_fault):
    begin, n, done, wrong = time.monotonic(), 0, 0, []
    first = 1000 if SECONDS < 10 else int(time.time()) * 1000
    while n == 0 or time.monotonic() - begin < SECONDS:
        case = make_case(first + n, tmp_path, wide=SECONDS >= 10)
        difference, completed = compare(case)
        n, done = n + 1, done + completed
        if difference:
            wrong.append(f"{case}\n    {difference}")
        elif completed:
            count_fault()
    count_fault.told(f"FACET_NB_FUZZ_S={SECONDS:g}, seeds {first} to {first + n - 1}")
    assert not wrong, f"{len(wrong)} of {n} runs differ from serial:\n" + "\n".join(wrong)
    assert n < 10 or done > n / 2, f"only {done} of {n} chains came to their end"
