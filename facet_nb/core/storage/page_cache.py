"""Files that pass by once: what was read or written of them does not stay in the system's cache.

A recording larger than memory would fill it, and push out what others need; on a virtual machine
each page that is touched for the first time costs ten times as much as one that is used again.
Smaller files stay in the cache, for whoever reads them next.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from facet_nb.core.memory import find_available

#: Files above this part of the memory that is available pass by.
_SHARE = 0.25


def bypasses_cache(descriptor: int) -> bool:
    """Whether a file is so large that it shall not stay in the cache."""
    size = os.fstat(descriptor).st_size
    return size > 1 << 30 and size > _SHARE * find_available()[0]


def drop(descriptor: int, start: int = 0, n_bytes: int = 0) -> None:
    """Tell the system that a part of a file (0 bytes: all to its end) is not needed any more.

    What was written is on its way to the disk from now on, and leaves the cache with the next call.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, n_bytes, os.POSIX_FADV_DONTNEED)


class StreamedFiles:
    """Some files that are read or written from their beginning to their end."""

    def __init__(self, descriptors: Iterable[int], every_bytes: int = 1 << 28) -> None:
        self.descriptors = [d for d in descriptors if bypasses_cache(d)]
        self.every_bytes = every_bytes
        self.since = 0

    def count(self, n_bytes: int) -> None:
        """Take note of what was read or written of each; let go of it now and then."""
        self.since += n_bytes
        if self.since >= self.every_bytes:
            self.since = 0
            for descriptor in self.descriptors:
                drop(descriptor)


@contextmanager
def watch_files(raw: Any) -> Iterator[StreamedFiles]:
    """Open the files of a recording that is read piece by piece."""
    with ExitStack() as stack:
        names = [] if raw.preload else [name for name in raw.filenames if name is not None]
        descriptors = [os.open(name, os.O_RDONLY) for name in names if os.path.isfile(name)]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        yield StreamedFiles(descriptors)
