"""Drop pages of large sequentially-read files from the OS page cache.

A recording larger than memory would fill the cache and evict the pages of other programs; on a
virtual machine, touching a page for the first time takes ten times as long as reusing one. Smaller
files stay in the cache, where the next reader finds them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from facet_nb.core.memory import find_available

if TYPE_CHECKING:
    import mne

#: Files larger than this fraction of the available memory are dropped from the cache.
_SHARE = 0.25


def bypasses_cache(descriptor: int) -> bool:
    """Whether a file is too large to stay in the cache."""
    size = os.fstat(descriptor).st_size
    return size > 1 << 30 and size > _SHARE * find_available()[0]


def drop(descriptor: int, start: int = 0, n_bytes: int = 0) -> None:
    """Drop a part of a file (0 bytes: all up to its end) from the cache."""
    # Written pages stay until they are on the disk: this call starts writing them, and they leave
    # the cache with the next call.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, n_bytes, os.POSIX_FADV_DONTNEED)


class StreamedFiles:
    """Files that are read or written once, from beginning to end."""

    def __init__(self, descriptors: Iterable[int], every_bytes: int = 1 << 28) -> None:
        self.descriptors = [d for d in descriptors if bypasses_cache(d)]
        self.every_bytes = every_bytes
        self.since = 0

    def count(self, n_bytes: int) -> None:
        """Count bytes read or written, and drop them from the cache at intervals."""
        self.since += n_bytes
        if self.since >= self.every_bytes:
            self.since = 0
            for descriptor in self.descriptors:
                drop(descriptor)


@contextmanager
def watch_files(raw: mne.io.BaseRaw) -> Iterator[StreamedFiles]:
    """Open the files of a recording that MNE reads piece by piece, to drop pages after use."""
    # The cache belongs to the file, not to a descriptor: MNE's own need not be known.
    with ExitStack() as stack:
        names = [] if raw.preload else [name for name in raw.filenames if name is not None]
        descriptors = [os.open(name, os.O_RDONLY) for name in names if os.path.isfile(name)]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        yield StreamedFiles(descriptors)
