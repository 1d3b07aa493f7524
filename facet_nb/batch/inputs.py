"""Find the recordings of a study: files, patterns, folders, BIDS data sets."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from facet_nb.core.errors import ValidationError
from facet_nb.io.sources import FORMATS

#: Entities by which recordings of a BIDS data set can be chosen, and how file names spell them.
ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}


def find_recordings(
    places: Iterable[str | Path], entities: Mapping[str, Iterable[str]] | None = None
) -> list[Path]:
    """Return the recordings at some places, without repetitions.

    Parameters
    ----------
    places : iterable of path
        Files; patterns such as ``"sub-*/*.vhdr"`` (``**`` for folders at any depth); folders, whose
        recordings at any depth are taken. Of a BIDS data set these are the EEG recordings of its
        subjects. Files that were corrected (``*_corrected.*``) and hidden ones are left out of
        folders.
    entities : dict of str to iterable of str | None
        Labels to keep: ``{"subject": ["01", "02"], "task": ["rest"]}``; files whose names have
        other labels, or none, are left out.

    Returns
    -------
    list of Path
        The recordings of each place in the order of their names.

    Raises
    ------
    ValidationError
        If a pattern or folder holds no recording, or an entity is unknown.
    """
    wanted = _read_entities(entities or {})
    found: dict[Path, None] = {}
    for place in places:
        here = _list_place(str(place))
        kept = [path for path in here if _has_labels(path, wanted)]
        if not kept:
            told = f"{place}: there is no recording"
            told += f" with {_describe(wanted)} among {len(here)}" if here else ""
            raise ValidationError(f"{told}. Recordings end in {', '.join(FORMATS)}.")
        found.update(dict.fromkeys(kept))
    return list(found)


def is_bids(folder: str | Path) -> bool:
    """Whether a folder is a BIDS data set."""
    return (Path(folder).expanduser() / "dataset_description.json").is_file()


def read_labels(path: str | Path) -> dict[str, str]:
    """Return the BIDS entities in a file's name: ``{"sub": "01", "task": "rest"}``."""
    return dict(re.findall(r"(?:^|_)([a-z]+)-([0-9A-Za-z]+)", Path(path).name))


def _list_place(place: str) -> list[Path]:
    path = Path(place).expanduser()
    if path.is_dir():
        if is_bids(path):
            return [p for p in sorted(path.glob("sub-*/**/eeg/*_eeg.*")) if _is_main(p)]
        return [p for p in sorted(path.rglob("*")) if _is_main(p) and _is_wanted(p, path)]
    if glob.has_magic(place) and not path.exists():
        return [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if _is_main(Path(p))]
    return [path]  # a missing file is reported by its own run; the others go on


def _is_main(path: Path) -> bool:
    return path.name.lower().endswith(tuple(FORMATS))


def _is_wanted(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and "_corrected." not in path.name


def _read_entities(entities: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    unknown = sorted(set(entities) - set(ENTITIES))
    if unknown:
        raise ValidationError(f"no entity {', '.join(unknown)}: use {', '.join(ENTITIES)}.")
    wanted = {}
    for name, labels in entities.items():
        key = ENTITIES[name]
        plain = [labels] if isinstance(labels, str) else labels
        kept = {str(label).removeprefix(f"{key}-") for label in plain}
        if kept:
            wanted[key] = kept
    return wanted


def _has_labels(path: Path, wanted: Mapping[str, set[str]]) -> bool:
    labels = read_labels(path)
    return all(labels.get(key) in allowed for key, allowed in wanted.items())


def _describe(wanted: Mapping[str, set[str]]) -> str:
    return ", ".join(f"{key}-{'|'.join(sorted(labels))}" for key, labels in wanted.items())
