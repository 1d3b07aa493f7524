"""Regression on the signals of carbon-wire loops."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.parameters import LONGEST_S
from facet_nb.core.processor import Prepared, View
from facet_nb.core.recording import DATA_TYPES
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection
from facet_nb.kernels.filters.lagged_regression import (
    WireFit,
    explain,
    prepare_wires,
    regress,
    shuffle_phases,
)

logger = logging.getLogger("facet_nb")

#: Names of wire loops: CWL1, CW_2, loop 3, Wire4, carbon5.
_NAME = re.compile(r"^(cwl?|loop|wire|carbon)([\s_\-.]*\w{0,3})$", re.IGNORECASE)
#: Fewest samples of a window: with fewer, one regressor fits any signal.
_FEWEST = 8
#: Number of windows used for the explained variance: enough for two digits.
_N_WINDOWS = 30
#: Number of controls with different random phases: on real data, single ones differ by a third.
_N_CONTROLS = 3
#: Factor by which the odds of the explained variance must exceed those of the controls.
_BETTER = 2.0


@register_processor
class WireLoopCorrection(ChannelCorrection):
    """Regress out carbon-wire loops: movement, pulse, helium pump (van der Meer et al. 2016).

    The loops are attached to the cap and insulated from the head: they record changes of the
    magnetic field, but no EEG. In sliding windows, the loops and delayed copies of them are fitted
    to each channel, and the fit is subtracted. Put the step after the correction of the gradient
    artifact.

    Many regressors explain a part of any signal, including EEG. The step therefore repeats the fit
    with phase-shuffled loops, which are unrelated to the recording. Both fractions of explained
    variance are in the history (``explained`` and ``by_chance``, medians over channels) and among
    the metrics (``wire_loops_explained``, ``wire_loops_by_chance``). Channels for which the true
    loops do not explain clearly more than the shuffled ones (odds ratio 2) are unchanged, and are
    listed in the history (``left_alone``).

    Parameters
    ----------
    wires : str or list of str or int | None
        Loops, by name, index or channel type; by default all channels with names like ``CWL1``,
        ``CW_1``, ``Loop1`` or ``Wire1``. The loops themselves are unchanged.
    window_s : float
        Length of a Hann window, in s. If the head lies still, longer windows remove less EEG.
    delay_s : float
        Largest delay of the copies, in s, in both directions.
    delay_step_s : float
        Step between delays, in s.
    seed : int
        Seed of the random phases.

    References
    ----------
    van der Meer, J. N., et al. (2016). Carbon-wire loop based artifact correction outperforms
    post-processing EEG/fMRI corrections. NeuroImage, 125, 880-894.
    doi:10.1016/j.neuroimage.2015.10.064
    """

    name = "wire_loop_correction"
    description = "Subtract what carbon-wire loops explain"
    requires_triggers = False
    needs = "all"
    types = tuple(kind for kind in DATA_TYPES if kind != "ecg")

    def __init__(
        self,
        wires: str | Sequence[str | int] | None = None,
        window_s: float = 4.0,
        delay_s: float = 0.02,
        delay_step_s: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.wires = wires
        self.window_s = window_s
        self.delay_s = delay_s
        self.delay_step_s = delay_step_s
        self.seed = seed

    def prepare(self, view: View) -> Prepared:
        """Find the loops, prepare the fit, and compare it with that of shuffled loops."""
        names = view.all_names or view.ch_names
        everything = view.data if view.all_data is None else view.all_data
        assert everything is not None and view.data is not None
        rows = self._find_wires(names, view.all_types)
        signals = _check_wires(everything, rows, names)
        self.check_parameters(view.sfreq)
        size = 2 * round(self.window_s * view.sfreq / 2)
        reach, step = round(self.delay_s * view.sfreq), round(self.delay_step_s * view.sfreq)
        shape = {"size": size, "reach": reach, "step": max(1, step)}
        self._check(size, len(rows) * (1 + 2 * (reach // shape["step"])), view)
        fit = prepare_wires(signals, **shape)
        rng = np.random.default_rng(self.seed)
        controls = [
            prepare_wires(shuffle_phases(signals, rng), **shape) for _ in range(_N_CONTROLS)
        ]
        wires = {names[row] for row in rows}
        types = view.ch_types or ("eeg",) * len(view.ch_names)
        picks = [
            i
            for i, (name, kind) in enumerate(zip(view.ch_names, types, strict=True))
            if kind in self.types and name not in wires
        ]
        shares = {view.ch_names[i]: _compare(view.data[i], fit, controls) for i in picks}
        poor = [name for name, (real, chance) in shares.items() if not _is_better(real, chance)]
        found = _describe(shares, poor)
        return Prepared(
            fit,
            metadata={"custom": _add_metrics(view.metadata.custom, found)},
            notes={"wires": [names[row] for row in rows]} | found,
            untouched=tuple(n for n in view.ch_names if n in wires or n in poor),
        )

    def _find_wires(self, names: Sequence[str], types: Sequence[str]) -> list[int]:
        if self.wires is None:
            found = [i for i, name in enumerate(names) if _NAME.match(name)]
        else:
            wanted = [self.wires] if isinstance(self.wires, (str, int)) else list(self.wires)
            found = [
                i
                for i, name in enumerate(names)
                if i in wanted or name in wanted or (types and types[i] in wanted)
            ]
            unknown = [w for w in wanted if w not in {*names, *types, *range(len(names))}]
            if unknown:
                raise ValidationError(
                    f"wires: {unknown[0]!r} is neither a channel nor a type of the recording "
                    f"({', '.join(names)})."
                )
        if not found:
            raise ValidationError(
                "wire_loop_correction: no channel is called CWL…, CW…, Loop… or Wire…. Name the "
                f"loops with wires=[…] (channels: {', '.join(names)})."
            )
        return found

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not (self.window_s > 0 and self.delay_s >= 0 and self.delay_step_s > 0):
            raise ValidationError("window_s and delay_step_s must be above 0 s, delay_s 0 or more.")
        if not max(self.window_s, self.delay_s, self.delay_step_s) <= LONGEST_S:
            raise ValidationError(
                f"window_s, delay_s and delay_step_s must be at most {LONGEST_S:g} s, a day."
            )
        if not self.window_s * sfreq >= _FEWEST:
            raise ValidationError(
                f"window_s={self.window_s} must be at least {_FEWEST} samples long."
            )
        if self.seed < 0:
            raise ValidationError(f"seed={self.seed} must be 0 or more.")

    def _check(self, size: int, n_regressors: int, view: View) -> None:
        if size > view.n_times:
            raise ValidationError(
                f"window_s={self.window_s} is longer than the recording "
                f"({view.n_times / view.sfreq:.1f} s)."
            )
        if n_regressors > size // 4:
            raise ValidationError(
                f"{n_regressors} regressors (loops times delays) for windows of {size} samples "
                "fit any signal: raise window_s or delay_step_s, or lower delay_s."
            )

    def correct_channel(self, x: np.ndarray, plan: WireFit, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        np.subtract(x, regress(x, plan), out=out)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes, with regressors of six loops."""
        n_delays = 1 + 2 * int(self.delay_s / max(self.delay_step_s, 1 / sfreq))
        return 8 * (2 * shape[1] + int(self.window_s * sfreq) * 6 * n_delays)


def _check_wires(everything: np.ndarray, rows: list[int], names: Sequence[str]) -> np.ndarray:
    """Return the samples of the loops, shape (n_wires, n_times), in V.

    Raises
    ------
    ValidationError
        If a loop is flat or not finite.
    """
    signals = np.array(everything[rows], dtype=float)
    for row, signal in zip(rows, signals, strict=True):
        if not np.all(np.isfinite(signal)) or not np.ptp(signal) > 0:
            raise ValidationError(
                f"wire_loop_correction: the loop {names[row]} is flat or contains NaN: exclude it "
                "with wires=[…]."
            )
    return signals


def _compare(y: np.ndarray, fit: WireFit, controls: Sequence[WireFit]) -> tuple[float, float]:
    """Return the fractions of variance that loops and shuffled loops explain."""
    which = slice(None, None, max(1, len(fit.inverses) // _N_WINDOWS))
    chance = [explain(y, control, which) for control in controls]
    return explain(y, fit, which), float(np.mean(chance))


def _is_better(real: float, chance: float) -> bool:
    return real * (1.0 - chance) > _BETTER * chance * (1.0 - real)


def _add_metrics(custom: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return ``metadata.custom`` with both fractions of variance among its metrics."""
    shares = {f"wire_loops_{key}": found[key] for key in ("explained", "by_chance")}
    return {**custom, "metrics": {**custom.get("metrics", {}), **shares}}


def _describe(shares: dict[str, tuple[float, float]], poor: list[str]) -> dict[str, Any]:
    """Return the notes for the history, and warn about channels that are left unchanged."""
    values = np.array(list(shares.values())).reshape(-1, 2)
    real, chance = np.median(values, axis=0) if len(values) else (0.0, 0.0)
    if poor:
        logger.warning(
            "WireLoopCorrection: in %d channels loops explain no more than shuffled loops do; "
            "these channels are unchanged: %s.",
            len(poor),
            ", ".join(poor),
        )
    return {
        "explained": round(float(real), 3),
        "by_chance": round(float(chance), 3),
        "left_alone": poor,
    }
