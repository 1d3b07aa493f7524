"""Subtraction of templates from a signal, at whole samples."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.means import find_mean


def subtract_templates(
    x: np.ndarray,
    starts: np.ndarray,
    templates: np.ndarray,
    which: np.ndarray,
    *,
    scale: bool = False,
    overlap: bool = True,
    bridge: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact.
    templates : ndarray, shape (n_templates, n_samples)
        Templates, in V.
    which : ndarray of int, shape (n_epochs,)
        The template of each epoch.
    scale : bool
        Fit each template to its epoch by least squares.
    overlap : bool
        Subtract both templates where epochs overlap, instead of the later one only.
    bridge : bool
        Also subtract a straight line between the end of a template and the start of the next.
    out : ndarray, shape (n_times,) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V.
    """
    out = np.empty_like(x) if out is None else out
    mean = find_mean(x) if scale else 0.0
    steps = Subtraction(
        starts, templates.shape[1], len(x), mean=mean, scale=scale, overlap=overlap, bridge=bridge
    )
    for i, number in enumerate(which.tolist()):
        steps.subtract(i, templates[number], x, out)
    steps.copy(x, out, len(x))
    if bridge:
        for i in range(1, len(starts)):
            steps.bridge(i, templates[which[i - 1]], templates[which[i]], out)
    return out


class Subtraction:
    """Subtract templates one after the other, from a whole signal or from pieces of it.

    Parameters
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each artifact.
    n_samples : int
        Length of a template.
    n_times : int
        Length of the whole signal.
    mean : float
        Mean of the whole signal, in V; used with `scale`.
    scale, overlap, bridge : bool
        As in :func:`subtract_templates`.

    Attributes
    ----------
    done : int
        The result is complete up to this sample, but for bridges.
    """

    def __init__(
        self,
        starts: np.ndarray,
        n_samples: int,
        n_times: int,
        *,
        mean: float = 0.0,
        scale: bool = False,
        overlap: bool = True,
        bridge: bool = False,
    ) -> None:
        self.starts, self.n_samples, self.n_times = starts, n_samples, n_times
        self.mean, self.scale, self.bridges = mean, scale, bridge
        self.ends = np.full(len(starts), n_times)
        if not overlap:
            self.ends[:-1] = np.maximum(starts[1:], starts[:-1])
        self.gains = np.ones(len(starts))
        self.done = 0
        self.before = np.zeros(n_samples)

    def subtract(
        self, i: int, template: np.ndarray, x: np.ndarray, out: np.ndarray, first: int = 0
    ) -> None:
        """Subtract the template of epoch `i`.

        `x` and `out` are pieces of the signal and of the result that begin at sample `first`.
        """
        start, done = int(self.starts[i]), self.done
        low = max(start, 0)
        high = min(start + self.n_samples, self.n_times, int(self.ends[i]))
        if low >= high:
            return
        piece = template[low - start : high - start]
        if self.scale:
            self.gains[i] = _fit(x[low - first : high - first] - self.mean, piece)
            piece = self.gains[i] * piece
        self.copy(x, out, low, first)
        # Where epochs overlap, the result exists already: subtract from it. The rest is computed
        # from `x`, which saves copying it first.
        again = min(max(done, low), high)
        out[low - first : again - first] -= piece[: again - low]
        rest = slice(again - first, high - first)
        np.subtract(x[rest], piece[again - low :], out=out[rest])
        self.done = max(self.done, high)

    def subtract_next(
        self, i: int, template: np.ndarray, x: np.ndarray, out: np.ndarray, first: int = 0
    ) -> None:
        """Subtract the template of epoch `i`, and the line to it from the previous template."""
        self.subtract(i, template, x, out, first)
        if self.bridges and i:
            self.copy(x, out, min(int(self.starts[i]), self.n_times), first)
            self.bridge(i, self.before, template, out, first)
        self.before = template

    def copy(self, x: np.ndarray, out: np.ndarray, stop: int, first: int = 0) -> None:
        """Copy the samples from `done` to `stop` to the result."""
        if stop > self.done:
            rest = slice(self.done - first, stop - first)
            out[rest] = x[rest]
            self.done = stop

    def bridge(
        self, i: int, before: np.ndarray, after: np.ndarray, out: np.ndarray, first: int = 0
    ) -> None:
        """Subtract a straight line between the templates of epochs i - 1 and `i`."""
        end, start = int(self.starts[i - 1]) + self.n_samples, int(self.starts[i])
        if end < 1 or start >= self.n_times or start - end < 1:
            return
        a, b = self.gains[i - 1] * before[-1], self.gains[i] * after[0]
        step = np.arange(1, start - end + 1) / (start - end + 1)
        out[end - first : start - first] -= a + step * (b - a)


def _fit(data: np.ndarray, template: np.ndarray) -> float:
    power = float(np.einsum("i,i", template, template))
    if power <= np.finfo(float).eps:
        return 1.0
    return float(np.einsum("i,i", data, template)) / power
