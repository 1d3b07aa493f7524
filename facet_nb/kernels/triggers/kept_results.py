"""Results about markers that are kept: the verdict on a run asks again for what it has found."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def keep_results(find: Callable[[np.ndarray], T]) -> Callable[[np.ndarray], T]:
    """Return a function of whole positions that keeps its last two results.

    Several callers share a result, so that arrays in it, and in tuples in it, are read-only.
    """

    @lru_cache(maxsize=2)
    def find_once(packed: bytes) -> T:
        result = find(np.frombuffer(packed, dtype=np.int64))
        for value in vars(result).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, np.ndarray):
                    part.flags.writeable = False
        return result

    @wraps(find)
    def find_kept(markers: np.ndarray) -> T:
        return find_once(np.asarray(markers, dtype=np.int64).tobytes())

    return find_kept
