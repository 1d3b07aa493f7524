"""Slow, obvious template weights: a dense matrix, one element after another."""

from __future__ import annotations

import numpy as np

from tests.oracles.averaging import pearson


def dense(weights, n_columns=None):
    """A matrix of weights from rows of indices."""
    matrix = np.zeros((len(weights), n_columns or len(weights)))
    for i, row in enumerate(weights):
        for j in row:
            matrix[i, j] = 1 / len(row)
    return matrix


def alternate(n, half):
    """FASTR's rule for slices, its triggers counted from 1 as there."""
    matrix = np.zeros((n, n))
    first = 2
    for s in range(1, n + 1):
        if s == 2:
            first = 3
        if 3 + half < s <= n - (half + 2):
            first = s - half
        for j in range(first, first + 2 * half + 1, 2):
            matrix[s - 1, j - 1] = 1 / (half + 1)
    return matrix


def neighbours(n, half):
    """The nearest 2·half + 1; of equally near ones those on the window's side."""
    matrix = np.zeros((n, n))
    for i in range(n):
        best = min(
            range(n - 2 * half), key=lambda low: (abs(low + half - i), low)
        )  # the window whose middle is nearest
        matrix[i, best : best + 2 * half + 1] = 1 / (2 * half + 1)
    return matrix


def corresponding(n, period, half):
    """The same slice in the 2·half + 1 volumes whose middle one is nearest."""
    matrix = np.zeros((n, n))
    for i in range(n):
        same = [j for j in range(n) if j % period == i % period]
        place = same.index(i)
        low = min(max(place - half, 0), max(len(same) - 2 * half - 1, 0))
        for j in same[low : low + 2 * half + 1]:
            matrix[i, j] = 1 / len(same[low : low + 2 * half + 1])
    return matrix


def similar(epochs, window, half, threshold):
    """The most alike within reach, each correlation by itself."""
    n = len(epochs)
    matrix = np.zeros((n, n))
    for i in range(n):
        low, high = i - half, i + half + 1
        if low < 0:
            low, high = 0, 2 * half + 1
        if high > n - 1:
            low, high = max(n - 2 * half - 2, 0), n - 1
        near = [j for j in range(low, high + 1) if j != i]
        near.sort(key=lambda j: -abs(pearson(epochs[i], epochs[j])))
        best = near[:window]
        alike = [j for j in best if abs(pearson(epochs[i], epochs[j])) >= threshold]
        for j in alike or best:
            matrix[i, j] = 1 / len(alike or best)
    return matrix


def at_rest(speed, window):
    """Moosmann's distances with motion summed up step by step; no minor movements in here."""
    n = len(speed)
    matrix = np.zeros((n, n))
    moving = [v for v in speed if v > 0]
    for i in range(n):
        distance = {}
        for j in range(n):
            if speed[j] > 0:
                continue
            way = sum(speed[min(i, j) + 1 : max(i, j) + 1])
            distance[j] = abs(i - j) + (window / min(moving) * way if moving else 0)
        near = sorted(distance, key=lambda j: (round(distance[j], 9), j))[:window]
        for j in near:
            matrix[i, j] = 1 / len(near)
    return matrix
