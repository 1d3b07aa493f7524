"""Principal components against a singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.lowrank.obs import choose_auto, count_locked, find_basis, fit_residual


@pytest.mark.parametrize("shape", [(12, 40), (60, 25)])
@pytest.mark.parametrize("n_components", [1, 3, 0.8, "auto"])
def test_basis_spans_what_the_svd_finds(shape, n_components):
    rng = np.random.default_rng(0)
    epochs = rng.standard_normal((shape[0], 4)) * [8, 4, 2, 1] @ rng.standard_normal((4, shape[1]))
    epochs += 0.1 * rng.standard_normal(shape) + 5.0
    basis = find_basis(epochs, n_components)
    centred = epochs - epochs.mean(axis=1, keepdims=True)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    k = len(basis)
    np.testing.assert_allclose(basis @ basis.T, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(basis.T @ basis, vt[:k].T @ vt[:k], atol=1e-8)
    if n_components == 0.8:
        share = np.cumsum(s**2) / np.sum(s**2)
        assert share[k - 1] >= 0.8
        assert k == 1 or share[k - 2] < 0.8


def test_fastr_rule():
    # slope: |differences| 30 15 8 4 1 1 1 1 -> 4; sum: 50 70 -> 3rd makes 75, 4th 82 -> 4;
    # below 5 from the 5th on -> 4
    percent = np.array([50.0, 20.0, 5.0, 7.0, 3.0, 2.0, 1.0, 0.5, 0.2])
    assert choose_auto(percent) == int(np.mean([4, 4, 4]))


def test_repeating_residual_goes_and_the_rest_stays():
    rng = np.random.default_rng(1)
    starts = np.arange(30) * 100 + 50
    shape = np.sin(np.arange(100) * 0.9)
    x = 0.01 * rng.standard_normal(3200)
    noise = x.copy()
    for i, start in enumerate(starts):
        x[start : start + 100] += (1 + 0.3 * np.sin(i)) * shape
    cleaned = x - fit_residual(x, starts, 100, 1)
    # the basis itself holds noise of one part in sqrt(30)
    assert np.std(cleaned - noise) < 0.5 * np.std(noise)
    assert np.array_equal(cleaned[:50], x[:50])


def test_zero_stays_zero():
    assert not fit_residual(np.zeros(2000), np.arange(9) * 200, 200, 3).any()
    assert find_basis(np.zeros((5, 20)), "auto").shape == (0, 20)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_locked", [0, 1, 2, 4])
def test_the_count_is_that_of_parallel_analysis(seed, n_locked):
    """Weak and strong components, more epochs than samples and fewer: as the definition counts."""
    rng = np.random.default_rng(seed)
    n_samples = int(rng.choice([20, 70]))
    starts = np.arange(40) * 80
    x = np.convolve(rng.standard_normal(3500), np.ones(3), "same")
    shapes = np.linalg.qr(rng.standard_normal((n_samples, n_samples)))[0]
    for start in starts:
        sizes = rng.standard_normal(n_locked) * rng.choice([1.0, 5.0, 40.0])
        x[start : start + n_samples] += shapes[:, :n_locked] @ sizes

    def find_squares(places):
        epochs = np.array([x[place : place + n_samples] for place in places])
        epochs -= epochs.mean(axis=1, keepdims=True)
        return np.linalg.svd(epochs, compute_uv=False) ** 2

    later = np.random.default_rng(0).integers(0, n_samples, (3, len(starts)))
    controls = np.max([find_squares(starts + shift) for shift in later], axis=0)
    values = find_squares(starts)
    for n_compared in (1, 3, len(values)):
        some = values[:n_compared]
        within = np.append(some <= 1.2 * controls[:n_compared], True)
        assert count_locked(x, starts, n_samples, some) == np.argmax(within)
