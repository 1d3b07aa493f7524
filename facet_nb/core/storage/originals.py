"""Files that must not be replaced: those that a recording was read from, and other recordings."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facet_nb.core.errors import ValidationError

#: Suffixes of pages, chains, tables and pictures.
PAGES, YAML, TEXT = (".html", ".htm", ".xhtml"), (".yaml", ".yml"), (".json", ".csv", ".tsv")
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")

#: Names of files in the header of a BrainVision recording, which may differ from its own.
_NAMED = re.compile(rb"^\s*(?:DataFile|MarkerFile)\s*=[ \t]*([^\r\n]*\S)", re.MULTILINE)

#: Bytes of a header that are searched: one with 1000 channels has 50 000.
_HEADER_BYTES = 1 << 20

#: Files of one recording have the same name and one of these suffixes.
_TOGETHER = ({".vhdr", ".vmrk", ".eeg", ".dat", ".avg"}, {".set", ".fdt"})


def list_files(raws: Iterable[Any], paths: Iterable[Any] = ()) -> list[Path]:
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
        Existing files, headers, samples and markers, also those that only a header names; without
        duplicates.
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
    found: dict[Path, Path] = {}
    for name in named:
        for part in list_parts(Path(name).expanduser()):
            for path in (part, *_list_named(part)):
                if is_file(path):
                    found.setdefault(path.absolute(), path)
    return list(found.values())


def _list_named(file: Path) -> list[Path]:
    """Return the files that a BrainVision header names; none if `file` is no readable header."""
    if file.suffix.lower() not in (".vhdr", ".ahdr") or not is_file(file):
        return []
    content = b""
    with contextlib.suppress(OSError), open(file, "rb") as header:  # its reader tells an error
        content = header.read(_HEADER_BYTES)
    found = []
    for name in _NAMED.findall(content):
        # Both are in use, and most headers in the older one are ASCII.
        for encoding in ("utf-8", "latin-1"):
            with contextlib.suppress(UnicodeDecodeError):
                text = name.decode(encoding).replace("$b", file.stem).replace("\\", "/")
                found.append(file.parent / text)
    return found


def list_parts(file: Path) -> list[Path]:
    """Return `file` and the names that other files of the same recording would have."""
    others = next((group for group in _TOGETHER if file.suffix.lower() in group), set())
    return [file, *(file.with_suffix(other) for other in sorted(others))]


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


def check_kind_of_file(path: str | Path, suffixes: tuple[str, ...]) -> None:
    """Check that a page, table or picture at `path` replaces no file of another kind.

    Parameters
    ----------
    path : path
        The file to write.
    suffixes : tuple of str
        Suffixes of its kind; a file that does not exist yet may have any.

    Raises
    ------
    ValidationError
        If there is a file of another kind, such as a recording, by this name or behind this link.
    """
    real = Path(path).expanduser().resolve()
    if is_file(real) and real.suffix.lower() not in (*suffixes, ".txt", ""):
        raise ValidationError(
            f"{path}: this would replace {real.name}, which may be a recording. Give a name that "
            f"ends in {' or '.join(suffixes)}."
        )
