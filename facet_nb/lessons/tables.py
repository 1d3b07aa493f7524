"""Measured tables that come with the course, and those of a class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facet_nb.core.errors import ValidationError

if TYPE_CHECKING:
    from facet_nb.benchmark import BenchmarkTable

#: Each file is as ``BenchmarkTable.to_json`` wrote it.
TABLES = Path(__file__).with_name("tables")


def list_tables() -> list[str]:
    """Return the names of the measured tables that come with the course."""
    return sorted(path.stem for path in TABLES.glob("*.json"))


def load_table(name: str | Path) -> BenchmarkTable:
    """Return a measured table.

    Parameters
    ----------
    name : str | path
        A name of :func:`list_tables`, or a file that ``BenchmarkTable.to_json`` wrote.

    Returns
    -------
    BenchmarkTable
        The table.

    Raises
    ------
    ValidationError
        If there is no such table or file.
    """
    from facet_nb.benchmark import BenchmarkTable

    shipped = TABLES / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        there = ", ".join(list_tables()) or "none"
        raise ValidationError(f"there is no table {name}: use a file, or one of these: {there}.")
    return BenchmarkTable.from_json(path)


def merge_folder(folder: str | Path) -> tuple[BenchmarkTable | None, dict[str, str]]:
    """Merge the tables of a class, each file labelled by its name.

    Parameters
    ----------
    folder : str | path
        Folder with tables that ``BenchmarkTable.to_json`` wrote.

    Returns
    -------
    table : BenchmarkTable | None
        The merged table; None if no file could be used.
    refused : dict of str to str
        Why a file could not be merged, by its name.
    """
    from facet_nb.benchmark import BenchmarkTable
    from facet_nb.core.errors import FacetError

    merged: BenchmarkTable | None = None
    refused: dict[str, str] = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            table = BenchmarkTable.from_json(path)
            if merged is None:
                merged = replace(table, label=path.stem)
            else:
                merged = merged.merge(table, label=path.stem)
        except (FacetError, OSError, ValueError, KeyError, TypeError) as error:
            refused[path.name] = str(error)
    return merged, refused
