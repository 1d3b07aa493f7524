"""Saying once that kernels are slow, because they cannot be compiled."""

from __future__ import annotations

import logging
from functools import lru_cache

from facet_nb.kernels.rows import has_compiler

logger = logging.getLogger("facet_nb")


@lru_cache(maxsize=1)
def note_missing() -> None:
    """Log, once in a process, that numba is missing or switched off."""
    if not has_compiler():
        logger.warning(
            "numba is missing, or switched off by NUMBA_DISABLE_JIT: kernels run in numpy and "
            "scipy, with the same results to rounding, in two to ten times the time. Install it "
            "with: pip install numba"
        )
