"""The Gaussian high-pass against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import freqz

from facet_nb import MATLABPreFilter
from facet_nb.core.errors import FacetError
from facet_nb.preprocessing.gaussian import design_gaussian
from tests.contract.recordings import make_context


@pytest.mark.parametrize(("freq", "sfreq"), [(1.0, 250.0), (0.5, 1000.0), (10.0, 5000.0)])
def test_response_is_the_formula(freq, sfreq):
    taps = design_gaussian(freq, sfreq)
    freqs = np.array([0.0, 0.3 * freq, freq, 2 * freq, 10 * freq])
    found = np.abs(freqz(taps, worN=freqs, fs=sfreq)[1])
    sigma = freq / np.sqrt(-2 * np.log(1 - np.sqrt(0.5)))
    np.testing.assert_allclose(found, 1 - np.exp(-(freqs**2) / (2 * sigma**2)), atol=1e-4)
    assert found[2] == pytest.approx(np.sqrt(0.5), abs=1e-4)
    np.testing.assert_allclose(taps, taps[::-1])


def test_offsets_go_and_the_header_tells():
    ctx = make_context()
    filtered = MATLABPreFilter(1.0).execute(ctx)
    assert filtered.get_raw().info["highpass"] == 1.0
    before, after = (c.get_data(["E1", "E2", "E6"]) for c in (ctx, filtered))
    assert np.abs(after.mean(axis=1)).max() < 0.1 * np.abs(before.mean(axis=1)).max() + 1e-7


def test_edge_out_of_range():
    for freq in (0.0, 200.0):
        with pytest.raises(FacetError, match="eighth of the sampling rate"):
            MATLABPreFilter(freq).execute(make_context())
