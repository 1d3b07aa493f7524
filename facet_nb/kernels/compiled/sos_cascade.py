"""Cascades of second-order sections: several channels at once, or several sections of one channel.

Operations have SciPy's order, and each is rounded, so that results equal SciPy's to the bit. In
memory, the samples of 16 channels at one time are contiguous, or the samples of the only channel.
Importing this module imports Numba.
"""

from __future__ import annotations

from facet_nb.kernels.compiled.vectors import inner, last, like, load, select, shift, store

#: Number of channels that are filtered at once: two AVX-512 registers.
WIDTH = 16


@inner
def cascade(values, first, n, step, table, n_sections, state, width):  # pragma: no cover
    """Filter `n` samples, `step` elements apart, in place."""
    section = 0
    while section < n_sections:
        rest = n_sections - section
        if width == 1:
            _run_pipelined(values, first, n, step, table, section, state)
            section += 8
        elif rest == 3 or rest > 4:
            _run_three(values, first, n, step, table, section, state)
            section += 3
        elif rest == 1:
            _run_one(values, first, n, step, table, section, state)
            section += 1
        else:
            _run_two(values, first, n, step, table, section, state)
            section += 2


@inner
def _step(x, b0, b1, b2, a1, a2, z0, z1):  # pragma: no cover - compiled
    """Return the output and the next two states of one section (direct form II transposed)."""
    y = b0 * x + z0
    return y, b1 * x - a1 * y + z1, b2 * x - a2 * y


@inner
def _get(table, section, state):  # pragma: no cover - compiled
    """Return coefficients and states of one section, for all channels."""
    z0 = load(state, 2 * section * WIDTH, WIDTH)
    z1 = load(state, (2 * section + 1) * WIDTH, WIDTH)
    i = 6 * section
    b0, b1, b2 = like(z0, table[i]), like(z0, table[i + 1]), like(z0, table[i + 2])
    return b0, b1, b2, like(z0, table[i + 4]), like(z0, table[i + 5]), z0, z1


@inner
def _put(state, section, z0, z1):  # pragma: no cover - compiled
    store(state, 2 * section * WIDTH, z0)
    store(state, (2 * section + 1) * WIDTH, z1)


@inner
def _run_one(values, first, n, step, table, section, state):  # pragma: no cover - compiled
    b0, b1, b2, a1, a2, z0, z1 = _get(table, section, state)
    for i in range(n):
        x = load(values, first + i * step, WIDTH)
        x, z0, z1 = _step(x, b0, b1, b2, a1, a2, z0, z1)
        store(values, first + i * step, x)
    _put(state, section, z0, z1)


@inner
def _run_two(values, first, n, step, table, section, state):  # pragma: no cover - compiled
    b0, b1, b2, a1, a2, z0, z1 = _get(table, section, state)
    d0, d1, d2, c1, c2, y0, y1 = _get(table, section + 1, state)
    for i in range(n):
        x = load(values, first + i * step, WIDTH)
        x, z0, z1 = _step(x, b0, b1, b2, a1, a2, z0, z1)
        x, y0, y1 = _step(x, d0, d1, d2, c1, c2, y0, y1)
        store(values, first + i * step, x)
    _put(state, section, z0, z1)
    _put(state, section + 1, y0, y1)


@inner
def _run_three(values, first, n, step, table, section, state):  # pragma: no cover - compiled
    b0, b1, b2, a1, a2, z0, z1 = _get(table, section, state)
    d0, d1, d2, c1, c2, y0, y1 = _get(table, section + 1, state)
    f0, f1, f2, e1, e2, w0, w1 = _get(table, section + 2, state)
    for i in range(n):
        x = load(values, first + i * step, WIDTH)
        x, z0, z1 = _step(x, b0, b1, b2, a1, a2, z0, z1)
        x, y0, y1 = _step(x, d0, d1, d2, c1, c2, y0, y1)
        x, w0, w1 = _step(x, f0, f1, f2, e1, e2, w0, w1)
        store(values, first + i * step, x)
    _put(state, section, z0, z1)
    _put(state, section + 1, y0, y1)
    _put(state, section + 2, w0, w1)


@inner
def _run_pipelined(values, first, n, step, table, section, state):  # pragma: no cover - compiled
    """Filter one channel with up to 8 sections, as a pipeline: one section per lane of a vector."""
    # Each section lags two samples behind the one before it. One would do, but shifting a result to
    # the next lane takes as long as a filter step; with two, both run at the same time.
    i = 6 * section
    b0, b1, b2 = load(table, i, 8), load(table, i + 8, 8), load(table, i + 16, 8)
    delay, a1, a2 = load(table, i + 24, 8), load(table, i + 32, 8), load(table, i + 40, 8)
    z0, z1 = load(state, 2 * section, 8), load(state, 2 * section + 8, 8)
    y = before = like(z0, 0)
    is_first, end, n_late = delay == y, delay + like(z0, n), int(last(delay))
    for i in range(n + n_late):
        sample = values[first + i * step] if i < n else 0.0
        x = select(is_first, like(y, sample), shift(before, 0.0))
        before = y
        y, next_z0, next_z1 = _step(x, b0, b1, b2, a1, a2, z0, z1)
        time = like(y, i)
        is_active = (delay <= time) & (time < end)
        z0, z1 = select(is_active, next_z0, z0), select(is_active, next_z1, z1)
        if i >= n_late:
            values[first + (i - n_late) * step] = last(y)
    store(state, 2 * section, z0)
    store(state, 2 * section + 8, z1)
