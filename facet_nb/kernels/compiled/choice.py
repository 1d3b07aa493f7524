"""Which kernels a run compiles: those that save more time than their compilation takes.

The choice depends on the recording and the pipeline only, never on the mode, the workers or
Numba's cache, so that the result does not depend on them either.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from facet_nb.kernels.compiled.dispatch import has_compiler

logger = logging.getLogger("facet_nb")

#: Environment variable that overrides the choice.
SETTING = "FACET_NB_COMPILED"

#: CPU time that a compiled kernel saves for one sample of one channel, and that compiling it takes
#: once on a machine, in s; from the table in docs/architecture.md, "Compiled kernels".
COSTS = {
    "overlap_save": (15e-9, 6.5),
    "sos_rows": (19e-9, 6.2),
    "median": (23e-9, 1.6),
    "shifted_templates": (49e-9, 3.8),
    "scalar_loops": (6e-6, 0.8),
    "fractional_delay": (70e-9, 1.3),
}


@dataclass(frozen=True)
class KernelChoice:
    """The kernels that a run compiles.

    Attributes
    ----------
    compiled : frozenset of str
        Their modules in :mod:`facet_nb.kernels.compiled`.
    reason : str
        Why these.
    """

    compiled: frozenset[str]
    reason: str

    def __str__(self) -> str:
        names = ", ".join(sorted(self.compiled)) or "none"
        return f"compiled kernels: {names} ({self.reason})"


def choose_kernels(steps: Iterable[object], n_fused: int, n_samples: int) -> KernelChoice:
    """Return the kernels that save more time than their compilation takes.

    Parameters
    ----------
    steps : iterable of object
        The steps; those with a method ``compiled_kernels`` name the modules that they could use.
    n_fused : int
        How often the steps upsample, correct and downsample in one.
    n_samples : int
        Samples of all channels.

    Raises
    ------
    ValueError
        If the environment variable ``FACET_NB_COMPILED`` has an unknown value.
    """
    setting = os.environ.get(SETTING, "auto").strip().lower() or "auto"
    if setting not in ("auto", "always", "never"):
        raise ValueError(f"{SETTING}={setting!r} is not valid: use 'auto', 'always' or 'never'.")
    if setting == "never":
        return KernelChoice(frozenset(), f"{SETTING}=never")
    saved: dict[str, float] = {}
    uses = ["fractional_delay"] * n_fused
    for step in steps:
        uses.extend(getattr(step, "compiled_kernels", tuple)())
    for name in uses:
        saved[name] = saved.get(name, 0.0) + n_samples * COSTS[name][0]
    worth = frozenset({name for name, time_s in saved.items() if time_s > COSTS[name][1]})
    if not has_compiler():
        if setting == "always" or worth:
            _note_missing_compiler()
        return KernelChoice(frozenset(), "numba is missing or switched off")
    if setting == "always":
        return KernelChoice(frozenset(COSTS), f"{SETTING}=always")
    total_s = sum(saved[name] for name in worth)
    if worth:
        cost_s = sum(COSTS[name][1] for name in worth)
        return KernelChoice(
            worth, f"they save about {total_s:.0f} s of CPU; compiling takes {cost_s:.0f} s once"
        )
    return KernelChoice(frozenset(), "compiling takes longer than it would save")


@lru_cache(maxsize=1)
def _note_missing_compiler() -> None:
    """Log once per process that numba is missing or switched off."""
    logger.warning(
        "numba is missing, or switched off by NUMBA_DISABLE_JIT: kernels run in numpy and scipy. "
        "Whole chains then took 1.0 to 1.9 times the CPU time (docs/architecture.md, Compiled "
        "kernels). Install it with: pip install 'facet-nb[fast]'"
    )
