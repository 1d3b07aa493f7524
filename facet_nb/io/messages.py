"""Messages about files: each names the file, what is wrong, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from facet_nb.core.errors import FacetError, ValidationError

#: The remedy for a damaged or incomplete file.
COPY_AGAIN = (
    "Copy it again from the recorder; to use the intact part, read it with MNE and start from "
    "ProcessingContext(raw)"
)


def unusable(path: Path, what: str, remedy: str) -> ValidationError:
    """Return the error for a file or file name that cannot be used."""
    return ValidationError(f"{path}: {what}. {remedy}.")


def unwritable(path: Path, what: str, remedy: str) -> FacetError:
    """Return the error for a file that could not be written."""
    return FacetError(f"{path} was not written: {what}. {remedy}.")


def name_other_format(path: Path) -> str:
    """Return the remedy for what a format cannot hold: a format that is not this one."""
    return f"Write {'.vhdr' if path.suffix.lower() == '.fif' else '.fif'} instead"


def suggest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return up to `n` names of `known` that are similar to `name`, ignoring case."""
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=0.5)
    return [by_lower[key] for key in near]


def shorten(names: Iterable[str], n: int = 6) -> str:
    """Return the first `n` names on one line."""
    listed = list(names)
    return ", ".join(listed[:n]) + (", …" if len(listed) > n else "")
