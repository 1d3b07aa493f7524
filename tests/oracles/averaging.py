"""Slow, obvious averaged artifact subtraction: one epoch after another, nothing shared."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two vectors; 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / scale) if scale > 0 else 0.0


def correct_blocks(x, starts, n_samples, window, threshold, aligned=None):
    """Templates of blocks: the first five epochs and whichever is like the running mean."""
    aligned = starts if aligned is None else aligned
    epochs = [x[s : s + n_samples] for s in starts]
    out = x.copy()
    firsts = list(range(0, len(starts), window))
    if len(firsts) > 1 and len(starts) - firsts[-1] < min(5, window):
        firsts.pop()
    for first, stop in zip(firsts, [*firsts[1:], len(starts)], strict=True):
        chosen = list(range(first, min(first + 5, stop)))
        for j in range(first, stop):
            if j in chosen:
                continue
            mean = np.mean([epochs[i] for i in chosen], axis=0)
            if pearson(mean, epochs[j]) > threshold:
                chosen.append(j)
        template = np.mean([epochs[i] for i in chosen], axis=0) - x.mean()
        for j in range(first, stop):
            out[aligned[j] : aligned[j] + n_samples] -= template
    return out


def correct_sliding(x, starts, n_samples, window, threshold):
    """For each epoch the mean of its nearest neighbours without itself."""
    epochs = [x[s : s + n_samples] - x.mean() for s in starts]
    everyone = list(range(len(starts)))

    def template(i, usable):
        place = sum(1 for j in usable if j < i)
        take = min(window + 1, len(usable))
        low = min(max(place - take // 2, 0), len(usable) - take)
        near = [j for j in usable[low : low + take] if j != i]
        return np.mean([epochs[j] for j in near], axis=0)

    alike = [i for i in everyone if pearson(epochs[i], template(i, everyone)) > threshold]
    out = x.copy()
    for i, start in enumerate(starts):
        stop = min(start + n_samples, starts[i + 1] if i + 1 < len(starts) else len(x))
        out[start:stop] -= template(i, alike)[: stop - start]
    return out
