"""FIR designs against MNE's, to the bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mne.filter import create_filter

from facet_nb.kernels.filters.fir_design import design_fir


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.sampled_from([250.0, 500.0, 1000.0, 5000.0]), st.floats(90.0, 3000.0)),
    st.one_of(st.none(), st.floats(0.4, 60.0)),
    st.one_of(st.none(), st.floats(1.0, 900.0)),
    st.sampled_from(["hamming", "hann", "blackman"]),
)
def test_taps_equal_those_of_mne(sfreq, l_freq, h_freq, window):
    edges = [f for f in (l_freq, h_freq) if f is not None]
    assume(edges and edges == sorted(set(edges)) and edges[-1] < sfreq / 2 - 0.1)
    fixed = {"fir_window": window, "fir_design": "firwin", "phase": "zero", "verbose": "error"}
    expected = create_filter(None, sfreq, l_freq, h_freq, **fixed)
    np.testing.assert_array_equal(design_fir(sfreq, l_freq, h_freq, window), expected)


@pytest.mark.parametrize(
    ("l_freq", "h_freq", "window"),
    [
        (None, None, "hamming"),
        (0.0, None, "hamming"),
        (60.0, 40.0, "hamming"),  # a band-stop filter
        (None, 250.0, "hamming"),
        (1.0, 40.0, "kaiser"),
    ],
)
def test_what_mne_designs(l_freq, h_freq, window):
    assert design_fir(500.0, l_freq, h_freq, window) is None


def test_a_plain_filter_does_not_import_scipy_signal():
    code = (
        "import sys, numpy as np, facet_nb\n"
        "from facet_nb.core.processor import View\n"
        "from facet_nb.core.metadata import ProcessingMetadata\n"
        "view = View(500.0, 1000, ProcessingMetadata(), ('a',))\n"
        "for step in (facet_nb.HighPassFilter(1.0), facet_nb.LowPassFilter(70.0)):\n"
        "    step.compute(np.ones((2, 1000)), step.prepare(view))\n"
        "sys.exit('scipy.signal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
