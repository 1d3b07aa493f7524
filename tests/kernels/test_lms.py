"""The compiled adaptive filter against its NumPy fallback."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.filters import lms


def test_compiled_equals_numpy():
    rng = np.random.default_rng(0)
    reference = rng.standard_normal(3000)
    signal = np.convolve(reference, [0.5, -0.2, 0.1])[:3000] + 0.1 * rng.standard_normal(3000)
    step = 0.05 / (16 * reference.var())
    a = lms.cancel_adaptively(signal, reference, 16, step)
    b = lms.cancel_in_numpy(signal, reference, 16, step)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_it_learns_the_filter():
    rng = np.random.default_rng(1)
    reference = rng.standard_normal(20_000)
    noise = np.convolve(reference, [0.5, -0.2, 0.1])[:20_000]
    predicted = lms.cancel_adaptively(noise, reference, 8, 0.05 / 8)
    assert np.std((noise - predicted)[-5000:]) < 1e-3 * np.std(noise)


def test_without_compiled_kernels_the_twin_is_used(monkeypatch):
    monkeypatch.setattr(lms, "find_loop", lambda name, twin: twin)
    signal = np.sin(np.arange(200.0))
    got = lms.cancel_adaptively(signal, signal, 4, 0.01)
    assert np.array_equal(got, lms.cancel_in_numpy(signal, signal, 4, 0.01))
