"""Names of the files that a study writes."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError

#: Suffix of the corrected file where that of the recording cannot be written, or is of a part.
_SUFFIXES = {".set": ".fif", ".fdt": ".fif", ".gdf": ".edf", ".eeg": ".vhdr", ".vmrk": ".vhdr"}

#: Most files that an error lists.
_LISTED = 5


def split_name(path: str | Path) -> tuple[str, str]:
    """Return the stem of a recording, and the suffix of its corrected file."""
    name = Path(path).name
    # The suffix of a Path is its last one, and there is no exporter for ".gz".
    if name.lower().endswith(".fif.gz"):
        name = name[:-3]
    suffix = Path(name).suffix
    return Path(name).stem, _SUFFIXES.get(suffix.lower(), suffix)


def make_absolute(path: str | Path | None) -> str | None:
    """Return `path` for workers, whose working folder may be another one."""
    return None if path is None else str(Path(path).expanduser().absolute())


def name_input(index: int, item: Any) -> str:
    """Return the name of an input: its path, or its position.

    Raises
    ------
    ValidationError
        If it is neither a path nor a context.
    """
    if isinstance(item, (str, Path)):
        return str(item)
    if isinstance(item, ProcessingContext):
        return f"input {index}"
    raise ValidationError(
        f"input {index} is a {type(item).__name__}: give paths, ProcessingContext or Raw objects."
    )


def list_targets(names: Sequence[str], inputs: Sequence[Any], output: Any) -> list[str | None]:
    """Return the file that is written for each input.

    Parameters
    ----------
    names : sequence of str
        Names of the inputs.
    inputs : sequence of path or ProcessingContext
        The inputs.
    output : path | sequence of path | None
        The files; or a folder; or a pattern with ``{stem}``, ``{suffix}`` and ``{folder}``, the
        folder of an input below the one that all inputs share. Recordings of equal name are written
        to such folders.

    Raises
    ------
    ValidationError
        If the pattern cannot be used, or a file would replace an input or another output.
    """
    if output is None:
        return [None] * len(names)
    if not isinstance(output, (str, Path)):
        targets = list(map(str, output))
        if len(targets) != len(names):
            raise ValidationError(f"output has {len(targets)} files for {len(names)} inputs.")
        return _check(names, inputs, targets)
    pattern = str(output)
    is_folder = "{stem}" not in pattern
    if is_folder:
        # A folder's own name may have braces; without {stem} they are no fields.
        folder = pattern.replace("{", "{{").replace("}", "}}")
        pattern = str(Path(folder) / "{stem}_corrected{suffix}")
    targets = _fill(pattern, names, inputs, output)
    if is_folder and _list_repeated(targets):
        pattern = str(Path(folder) / "{folder}" / "{stem}_corrected{suffix}")
        targets = _fill(pattern, names, inputs, output)
    return _check(names, inputs, targets)


def _check(names: Sequence[str], inputs: Sequence[Any], targets: list[str]) -> list[str | None]:
    """Return the targets, if none of them replaces an input or another one."""
    repeated = sorted(set(_list_repeated(targets)))
    if repeated:
        more = f" and {len(repeated) - _LISTED} other files" if len(repeated) > _LISTED else ""
        raise ValidationError(
            f"several inputs would be written to {', '.join(repeated[:_LISTED])}{more}: use "
            "different names or folders."
        )
    _check_inputs_stay(names, inputs, targets)
    return list(targets)


def _fill(
    pattern: str, names: Sequence[str], inputs: Sequence[Any], output: str | Path
) -> list[str]:
    folders = _list_folders(names, inputs)
    targets = []
    for name, item, folder in zip(names, inputs, folders, strict=True):
        in_memory = isinstance(item, ProcessingContext)
        stem, suffix = split_name(name.replace(" ", "_") + ".fif" if in_memory else name)
        try:
            path = pattern.format(stem=stem, suffix=suffix, folder=folder)
        except (KeyError, IndexError, ValueError) as error:
            raise ValidationError(
                f"output={str(output)!r}: a pattern may contain only {{stem}}, {{suffix}} and "
                "{folder}; double all other braces."
            ) from error
        targets.append(str(Path(path)))
    return targets


def _list_folders(names: Sequence[str], inputs: Sequence[Any]) -> list[str]:
    """Return the folder of each input below the one that all of them share."""
    pairs = zip(names, inputs, strict=True)
    files = [not isinstance(item, ProcessingContext) for _, item in pairs]
    parents = [
        str(Path(name).expanduser().absolute().parent) if is_file else ""
        for name, is_file in zip(names, files, strict=True)
    ]
    known = [parent for parent in parents if parent]
    try:
        shared = os.path.commonpath(known) if known else ""
    except ValueError:  # on Windows: on several drives
        shared = ""
    return [os.path.relpath(p, shared) if p and shared else "" for p in parents]


def _list_repeated(targets: Sequence[str]) -> list[str]:
    count = Counter(list_keys(target)[0] for target in targets)
    return [target for target in targets if count[list_keys(target)[0]] > 1]


def _check_inputs_stay(names: Sequence[str], inputs: Sequence[Any], targets: Sequence[str]) -> None:
    """Raise if the output of one input would replace another input, or itself."""
    known: dict[Any, str] = {}
    for name, item in zip(names, inputs, strict=True):
        if not isinstance(item, ProcessingContext):
            known.update(dict.fromkeys(list_keys(name), name))
    for name, target in zip(names, targets, strict=True):
        same = [known[key] for key in list_keys(target) if key in known]
        if same:
            raise ValidationError(
                f"the output of {name} would replace {same[0]}, which is an input: choose another "
                "folder for output=, and leave out files that an earlier call has written."
            )


def list_keys(name: str) -> list[Any]:
    """Return what identifies a file under any of its names: its path, and its inode if any."""
    path = Path(name).expanduser()
    # Files of one BrainVision recording are written together.
    if path.suffix.lower() in (".eeg", ".vmrk"):
        path = path.with_suffix(".vhdr")
    keys: list[Any] = [os.path.realpath(path)]
    try:
        status = path.stat()
    except (OSError, ValueError):  # no such file
        return keys
    # The inode knows hard links, and names of other case where the file system ignores case.
    return [*keys, (status.st_dev, status.st_ino)]


def list_checkpoints(names: Sequence[str], checkpoint: str | Path | None) -> list[str | None]:
    """Return the folder of the checkpoint of each input."""
    return [
        None if checkpoint is None else make_absolute(Path(checkpoint) / mark_name(name))
        for name in names
    ]


def mark_name(name: str) -> str:
    """Return a file name for an input that no other input has."""
    # The hash of the whole path: files of different folders may have the same name.
    # surrogatepass: a name on Linux may have bytes that are no UTF-8.
    mark = hashlib.sha256(os.path.abspath(os.path.expanduser(name)).encode(errors="surrogatepass"))
    stem = re.sub(r"\W+", "_", Path(name).stem)[:40]
    return f"{stem}-{mark.hexdigest()[:12]}"
