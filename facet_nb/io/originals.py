"""Files that a recording was read from: an export must not replace them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facet_nb.io.integrity.brainvision import list_companions

#: Files of one recording have the same name and one of these suffixes.
_TOGETHER = ({".vhdr", ".vmrk", ".eeg", ".dat", ".avg"}, {".set", ".fdt"})


def list_originals(raws: Iterable[Any], paths: Iterable[Any] = ()) -> list[Path]:
    """Return the files of recordings.

    Parameters
    ----------
    raws : iterable of mne.io.BaseRaw or None
        The recordings.
    paths : iterable of path
        Further files, e.g. those of loaders.

    Returns
    -------
    list of Path
        Existing files, headers and samples; without duplicates.
    """
    named: list[Any] = list(paths)
    for raw in raws:
        if raw is None:
            continue
        named.extend(name for name in raw.filenames if name is not None)
        # The header of a BrainVision recording may have another name than its samples. MNE keeps
        # the reader's arguments only.
        arguments = getattr(raw, "_init_kwargs", None) or {}  # None for recordings of our own
        named.extend(value for value in arguments.values() if isinstance(value, (str, Path)))
    found: dict[Path, None] = {}
    for name in named:
        file = Path(name).expanduser()
        suffix = file.suffix.lower()
        others = next((group for group in _TOGETHER if suffix in group), set())
        beside = [file.with_suffix(other) for other in sorted(others)]
        named_there = list_companions(file) if suffix == ".vhdr" and is_file(file) else []
        for path in (file, *beside, *named_there):
            if is_file(path):
                found[path] = None
    return list(found)


def is_file(path: Path) -> bool:
    """Whether `path` is a file; text that is too long for a name, or holds NUL, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_same(path: Path, originals: Iterable[Path]) -> Path | None:
    """Return the file of `originals` that `path` is, by any name: a link, or in other case."""
    for original in originals:
        if path.resolve() == original.resolve():
            return original
        # Hard links, and names on file systems that ignore case.
        if path.exists() and original.exists() and path.samefile(original):
            return original
    return None
