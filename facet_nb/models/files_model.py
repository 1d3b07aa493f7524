"""The user's own recordings: folders, recent files, BIDS data sets and uploads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets import HasTraits, Tuple, Unicode

from facet_nb.batch.inputs import find_recordings, is_bids
from facet_nb.core.errors import ValidationError
from facet_nb.io.sources import COMPANIONS, FORMATS, find_suffix

#: Entries of a folder and recent files that are listed.
MOST_ENTRIES, MOST_RECENT = 200, 8
#: Most bytes of one upload: what a browser sends within minutes; on Binder, memory is short.
UPLOAD_BYTES, BINDER_BYTES = 2_000_000_000, 250_000_000
#: Largest chunk of an upload, in bytes: a notebook server refuses messages of 10 MB.
CHUNK_BYTES = 1_000_000
#: Disk space that an upload must leave free, in bytes.
_SPARE = 500_000_000


@dataclass(frozen=True)
class FileEntry:
    """One line of a folder.

    Attributes
    ----------
    name : str
        Name, or path within the folder.
    path : str
        Absolute path.
    kind : {"folder", "bids", "recording"}
        What it is.
    n_bytes : int
        Size of a recording's main file; 0 for folders.
    """

    name: str
    path: str
    kind: str
    n_bytes: int = 0


class FilesModel(HasTraits):
    """Finds recordings on this machine, and takes uploads.

    Parameters
    ----------
    folder : path | None
        The folder to begin with; None for the current one.

    Attributes
    ----------
    folder : str
        The folder that is listed.
    recent : tuple of str
        Files that were opened last, newest first. They are remembered in ``recent.json`` in the
        state folder of the user (``$XDG_STATE_HOME/facet_nb`` or ``~/.local/state/facet_nb``).
    uploading : str
        What is being uploaded, and how far; empty if nothing is.
    """

    folder = Unicode("")
    recent = Tuple()
    uploading = Unicode("")

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__(folder=str(Path(folder or Path.cwd()).absolute()))
        self.recent = _read_recent()
        self._parts: dict[str, int] = {}
        self._received: list[Path] = []

    # ---------------------------------------------------------------------------------- folders
    def list_entries(self) -> tuple[FileEntry, ...]:
        """Return folders, then recordings; of a BIDS data set, the recordings of its subjects.

        Raises
        ------
        ValidationError
            If the folder cannot be read.
        """
        here = Path(self.folder)
        if is_bids(here):
            try:
                found = find_recordings([here])
            except ValidationError:
                return ()  # a data set without EEG
            return tuple(_enter(path, str(path.relative_to(here))) for path in found[:MOST_ENTRIES])
        try:
            inside = sorted(here.iterdir(), key=lambda path: path.name.lower())
        except OSError as error:
            raise ValidationError(f"{here} cannot be listed: {error.strerror}.") from error
        shown = [path for path in inside if not path.name.startswith(".")]
        folders = [path for path in shown if path.is_dir()]
        files = [path for path in shown if path.is_file() and find_suffix(path) in FORMATS]
        return tuple(_enter(path, path.name) for path in [*folders, *files][:MOST_ENTRIES])

    def go(self, folder: str | Path) -> None:
        """List another folder.

        Raises
        ------
        ValidationError
            If it is not a folder.
        """
        path = Path(folder).expanduser().absolute()
        if not path.is_dir():
            raise ValidationError(f"{path} is not a folder.")
        self.folder = str(path)

    def remember(self, path: str | Path) -> None:
        """Put a file at the top of the recent ones."""
        name = str(Path(path).expanduser().absolute())
        self.recent = (name, *(p for p in self.recent if p != name))[:MOST_RECENT]
        _write_recent(self.recent)

    # ---------------------------------------------------------------------------------- uploads
    @property
    def limit_bytes(self) -> int:
        """Most bytes that an upload may have here, now."""
        most = BINDER_BYTES if "BINDER_SERVICE_HOST" in os.environ else UPLOAD_BYTES
        return max(0, min(most, shutil.disk_usage(self.folder).free - _SPARE))

    def begin_upload(self, files: list[tuple[str, int]]) -> None:
        """Accept the files of an upload, or raise, before a byte is sent.

        Parameters
        ----------
        files : list of (str, int)
            Name and size in bytes of each.

        Raises
        ------
        ValidationError
            If they are too large, of another format, or exist.
        """
        total, most = sum(size for _, size in files), self.limit_bytes
        if total > most:
            raise ValidationError(
                f"{total / 1e6:.0f} MB are too much: at most {most / 1e6:.0f} MB can be uploaded "
                "here. Copy the files to this machine and use the folder list instead."
            )
        for name, _ in files:
            known = {*FORMATS, *COMPANIONS}
            if (
                name != Path(name).name
                or name.startswith(".")
                or find_suffix(Path(name)) not in known
            ):
                raise ValidationError(
                    f"{name!r} is not part of a recording: choose files ending in "
                    f"{', '.join(sorted(known))}."
                )
            if (self._uploads / name).exists():
                raise ValidationError(f"uploads/{name} exists already: open it from the list.")
        self._uploads.mkdir(exist_ok=True)
        for name, _ in files:  # left by an earlier upload
            (self._uploads / f".{name}.part").unlink(missing_ok=True)
        self._parts, self._received = dict(files), []
        self.uploading = f"Uploading {len(files)} file{'s' if len(files) > 1 else ''} …"

    def receive(self, name: str, chunk: bytes) -> bool:
        """Append a chunk to a file; return whether the whole upload is here.

        Raises
        ------
        ValidationError
            If the file was not announced, or grows beyond its size.
        """
        left = self._parts.get(name)
        if left is None or len(chunk) > left:
            self.cancel_upload()
            raise ValidationError(
                f"the upload of {name} does not have the size that was announced."
            )
        part = self._uploads / f".{name}.part"
        with part.open("ab") as file:
            file.write(chunk)
        self._parts[name] = left - len(chunk)
        if not self._parts[name]:
            part.rename(self._uploads / name)
            self._received.append(self._uploads / name)
        waiting = sum(self._parts.values())
        self.uploading = f"Uploading {name}, {waiting / 1e6:.0f} MB to come" if waiting else ""
        return not waiting

    def cancel_upload(self) -> None:
        """Delete files that have not arrived completely."""
        for name in self._parts:
            (self._uploads / f".{name}.part").unlink(missing_ok=True)
        self._parts, self.uploading = {}, ""

    def find_uploaded(self) -> str:
        """Return the recording of the last upload.

        Raises
        ------
        ValidationError
            If the files hold no recording.
        """
        main = [path for path in self._received if find_suffix(path) in FORMATS]
        if main:
            return str(main[0])
        names = ", ".join(path.name for path in self._received)
        raise ValidationError(
            f"{names} cannot be read alone: choose all files of the recording together "
            "(.vhdr, .vmrk and .eeg; .set and .fdt)."
        )

    @property
    def _uploads(self) -> Path:
        return Path(self.folder) / "uploads"


def _enter(path: Path, name: str) -> FileEntry:
    if path.is_dir():
        return FileEntry(name, str(path), "bids" if is_bids(path) else "folder")
    return FileEntry(name, str(path), "recording", path.stat().st_size)


def name_apart(paths: Sequence[str]) -> list[str]:
    """Return the end of each path, with as many folders as tell it from the others.

    Parameters
    ----------
    paths : sequence of str
        Different paths.
    """
    parts = [Path(path).parts for path in paths]
    names = []
    for own in parts:
        n = 1
        while n < len(own) and sum(other[-n:] == own[-n:] for other in parts) > 1:
            n += 1
        names.append(str(Path(*own[-n:])))
    return names


def _recent_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "facet_nb" / "recent.json"


def _read_recent() -> tuple[str, ...]:
    try:
        found: Any = json.loads(_recent_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()  # no such file, or another content: the list starts empty
    names = found if isinstance(found, list) else []
    return tuple(n for n in names if isinstance(n, str) and Path(n).exists())[:MOST_RECENT]


def _write_recent(recent: tuple[str, ...]) -> None:
    try:
        _recent_file().parent.mkdir(parents=True, exist_ok=True)
        _recent_file().write_text(json.dumps(list(recent)), encoding="utf-8")
    except OSError:
        return  # the home folder is read-only: the list is kept for this session only
