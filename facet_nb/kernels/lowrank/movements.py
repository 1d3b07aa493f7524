"""Templates of epochs within which the head moved: those before and after, one behind the other.

All functions take one channel.
"""

from __future__ import annotations

import numpy as np

#: Durations of movements that are tried, relative to an epoch; the first are abrupt.
_DURATIONS = (0.0, 0.03, 0.1, 0.3)

#: Largest part of the energy of second differences that a better template leaves.
_BETTER = 0.7


def blend(x: np.ndarray, own: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return a template that passes from that before a movement to that after it.

    Parameters
    ----------
    x : ndarray, shape (n_samples,)
        Signal of an epoch, in V.
    own, before, after : ndarray, shape (n_samples,)
        Template of the epoch itself, and with the amplitudes before and after it, in V.

    Returns
    -------
    ndarray, shape (n_samples,)
        Time and duration of the passage are those that leave the least energy of second
        differences, in which EEG is weak; `own` if none leaves clearly less than it.
    """
    rest, change, left = (np.diff(y, 2) for y in (x - before, after - before, x - own))
    least, n = _BETTER * float(left @ left), len(change)
    sizes, agree = change * change, rest * change
    # A change that is smaller than what is left cannot explain it: muscles, not a movement.
    if not float(sizes.sum()) > least:
        return own
    best: np.ndarray | None = None
    # Of a change that lasts longer than the epoch, a part lies in it.
    times = np.linspace(0.0, 1.0, n)
    lines = np.stack([np.ones(n), times])
    gram = (lines * sizes) @ lines.T
    try:
        part = np.linalg.solve(gram, lines @ agree) @ lines
    except np.linalg.LinAlgError:
        part = np.zeros(n)
    gain = float(2.0 * part @ agree - (part * part) @ sizes)
    energy = float(rest @ rest)
    if energy - gain < least:
        least, best = energy - gain, np.clip(part, 0.0, 1.0)
    for duration in _DURATIONS:
        ramp = (np.arange(int(duration * n)) + 1.0) / (int(duration * n) + 1)
        behind = np.concatenate([np.cumsum((2.0 * agree - sizes)[::-1])[::-1], [0.0]])[len(ramp) :]
        if len(ramp):
            within = np.convolve(agree, ramp[::-1], "valid") * 2.0
            within -= np.convolve(sizes, ramp[::-1] ** 2, "valid")
            behind = behind + within
        at = int(np.argmax(behind))
        if energy - float(behind[at]) < least:
            least = energy - float(behind[at])
            best = np.concatenate([np.zeros(at), ramp, np.ones(n - at - len(ramp))])
    if best is None:
        return own
    best = np.concatenate([best[:1], best, best[-1:]])
    return before + best * (after - before)
