"""Save benchmark tables to files."""

from __future__ import annotations

from pathlib import Path

from facet_nb.benchmark import BenchmarkTable, Configuration
from facet_nb.core.errors import ValidationError


def save_table(table: BenchmarkTable, path: Path, chosen: Configuration | None = None) -> Path:
    """Write a table (``.json``, ``.csv``) or its picture (``.png``, ``.svg``); return the path.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    path : pathlib.Path
        File to write; its suffix selects the format.
    chosen : Configuration | None
        The point that the picture marks.

    Raises
    ------
    ValidationError
        If the suffix is not one of these.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        table.to_json(path)
    elif suffix == ".csv":
        table.to_csv(path)
    elif suffix in (".png", ".svg"):
        from facet_nb.plots import tuning_picture

        picture = tuning_picture(table, chosen=chosen)
        data = picture.to_png() if suffix == ".png" else picture.to_svg().encode()
        path.write_bytes(data)
    else:
        raise ValidationError(f"{path.name}: the suffix must be .json, .csv, .png or .svg.")
    return path
