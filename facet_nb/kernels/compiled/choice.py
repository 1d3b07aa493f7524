"""Which kernels a run uses: the compiled ones where they were built.

The choice is made once per run and holds in all its threads and workers, so that the result does
not depend on mode or workers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache

from facet_nb.kernels.compiled import library
from facet_nb.kernels.compiled.dispatch import MODULES, SETTING, has_compiled, read_setting

logger = logging.getLogger("facet_nb")


@dataclass(frozen=True)
class KernelChoice:
    """The compiled kernels that a run uses.

    Attributes
    ----------
    compiled : frozenset of str
        Their modules in :mod:`facet_nb.kernels.compiled`: all, or none.
    reason : str
        Why these.
    """

    compiled: frozenset[str]
    reason: str

    def __str__(self) -> str:
        names = ", ".join(sorted(self.compiled)) or "none"
        return f"compiled kernels: {names} ({self.reason})"


def choose_kernels() -> KernelChoice:
    """Return the compiled kernels, or none where they are missing or switched off.

    Raises
    ------
    ValueError
        If the environment variable ``FACET_NB_COMPILED`` has an unknown value, or is ``always``
        where there are no compiled kernels.
    """
    setting = read_setting()
    if setting == "never":
        return KernelChoice(frozenset(), f"{SETTING}=never")
    if has_compiled():
        return KernelChoice(MODULES, library.describe())
    if setting == "always":
        raise ValueError(f"{SETTING}=always, but compiled kernels: {library.describe()}")
    _note_missing()
    return KernelChoice(frozenset(), library.load_library()[1])


@lru_cache(maxsize=1)
def _note_missing() -> None:
    """Log once per process that there are no compiled kernels."""
    logger.warning(
        "Kernels run in numpy and scipy, more slowly (docs/architecture.md, Compiled kernels). "
        "Compiled kernels: %s",
        library.describe(),
    )
