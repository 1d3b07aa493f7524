"""Read realignment parameters: files of SPM and FSL, and tables with a header."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from facet_nb.core.errors import ValidationError

#: Column names of the translations in tables with a header (BIDS and fMRIPrep).
_TRANSLATIONS = (("x", "y", "z"), ("trans_x", "trans_y", "trans_z"))
_REMEDY = (
    "Give an SPM rp_*.txt or FSL .par file of six columns, or a table whose header names x, y, z "
    "(or trans_x, trans_y, trans_z)."
)


def read_translations(path: str | PathLike) -> np.ndarray:
    """Read the translations of the head from a file of realignment parameters.

    Parameters
    ----------
    path : path-like
        SPM ``rp_*.txt`` (x y z, then rotations), FSL ``.par`` (rotations, then x y z), or a table
        with a header, separated by tabs or commas (``.tsv``, ``.csv``; BIDS, fMRIPrep).

    Returns
    -------
    ndarray, shape (n_volumes, 3)
        Translations, in the unit of the file (mm in SPM and FSL).

    Raises
    ------
    ValidationError
        If the file is missing, or does not hold one row of numbers for each volume.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise ValidationError(f"there is no motion file {path}: check motion_file=….") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"the motion file {path} cannot be read ({error}). {_REMEDY}"
        ) from error
    rows = [(number, _split(line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ValidationError(f"the motion file {path} is empty. {_REMEDY}")
    header = [word.strip('"').lower() for word in rows[0][1]]
    if _is_number(header[0]):
        columns = [3, 4, 5] if path.suffix.lower() == ".par" else [0, 1, 2]
        n_columns = 6
    else:
        columns = _find_columns(header, path)
        n_columns = len(header)
        rows = rows[1:]
    if len(rows) < 2:
        raise ValidationError(f"the motion file {path} holds fewer than two volumes. {_REMEDY}")
    return np.array([_read(words, columns, n_columns, path, number) for number, words in rows])


def _split(line: str) -> list[str]:
    for separator in ("\t", ","):
        if separator in line:
            return [word.strip() for word in line.strip().split(separator)]
    return line.split()


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _find_columns(header: list[str], path: Path) -> list[int]:
    for names in _TRANSLATIONS:
        if set(names) <= set(header):
            return [header.index(name) for name in names]
    raise ValidationError(f"the motion file {path} has the columns {', '.join(header)}. {_REMEDY}")


def _read(
    words: list[str], columns: list[int], n_columns: int, path: Path, number: int
) -> list[float]:
    if len(words) != n_columns:
        raise ValidationError(
            f"line {number} of the motion file {path} has {len(words)} columns, not {n_columns}. "
            f"{_REMEDY}"
        )
    values = [float(words[c]) if _is_number(words[c]) else np.nan for c in columns]
    if not np.all(np.isfinite(values)):
        raise ValidationError(
            f"line {number} of the motion file {path} does not hold a finite number for each of x, "
            f"y, z ({', '.join(words[c] for c in columns)}). Fill it in, or remove the volume "
            "from both the file and the recording."
        )
    return values
