"""Numba's ``njit`` with a cache on disk where one can be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numba import njit

logger = logging.getLogger("facet_nb")


def njit_cached(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles without the GIL, and caches the result on disk.

    Parameters
    ----------
    *signature : numba.types.Type
        Types to compile for; none to compile at the first call.
    **options
        Further options of ``numba.njit``.
    """
    compile_: Any = njit  # its overloads know no list of types

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return compile_(*signature, nogil=True, cache=True, **options)(function)
        except (RuntimeError, OSError) as error:  # no folder for the cache, or no space in it
            if "cache" not in str(error) and not isinstance(error, OSError):
                raise
            _note_missing_cache()
            return compile_(*signature, nogil=True, **options)(function)

    return decorate


@lru_cache(maxsize=1)
def _note_missing_cache() -> None:
    logger.warning(
        "Numba finds no folder for its cache: kernels are compiled anew in each process, which "
        "takes seconds. Set NUMBA_CACHE_DIR to a folder that can be written to."
    )
