"""A lower bound of the chain's time, from the measured rates of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facet_nb.kernels.filters.fir import choose_n_fft

#: Taps of filters that move epochs, and moves per epoch.
_TAPS, _MOVES = 49, 2


def chain_floor(path: str, chain: str, roof: dict[str, float]) -> tuple[float, str]:
    """Return the floor of a chain in CPU seconds, and what limits it.

    Arithmetic: the transforms of the two filters at the rate of transforms within the innermost
    cache, and the moves of epochs at the rate of multiplications and additions. Memory: input and
    output once through, at the rate of copying.
    """
    import mne

    info = mne.io.read_raw_fif(path, verbose="error")
    n_channels, n_times = len(info.ch_names), info.n_times
    single = "float32" in chain
    memory = 2 * 8 * n_channels * n_times / roof["copy"]
    arithmetic = 0.0
    for low, high in ((1.0, None), (None, 70.0)):
        taps = mne.filter.create_filter(None, 5000.0, low, high, verbose="error")
        n_fft = choose_n_fft(len(taps))
        n_pairs = n_times / (2 * (n_fft - len(taps) + 1))
        flops = n_channels * n_pairs * 2 * 5 * n_fft * np.log2(n_fft)
        kind = "float32" if single else "float64"
        rate = roof.get(f"lanes {kind}", roof["scipy complex128"])
        arithmetic += flops / rate
    moves = n_channels * n_times * _MOVES * 2 * _TAPS
    arithmetic += moves / (roof.get("multiply, add", np.inf) * (2 if single else 1))
    return max((memory, "memory"), (arithmetic, "FFT + moves"))


def read_pressure() -> float:
    """Return the share of the last minute in which a task waited for a core; 0 if unknown."""
    try:
        text = Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return float(text.split("avg60=")[1].split()[0]) / 100
