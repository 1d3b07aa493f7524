"""Files that must not be replaced: those that a recording was read from, and other recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facet_nb.core.errors import ValidationError

#: Suffixes of pages, chains, tables and pictures.
PAGES, YAML, TEXT = (".html", ".htm", ".xhtml"), (".yaml", ".yml"), (".json", ".csv", ".tsv")
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")

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
    found: dict[Path, Path] = {}
    for name in named:
        for path in list_parts(Path(name).expanduser()):
            if is_file(path):
                found.setdefault(path.absolute(), path)
    return list(found.values())


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
