"""Limits on files from elsewhere, which are checked before a reader is asked.

A file of a few kilobytes may state a size, or unpack to one, that fills the memory of the machine.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError

#: Longest text of a pipeline, in bytes; a chain of 100 steps has 20 000.
_LONGEST_TEXT = 2**20

#: Most values in a YAML text, with those that aliases repeat, and how deeply they may be nested.
_MOST_VALUES, _DEEPEST = 20_000, 50

#: What a file may unpack to at any ratio, in bytes.
FREE_BYTES = 64 << 20

#: How many times its size a larger file may unpack to. EEG of which one channel in 64 is not zero
#: reaches 130, and zeros alone 1030.
LARGEST_RATIO = 200

_UNPACK = (
    "If you trust it, save it without compression; otherwise ask its source for the recording "
    "itself"
)


class UnpackedSize:
    """Counts what a compressed file unpacks to, and raises ValueError if that is out of proportion.

    Proportion is measured over each 64 MiB, so that an ordinary beginning cannot hide what follows.
    """

    def __init__(self) -> None:
        self.packed = self.unpacked = 0

    def add(self, packed: int, unpacked: int) -> None:
        """Count `packed` bytes that became `unpacked` bytes."""
        self.packed += packed
        self.unpacked += unpacked
        if self.unpacked < FREE_BYTES:
            return
        if self.unpacked > LARGEST_RATIO * self.packed:
            raise ValueError(
                f"it unpacks to more than {LARGEST_RATIO} times its size, as no recording does"
            )
        self.packed = self.unpacked = 0


def read_text(path: str | Path, longest: int = _LONGEST_TEXT) -> str:
    """Return the text in a UTF-8 file of at most `longest` bytes.

    Raises
    ------
    ValueError
        If it is too long, or no text.
    """
    with open(path, "rb") as file:  # its size may be unknown, as that of /dev/zero
        content = file.read(longest + 1)
    if len(content) > longest:
        raise ValueError(f"it has more than {longest} bytes")
    return content.decode("utf-8")


def load_yaml(text: str) -> Any:
    """Return the plain values in a YAML text.

    Raises
    ------
    ValueError
        If it has too many values, counting those that aliases repeat, or is nested too deeply.
    yaml.YAMLError
        If it is no YAML.
    """
    import yaml

    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"it has more than {_LONGEST_TEXT} characters")
    sizes: dict[str, int] = {}  # values behind each anchor that is complete
    open_nodes: list[tuple[str | None, int]] = []  # anchors, and values before them
    n = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = n - before
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} stands inside what it repeats")
            n += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            n += 1
            if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                open_nodes.append((event.anchor, n - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if n > _MOST_VALUES or len(open_nodes) > _DEEPEST:
            raise ValueError(
                f"it has more than {_MOST_VALUES} values or {_DEEPEST} levels, and no pipeline does"
            )
    return yaml.safe_load(text)


def load_npz(
    path: str | Path, keys: Sequence[str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return those arrays of `keys` that an .npz file holds, and the names of all its arrays.

    No code in it is executed.

    Raises
    ------
    ValidationError
        If it unpacks to far more than its size, or an array states more than the file holds.
    OSError, ValueError, zipfile.BadZipFile
        If it cannot be read.
    """
    with np.load(path, allow_pickle=False) as archive:
        if not hasattr(archive, "zip"):
            raise ValueError("not an archive of arrays")
        for key in keys:
            if key in archive.files:
                _check_member(Path(path), archive.zip, key)
        found = {key: np.asarray(archive[key]) for key in keys if key in archive.files}
        return found, tuple(archive.files)


def _check_member(path: Path, archive: zipfile.ZipFile, key: str) -> None:
    names = archive.namelist()
    entry = archive.getinfo(key if key in names else f"{key}.npy")
    try:
        UnpackedSize().add(entry.compress_size, entry.file_size)
    except ValueError as error:
        raise refuse(path, f"{key!r}: {error}") from error
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    n_bytes = dtype.itemsize
    for size in shape:  # of Python's numbers, which do not overflow
        n_bytes *= int(size)
    if n_bytes > entry.file_size:
        raise refuse(path, f"{key!r} states {n_bytes} bytes, and the file has {entry.file_size}")


def refuse(path: Path, what: str) -> ValidationError:
    """Return the error for a file that would need far more memory than it should."""
    return ValidationError(f"{path}: {what}. {_UNPACK}.")
