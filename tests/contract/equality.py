"""What "the same answer" means: samples to the bit, and all that goes with them."""

from __future__ import annotations

import numpy as np

from facet_nb import ProcessingContext


def assert_same(a: ProcessingContext, b: ProcessingContext) -> None:
    """Fail unless two contexts are equal in every respect."""
    x, y = a.get_raw(), b.get_raw()
    assert np.array_equal(x.get_data(), y.get_data())
    assert x.ch_names == y.ch_names
    assert x.info["bads"] == y.info["bads"]
    assert x.first_samp == y.first_samp
    for key in ("sfreq", "highpass", "lowpass", "meas_date"):
        assert x.info[key] == y.info[key], key
    assert np.array_equal(x.annotations.onset, y.annotations.onset)
    assert list(x.annotations.description) == list(y.annotations.description)
    for field, value in a.metadata.to_dict().items():
        np.testing.assert_equal(value, b.metadata.to_dict()[field], field)  # NaN equals NaN there
    assert a.get_history() == b.get_history()
    assert a.has_estimated_noise() == b.has_estimated_noise()
    if a.has_estimated_noise():
        assert np.array_equal(a.get_estimated_noise(), b.get_estimated_noise())
