"""Judging a recording in a file keeps few of its pages in memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

from facet_nb.core.storage import scratch
from facet_nb.evaluation import quality_tables
from facet_nb.io.blocks import iter_blocks, read_block

N_CHANNELS, N_TIMES, SFREQ = 4, 400_000, 1000.0


def resident_share(path: str) -> float:
    """Return the share of a mapped file that is in this process's memory."""
    text = Path("/proc/self/smaps").read_text()
    part = text[text.index(path) :]
    size, rss = (int(re.search(rf"^{key}: +(\d+) kB", part, re.M)[1]) for key in ("Size", "Rss"))
    return rss / size


@pytest.fixture
def mapped():
    ref, samples = scratch.create((N_CHANNELS, N_TIMES))
    for row in samples:
        row[...] = 1e-5 * np.random.default_rng(0).standard_normal(N_TIMES)
    info = mne.create_info(N_CHANNELS, SFREQ, "eeg")
    raw = mne.io.RawArray(samples, info, copy="auto", verbose="error")
    assert resident_share(ref.path) == 1.0
    yield raw, ref.path


@pytest.mark.skipif(sys.platform != "linux", reason="pages are counted in /proc")
@pytest.mark.parametrize("way", ["quality", "blocks", "windows"])
def test_pages_that_were_read_are_released(mapped, way):
    raw, path = mapped
    reader, shares = quality_tables.WindowReader(raw, raw.ch_names), []
    for start in range(0, N_TIMES, N_TIMES // 50):
        x = (
            reader._get(start, start + 5000)
            if way == "quality"
            else read_block(raw, start, start + 5000)
        )
        assert np.isfinite(x).all()
        if start % (N_TIMES // 10) == 0:  # the kernel takes 0.1 s to describe a large process
            shares.append(resident_share(path))
    if way == "blocks":
        shares = [resident_share(path) for _, block in iter_blocks(raw) if np.isfinite(block).all()]
    assert len(shares) > 3 and max(shares) < 0.4
