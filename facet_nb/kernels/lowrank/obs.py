"""Optimal basis sets: principal components of the residual after averaged subtraction."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.templates.averaging import is_complete, take_epochs

#: Number of controls, and the factor by which a component's variance must exceed theirs.
_N_CONTROLS, _EXCEEDS = 3, 1.2
#: Factor beyond that by which a component is locked without doubt: another control cannot change
#: it. Controls of the same signal are alike, unless an epoch cuts a transient; half of its energy
#: at least is in one of the two.
_BEYOND_DOUBT = 2.0


def choose_auto(percent: np.ndarray) -> int:
    """Return the number of components by the automatic rule of FASTR.

    Parameters
    ----------
    percent : ndarray, shape (n_components,)
        Variance of each component, in percent, descending.

    Returns
    -------
    int
        The mean, rounded down, of three numbers: components before the first four consecutive
        changes below 2; components until the sum exceeds 80; components of at least 5.

    References
    ----------
    Niazy, R. K., et al. (2005). Removal of FMRI environment artifacts from EEG data using optimal
    basis sets. NeuroImage, 28(3), 720-737. doi:10.1016/j.neuroimage.2005.06.067
    """
    small = np.abs(np.diff(percent)) < 2
    runs = [i for i in range(len(small) - 3) if small[i : i + 4].all()]
    slope = runs[0] if runs else len(percent)
    over = np.flatnonzero(np.cumsum(percent) > 80)
    cumulated = int(over[0]) + 1 if len(over) else len(percent)
    below = np.flatnonzero(percent < 5)
    variance = int(below[0]) if len(below) else len(percent)
    return int(np.mean([slope, cumulated, variance]))


def find_basis(epochs: np.ndarray, n_components: int | float | str) -> np.ndarray:
    """Return an orthonormal basis of the epochs' principal components.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_samples)
        Epochs; the mean of each is removed.
    n_components : int, float or "auto"
        Number of components, fraction of the variance to explain (below 1), or the rule of FASTR.

    Returns
    -------
    ndarray, shape (n_kept, n_samples)
        Components in descending order of variance.

    Notes
    -----
    The components follow from the eigenvectors of the smaller Gram matrix (epochs by epochs, or
    samples by samples), without a singular value decomposition of the epochs.
    """
    return _find_components(epochs - epochs.mean(axis=1, keepdims=True), n_components)[0]


def _find_components(
    centred: np.ndarray, n_components: int | float | str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the basis of :func:`find_basis`, and the sums of squares of its components."""
    tall, gram = _find_gram(centred)
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int(np.sum(values > values[0] * 1e-12)) if values[0] > 0 else 0
    kept = min(_count(values[:rank], n_components), rank)
    if not kept:
        return np.zeros((0, centred.shape[1])), values[:0]
    if tall:
        return np.ascontiguousarray(vectors[:, :kept].T), values[:kept]
    basis = vectors[:, :kept].T @ centred
    return basis / np.sqrt(values[:kept, np.newaxis]), values[:kept]


def _find_gram(centred: np.ndarray) -> tuple[bool, np.ndarray]:
    """Return whether there are more epochs than samples, and the smaller Gram matrix."""
    # Both Gram matrices have the same nonzero eigenvalues; the smaller one is cheaper to decompose.
    tall = centred.shape[0] > centred.shape[1]
    return tall, centred.T @ centred if tall else centred @ centred.T


def _find_centred_gram(residual: np.ndarray, starts: np.ndarray, n_samples: int) -> np.ndarray:
    """Return the smaller Gram matrix of epochs whose means are removed."""
    epochs = take_epochs(residual, starts, n_samples)
    epochs -= epochs.mean(axis=1, keepdims=True)
    return _find_gram(epochs)[1]


def count_locked(
    residual: np.ndarray, starts: np.ndarray, n_samples: int, values: np.ndarray | None = None
) -> int:
    """Return the number of principal components that are locked to the artifacts.

    Parameters
    ----------
    residual : ndarray, shape (n_times,)
        High-passed signal after averaged artifact subtraction, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact that lies in the recording with all its samples.
    n_samples : int
        Length of an artifact.
    values : ndarray, shape (n_components,) | None
        Sums of squares of the leading components of these artifacts, descending, in V²: only these
        components are compared. None finds them, and compares all.

    Returns
    -------
    int
        Number of leading components whose variance exceeds that of the same component of
        epochs with random starts by a fifth; three times, unless it is far larger the first time.

    Notes
    -----
    The comparison with a control is that of parallel analysis (Horn 1965,
    doi:10.1007/BF02289447). EEG is the same at random places; an artifact is spread over more
    components there. The seed is fixed, so that results are reproducible.
    """
    if values is None:
        values = _list_values(_find_centred_gram(residual, starts, n_samples))
    later = np.random.default_rng(0).integers(0, n_samples, (_N_CONTROLS, len(starts)))
    n_locked = len(values)
    for shift in later:
        if not n_locked:
            break
        control = _find_centred_gram(residual, starts + shift, n_samples)
        limits = values[:n_locked] / _EXCEEDS
        if _exceed_all(limits / _BEYOND_DOUBT, control):
            break
        n_locked = _count_above(limits, control)
    return n_locked


def _list_values(gram: np.ndarray) -> np.ndarray:
    """Return the eigenvalues in descending order."""
    return np.linalg.eigvalsh(gram)[::-1]


def _exceed_all(values: np.ndarray, control: np.ndarray) -> bool:
    """Whether all values exceed all eigenvalues of a control."""
    # The difference has a Cholesky factor then, which takes a tenth of what the eigenvalues do.
    difference = -control
    difference[np.diag_indices_from(difference)] += values.min()
    try:
        np.linalg.cholesky(difference)
    except np.linalg.LinAlgError:
        return False
    return True


def _count_above(values: np.ndarray, control: np.ndarray) -> int:
    """Return how many leading values exceed the eigenvalue of the same rank of a control."""
    if _exceed_all(values, control):
        return len(values)
    within = values <= _list_values(control)[: len(values)]
    return int(np.argmax(within)) if within.any() else len(values)


def _count(values: np.ndarray, n_components: int | float | str) -> int:
    if n_components == "auto":
        return choose_auto(100 * values / values.sum()) if len(values) else 0
    if isinstance(n_components, float) and n_components < 1:
        share = np.cumsum(values) / values.sum() if len(values) else np.zeros(0)
        return int(np.searchsorted(share, n_components)) + 1 if len(values) else 0
    return int(n_components)


def fit_residual(
    residual: np.ndarray,
    starts: np.ndarray,
    n_samples: int,
    n_components: int | float | str,
    *,
    every: int = 1,
    constant: bool = False,
    locked_only: bool = False,
) -> np.ndarray:
    """Return the part of a residual that the components explain.

    Parameters
    ----------
    residual : ndarray, shape (n_times,)
        High-passed signal after averaged artifact subtraction, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact, ascending.
    n_samples : int
        Length of an artifact.
    n_components : int, float or "auto"
        As in :func:`find_basis`.
    every : int
        Components are estimated from every n-th epoch; they are fitted to all epochs.
    constant : bool
        Whether the mean of each epoch is explained as well; otherwise it stays in the signal.
    locked_only : bool
        Whether components that :func:`count_locked` does not count are left out.

    Returns
    -------
    ndarray, shape (n_times,)
        The part to subtract, in V; 0 outside of epochs. Where epochs overlap, the later one counts.
    """
    fitted = np.zeros_like(residual)
    whole = is_complete(starts, n_samples, len(residual))
    n_whole = int(whole.sum())
    if n_whole < 2:
        return fitted
    epochs = take_epochs(residual, starts, n_samples)
    means = epochs.mean(axis=1, keepdims=True)
    epochs -= means
    chosen = np.flatnonzero(whole)[:: every if n_whole > every else 1]
    learned = epochs if len(chosen) == len(epochs) else epochs[chosen]
    basis, values = _find_components(learned, n_components)
    if locked_only:
        known = values if len(chosen) == n_whole else None
        basis = basis[: count_locked(residual, starts[whole], n_samples, known)]
        if not len(basis):
            return fitted
    explained = epochs @ basis.T @ basis
    if constant:
        explained += means
    for start, row in zip(starts, explained, strict=True):
        low, high = max(int(start), 0), min(int(start) + n_samples, len(residual))
        if low < high:
            fitted[low:high] = row[low - start : high - start]
    return fitted
